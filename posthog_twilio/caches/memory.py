"""Cooldowns in the memory of one process."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from cachetools import TLRUCache

from posthog_twilio.caches._record import NOTHING, Record, RecordCache

if TYPE_CHECKING:
    from collections.abc import Callable


class MemoryCache(RecordCache):
    """
    Cooldowns in the memory of this process, exact among its threads.

    A restart forgets them all, other processes know nothing of them, and a
    forked child goes on with a copy of its own.  A running cooldown is never
    evicted: memory grows with the keys that are in use, about 0.6 kB each, and
    ends with them.

    Args:
        timer: seconds of a clock that never goes back, as a float.  The default
            is ``time.monotonic``, looked up at every call, so that freezegun
            and the like take effect.

    """

    def __init__(
        self,
        timer: Callable[[], float] = lambda: time.monotonic(),
    ) -> None:
        super().__init__(timer)
        self._now = 0.0
        # One look at the clock a call: nothing ends between two steps of cachetools.
        self._records: TLRUCache[str, Record] = TLRUCache(
            math.inf, ttu=lambda _key, record, _now: record.expires, timer=lambda: self._now
        )

    def _read(self, key: str, now: float) -> Record:
        self._now = now
        return self._records.get(key, NOTHING)

    def _write(self, key: str, record: Record, now: float) -> None:
        if now < record.expires:
            self._records[key] = record
        else:
            self._records.pop(key, None)
