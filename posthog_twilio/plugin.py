"""The hooks, and the whole flow from an event to the outcomes of its messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from posthog_twilio import events
from posthog_twilio.caches import Cache, Claim, MemoryCache
from posthog_twilio.claims import REMEMBERED, CacheDown, Claims, key_of
from posthog_twilio.config import Config
from posthog_twilio.doubt import Courier, Errand
from posthog_twilio.errors import InvalidEvent, RetryError
from posthog_twilio.journal import note
from posthog_twilio.limit import DailyLimit, Stop
from posthog_twilio.message import Template, compose
from posthog_twilio.notices import load_actions, notices, tell
from posthog_twilio.outcome import Outcome, Status
from posthog_twilio.transport import Answer, Message, Transport, TwilioTransport, Verdict
from posthog_twilio.triggers import Recipient, Trigger, Triggers

PATIENCE = 16.0
"""Seconds after the first claim in which a send may start.  With the time limits of one
attempt and of looking a message up, it stays below the lease."""
_MOST_IGNORED = 1024


class Meta:
    """
    One configured plugin; shared freely between threads.

    :func:`setup_plugin` makes it.

    Attributes:
        config: the settings.
        warnings: what a person should know of the set-up; each was logged once.
        ignored: names of events seen that can fire nothing; bounded.

    """

    def __init__(
        self,
        config: Config,
        cache: Cache,
        transport: Transport,
        triggers: Triggers,
        warnings: tuple[str, ...] = (),
        *,
        now: Callable[[], float] = lambda: time.time(),
        timer: Callable[[], float] = lambda: time.monotonic(),
    ) -> None:
        self.config = config
        self.warnings = warnings
        self.ignored: set[str] = set()
        self._cache = cache
        self._transport = transport
        self._triggers = triggers
        self._timer = timer
        self._template = Template.parse(config.template)
        limit = config.daily_limit
        self._limit = DailyLimit(limit, config.account_sid, now) if limit else None
        self._courier = Courier(config, transport, self._template, self._limit, now, timer)

    def __repr__(self) -> str:
        return f"Meta({self.config!r})"

    def matches(self, event: Mapping[str, Any]) -> bool:
        """
        Tell whether *event* fires a trigger; no I/O, and never an error.

        Filter with it before handing an event to a queue or a thread.  What is
        no plugin event matches nothing.
        """
        try:
            return event["event"] not in self.ignored and bool(self.fired(event))
        except (InvalidEvent, KeyError, TypeError):
            return False

    def fired(self, event: Mapping[str, Any]) -> tuple[Trigger, ...]:
        """
        Return the triggers that *event* fires.

        Raises:
            InvalidEvent: when *event* is no plugin event.

        """
        name = _name_of(event)
        if self._triggers.ignores(name):
            if len(self.ignored) >= _MOST_IGNORED:
                self.ignored.clear()
            self.ignored.add(name)
            return ()
        return self._triggers.match(event)

    def handle(self, event: Mapping[str, Any]) -> tuple[Outcome, ...]:
        """Do what :func:`on_event` says."""
        outcomes = []
        for trigger in self.fired(event):
            for recipient in trigger.recipients:
                outcomes.append(self._text(event, trigger, recipient))
                note(outcomes[-1])
        if any(outcome.status is Status.RETRY for outcome in outcomes):
            raise RetryError(outcomes)
        return tuple(outcomes)

    def close(self) -> None:
        """Close connections; safe to call twice."""
        self._transport.close()

    def _text(self, event: Mapping[str, Any], trigger: Trigger, recipient: Recipient) -> Outcome:
        """Bring one message to one recipient, and say what became of it."""
        report = partial(Outcome, trigger=trigger.name, recipient=recipient.text)
        try:
            address = recipient.resolve(event, self.config.country_codes)
        except ValueError as error:
            return report(status=Status.REFUSED, reason=f"{recipient.text}: {error}")
        report = partial(report, recipient=address)
        try:
            return self._claim_and_send(event, trigger, address, Claims(self._cache), report)
        except CacheDown as error:
            return report(status=Status.RETRY, reason=f"the cache failed: {error}")

    def _claim_and_send(
        self,
        event: Mapping[str, Any],
        trigger: Trigger,
        address: str,
        claims: Claims,
        report: Callable[..., Outcome],
    ) -> Outcome:
        """Claim the cooldown, a slot of the day and the event; then send, then settle."""
        until = self._timer() + PATIENCE
        of_event = self._event_key(event, trigger, address)
        cooldown = claims.take(self._cooldown_key(event, trigger, address), self.config.cooldown)
        report = partial(report, held_back=cooldown.held_back)
        if not cooldown.granted:
            return report(**_while_held(claims, cooldown, of_event))

        body = compose(self._template, event, cooldown.held_back, self.config.max_segments)
        if not body:
            claims.drop()
            return report(status=Status.REFUSED, reason="messageTemplate gives no text for it")
        report = partial(report, body=body)

        slot, stop = self._take_slot(claims)
        turn = claims.take(of_event, REMEMBERED) if of_event else None
        if turn and not turn.granted:
            claims.drop()
            return report(**_SETTLED_OR_RUNNING[turn.state])

        message = Message(sender=self.config.sender, recipient=address, body=body)
        errand = Errand(message, event, claims, slot, turn, until)
        died = turn is not None and turn.state == "lapsed"  # whoever had it before us
        answer = self._courier.fate(errand) if died else None
        if answer is None and stop:
            claims.drop()
            return report(status=stop.status, reason=str(stop))
        return _settle(claims, turn, slot, answer or self._courier.send(errand), report)

    def _take_slot(self, claims: Claims) -> tuple[Claim | None, Stop | None]:
        """Take a slot of the day, or say why not: that stops new messages, not old news."""
        try:
            return (self._limit.take(claims) if self._limit else None), None
        except Stop as stop:
            return None, stop

    def _cooldown_key(self, event: Mapping[str, Any], trigger: Trigger, address: str) -> str:
        person = events.distinct_id(event) if self.config.scope == "person" else None
        return key_of("cooldown", self.config.account_sid, trigger.name, address, person)

    def _event_key(self, event: Mapping[str, Any], trigger: Trigger, address: str) -> str | None:
        uuid = events.uuid(event)
        return uuid and key_of("event", self.config.account_sid, trigger.name, address, uuid)


_SETTLED_OR_RUNNING: dict[str, dict[str, Any]] = {
    "committed": {"status": Status.DUPLICATE},
    "pending": {"status": Status.RETRY, "reason": "another worker has this event in hand"},
}


def _while_held(claims: Claims, cooldown: Claim, of_event: str | None) -> dict[str, Any]:
    """Say what a held cooldown means: while it is pending, this very event may be in hand."""
    if cooldown.state == "pending" and of_event:
        turn = claims.take(of_event, REMEMBERED)
        if not turn.granted:
            return _SETTLED_OR_RUNNING[turn.state]
        claims.drop()
    return {"status": Status.COOLING_DOWN}


def _settle(
    claims: Claims,
    turn: Claim | None,
    slot: Claim | None,
    answer: Answer,
    report: Callable[..., Outcome],
) -> Outcome:
    """Commit, release or leave to lapse what was claimed, as Twilio's answer demands."""
    report = partial(report, sid=answer.sid, code=answer.code, reason=answer.reason)
    if answer.verdict is Verdict.ACCEPTED:
        claims.settle()
        return report(status=Status.SENT)
    if answer.verdict is Verdict.IN_DOUBT:
        claims.settle()
        return report(status=Status.UNCERTAIN)
    if answer.verdict is Verdict.REFUSED:
        if turn:
            claims.settle(turn)
        if slot:
            claims.drop(slot)
        return report(status=Status.REFUSED)  # the cooldown's lease runs out by itself
    claims.drop()
    return report(status=Status.RETRY)


