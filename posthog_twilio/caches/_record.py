"""
What a cache keeps of a key, and how the three verbs change it.

The stores that only read and write use this code; SQLite and Redis do the same
arithmetic where their data is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from attrs import evolve, frozen

from posthog_twilio.caches._protocol import DAY, Claim, as_seconds, new_token
from posthog_twilio.locks import fork_safe_lock

if TYPE_CHECKING:
    from collections.abc import Callable


@frozen
class Record:
    """
    One key; times are those of the cache's timer, each the first moment after.

    Attributes:
        token: the claim that holds the key, empty where it was released.
        state: what became of that claim.
        asks: claims since the last committed one.
        busy_until: until then, claims are refused.
        kept_until: until then, the count is remembered.
        lapsed_until: until then, an earlier lapse is remembered.

    """

    token: str = ""
    state: Literal["pending", "committed", "free"] = "free"
    asks: int = 0
    busy_until: float = 0
    kept_until: float = 0
    lapsed_until: float = 0

    @property
    def expires(self) -> float:
        """A settled key with nothing left to tell ends with its span."""
        settled = self.state == "committed" and self.asks == 0
        return self.busy_until if settled else self.kept_until

    def held_by(self, claim: Claim, now: float) -> bool:
        """Whether *claim* may still be committed or released."""
        return now < self.busy_until and self.token == claim.token


NOTHING = Record()


def claim(record: Record, key: str, seconds: float, now: float) -> tuple[Record, Claim]:
    """Ask for *key*, whose record is *record*."""
    if now >= record.expires:
        record = NOTHING
    asked, token = record.asks + 1, new_token()
    if record.state != "free" and now < record.busy_until:
        return evolve(record, asks=asked), Claim(key, token, record.state, record.asks)
    until, lapsed_until = now + seconds, record.lapsed_until
    if record.state == "pending":
        lapsed_until = record.busy_until + DAY
    kept_until = max(record.kept_until, until + max(seconds, DAY))
    granted = Record(token, "pending", asked, until, kept_until, lapsed_until)
    return granted, Claim(key, token, "lapsed" if now < lapsed_until else "new", record.asks)


def commit(record: Record, claim: Claim, seconds: float, now: float) -> Record:
    """Settle *claim*; a second commit tells nothing twice."""
    if not record.held_by(claim, now):
        return record
    told = claim.held_back + 1 if record.state == "pending" else 0
    asks, until = max(0, record.asks - told), now + seconds
    return Record(record.token, "committed", asks, until, until + max(seconds, DAY))


def release(record: Record, claim: Claim, now: float) -> Record:
    """Free the key; what was asked or lapsed before stays known."""
    if record.state != "pending" or not record.held_by(claim, now):
        return record
    if record.asks <= 1:  # where a claim has lapsed, its ask is still in the count
        return NOTHING
    return Record("", "free", record.asks - 1, 0, record.kept_until, record.lapsed_until)


class RecordCache(ABC):
    """The verbs for a store that reads and writes: one thread at a time."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._lock = fork_safe_lock()

    @abstractmethod
    def _read(self, key: str, now: float) -> Record: ...

    @abstractmethod
    def _write(self, key: str, record: Record, now: float) -> None: ...

    def claim(self, key: str, seconds: float) -> Claim:
        """See :meth:`Cache.claim`."""
        seconds = as_seconds(seconds)
        with self._lock:
            now = self._timer()
            record, answer = claim(self._read(key, now), key, seconds, now)
            self._write(key, record, now)
        return answer

    def commit(self, claim: Claim, seconds: float) -> None:
        """See :meth:`Cache.commit`."""
        seconds = as_seconds(seconds)
        self._change(claim.key, lambda record, now: commit(record, claim, seconds, now))

    def release(self, claim: Claim) -> None:
        """See :meth:`Cache.release`."""
        self._change(claim.key, lambda record, now: release(record, claim, now))

    def _change(self, key: str, change: Callable[[Record, float], Record]) -> None:
        with self._lock:
            now = self._timer()
            before = self._read(key, now)
            after = change(before, now)
            if after is not before:
                self._write(key, after, now)
