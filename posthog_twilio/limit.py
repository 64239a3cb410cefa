"""
A limit on the messages of a UTC day, from the three verbs of a cache.

A day has N slots, each a key to claim; a message that went out keeps its slot
until the day is over.  So processes that share a cache share the limit, and
what counts is messages, not attempts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from posthog_twilio.caches import Claim
from posthog_twilio.claims import Claims, key_of
from posthog_twilio.locks import fork_safe_lock
from posthog_twilio.outcome import Status

log = logging.getLogger("posthog_twilio")


class Stop(Exception):
    """Raised when a message may not go out now; ``status`` says what becomes of it."""

    def __init__(self, status: Status, reason: str) -> None:
        self.status = status
        super().__init__(reason)


class DailyLimit:
    """
    At most *limit* messages a UTC day.

    A slot whose holder died counts as used, since its message may have gone
    out: after a crash the day has one message less rather than one more.

    Args:
        limit: messages a day.
        scope: what keeps one plugin's slots apart from another's.
        now: seconds since the epoch.

    """

    def __init__(self, limit: int, scope: str, now: Callable[[], float]) -> None:
        self._limit = limit
        self._scope = scope
        self._now = now
        self._lock = fork_safe_lock()
        self._day = ""
        self._used: set[int] = set()
        self._told = False

    def take(self, claims: Claims) -> Claim:
        """
        Take a slot of today.

        Raises:
            Stop: OVER_LIMIT when all are used; RETRY while one of the others
                may still come free.
            CacheDown: when the cache fails.

        """
        day, left = self._today()
        pending = False
        for slot in range(self._limit):
            if slot in self._used:
                continue
            claim = claims.take(key_of("day", self._scope, day, str(slot)), left)
            if claim.state == "new":
                return claim
            if claim.state == "lapsed":
                claims.settle(claim)
            if claim.state == "pending":
                pending = True
            else:
                self._mark(day, slot)
        raise self._stop(day, pending)

    def _today(self) -> tuple[str, float]:
        """Return today's date, and the seconds from now until an hour after its end."""
        now = datetime.fromtimestamp(self._now(), timezone.utc)
        day = now.date().isoformat()
        with self._lock:
            if day != self._day:
                self._day, self._used, self._told = day, set(), False
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return day, (midnight - now).total_seconds() + 3600

    def _mark(self, day: str, slot: int) -> None:
        """Remember a used slot, so that each is asked for once a process and day."""
        with self._lock:
            if day == self._day:
                self._used.add(slot)

    def _stop(self, day: str, pending: bool) -> Stop:
        if pending:
            return Stop(Status.RETRY, "the day's last messages are still being sent")
        with self._lock:
            first, self._told = not self._told, True
        if first:
            log.warning("dailyLimit of %d messages is used up for %s (UTC)", self._limit, day)
        return Stop(Status.OVER_LIMIT, f"dailyLimit: {self._limit} messages went out on {day}")
