"""
Sending, and what to do when nobody knows whether a message went out.

There are two ways into doubt: Twilio's answer was lost, or the worker died
before it came.  ``whenInDoubt`` chooses what happens then:

``report``
    Nothing more; the outcome is UNCERTAIN.  Never twice.
``ask``
    Look the message up in Twilio's list.  Found is sent; not found is sent
    now.  The list may lag, so an empty one is believed at the second look
    only; one that lags longer makes a message go out twice.  Messages that
    read alike, to one number, around the same time cannot be told apart: name
    something of the event in the template, such as its uuid.
``resend``
    Send again: at once after a broken connection or an HTTP 5xx, with the next
    delivery after a read timeout.  Each delivery whose answer is lost may be
    one message more.

Where there is no time left to send again safely, the claims are left to lapse
and the event is asked for once more; its next delivery comes in here.  An event
without a uuid would not be known again, so its doubt is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

from attrs import evolve, frozen

from posthog_twilio import events
from posthog_twilio.caches import Claim
from posthog_twilio.claims import LEASE, REMEMBERED, Claims
from posthog_twilio.config import Config
from posthog_twilio.limit import DailyLimit, Stop
from posthog_twilio.message import Template, same_message
from posthog_twilio.transport import Answer, Message, Transport, Unreadable, Verdict

ASK_AGAIN = 2.0
"""Seconds until an empty message list is believed."""
ASK_WITHIN = 24.0
"""Seconds after the last start of a send in which a look at the list may start; even one
that comes in slowly ends before the lease."""


@frozen(eq=False)
class Errand:
    """
    A message whose claims are held.

    Attributes:
        message: what to send to whom.
        event: what it is about.
        claims: what is held for it.
        slot: its part of the daily limit.
        turn: its event's claim; None where the event has no uuid.
        until: no send starts once the timer shows more.

    """

    message: Message
    event: Mapping[str, Any]
    claims: Claims
    slot: Claim | None
    turn: Claim | None
    until: float


class Courier:
    """Sends messages, and settles doubt about them as *config* says."""

    def __init__(
        self,
        config: Config,
        transport: Transport,
        template: Template,
        limit: DailyLimit | None,
        now: Callable[[], float],
        timer: Callable[[], float],
    ) -> None:
        self._when_in_doubt = config.when_in_doubt
        self._max_segments = config.max_segments
        # Less than the time to the last message of the same cooldown, and no less than
        # what Twilio's whole seconds round away.
        self._skew = max(1.0, min(30.0, config.cooldown / 2))
        self._transport = transport
        self._template = template
        self._limit = limit
        self._now = now
        self._timer = timer

    def send(self, errand: Errand) -> Answer:
        """Send a message for the first time."""
        started = self._now()
        answer = self._transport.send(errand.message, errand.until)
        if answer.verdict is not Verdict.IN_DOUBT or self._when_in_doubt == "report":
            return answer
        errand.claims.seal()
        if self._when_in_doubt == "ask" and (told := self._ask(errand, started)):
            return told
        return self._send_again(errand, answer)

    def fate(self, errand: Errand) -> Answer | None:
        """Say what became of a message whose worker died; None where it is to be sent."""
        told = None
        if self._when_in_doubt == "report":
            told = Answer(Verdict.IN_DOUBT, reason="its worker died before Twilio's answer came")
        elif self._when_in_doubt == "ask":
            told = self._ask(errand, self._earliest(errand.event))
        if told and errand.slot:
            errand.claims.drop(errand.slot)  # the dead worker's slot lapses, and counts
        return told

    def _send_again(self, errand: Errand, doubtful: Answer) -> Answer:
        """Send once more where there is time; doubt that remains is for the next delivery."""
        if self._timer() <= errand.until:
            try:
                errand = self._with_another_slot(errand)
            except Stop:
                return doubtful
            started = self._now()
            answer = self._transport.send(errand.message, errand.until)
            if answer.verdict in (Verdict.ACCEPTED, Verdict.REFUSED):
                return answer
            in_doubt = answer.verdict is Verdict.IN_DOUBT
            if in_doubt and self._when_in_doubt == "ask" and (told := self._ask(errand, started)):
                return told
        return evolve(doubtful, verdict=Verdict.NOT_PROCESSED) if errand.turn else doubtful

    def _with_another_slot(self, errand: Errand) -> Errand:
        """Count the doubtful message, and take a slot for the next."""
        if not (errand.slot and self._limit):
            return errand
        errand.claims.settle(errand.slot)
        return evolve(errand, slot=self._limit.take(errand.claims))

    def _ask(self, errand: Errand, since: float) -> Answer | None:
        """Look a message up that was created after *since*; None when it is not there (yet)."""
        after = datetime.fromtimestamp(since - self._skew, timezone.utc)
        same = partial(same_message, self._template, errand.event, self._max_segments)
        try:
            for wait in (0.0, ASK_AGAIN):
                if self._timer() + wait > errand.until + ASK_WITHIN:
                    break
                self._transport.pause(wait)
                if sid := self._transport.find(errand.message, same, after):
                    return Answer(Verdict.ACCEPTED, sid)
        except Unreadable as error:
            return Answer(Verdict.IN_DOUBT, reason=f"Twilio's message list is unreadable: {error}")
        return None

    def _earliest(self, event: Mapping[str, Any]) -> float:
        """Return the time before which no message about *event* can have gone out."""
        now, happened = self._now(), events.timestamp(event)
        horizon = now - REMEMBERED - LEASE
        if happened is None or happened.timestamp() > now:
            return horizon
        return max(horizon, happened.timestamp())
