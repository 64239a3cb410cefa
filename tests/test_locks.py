"""A fork in the middle of something leaves no lock behind."""

from __future__ import annotations

import os
import threading

import pytest

from posthog_twilio import locks
from posthog_twilio.caches import MemoryCache

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def in_child(work) -> int:
    """Fork, do *work* in the child, and return the child's exit status; hanging is a failure."""
    child = os.fork()
    if child == 0:
        threading.Timer(10, os._exit, (9,)).start()
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_cache_works_on_in_the_child():
    """However busy other threads are at the fork, the child can claim."""
    cache, stop = MemoryCache(), threading.Event()

    def work():
        while not stop.is_set():
            cache.claim("busy", 60)

    busy = threading.Thread(target=work)
    busy.start()
    try:
        for _ in range(20):
            assert in_child(lambda: cache.claim("mine", 60)) == 0
    finally:
        stop.set()
        busy.join()
    assert cache.claim("ours", 60).granted


def test_a_lock_that_stays_held_is_free_in_the_child(monkeypatch):
    """A thread that holds one for ever does not exist in the child, and keeps it in the parent."""
    monkeypatch.setattr(locks, "_PATIENCE", 0.01)
    lock, held, done = locks.fork_safe_lock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    try:
        assert in_child(lambda: lock.acquire()) == 0
        assert lock.locked()
    finally:
        done.set()
        holder.join()


def test_an_idle_lock_is_free_on_both_sides():
    """After a fork, parent and child go on."""
    lock = locks.fork_safe_lock()

    assert in_child(lambda: lock.acquire()) == 0
    assert lock.acquire(timeout=1)
