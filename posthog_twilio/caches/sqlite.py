"""Cooldowns in a file, for any number of processes on one machine."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from posthog_twilio.caches._protocol import DAY, Claim, as_seconds, new_token

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 5.0  # seconds to wait for other writers; far below any lease
# SQLite sleeps ever longer between its looks, up to 0.1 s, and a process that writes without
# a pause can starve it.  So it looks only this long, and is asked again.
LOOK = 0.005
PURGE_EVERY = 100  # claims
PURGE_AT_MOST = 1000  # records

EXPIRES = "iif(state = 'committed' AND asks = 0, busy_until, kept_until)"

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS posthog_twilio_claims (
    key TEXT PRIMARY KEY,
    token TEXT NOT NULL,
    state TEXT NOT NULL,
    asks INTEGER NOT NULL,
    busy_until REAL NOT NULL,
    kept_until REAL NOT NULL,
    lapsed_until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS posthog_twilio_expires ON posthog_twilio_claims ({EXPIRES});
"""

# Every right-hand side sees the record as it was.
CLAIM = f"""
INSERT INTO posthog_twilio_claims
VALUES (:key, :token, 'pending', 1,
        :now + :seconds, :now + :seconds + max(:seconds, {DAY}), 0)
ON CONFLICT (key) DO UPDATE SET
    token = iif(:now < busy_until, token, excluded.token),
    state = iif(:now < busy_until, state, 'pending'),
    asks = iif(:now < {EXPIRES}, asks, 0) + 1,
    busy_until = iif(:now < busy_until, busy_until, excluded.busy_until),
    kept_until = CASE
        WHEN :now < busy_until THEN kept_until
        WHEN :now < {EXPIRES} THEN max(kept_until, excluded.kept_until)
        ELSE excluded.kept_until END,
    lapsed_until = iif(state = 'pending' AND :now >= busy_until, busy_until + {DAY}, lapsed_until)
RETURNING
    CASE WHEN token <> :token THEN state WHEN :now < lapsed_until THEN 'lapsed' ELSE 'new' END,
    asks - 1
"""  # noqa: S608 - constants only

HELD = "key = :key AND token = :token AND :now < busy_until"

COMMIT = f"""
UPDATE posthog_twilio_claims SET
    state = 'committed',
    asks = max(0, asks - iif(state = 'pending', :held_back + 1, 0)),
    busy_until = :now + :seconds,
    kept_until = :now + :seconds + max(:seconds, {DAY}),
    lapsed_until = 0
WHERE {HELD}
"""  # noqa: S608 - constants only

RELEASE = f"""
UPDATE posthog_twilio_claims SET
    token = '',
    state = 'free',
    asks = max(0, asks - 1),
    busy_until = 0,
    kept_until = iif(asks > 1, kept_until, 0)  -- a lapsed claim is still in the count
WHERE {HELD} AND state = 'pending'
"""  # noqa: S608 - constants only

PURGE = f"""
DELETE FROM posthog_twilio_claims WHERE key IN (
    SELECT key FROM posthog_twilio_claims WHERE {EXPIRES} <= :now LIMIT {PURGE_AT_MOST})
"""  # noqa: S608 - constants only