def _name_of(event: Any) -> str:
    """Return the event's name, or raise :class:`InvalidEvent`."""
    if not isinstance(event, Mapping):
        raise InvalidEvent(f"expected a mapping with the event's name, got {type(event).__name__}")
    name = event.get("event")
    if not isinstance(name, str):
        raise InvalidEvent(f"event: expected the event's name as text, got {type(name).__name__}")
    if not name:
        raise InvalidEvent("event: expected the event's name, got an empty text")
    return name


def setup_plugin(
    config: Mapping[str, Any],
    *,
    cache: Cache | None = None,
    http_client: Any = None,
    actions: Any = (),
) -> Meta:
    """
    Check *config* and return the plugin that :func:`on_event` takes.

    Nothing is sent and nothing connected to: Twilio's SDK is imported when
    the first message goes out.

    Args:
        config: the parameters of plugin.json, as text from a form or as the
            natural Python types.
        cache: where cooldowns are kept; by default this process's memory.
        http_client: a client for Twilio's SDK, ``twilio.http.HttpClient``.
        actions: PostHog action definitions as its API returns them: one, a
            list, or a page; beside those of the ``actions`` parameter.

    Raises:
        ConfigError: naming every faulty setting.

    """
    problems: list[str] = []
    loaded = load_actions(config, actions, problems)
    settings = Config.parse(config, problems)
    cache = _checked(cache) if cache is not None else MemoryCache()
    transport = TwilioTransport(
        settings.account_sid,
        settings.api_key_sid or settings.account_sid,
        settings.auth_token,
        settings.base_url,
        http_client,
    )
    warnings = notices(settings, cache, loaded)
    tell(warnings)
    return Meta(settings, cache, transport, triggers_of(settings, loaded), warnings)


def triggers_of(config: Config, actions: Iterable[Any]) -> Triggers:
    """Return the index of *config*'s triggers over *actions*."""
    return Triggers(
        [
            Trigger(name, tuple(map(Recipient.parse, recipients)))
            for name, recipients in config.triggers.items()
        ],
        actions,
    )


def on_event(event: Mapping[str, Any], meta: Meta) -> tuple[Outcome, ...]:
    """
    Text everybody whom *event* concerns; sends in the calling thread.

    Delivering the same event again is always safe: its ``uuid`` is remembered.

    Returns:
        what became of each message, in the order of the settings; ``()`` when
        nothing matches.

    Raises:
        InvalidEvent: when *event* is no plugin event; nothing was claimed.
        RetryError: when a message is not settled yet; raised after all
            recipients were tried.  Deliver the event again.

    """
    try:
        if event["event"] in meta.ignored:
            return ()
    except (KeyError, TypeError):
        pass  # handle() says what is wrong with it
    return meta.handle(event)


def teardown_plugin(meta: Meta) -> None:
    """Close connections; safe to call twice.  The cache belongs to who made it."""
    meta.close()


def _checked(cache: Any) -> Cache:
    if not all(callable(getattr(cache, verb, None)) for verb in ("claim", "commit", "release")):
        raise TypeError(
            f"cache: expected claim, commit and release, got a {type(cache).__name__}; "
            "wrap a cache with get and set in posthog_twilio.caches.HostCache"
        )
    return cache  # type: ignore[no-any-return]
