"""The flow under random failures, deaths and redeliveries: what holds of any history."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import pytest
from attrs import frozen
from conftest import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

from posthog_twilio import RetryError, Status, on_event, setup_plugin
from posthog_twilio.caches import MemoryCache
from posthog_twilio.claims import LEASE
from posthog_twilio.testing import FakeTwilio

CONFIG = {
    "accountSID": "AC0123456789abcdef0123456789abcdef",
    "authToken": "fedcba9876543210fedcba9876543210",
    "triggeringEventsAndNumber": "signup:+15550100001",
    "senderPhoneNumber": "+15005550006",
    "messageTemplate": "n{event.properties.n}{and_more}",
}
WITHOUT_UUID = 7


class Killed(BaseException):
    """Ends a worker in the middle, as a signal would."""


@frozen
class Fault:
    """
    What goes wrong during one delivery.

    Attributes:
        name: what to show when a test fails.
        scripts: arguments of FakeTwilio.fail.
        dies: the worker ends when it sends, ``before`` or ``after`` acceptance.
        takes: seconds that each send takes.
        verb: which call of the cache fails, counted from 0.
        error: with what.
        done: whether the cache did its work before it failed.

    """

    name: str
    scripts: tuple[dict[str, Any], ...] = ()
    dies: str = ""
    takes: float = 0
    verb: int | None = None
    error: type[BaseException] = ConnectionError
    done: bool = False


def twilio_faults() -> list[Fault]:
    """List what goes wrong at Twilio, or to the worker while it asks."""
    found = [
        Fault("none"),
        Fault("a blip", ({"what": "no connection"},)),
        Fault("no connection", ({"what": "no connection", "times": 4},)),
        Fault("busy", ({"what": 429, "times": 4},)),
        Fault("refused", ({"what": 400, "code": 21211},)),
        Fault("dies before", dies="before"),
        Fault("dies after", dies="after"),
    ]
    for accepted in (False, True):
        lost = {"accepted": accepted}
        found += [
            Fault(f"hang {accepted}", ({"what": "hang", **lost},), takes=30),
            Fault(f"500 {accepted}", ({"what": 500, **lost},)),
            Fault(f"500 twice {accepted}", ({"what": 500, "times": 2, **lost},)),
            Fault(f"500, 400 {accepted}", ({"what": 500, **lost}, {"what": 400, "code": 21211})),
            Fault(
                f"500, no connection {accepted}",
                ({"what": 500, **lost}, {"what": "no connection", "times": 4}),
            ),
            Fault(f"500, no list {accepted}", ({"what": 500, **lost}, {"what": 500, "on": "list"})),
        ]
    return found


def cache_faults() -> list[Fault]:
    """List what goes wrong at each call of the cache, or to the worker around it."""
    return [
        Fault(f"cache {verb} {error.__name__} {done}", verb=verb, error=error, done=done)
        for verb in range(7)
        for error in (ConnectionError, Killed)
        for done in (False, True)
    ]


CALM = [
    f for f in twilio_faults() if f.name in ("none", "a blip", "no connection", "busy", "refused")
]
TICKS = [0, 0, 0, 0.4, 1, 29, 30, 59.9, 60, 61, 1800, 3600]


class Watched(FakeTwilio):
    """Knows when it accepted what."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.clock = clock
        self.accepted: list[tuple[float, str, str]] = []

    def answer(self, request):
        before = len(self.outbox)
        reply = super().answer(request)
        for message in self.outbox[before:]:
            n = message.body.partition(" ")[0]
            self.accepted.append((self.clock.now, n, message.sid))
        return reply


class Fragile:
    """A cache that fails at one call, before or after it did its work."""

    def __init__(self, cache: MemoryCache) -> None:
        self._cache = cache
        self.expect(Fault("none"))

    def expect(self, fault: Fault) -> None:
        self.fault, self.calls, self.cooled_down = fault, 0, False

    def _call(self, verb, *given):
        self.calls += 1
        if self.calls - 1 != self.fault.verb:
            return self._do(verb, *given)
        if self.fault.done:
            self._do(verb, *given)
        raise self.fault.error

    def _do(self, verb, claim, *given):
        if verb == "commit" and claim.key.startswith("cooldown:"):
            self.cooled_down = True
        return getattr(self._cache, verb)(claim, *given)

    def claim(self, key, seconds):
        return self._call("claim", key, seconds)

    def commit(self, claim, seconds):
        return self._call("commit", claim, seconds)

    def release(self, claim):
        return self._call("release", claim)