class SQLiteCache:
    """
    Cooldowns in a SQLite file: exact among all processes of one machine.

    Each verb is one atomic statement.  The file may be shared by any number of
    threads and processes, forked ones too, and survives restarts.  It belongs
    on a local disk: write-ahead logging does not work over a network.

    It runs with ``synchronous=FULL``, so that a claim is on the disk before its
    message leaves: a power cut leaves at worst a claim that lapses, which is
    reported as in doubt.  With ``NORMAL`` it may take back the last claims and
    commits, and what was sent would be sent again.

    Args:
        path: the file; it is created where it is missing, its folder is not.
        timer: seconds of a clock that goes on over restarts and is the same
            in all processes; the default is ``time.time``, looked up at every
            call.  While the machine's clock is set back, cooldowns last longer.

    Raises:
        OSError: the file cannot be used; the message says why.
        ValueError: the path names no file (``:memory:`` is what MemoryCache is for).
        RuntimeError: Python's SQLite is older than 3.35.

    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        timer: Callable[[], float] = lambda: time.time(),
    ) -> None:
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._path = os.fspath(path)
        self._timer = timer
        self._claims = 0
        if self._path in ("", ":memory:"):
            raise ValueError(f"expected the path of a file, got {self._path!r}; see MemoryCache")
        if sqlite3.sqlite_version_info < (3, 35):
            raise RuntimeError(f"expected SQLite 3.35 or newer, got {sqlite3.sqlite_version}")
        try:
            self._connection = connect(self._path)
        except sqlite3.Error as error:
            raise OSError(
                f"expected a SQLite file, or a place to create one, at {self._path!r}: "
                f"{why_not(Path(self._path), error)}"
            ) from error
        caches.add(self)

    def __enter__(self) -> SQLiteCache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def claim(self, key: str, seconds: float) -> Claim:
        """See :meth:`Cache.claim`."""
        if self._claims % PURGE_EVERY == 0:
            self._run(PURGE)
        self._claims += 1  # a count that threads blur is good enough here
        token = new_token()
        [(state, held_back)] = self._run(CLAIM, key=key, token=token, seconds=as_seconds(seconds))
        return Claim(key, token, state, held_back)

    def commit(self, claim: Claim, seconds: float) -> None:
        """See :meth:`Cache.commit`."""
        self._run(
            COMMIT,
            key=claim.key,
            token=claim.token,
            held_back=claim.held_back,
            seconds=as_seconds(seconds),
        )

    def release(self, claim: Claim) -> None:
        """See :meth:`Cache.release`."""
        self._run(RELEASE, key=claim.key, token=claim.token)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def _run(self, statement: str, **parameters: Any) -> list[Any]:
        if not self._lock.acquire(timeout=PATIENCE):
            raise sqlite3.OperationalError(f"{self._path} was busy for {PATIENCE} seconds")
        try:
            if self._closed:
                raise sqlite3.ProgrammingError(f"{self._path} was closed")
            if self._connection is None:  # after a fork
                self._connection = connect(self._path)
            return self._execute(self._connection, statement, parameters)
        finally:
            self._lock.release()

    def _execute(
        self, connection: sqlite3.Connection, statement: str, parameters: dict[str, Any]
    ) -> list[Any]:
        looks = math.ceil(PATIENCE / LOOK)
        while True:
            parameters["now"] = self._timer()
            try:
                # A statement with RETURNING is not over before its last row is fetched.
                return connection.execute(statement, parameters).fetchall()
            except sqlite3.OperationalError as error:
                looks -= 1
                if looks == 0 or "locked" not in str(error):
                    raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def connect(path: str) -> sqlite3.Connection:
    """Open *path*, with our table in it."""
    connection = sqlite3.connect(
        path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA busy_timeout = {LOOK * 1000:.0f}")
    except BaseException:
        connection.close()
        raise
    return connection


def why_not(path: Path, error: sqlite3.Error) -> str:
    """Say what is wrong with *path*; SQLite's own words often do not."""
    if path.is_dir():
        return "it is a directory"
    if not path.parent.is_dir():
        return f"there is no directory {str(path.parent)!r}"
    return str(error)


# No connection may be carried over a fork (https://www.sqlite.org/howtocorrupt.html, 2.6),
# and a lock that another thread holds at that moment would never be free in the child.
# So every cache stands still and disconnected while the process forks.
caches: WeakSet[SQLiteCache] = WeakSet()
paused: list[SQLiteCache] = []
forking = Lock()


def before_fork() -> None:
    """Make every cache stand still."""
    forking.acquire()
    for cache in list(caches):
        cache._lock.acquire()  # noqa: SLF001
        cache._disconnect()  # noqa: SLF001
        paused.append(cache)


def after_fork() -> None:
    """Let them go on, in the parent and in the child."""
    while paused:
        paused.pop()._lock.release()  # noqa: SLF001
    forking.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(before=before_fork, after_in_parent=after_fork, after_in_child=after_fork)
