"""SQLiteCache."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from itertools import chain
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from freezegun import freeze_time

from posthog_twilio import caches
from posthog_twilio.cache_contract import DAY, YEAR, CacheContract, ManualTimer
from posthog_twilio.caches import Claim, SQLiteCache
from posthog_twilio.caches import sqlite as module

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name the file of this test."""
    return tmp_path / "cooldowns.db"


class TestSQLiteCache(CacheContract):
    @pytest.fixture(autouse=True)
    def _path(self, path: Path) -> None:
        self.path = path

    def make(self) -> SQLiteCache:
        return SQLiteCache(self.path, timer=self.timer)


def count(path: Path) -> int:
    """Count the records in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM posthog_twilio_claims").fetchone()[0]


def test_survives_a_restart(path: Path) -> None:
    """What was claimed, committed and counted is there when the file is opened again."""
    timer = ManualTimer()
    with SQLiteCache(path, timer=timer) as cache:
        pending = cache.claim("pending", 60)
        cache.commit(cache.claim("committed", 60), 60)
        cache.claim("committed", 60)

    with SQLiteCache(path, timer=timer) as cache:
        answer = cache.claim("committed", 60)
        assert (answer.state, answer.held_back) == ("committed", 1)
        assert cache.claim("pending", 60).state == "pending"
        cache.commit(pending, 60)
        assert cache.claim("pending", 60).state == "committed"


def test_default_timer_obeys_freezegun(path: Path) -> None:
    """The default timer is the wall clock, looked up late."""
    with freeze_time("2024-02-29") as clock, SQLiteCache(path) as cache:
        cache.commit(cache.claim("key", 60), 60)

        clock.tick(timedelta(seconds=59, milliseconds=999))
        assert not cache.claim("key", 60).granted

        clock.tick(timedelta(milliseconds=1))
        assert cache.claim("key", 60).granted


def test_clock_set_back(path: Path) -> None:
    """A clock that is set back makes no answer senseless, not even on a released key."""
    timer = ManualTimer()
    with SQLiteCache(path, timer=timer) as cache:
        first = cache.claim("key", 60)
        cache.claim("key", 60)
        cache.release(first)
        timer.now -= 30

        assert cache.claim("key", 60).state == "new"
        assert cache.claim("key", 60).state == "pending"


def test_records_do_not_pile_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended records are deleted now and then, a bounded number at a time; running ones stay."""
    monkeypatch.setattr(module, "PURGE_EVERY", 10)
    timer = ManualTimer()
    with SQLiteCache(path, timer=timer) as cache:
        for number in range(100):
            cache.commit(cache.claim(f"short {number}", 60), 60)
            cache.commit(cache.claim(f"long {number}", 60), YEAR)
        timer.now += DAY
        for _ in range(10):
            cache.claim("last", 60)

        assert count(path) == 101
        assert not any(cache.claim(f"long {number}", 60).granted for number in range(100))


def test_settings_of_the_file(path: Path) -> None:
    """Readers never block the writer, and a claim is on the disk before its message leaves."""
    with SQLiteCache(path) as cache:
        assert cache._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert cache._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_purge_uses_the_index(path: Path) -> None:
    """Finding what has ended does not read the whole table."""
    with SQLiteCache(path) as cache:
        plan = cache._connection.execute("EXPLAIN QUERY PLAN " + module.PURGE, {"now": 0})

        assert "USING INDEX posthog_twilio_expires" in str(plan.fetchall()).replace("COVERING ", "")


def test_unusable_paths(tmp_path: Path) -> None:
    """A path that cannot be used is an OSError at once, which names the path and the fault."""
    (tmp_path / "text").write_text(
        "This is no database, but long enough to be taken for one. " * 20
    )
    for path, fault in {
        tmp_path: "it is a directory",
        tmp_path / "missing" / "cooldowns.db": f"there is no directory '{tmp_path / 'missing'}'",
        tmp_path / "text": "file is not a database",
    }.items():
        with pytest.raises(OSError, match="expected a SQLite file") as caught:
            SQLiteCache(path)

        assert repr(str(path)) in str(caught.value)
        assert str(caught.value).endswith(fault)


def test_foreign_table(path: Path) -> None:
    """A table of our name that is not ours is found out at once."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE posthog_twilio_claims (other TEXT)")

    with pytest.raises(OSError, match="no such column"):
        SQLiteCache(path)


def test_read_only_file(path: Path) -> None:
    """A file that may not be written is found out at once."""
    SQLiteCache(path).close()
    path.chmod(0o444)
    if os.access(path, os.W_OK):
        pytest.skip("this user may write everything")

    with pytest.raises(OSError, match="readonly"):
        SQLiteCache(path)


@pytest.mark.parametrize("nowhere", ["", ":memory:"])
def test_no_file(nowhere: str) -> None:
    """A path that names no file is a ValueError that points at MemoryCache."""
    with pytest.raises(ValueError, match="MemoryCache"):
        SQLiteCache(nowhere)


def test_old_sqlite(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite without RETURNING is refused at once."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    with pytest.raises(RuntimeError, match=r"3\.35"):
        SQLiteCache(path)


def test_close_twice(path: Path) -> None:
    """Closing is safe to repeat; whoever goes on using the cache is told."""
    cache = SQLiteCache(path)
    cache.close()
    cache.close()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        cache.claim("key", 60)


def test_forgotten_close_leaves_nothing_open(path: Path) -> None:
    """A cache that nobody closed closes itself when it goes."""
    cache = SQLiteCache(path)
    connection = cache._connection
    del cache
    gc.collect()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_waits_for_another_writer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another process is writing is waited for, but not for long."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with SQLiteCache(path) as cache, closing(sqlite3.connect(path)) as other:
        cache.claim("first", 60)
        other.execute("BEGIN IMMEDIATE")

        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            cache.claim("key", 60)
        assert time.monotonic() - began < 3

        other.rollback()
        assert cache.claim("key", 60).granted


def test_other_faults_are_let_through_at_once(path: Path) -> None:
    """Only a lock is waited for; any other fault of SQLite is the caller's to know."""
    with SQLiteCache(path) as cache:
        cache._connection.execute("DROP TABLE posthog_twilio_claims")

        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            cache.claim("key", 60)


