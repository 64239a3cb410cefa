"""Work handed to threads: bounded, alive after a fork, finished at a normal exit."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from queue import Full, Queue
from typing import Any


class Background:
    """
    Runs *work* on each item that :meth:`put` takes, off the caller's thread.

    Threads start with the first item, and anew in a forked child; what a
    parent had queued at the fork stays the parent's.  At a normal exit, what is
    queued gets *drain* seconds; a killed process loses it.

    Args:
        work: called with one item at a time in each thread; must not raise.
        limit: the most items that wait.
        threads: how many work at once.
        drain: seconds to finish in, at exit.

    """

    def __init__(
        self, work: Callable[[Any], object], *, limit: int, threads: int, drain: float
    ) -> None:
        self._work = work
        self._limit = limit
        self._threads = threads
        self._drain = drain
        self._renew()
        renew = weakref.WeakMethod(self._renew)
        os.register_at_fork(after_in_child=partial(_call, renew))

    @property
    def closing(self) -> threading.Event:
        """Set once the process ends: whoever waits for a while waits no longer."""
        return self._closing

    def put(self, item: Any) -> bool:
        """Take *item* unless too many wait, or the process ends; never block."""
        if self._closing.is_set():
            return False
        try:
            self._queue.put_nowait(item)
        except Full:
            return False
        if not self._running:
            self._start()
        return True

    def flush(self, seconds: float) -> bool:
        """Wait until all is done, at most *seconds*; tell whether it is."""
        until = time.monotonic() + seconds
        while self._queue.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.005)
        return not self._queue.unfinished_tasks

    def close(self) -> int:
        """Finish what is queued, in the time there is; return how many items are left."""
        self._closing.set()
        self.flush(self._drain)
        return self._queue.unfinished_tasks

    def _renew(self) -> None:
        """Begin anew: locks and threads of a parent are of no use to a child."""
        self._queue: Queue[Any] = Queue(self._limit)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._running = False

    def _start(self) -> None:
        with self._lock:
            if self._running:
                return
            for _ in range(self._threads):
                threading.Thread(target=self._run, args=(self._queue,), daemon=True).start()
            self._running = True
        atexit.register(self.close)
        if util := sys.modules.get("multiprocessing.util"):
            # Its children leave without atexit.
            util.Finalize(self, self.close, exitpriority=10)

    def _run(self, queue: Queue[Any]) -> None:
        while True:
            item = queue.get()
            try:
                self._work(item)
            finally:
                queue.task_done()


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    """Call a method, if its object is still there."""
    if found := method():
        found()
