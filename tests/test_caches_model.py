"""All stores against one model: whatever is done to them, they say the same."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    multiple,
    rule,
    run_state_machine_as_test,
)

from posthog_twilio.cache_contract import DAY, HOUR, YEAR, ManualTimer
from posthog_twilio.caches import Cache, Claim, HostCache, MemoryCache, RedisCache, SQLiteCache


@define
class Key:
    """What the model knows of a key: the claims not told yet, in order, by number."""

    untold: list[int] = field(factory=list)
    holder: int | None = None
    state: str = "free"
    ends: float = 0
    doubt_ends: float = 0
    forgotten: float = 0


class Model:
    """The rules, in plain words, on lists of claims instead of sums."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}

    def key(self, name: str, now: float) -> Key:
        """Find a key; one that ran out is looked at as such."""
        key = self.keys.setdefault(name, Key())
        if key.state != "free" and now >= key.ends:
            if key.state == "pending":
                key.doubt_ends = key.ends + DAY
            if key.state == "committed" and not key.untold:
                key.forgotten = 0
            key.state, key.holder = "free", None
        if key.state == "free" and now >= key.forgotten:
            key = self.keys[name] = Key()
        return key

    def claim(self, number: int, name: str, seconds: float, now: float) -> tuple[str, int]:
        """Ask for a key."""
        key = self.key(name, now)
        held_back = len(key.untold)
        key.untold.append(number)
        if key.state != "free":
            return key.state, held_back
        key.holder, key.state, key.ends = number, "pending", now + seconds
        key.forgotten = max(key.forgotten, key.ends + max(seconds, DAY))
        return ("lapsed" if now < key.doubt_ends else "new"), held_back

    def commit(self, number: int, name: str, seconds: float, now: float) -> None:
        """Settle a claim."""
        key = self.key(name, now)
        if key.holder != number:
            return
        if key.state == "pending":
            del key.untold[: key.untold.index(number) + 1]
        key.state, key.ends, key.doubt_ends = "committed", now + seconds, 0
        key.forgotten = key.ends + max(seconds, DAY)

    def release(self, number: int, name: str, now: float) -> None:
        """Give a claim up."""
        key = self.key(name, now)
        if key.holder != number or key.state != "pending":
            return
        key.untold.remove(number)
        key.state, key.holder = "free", None
        if not key.untold and now >= key.doubt_ends:
            key.forgotten = 0


SPANS = st.sampled_from([0.25, 1, 60, HOUR, DAY - 60, DAY, DAY + 60, YEAR])
KEYS = st.sampled_from(["one", "two"])
CLOCK = ManualTimer(1_709_164_800.0)


class Machine(RuleBasedStateMachine):
    """Does the same to the model and to every store."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.asked = 0
        self.model = Model()
        self.stores: list[Cache] = [
            MemoryCache(timer=CLOCK),
            SQLiteCache(Path(self.folder.name) / "cooldowns.db"),
            RedisCache(fakeredis.FakeRedis()),
            HostCache({}),
        ]

    def teardown(self) -> None:
        """Leave nothing behind."""
        for store in self.stores:
            getattr(store, "close", lambda: None)()
        self.folder.cleanup()

    @rule(target=claims, key=KEYS, seconds=SPANS)
    def claim(self, key: str, seconds: float) -> Any:
        """Every store answers what the model answers."""
        self.asked += 1
        expected = self.model.claim(self.asked, key, seconds, time.time())
        answers = [store.claim(key, seconds) for store in self.stores]

        assert [(answer.state, answer.held_back) for answer in answers] == [expected] * 4
        return multiple((self.asked, answers))

    @rule(claim=claims, seconds=SPANS)
    def commit(self, claim: tuple[int, list[Claim]], seconds: float) -> None:
        """Any claim may be committed, at any time."""
        number, answers = claim
        self.model.commit(number, answers[0].key, seconds, time.time())
        for store, answer in zip(self.stores, answers, strict=True):
            store.commit(answer, seconds)

    @rule(claim=claims)
    def release(self, claim: tuple[int, list[Claim]]) -> None:
        """Any claim may be released, at any time."""
        number, answers = claim
        self.model.release(number, answers[0].key, time.time())
        for store, answer in zip(self.stores, answers, strict=True):
            store.release(answer)

    @rule(seconds=SPANS)
    def tick(self, seconds: float) -> None:
        """Time passes."""
        CLOCK.now += seconds


def test_stores_follow_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is claimed, committed and released when, all stores answer as the model does."""
    how = settings(
        max_examples=60, stateful_step_count=30, deadline=None, derandomize=True, database=None
    )
    monkeypatch.setattr(time, "time", CLOCK)  # fakeredis looks it up late
    run_state_machine_as_test(Machine, settings=how)