@frozen
class Delivery:
    """
    One delivery of one event, and what became of it.

    Attributes:
        status: None where its worker died.
        committed: whether the cooldown was, and so runs for the timeout.
        accepted: when, what and as what Twilio accepted.

    """

    n: int
    key: str
    fault: Fault
    began: float
    ended: float
    status: Status | None
    sid: str | None
    held_back: int | None
    committed: bool
    accepted: tuple[tuple[float, str, str], ...]


class World:
    """A plugin, its cache, its Twilio and its clock."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.clock = Clock()
        self.events: dict[int, dict[str, Any]] = {}
        self.log: list[Delivery] = []
        self.fake = Watched(self.clock)
        self.cache = Fragile(MemoryCache(timer=self.clock))
        self.meta = setup_plugin(
            {**CONFIG, **self.settings}, cache=self.cache, http_client=self.fake
        )
        self.meta._transport.pause = self.clock.tick
        for holder in (self.meta, self.meta._transport, self.meta._courier):
            holder._timer = self.clock
        self.meta._courier._now = self.clock
        if self.meta._limit:
            self.meta._limit._now = self.clock

    def key(self, n: int) -> str:
        return f"person {n % 2}" if self.settings.get("timeoutScope") == "person" else "all"

    def event(self, n: int) -> dict[str, Any]:
        if n not in self.events:
            self.events[n] = {
                "event": "signup",
                "uuid": None if n == WITHOUT_UUID else f"uuid {n}",
                "distinct_id": f"person {n % 2}",
                "timestamp": datetime.fromtimestamp(self.clock.now, timezone.utc),
                "properties": {"n": n},
            }
        return self.events[n]

    def deliver(self, n: int, fault: Fault) -> Delivery:
        self.fake._script.clear()
        for script in fault.scripts:
            self.fake.fail(**script)
        self.fake.on_request = lambda request: self._befalls(request, fault)
        self.cache.expect(fault)
        began, known = self.clock.now, len(self.fake.accepted)
        try:
            (outcome,) = on_event(self.event(n), self.meta)
        except RetryError as error:
            (outcome,) = error.outcomes
        except Killed:
            outcome = None
        self.log.append(
            Delivery(
                n,
                self.key(n),
                fault,
                began,
                self.clock.now,
                outcome and outcome.status,
                outcome and outcome.sid,
                outcome and outcome.held_back,
                self.cache.cooled_down,
                tuple(self.fake.accepted[known:]),
            )
        )
        return self.log[-1]

    def _befalls(self, request, fault: Fault) -> None:
        if request.method == "POST":
            self.clock.tick(fault.takes)
            if fault.dies == "after":
                self.fake.on_request = None
                self.fake.answer(request)
            if fault.dies:
                raise Killed


class Truth:
    """What must hold of every history."""

    def __init__(self, world: World, policy: str, timeout: int) -> None:
        self.world, self.policy, self.timeout = world, policy, timeout

    def check(self, last: Delivery) -> None:
        """Check a delivery against those before it."""
        self.outcome_is_true(last)
        self.no_two_within_the_timeout(last)
        self.no_event_twice(last)
        self.no_silence(last)
        self.limit_holds(last)

    def outcome_is_true(self, last: Delivery) -> None:
        """Hold an outcome against what happened at Twilio."""
        if last.status is Status.SENT:
            assert last.sid in [sid for _, n, sid in self.world.fake.accepted if n == f"n{last.n}"]
        elif last.status is Status.RETRY:
            # What may be out is asked for again only where the next delivery deals with it.
            assert not last.accepted or (self.policy == "resend" and last.n != WITHOUT_UUID)
        elif last.status is Status.REFUSED:
            assert not last.accepted or self.policy == "resend"
        elif last.status not in (Status.UNCERTAIN, None):
            assert not last.accepted
        if last.status is Status.DUPLICATE:
            before = [d.status for d in self.world.log[:-1] if d.n == last.n]
            assert {Status.SENT, Status.UNCERTAIN, Status.REFUSED, None}.intersection(before)
        if last.committed:
            assert last.status in (Status.SENT, Status.UNCERTAIN, None)

    def no_two_within_the_timeout(self, last: Delivery) -> None:
        """Allow a second message after a timeout, or after a lease with a promised excuse."""
        history = [d for d in self.world.log if d.key == last.key]
        times = [(at, d) for d in history for at, _, _ in d.accepted]
        for (before, earlier), (at, _) in pairwise(times):
            if at - before >= self.timeout or (self.policy == "resend" and self.in_doubt(earlier)):
                continue
            assert self.unsettled(earlier)
            assert at - earlier.began >= LEASE

    def in_doubt(self, delivery: Delivery) -> bool:
        return bool(delivery.fault.scripts) or self.unsettled(delivery)

    def unsettled(self, delivery: Delivery) -> bool:
        """Its worker died, or its cache failed, before the cooldown was committed."""
        failed = delivery.status is None or delivery.fault.verb is not None
        return failed and not delivery.committed

    def no_event_twice(self, last: Delivery) -> None:
        """Under report and ask, each event's message is accepted once at most."""
        if self.policy != "resend":
            counts = Counter(n for _, n, _ in self.world.fake.accepted)
            del counts[f"n{WITHOUT_UUID}"]
            assert max(counts.values(), default=0) <= 1

    def no_silence(self, last: Delivery) -> None:
        """Only a message holds an event back for the timeout; all else for the lease at most."""
        if last.status is not Status.COOLING_DOWN:
            return
        before = [d for d in self.world.log[:-1] if d.key == last.key]
        held = [d.began + LEASE for d in before if d.status is not Status.COOLING_DOWN]
        held += [d.ended + self.timeout for d in before if d.committed]
        assert last.began < max(held, default=0)

    def limit_holds(self, last: Delivery) -> None:
        """No day has more messages than the limit."""
        if limit := self.world.settings.get("dailyLimit"):
            days = Counter(int(d.began // 86_400) for d in self.world.log for _ in d.accepted)
            assert max(days.values(), default=0) <= limit


def steps(faults: list[Fault], ticks: list[float]):
    """Draw histories: some time goes by, an event is delivered, something fails."""
    step = st.tuples(st.sampled_from(ticks), st.integers(0, WITHOUT_UUID), st.sampled_from(faults))
    return st.lists(step, min_size=1, max_size=16)


def quick(examples: int):
    """Search the same histories each time."""
    return settings(derandomize=True, max_examples=examples, deadline=None, database=None)


@pytest.mark.parametrize("policy", ["report", "ask", "resend"])
class TestAnyHistory:
    @pytest.mark.parametrize(
        ("timeout", "more"),
        [(1, {}), (60, {}), (3600, {"timeoutScope": "person"}), (60, {"dailyLimit": 2})],
        ids=["second", "minute", "person", "limit"],
    )
    def test_what_twilio_does_breaks_no_rule(self, policy, timeout, more):
        """Failures and deaths around the send: no two messages, no silence, no false word."""
        self.run(policy, timeout, more, twilio_faults(), 60)

    @pytest.mark.parametrize("more", [{}, {"dailyLimit": 2}], ids=["plain", "limit"])
    def test_a_death_at_any_call_of_the_cache_breaks_no_rule(self, policy, more):
        """The cache fails, or the worker dies, before and after each of its calls."""
        self.run(policy, 300, more, [Fault("none"), *cache_faults(), *twilio_faults()], 80)

    def run(self, policy, timeout, more, faults, examples):
        @quick(examples)
        @given(steps(faults, TICKS))
        def holds(history):
            world = World({"timeout": timeout, "whenInDoubt": policy, **more})
            truth = Truth(world, policy, timeout)
            for tick, n, fault in history:
                world.clock.tick(tick)
                truth.check(world.deliver(n, fault))
            self.settles(world, truth)

        holds()

    def settles(self, world: World, truth: Truth) -> None:
        """After the lease every event has an answer at last, and a new one gets its message."""
        world.clock.tick(LEASE)
        for n in sorted({d.n for d in world.log}):
            last = world.deliver(n, Fault("none"))
            truth.check(last)
            assert last.status is not Status.RETRY
        world.clock.tick(86_400)
        for n in (100, 101):
            last = world.deliver(n, Fault("none"))
            truth.check(last)
            assert last.status in (Status.SENT, Status.COOLING_DOWN)


class TestHeldBack:
    @quick(150)
    @given(steps(CALM, [0, 1, 30, 60, 1799]))
    def test_each_is_told_exactly_once(self, history):
        """However sends fail in between, the messages tell every event that got none."""
        world = World({"timeout": 3600})
        untold = 0
        for tick, n, fault in history:
            world.clock.tick(tick)
            last = world.deliver(n, fault)
            if last.status is Status.SENT:
                assert last.held_back == untold
                untold = 0
            elif last.status in (Status.COOLING_DOWN, Status.REFUSED):
                untold += 1
            elif last.status is Status.DUPLICATE:
                # Of a key that is held, an ask cannot be taken back.
                untold += any(
                    d.status is Status.REFUSED and last.began < d.began + LEASE
                    for d in world.log[:-1]
                )