def test_threads_do_not_queue_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread behind others that wait gives up in time as well."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with SQLiteCache(path) as cache:
        with cache._lock, pytest.raises(sqlite3.OperationalError, match="busy"):
            cache.claim("key", 60)

        assert cache.claim("key", 60).granted


def test_sqlite_is_loaded_by_its_users_only() -> None:
    """Importing the caches imports neither sqlite3 nor redis."""
    code = (
        "import sys, posthog_twilio.caches as c; "
        "assert not {'sqlite3', 'redis'} & set(sys.modules); "
        "c.SQLiteCache; assert 'sqlite3' in sys.modules"
    )

    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_unknown_name() -> None:
    """A name that is not there is an AttributeError as anywhere."""
    with pytest.raises(AttributeError, match="NoCache"):
        caches.NoCache  # noqa: B018


WORKER = """
import sys
from posthog_twilio.caches import SQLiteCache
path, name = sys.argv[1:]
sys.stdin.readline()
with SQLiteCache(path) as cache:
    for number in range(100):
        claim = cache.claim(f"key {number}", 60)
        if claim.granted:
            print("granted", number)
            cache.commit(claim, 3600)
"""


def test_of_many_processes_one_wins(path: Path) -> None:
    """Of 8 processes that start on one new file, each of 100 keys goes to one, and all count."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WORKER, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    granted = [worker.communicate()[0].splitlines() for worker in workers]

    assert [worker.returncode for worker in workers] == [0] * 8
    assert sorted(chain(*granted)) == sorted(f"granted {number}" for number in range(100))
    with SQLiteCache(path) as cache:
        assert [cache.claim(f"key {number}", 60).held_back for number in range(100)] == [7] * 100


FORK = """
import os, sys, threading
from posthog_twilio.caches import SQLiteCache

cache = SQLiteCache(sys.argv[1])
cache.commit(cache.claim("before", 60), 3600)
stop = threading.Event()

def busy():
    while not stop.is_set():
        cache.claim("busy", 60)

thread = threading.Thread(target=busy)
thread.start()
children = []
for number in range(20):
    pid = os.fork()
    if pid == 0:
        assert cache._connection is None
        assert cache.claim("before", 60).state == "committed"
        assert cache.claim(f"child {number}", 60).granted
        cache.close()
        os._exit(0)
    children.append(pid)
statuses = [os.waitpid(pid, 0)[1] for pid in children]
stop.set()
thread.join()
assert statuses == [0] * 20, statuses
assert not any(cache.claim(f"child {number}", 60).granted for number in range(20))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forks(path: Path) -> None:
    """A child goes on with its parent's cache, even one in use, but never its connection."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, str(path)]

    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_stands_still_while_the_process_forks(path: Path) -> None:
    """Around a fork nobody has a connection or a lock; afterwards all goes on, closed or not."""
    with SQLiteCache(path) as cache, SQLiteCache(path) as closed:
        closed.close()
        cache.claim("key", 60)
        module.before_fork()
        during = (cache._connection, cache._lock.locked(), closed._lock.locked())
        module.after_fork()

        assert during == (None, True, True)
        assert cache.claim("key", 60).state == "pending"
        assert not closed._lock.locked()


@pytest.mark.usefixtures("eager_threads")
def test_threads_share_one_cache(path: Path) -> None:
    """Threads that commit and release at once do not disturb each other."""
    with SQLiteCache(path) as cache:

        def work(number: int) -> str:
            cache.commit(cache.claim(f"a {number}", 60), 60)
            cache.release(cache.claim(f"b {number}", 60))
            return cache.claim(f"a {number}", 60).state + cache.claim(f"b {number}", 60).state

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(work, range(50))) == {"committednew"}


@pytest.mark.usefixtures("eager_threads")
def test_of_many_connections_one_wins(path: Path) -> None:
    """Threads with a cache each, on one file, are exact without a lock in common."""
    caches, together = [SQLiteCache(path) for _ in range(8)], Barrier(8, timeout=60)

    def ask(cache: SQLiteCache) -> list[Claim]:
        answers = []
        for number in range(40):
            together.wait()
            answers.append(cache.claim(f"key {number}", 60))
        return answers

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, caches))
    for cache in caches:
        cache.close()

    for claims in zip(*answers, strict=True):
        assert sum(claim.granted for claim in claims) == 1
        assert sorted(claim.held_back for claim in claims) == list(range(8))
