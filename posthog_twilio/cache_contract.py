"""
The suite that every cache passes; see :class:`CacheContract`.

It is handed out as ``posthog_twilio.testing.CacheContract`` and needs pytest only.
"""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posthog_twilio.caches import Cache, Claim

HOUR = 3600
DAY = 24 * HOUR
YEAR = 365 * DAY


class ManualTimer:
    """A clock that only goes when it is told to: set ``now``, in seconds."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


class CacheContract:
    """
    What a cache must do, one test per rule: inherit it and override :meth:`make`.

    ::

        class TestMyCache(CacheContract):
            def make(self):
                return MyCache(timer=self.timer)

    Time is the contract's: ``self.timer()`` is the time in seconds, and
    ``self.tick(seconds)`` moves it.  A store with a clock of its own overrides
    ``tick`` with something that waits, and sets ``unit`` to a small part of a second,
    the length of one "second" of the rules.  With a ``unit`` below 1, rules about the
    exact edge and about whole days are left out: nobody can wait for them.

    ``self.cache`` is what ``make`` returned, one per test.  Where it has a ``close``,
    it is called at the end.
    """

    unit: float = 1.0

    def make(self) -> Cache:
        """Return a new cache on an empty store."""
        raise NotImplementedError("override make()")

    def tick(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.timer.now += seconds

    @cached_property
    def timer(self) -> ManualTimer:
        """The clock of this test."""
        return ManualTimer()

    @cached_property
    def cache(self) -> Cache:
        """The cache of this test."""
        return self.make()

    @pytest.fixture(autouse=True)
    def _closed_at_the_end(self) -> Iterator[None]:
        yield
        close = getattr(self.__dict__.get("cache"), "close", None)
        if close:
            close()

    @pytest.fixture
    def _exact_time(self) -> None:
        if self.unit < 1:
            pytest.skip("this store's clock cannot be moved")

    def claim(self, units: float = 4, key: str = "key") -> Claim:
        """Ask for *key*, for as many units as given."""
        return self.cache.claim(key, units * self.unit)

    def commit(self, claim: Claim, units: float = 4) -> None:
        """Settle *claim* for as many units as given."""
        self.cache.commit(claim, units * self.unit)

    def wait(self, units: float) -> None:
        """Let as many units pass as given."""
        self.tick(units * self.unit)

    # What a claim says

    def test_first_claim_is_granted(self) -> None:
        """A key that nobody asked for is granted as new, with nothing held back."""
        claim = self.claim()

        assert (claim.key, claim.granted) == ("key", True)
        assert (claim.state, claim.held_back) == ("new", 0)

    def test_pending_claim_is_in_the_way(self) -> None:
        """While a claim is pending, others are refused as pending."""
        self.claim()

        claim = self.claim()

        assert (claim.granted, claim.state) == (False, "pending")

    def test_committed_claim_is_in_the_way(self) -> None:
        """While a committed span runs, claims are refused as committed."""
        self.commit(self.claim())

        claim = self.claim()

        assert (claim.granted, claim.state) == (False, "committed")

    def test_every_claim_has_a_token_of_its_own(self) -> None:
        """No two claims share a token, granted or refused, on one key or several."""
        claims = [self.claim(), self.claim(), self.claim(key="other")]

        assert len({claim.token for claim in claims}) == len(claims)
        assert all(len(claim.token) >= 16 for claim in claims)

    def test_keys_are_independent(self) -> None:
        """Nothing that happens to one key shows on another."""
        self.claim(key="one")
        self.claim(key="one")

        other = self.claim(key="two")

        assert (other.state, other.held_back) == ("new", 0)

    @pytest.mark.parametrize("key", ["", "a b", "a:b", "é☃", "x" * 200, "%s", "a'b", "{a}"])
    def test_any_text_is_a_key(self, key: str) -> None:
        """A key is any text, and comes back as it went in."""
        first, second = self.claim(key=key), self.claim(key=key)

        assert (first.key, first.granted, second.granted) == (key, True, False)

    @pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, -math.inf])
    def test_no_span_is_refused(self, seconds: float) -> None:
        """Seconds that are no span are a ValueError, and change nothing."""
        held = self.claim(key="held")
        with pytest.raises(ValueError, match="seconds"):
            self.cache.claim("key", seconds)
        with pytest.raises(ValueError, match="seconds"):
            self.cache.commit(held, seconds)

        assert (self.claim().state, self.claim(key="held").state) == ("new", "pending")

    # How long it lasts

    def test_claim_lapses(self) -> None:
        """A claim that ran out without commit or release is granted again, as lapsed."""
        self.claim()
        self.wait(1)
        during = self.claim()
        self.wait(5)

        after = self.claim()

        assert (during.state, after.state) == ("pending", "lapsed")

    def test_committed_span_ends(self) -> None:
        """A committed span ends by itself, and leaves no doubt."""
        self.commit(self.claim(2), 4)
        self.wait(1)
        during = self.claim()
        self.wait(5)

        after = self.claim()

        assert (during.state, after.state) == ("committed", "new")

    def test_commit_counts_from_now(self) -> None:
        """A commit holds the key from the commit on, not from the claim on."""
        claim = self.claim(20)
        self.wait(4)

        self.commit(claim, 4)

        assert self.claim().state == "committed"
        self.wait(6)
        assert self.claim().state == "new"

    def test_refused_claim_does_not_prolong(self) -> None:
        """Asking while the key is held does not hold it longer."""
        self.commit(self.claim(), 4)
        self.wait(2)
        self.claim(1000)

        self.wait(4)

        assert self.claim().granted

    @pytest.mark.usefixtures("_exact_time")
    @pytest.mark.parametrize("seconds", [0.5, 1, 60, DAY, YEAR, 2 * YEAR])
    def test_span_is_half_open(self, seconds: float) -> None:
        """A span of s seconds covers [now, now + s), of a claim and of a commit."""
        claim = self.cache.claim("pending", seconds)
        self.cache.commit(self.cache.claim("committed", seconds), seconds)

        self.tick(seconds - 0.25)
        assert not self.cache.claim("pending", 1).granted
        assert not self.cache.claim("committed", 1).granted

        self.tick(0.25)
        self.cache.commit(claim, seconds)  # it comes too late
        assert self.cache.claim("pending", 1).state == "lapsed"
        assert self.cache.claim("committed", 1).state == "new"

    # Release

    def test_release_frees_the_key(self) -> None:
        """A released claim is as if it had never been asked."""
        self.cache.release(self.claim())

        claim = self.claim()

        assert (claim.state, claim.held_back) == ("new", 0)

    def test_release_twice(self) -> None:
        """The second release of a claim does nothing, not even to the next claim."""
        claim = self.claim()
        self.claim()
        self.cache.release(claim)
        self.cache.release(claim)
        again = self.claim()
        self.cache.release(claim)

        assert (again.granted, again.held_back) == (True, 1)
        assert self.claim().state == "pending"

    def test_committed_claim_is_not_released(self) -> None:
        """A release after the commit does nothing."""
        claim = self.claim()
        self.commit(claim)

        self.cache.release(claim)

        assert self.claim().state == "committed"

    def test_refused_claim_is_nobody(self) -> None:
        """A refused claim can neither settle nor free the key."""
        self.claim()
        refused = self.claim()

        self.commit(refused)
        self.cache.release(refused)

        last = self.claim()
        assert (last.state, last.held_back) == ("pending", 2)

    # Too late

    def test_late_commit(self) -> None:
        """A commit after the claim has lapsed changes nothing."""
        claim = self.claim(1)
        self.wait(3)

        self.commit(claim, 20)

        assert self.claim().state == "lapsed"

    def test_late_release(self) -> None:
        """A release after the claim has lapsed changes nothing."""
        claim = self.claim(4)
        self.wait(5)

        self.cache.release(claim)

        again = self.claim()
        assert (again.state, again.held_back) == ("lapsed", 1)

    def test_commit_of_the_one_before(self) -> None:
        """Whoever lost the key by a lapse cannot settle it for the one who has it now."""
        before = self.claim(1)
        self.wait(3)
        self.claim(20)

        self.commit(before, 4)

        assert self.claim().state == "pending"

    def test_release_by_the_one_before(self) -> None:
        """Whoever lost the key by a lapse cannot free it under the one who has it now."""
        before = self.claim(1)
        self.wait(3)
        self.claim(20)

        self.cache.release(before)

        assert self.claim().state == "pending"

    def test_commit_after_the_committed_span(self) -> None:
        """Repeating a commit after its span has ended does not start another."""
        claim = self.claim()
        self.commit(claim, 1)
        self.wait(3)

        self.commit(claim, 20)

        assert self.claim().state == "new"

    # Lapsed

    def test_released_lapsed_key_stays_lapsed(self) -> None:
        """Releasing a claim that was granted as lapsed leaves the doubt there."""
        self.claim(4)
        self.wait(5)
        self.cache.release(self.claim())

        claim = self.claim()

        assert (claim.state, claim.held_back) == ("lapsed", 1)

    def test_commit_ends_the_doubt(self) -> None:
        """Once a claim was committed, no earlier lapse is told any more."""
        self.claim(1)
        self.wait(3)
        self.commit(self.claim(), 1)
        self.wait(3)

        assert self.claim().state == "new"

    def test_lapsed_twice(self) -> None:
        """A claim granted as lapsed may lapse itself."""
        for _ in range(3):
            self.claim(4)
            self.wait(5)

        claim = self.claim()

        assert (claim.state, claim.held_back) == ("lapsed", 3)

    @pytest.mark.usefixtures("_exact_time")
    @pytest.mark.parametrize("seconds", [60, 2 * DAY])
    def test_lapse_is_remembered_for_a_day(self, seconds: float) -> None:
        """An earlier lapse is told for 24 hours, for long spans as for short ones."""
        self.cache.claim("asked", seconds)
        self.cache.claim("not asked", seconds)
        self.tick(seconds + DAY - 1)
        assert self.cache.claim("asked", 60).state == "lapsed"

        self.tick(1)

        assert self.cache.claim("not asked", 60).state == "new"

    @pytest.mark.usefixtures("_exact_time")
    def test_release_does_not_prolong_the_doubt(self) -> None:
        """The 24 hours run from the lapse, however often the key is claimed and released."""
        self.cache.claim("key", 60)
        for _ in range(24):
            self.tick(HOUR)
            doubted = self.cache.claim("key", 60)
            self.cache.release(doubted)
            assert doubted.state == "lapsed"

        self.tick(60)

        assert self.cache.claim("key", 60).state == "new"

    # The count

    def test_refused_claims_are_counted(self) -> None:
        """Every claim is told how many were asked before it, refused ones too."""
        counts = [self.claim().held_back for _ in range(4)]

        assert counts == [0, 1, 2, 3]

    def test_commit_tells_what_came_before(self) -> None:
        """After a commit, only the claims refused since its own are still counted."""
        first = self.claim()
        self.claim()  # refused before the commit: not told yet
        self.commit(first, 4)
        refused = [self.claim().held_back for _ in range(2)]
        self.wait(5)

        second = self.claim()
        self.commit(second, 4)

        assert (refused, second.held_back) == ([1, 2], 3)
        assert self.claim().held_back == 0

    def test_commit_tells_once(self) -> None:
        """Repeating a commit takes nothing more out of the count."""
        claim = self.claim()
        for _ in range(3):
            self.claim()
            self.commit(claim)

        assert self.claim().held_back == 3

    def test_release_takes_its_own_ask(self) -> None:
        """A released claim leaves the count, those refused meanwhile stay in it."""
        first = self.claim()
        self.claim()
        self.claim()
        self.cache.release(first)

        claim = self.claim()

        assert (claim.state, claim.held_back) == ("new", 2)

    def test_lapse_keeps_the_count(self) -> None:
        """What a claim that lapsed would have told, the next one tells, itself included."""
        self.claim(4)
        self.claim()
        self.wait(5)

        claim = self.claim()

        assert (claim.state, claim.held_back) == ("lapsed", 2)

    def test_failed_message_does_not_lose_the_count(self) -> None:
        """Releasing after a failure keeps what was held back before, for the next message."""
        self.commit(self.claim(), 4)
        self.claim()
        self.claim()
        self.wait(5)
        failed = self.claim()
        self.cache.release(failed)

        claim = self.claim()

        assert (failed.held_back, claim.held_back) == (2, 2)

    @pytest.mark.usefixtures("_exact_time")
    @pytest.mark.parametrize("seconds", [60, YEAR])
    def test_count_outlives_its_span(self, seconds: float) -> None:
        """What was held back is remembered for at least as long again as it was held."""
        self.cache.commit(self.cache.claim("key", 60), seconds)
        self.cache.claim("key", 60)

        self.tick(2 * seconds - 1)

        assert self.cache.claim("key", 60).held_back == 1

    @pytest.mark.usefixtures("_exact_time")
    def test_failed_message_does_not_shorten_the_memory(self) -> None:
        """A claim in between does not make the count of a long span end earlier."""
        self.cache.commit(self.cache.claim("key", 60), YEAR)
        self.cache.claim("key", 60)
        self.tick(YEAR)
        self.cache.release(self.cache.claim("key", 60))

        self.tick(YEAR - 1)

        assert self.cache.claim("key", 60).held_back == 1

    @pytest.mark.usefixtures("_exact_time")
    def test_everything_is_forgotten_in_the_end(self) -> None:
        """Long after, a key is as if it had never been asked for."""
        self.cache.claim("pending", 60)
        self.cache.commit(self.cache.claim("committed", 60), HOUR)
        self.cache.claim("committed", 60)

        self.tick(2 * DAY)

        claims = [self.cache.claim(key, 60) for key in ("pending", "committed")]
        assert [(claim.state, claim.held_back) for claim in claims] == [("new", 0)] * 2

    # Races

    @pytest.mark.parametrize("committed", [False, True], ids=["free", "just ended"])
    def test_of_many_threads_one_wins(self, *, committed: bool) -> None:
        """Of threads that ask at once exactly one is granted the key, and all are counted."""
        threads, rounds, cache = 8, 40, self.cache
        keys = [f"race {number}" for number in range(rounds)]
        for key in keys if committed else ():
            cache.commit(self.claim(1, key), self.unit)
        self.wait(3)
        together = Barrier(threads, timeout=60)

        def ask(_: int) -> list[Claim]:
            answers = []
            for key in keys:
                together.wait()
                answers.append(cache.claim(key, HOUR))
            return answers

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(threads) as pool:
                answers = list(pool.map(ask, range(threads)))
        finally:
            sys.setswitchinterval(interval)

        for claims in zip(*answers, strict=True):
            assert sum(claim.granted for claim in claims) == 1
            assert sorted(claim.held_back for claim in claims) == list(range(threads))
