"""Locks that no fork leaves locked for ever in the child."""

from __future__ import annotations

import os
from threading import Lock
from weakref import WeakSet

_PATIENCE = 1.0  # seconds; our locks are held for microseconds
_locks: WeakSet[Lock] = WeakSet()
_forking = Lock()
_held: list[tuple[Lock, bool]] = []


def fork_safe_lock() -> Lock:
    """
    Make a lock that the process holds while it forks.

    So no other thread is in the middle of what it guards, and the child, which
    has no such thread, finds it free.
    """
    lock = Lock()
    _locks.add(lock)
    return lock


def _hold() -> None:
    _forking.acquire()
    _held.extend((lock, lock.acquire(timeout=_PATIENCE)) for lock in list(_locks))


def _let_go_in_parent() -> None:
    while _held:
        lock, ours = _held.pop()
        if ours:
            lock.release()
    _forking.release()


def _let_go_in_child() -> None:  # pragma: no cover - nobody measures the children
    while _held:
        _held.pop()[0].release()  # whoever else held it is not here
    _forking.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(
        before=_hold, after_in_parent=_let_go_in_parent, after_in_child=_let_go_in_child
    )
