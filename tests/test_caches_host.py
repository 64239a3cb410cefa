"""HostCache, on hosts that answer a miss in different ways."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from posthog_twilio.cache_contract import DAY, CacheContract, ManualTimer
from posthog_twilio.caches import HostCache


class Host:
    """A cache as hosts have them: whole seconds, and *miss* for what is not there."""

    def __init__(self, timer: ManualTimer, miss: object = None, *, as_bytes: bool = False) -> None:
        self.timer, self.miss, self.as_bytes = timer, miss, as_bytes
        self.entries: dict[str, tuple[Any, float]] = {}
        self.ttls: list[int] = []

    def get(self, key: str, default: object, /) -> object:
        value, until = self.entries.get(key, ("", -math.inf))
        if self.timer() >= until:
            return default if self.miss == "default" else self.miss
        return value

    def set(self, key: str, value: str, ttl: int, /) -> None:
        assert type(value) is str
        assert type(ttl) is int
        assert ttl >= 1
        self.ttls.append(ttl)
        self.entries[key] = (value.encode() if self.as_bytes else value, self.timer() + ttl)


class TestNoneForAMiss(CacheContract):
    """PostHog's ``meta.cache`` returns null for a miss, never the default."""

    def make(self) -> HostCache:
        return HostCache(Host(self.timer), timer=self.timer)


class TestDefaultForAMiss(CacheContract):
    """Django's caches return the default."""

    def make(self) -> HostCache:
        return HostCache(Host(self.timer, "default"), timer=self.timer)


class TestFalseForAMissAndBytes(CacheContract):
    """Some return False, and bytes for text."""

    def make(self) -> HostCache:
        return HostCache(Host(self.timer, miss=False, as_bytes=True), timer=self.timer)


class TestDict(CacheContract):
    def make(self) -> HostCache:
        return HostCache({}, timer=self.timer)


def test_ttl_covers_the_span() -> None:
    """The host is asked for whole seconds, rounded up, and for 1 at least."""
    timer = ManualTimer()
    host = Host(timer)
    cache = HostCache(host, timer=timer)
    claim = cache.claim("key", 60)
    cache.commit(claim, 90.1)
    cache.release(cache.claim("other", 0.2))

    assert host.ttls == [60 + DAY, 91, DAY + 1, 1]


def test_default_timer_obeys_freezegun() -> None:
    """The default timer is the wall clock, looked up late."""
    with freeze_time("2024-02-29") as clock:
        cache = HostCache({})
        cache.commit(cache.claim("key", 60), 60)

        clock.tick(timedelta(seconds=59, milliseconds=999))
        assert not cache.claim("key", 60).granted

        clock.tick(timedelta(milliseconds=1))
        assert cache.claim("key", 60).granted


def test_shared_host() -> None:
    """Several caches on one host share their keys, one after the other."""
    host: dict[str, str] = {"a key of the host's": "untouched"}
    timer = ManualTimer()
    one, two = HostCache(host, timer=timer), HostCache(host, timer=timer)
    one.commit(one.claim("key", 60), 60)

    assert two.claim("key", 60).state == "committed"
    assert host["a key of the host's"] == "untouched"


def test_mapping_does_not_grow_for_ever() -> None:
    """What was written into a mapping goes when it ends, however often it was renewed."""
    timer, host = ManualTimer(), {"host": "untouched"}
    cache = HostCache(host, timer=timer)
    for number in range(100):
        cache.commit(cache.claim(f"key {number}", 60), 60)
    for _ in range(5):
        renewed = cache.claim("renewed", 60)
        cache.commit(renewed, 2 * DAY)
        timer.now += DAY
        cache.claim("renewed", 60)
    cache.claim("last", 60)

    assert sorted(host) == ["host", "last", "renewed"]
    assert len(cache._host._queue) == len(cache._host._ends) == 2


@pytest.mark.parametrize("value", [object(), 1, True, {}], ids=["object", "int", "True", "dict"])
def test_foreign_values(value: object) -> None:
    """A value that is not ours is an error, never a miss: a miss would send."""
    with pytest.raises(TypeError, match="expected the text that was set"):
        HostCache({"key": value}).claim("key", 60)


def test_foreign_text() -> None:
    """Text that is not ours is an error too."""
    with pytest.raises(ValueError, match="Expecting value"):
        HostCache({"key": "hello"}).claim("key", 60)


@pytest.mark.parametrize("wrong", [None, 7, (), "text", object()])
def test_wrong_hosts(wrong: object) -> None:
    """What is no cache is a TypeError at once that says what is expected."""
    with pytest.raises(TypeError, match=r"get\(key, default\) and set\(key, value, ttl\)"):
        HostCache(wrong)
