"""MemoryCache."""

from __future__ import annotations

from datetime import timedelta

import pytest
from freezegun import freeze_time

from posthog_twilio.cache_contract import DAY, YEAR, CacheContract, ManualTimer
from posthog_twilio.caches import MemoryCache


class TestMemoryCache(CacheContract):
    def make(self) -> MemoryCache:
        return MemoryCache(timer=self.timer)


def test_default_timer_obeys_freezegun() -> None:
    """The default timer is looked up late, so that a frozen clock moves cooldowns."""
    with freeze_time("2024-02-29") as clock:
        cache = MemoryCache()
        cache.commit(cache.claim("key", 60), 60)

        clock.tick(timedelta(seconds=59, milliseconds=999))
        assert not cache.claim("key", 60).granted

        clock.tick(timedelta(milliseconds=1))
        assert cache.claim("key", 60).granted


def test_default_timer_goes_by_itself() -> None:
    """Without a timer, real time passes."""
    cache = MemoryCache()
    cache.commit(cache.claim("key", 60), 1e-6)

    assert cache.claim("key", 60).granted


def test_never_evicts_a_running_cooldown() -> None:
    """However many keys there are, none gives way to another."""
    timer = ManualTimer()
    cache = MemoryCache(timer=timer)
    keys = [f"key {number}" for number in range(20_000)]
    for key in keys:
        cache.commit(cache.claim(key, 60), YEAR)

    timer.now += YEAR - 1

    assert not any(cache.claim(key, 60).granted for key in keys)


@pytest.mark.parametrize("settled", [True, False])
def test_memory_ends_with_the_keys(*, settled: bool) -> None:
    """Records do not pile up: a settled one goes with its span, a lapsed one after a day."""
    timer = ManualTimer()
    cache = MemoryCache(timer=timer)
    for number in range(1000):
        claim = cache.claim(f"key {number}", 60)
        if settled:
            cache.commit(claim, 60)

    timer.now += 60 if settled else 60 + DAY
    cache.claim("last", 60)

    assert len(cache._records) == 1


def test_released_key_leaves_nothing() -> None:
    """A key that was claimed and released takes no memory."""
    cache = MemoryCache()
    cache.release(cache.claim("key", 60))

    assert not len(cache._records)


def test_clock_is_read_once_a_call() -> None:
    """Every verb happens at one moment, so that no key ends in the middle of it."""
    timer = ManualTimer()
    reads = []
    cache = MemoryCache(timer=lambda: reads.append(timer.now) or timer.now)
    claim = cache.claim("key", 60)
    cache.commit(claim, 60)
    cache.release(claim)

    assert len(reads) == 3


def test_contract_asks_for_make() -> None:
    """Whoever inherits the contract is told what to override."""
    with pytest.raises(NotImplementedError, match="make"):
        CacheContract().make()
