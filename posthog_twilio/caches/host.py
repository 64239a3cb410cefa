"""Cooldowns in a cache that the host already has."""

from __future__ import annotations

import heapq
import json
import math
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import astuple

from posthog_twilio.caches._record import NOTHING, Record, RecordCache

if TYPE_CHECKING:
    from collections.abc import Callable


class Host(Protocol):
    """The two methods of a host's cache that are used, with positional arguments."""

    def get(self, key: str, default: Any, /) -> Any:
        """Return what was set; where nothing is, *default*, ``None`` or ``False``."""
        ...

    def set(self, key: str, value: str, ttl: int, /) -> object:
        """Keep *value* for *ttl* whole seconds, at least 1."""
        ...


class HostCache(RecordCache):
    """
    Adapts a host's cache, **which cannot be exact between processes**.

    It reads, then writes.  Threads that share this object are exact, but two
    processes (or two such objects) that ask within the same moment may both be
    granted the key, and both may send; a commit or a release may overwrite what
    another process wrote in between, and a count may lose a few.  A cache that
    evicts, as Django's in memory does beyond 300 entries, forgets cooldowns and
    sends again.  Where that matters, use :class:`SQLiteCache` or :class:`RedisCache`.

    What it is for: PostHog's ``meta.cache``, Django's caches, and any ``dict``
    or other ``MutableMapping``.  A bare memcached client is not: it takes a ttl
    above 30 days for a date, and forgets at once.

    Args:
        cache: has ``get(key, default)`` and ``set(key, value, ttl)``, both
            synchronous, or is a mutable mapping.  Values are JSON text.  Of a
            mapping, entries that this object wrote are deleted when they end.
        timer: seconds of a clock that the processes share; the default is
            ``time.time``, looked up at every call.

    Raises:
        TypeError: *cache* is neither.

    """

    def __init__(
        self,
        cache: Host | MutableMapping[str, Any],
        *,
        timer: Callable[[], float] = lambda: time.time(),
    ) -> None:
        super().__init__(timer)
        self._host = as_host(cache, timer)

    def _read(self, key: str, now: float) -> Record:  # noqa: ARG002
        text = self._host.get(key, None)
        if text is None or text is False:
            return NOTHING
        if not isinstance(text, (str, bytes)):
            # Taken for a miss, it would send every time.
            raise TypeError(f"expected the text that was set, got {type(text).__name__}")
        return Record(*json.loads(text))

    def _write(self, key: str, record: Record, now: float) -> None:
        self._host.set(key, json.dumps(astuple(record)), max(1, math.ceil(record.expires - now)))


def as_host(cache: Host | MutableMapping[str, Any], timer: Callable[[], float]) -> Host:
    """Return *cache*, or a mapping dressed as a host's cache."""
    if callable(getattr(cache, "get", None)) and callable(getattr(cache, "set", None)):
        return cache  # type: ignore[return-value]
    if isinstance(cache, MutableMapping):
        return MappingHost(cache, timer)
    raise TypeError(
        "expected a cache with get(key, default) and set(key, value, ttl), "
        f"or a mutable mapping, got {type(cache).__name__}"
    )


class MappingHost:
    """Gives a mapping the ttl it lacks."""

    def __init__(self, mapping: MutableMapping[str, Any], timer: Callable[[], float]) -> None:
        self._mapping = mapping
        self._timer = timer
        self._ends: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []

    def get(self, key: str, default: Any, /) -> Any:
        """See :meth:`Host.get`."""
        return self._mapping.get(key, default)

    def set(self, key: str, value: str, ttl: int, /) -> None:
        """See :meth:`Host.set`."""
        now = self._timer()
        self._mapping[key] = value
        if key not in self._ends:
            heapq.heappush(self._queue, (now + ttl, key))
        self._ends[key] = now + ttl
        self._drop_ended(now)

    def _drop_ended(self, now: float) -> None:
        while self._queue and self._queue[0][0] <= now:
            key = self._queue[0][1]
            if self._ends[key] > now:  # it was set again since
                heapq.heapreplace(self._queue, (self._ends[key], key))
            else:
                heapq.heappop(self._queue)
                del self._ends[key]
                self._mapping.pop(key, None)
