"""Work handed to threads: bounded, alive after a fork, finished at a normal exit."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any
from weakref import WeakSet, ref

_Job = tuple[float, int, Any, int]
"""When it is due, its number, the item, how often it was tried."""

log = logging.getLogger("posthog_twilio")


class Background:
    """
    Runs *work* on each item that :meth:`put` takes, off the caller's thread.

    Threads start with the first items, and anew in a forked child; what a
    parent had waiting at the fork stays the parent's.  At a normal exit, what
    waits gets *drain* seconds; a killed process loses it.

    Args:
        work: called in a thread with an item and how often it was tried before;
            returns the seconds after which to try again, or None.  It must not raise.
        drop: called with each item that the end of the process leaves undone.
        limit: the most items that wait.
        threads: how many work at once.
        drain: seconds to finish in, once closed.

    """

    _changed: threading.Condition
    _waiting: list[_Job]  # a heap
    _until: float | None

    def __init__(
        self,
        work: Callable[[Any, int], float | None],
        drop: Callable[[Any], object],
        *,
        limit: int,
        threads: int,
        drain: float,
    ) -> None:
        self._work = work
        self._drop = drop
        self._limit = limit
        self._threads = threads
        self._drain = drain
        self.renew()
        _all.add(self)
        # Now, not at the first item: what is put while others clean up at the exit gets its time.
        atexit.register(_close, ref(self))

    @property
    def closed(self) -> bool:
        """Whether no more items are taken."""
        return self._until is not None

    def put(self, item: Any) -> int:
        """
        Take *item* unless too many wait, or this is closed; never block.

        Returns:
            0 if it was taken, else how many were not so far.

        Raises:
            RuntimeError: there is no thread and none can be started; it was not taken.

        """
        with self._changed:
            if self.closed or len(self._waiting) >= self._limit:
                self.refused += 1
                return self.refused
            try:
                self._start()
            except RuntimeError:  # no more threads: too many, or the interpreter is at its end
                if not self._alive:
                    self.refused += 1
                    raise
            self._push(time.monotonic(), item, 0)
            return 0

    def lose(self) -> None:
        """Count an item as lost."""
        with self._changed:
            self.lost += 1

    def flush(self, seconds: float) -> bool:
        """Wait until all is done, at most *seconds*; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._busy), seconds)

    def close(self) -> int:
        """
        Finish what can be finished in time, and drop the rest; safe to call twice.

        Returns:
            how many items are left undone, those in hand included.

        """
        with self._changed:
            first = self._until is None
            if self._until is None:
                self._until = time.monotonic() + self._drain
                self._changed.notify_all()
            self._changed.wait_for(self._is_over, self._until - time.monotonic())
            dropped, self._waiting = self._waiting, []
            in_hand = self._busy
            self._changed.notify_all()
        for _, _, item, _ in dropped:
            self._drop(item)
        if in_hand and first:
            log.error("no time left to finish what is in hand: %d; it may go out", in_hand)
        return len(dropped) + in_hand

    def renew(self) -> None:
        """Begin anew: a parent's threads, and the locks they hold, are of no use to a child."""
        # Reentrant: a signal handler, or a __del__, may come back in the middle of put().
        self._changed = threading.Condition(threading.RLock())
        self._waiting = []
        self._numbers = count()
        self._busy = 0
        self._alive = 0
        self._until = None
        self.refused = 0
        self.lost = 0

    def _start(self) -> None:
        """Start one more thread, up to as many as there should be."""
        if self._alive >= self._threads:
            return
        self._alive += 1
        try:
            threading.Thread(target=self._run, name="posthog_twilio", daemon=True).start()
        except BaseException:
            self._alive -= 1
            raise
        if self._alive == 1 and (util := sys.modules.get("multiprocessing.util")):
            util.Finalize(self, self.close, exitpriority=10)  # its children skip atexit

    def _run(self) -> None:
        try:
            while job := self._take():
                again = None
                try:
                    again = self._work(*job)
                finally:
                    self._settle(*job, again)
        finally:
            with self._changed:
                self._alive -= 1

    def _take(self) -> tuple[Any, int] | None:
        """Wait for an item that is due; None when there will be no more."""
        with self._changed:
            while self._waiting or not self.closed:
                pause = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if pause is not None and pause <= 0:
                    self._busy += 1
                    _, _, item, tries = heappop(self._waiting)
                    return item, tries
                self._changed.wait(pause)
            return None

    def _settle(self, item: Any, tries: int, again: float | None) -> None:
        """Note that *item* is no longer in hand; let it wait if it is to be tried again."""
        due = time.monotonic() + (again or 0)
        with self._changed:
            too_late = self._until is not None and due > self._until
        if again is not None and too_late:
            self._drop(item)  # still in hand, so that closing waits for it, but not under the lock
        with self._changed:
            self._busy -= 1
            if again is not None and not too_late:
                self._push(due, item, tries + 1)
            self._changed.notify_all()

    def _push(self, due: float, item: Any, tries: int) -> None:
        heappush(self._waiting, (due, next(self._numbers), item, tries))
        self._changed.notify_all()  # who waits may be a thread, a flush or a close

    def _is_over(self) -> bool:
        """Tell whether nothing is in hand, and nothing comes due before the end."""
        return not self._busy and all(due > (self._until or 0) for due, *_ in self._waiting[:1])


def _close(background: ref[Background]) -> None:
    """Close it, if it is still there."""
    if found := background():
        found.close()


_all: WeakSet[Background] = WeakSet()


def _after_fork() -> None:
    for background in _all:
        background.renew()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
