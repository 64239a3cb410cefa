"""RedisCache, on a real server, and on fakeredis where there is none."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import fakeredis
import pytest
import redis
import redis.asyncio
import redis.sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from posthog_twilio.cache_contract import DAY, YEAR, CacheContract
from posthog_twilio.caches import Claim, RedisCache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import RedisServer

PREFIX = (f"caches:{number}:" for number in count())


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Make a client as redis-py makes it, with its defaults."""
    with redis.Redis(port=redis_server.port) as client:
        yield client


@pytest.fixture
def cache(client: redis.Redis) -> Iterator[RedisCache]:
    """Make a cache with keys of its own."""
    with closing(RedisCache(client, next(PREFIX))) as cache:
        yield cache


class TestRedisCache(CacheContract):
    unit = 0.2

    @pytest.fixture(autouse=True)
    def _client(self, client: redis.Redis) -> None:
        self.client = client

    def make(self) -> RedisCache:
        return RedisCache(self.client, next(PREFIX))

    def tick(self, seconds: float) -> None:
        time.sleep(seconds)


class TestFakeRedis(CacheContract):
    """The same on fakeredis, whose clock can be moved: exact edges, days and years."""

    @pytest.fixture(autouse=True)
    def _frozen(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", self.timer)  # fakeredis looks it up late
            yield

    def make(self) -> RedisCache:
        return RedisCache(fakeredis.FakeRedis())


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("timeout", [0.5, None])
def test_any_settings_of_the_client(
    redis_server: RedisServer, *, decode: bool, timeout: float | None
) -> None:
    """A client that decodes and one that doesn't, with our limits and without, say the same."""
    with redis.Redis(port=redis_server.port, decode_responses=decode) as client:
        cache = RedisCache(client, next(PREFIX), timeout=timeout)
        claim, refused = cache.claim("key", 60), cache.claim("key", 60)
        cache.commit(claim, 60)

        assert (claim.state, refused.state, refused.held_back) == ("new", "pending", 1)
        assert cache.claim("key", 60).state == "committed"
        cache.close()


def test_client_on_a_unix_socket(start_redis: Any, tmp_path: Any) -> None:
    """A client on a Unix socket is bounded, too."""
    path = str(tmp_path / "redis.sock")
    with (
        start_redis("--unixsocket", path),
        redis.Redis(unix_socket_path=path) as client,
        closing(RedisCache(client)) as cache,
    ):
        assert cache.claim("key", 60).granted
        assert cache._pool.connection_kwargs["socket_timeout"] == 0.5


def test_clients_from_a_url(redis_server: RedisServer) -> None:
    """A client made from a URL lends its settings, the tighter of two limits counts."""
    with (
        redis.Redis.from_url(redis_server.url + "?socket_timeout=0.2") as client,
        closing(RedisCache(client, next(PREFIX))) as cache,
    ):
        assert cache.claim("key", 60).granted
        limits = cache._pool.connection_kwargs
        assert (limits["socket_timeout"], limits["socket_connect_timeout"]) == (0.2, 0.5)


def test_clients_that_are_left_alone(client: redis.Redis) -> None:
    """A Sentinel's client finds its master by itself, and other makes go unchanged."""
    sentinel = redis.sentinel.Sentinel([("127.0.0.1", 1)]).master_for("master")

    class OtherMake:
        execute_command = client.execute_command
        register_script = client.register_script

    assert RedisCache(sentinel)._pool is None
    assert RedisCache(OtherMake(), next(PREFIX)).claim("key", 60).granted


@pytest.mark.parametrize(
    "wrong", [redis.asyncio.Redis(), fakeredis.FakeAsyncRedis(), {}, "redis://localhost", None]
)
def test_wrong_clients(wrong: object) -> None:
    """An asyncio client, or no client at all, is a TypeError at once that says so."""
    with pytest.raises(TypeError, match=r"expected a synchronous client such as redis\.Redis, got"):
        RedisCache(wrong)


def test_close_leaves_the_client_open(client: redis.Redis) -> None:
    """Closing ends our own connections, may be repeated, and leaves the caller's client alone."""
    before = len(client.client_list())
    cache = RedisCache(client, next(PREFIX))
    cache.claim("key", 60)
    during = len(client.client_list())
    cache.close()
    cache.close()
    deadline = time.monotonic() + 10
    while len(client.client_list()) > before and time.monotonic() < deadline:
        time.sleep(0.01)

    assert (during, len(client.client_list())) == (before + 1, before)


# What Redis keeps


def test_prefix(client: redis.Redis) -> None:
    """All that is kept of a key is one hash under the prefix."""
    with closing(RedisCache(client, "mine:")) as cache:
        cache.claim("a key", 60)
        cache.claim("a key", 60)

    assert client.keys("mine:*") == [b"mine:a key"]
    assert client.type("mine:a key") == b"hash"


def test_every_key_has_an_expiry(client: redis.Redis) -> None:
    """Whatever happens to a key, Redis drops it in the end, and a settled one with its span."""
    prefix = next(PREFIX)
    with closing(RedisCache(client, prefix)) as cache:
        ttls = []

        def look() -> None:
            ttls.append(round(client.pttl(prefix + "key") / 1000))

        claim = cache.claim("key", 60)
        look()
        cache.claim("key", 60)
        look()
        cache.release(claim)
        look()
        claim = cache.claim("key", 60)
        cache.commit(claim, 3600)
        look()
        cache.claim("key", 60)
        look()
        cache.commit(claim, YEAR)
        look()

    assert ttls == [60 + DAY, 60 + DAY, 60 + DAY, 3600, 3600 + DAY, 2 * YEAR]


def test_released_key_leaves_nothing(client: redis.Redis) -> None:
    """A key that was claimed and released takes no memory."""
    prefix = next(PREFIX)
    with closing(RedisCache(client, prefix)) as cache:
        cache.release(cache.claim("key", 60))

    assert not client.exists(prefix + "key")


def test_hot_key_stays_small(cache: RedisCache, client: redis.Redis) -> None:
    """However often a key is refused, its record stays small, and the count exact."""
    for _ in range(1000):
        cache.claim("key", 60)

    assert cache.claim("key", 60).held_back == 1000
    assert client.hstrlen(cache._prefix + "key", "refused") == 4096


def test_one_round_trip_a_call(cache: RedisCache, client: redis.Redis) -> None:
    """Each verb is one EVALSHA once Redis knows the scripts."""
    cache.commit(cache.claim("warm", 60), 60)
    cache.release(cache.claim("warm up", 60))
    asked = []
    with client.monitor() as monitor:
        claim = cache.claim("key", 60)
        cache.commit(claim, 60)
        cache.release(claim)
        cache.claim("last", 60)
        for command in monitor.listen():
            if command["command"].endswith("60000") and ":last " in command["command"]:
                break
            if command["client_type"] != "lua":
                asked.append(command["command"].split()[0])

    assert asked == ["EVALSHA"] * 3


def test_forgotten_scripts(start_redis: Any) -> None:
    """A Redis that lost its scripts, as after a restart, gets them again."""
    with (
        start_redis() as server,
        redis.Redis(port=server.port) as client,
        closing(RedisCache(client)) as cache,
    ):
        cache.claim("key", 60)
        client.script_flush()

        assert cache.claim("key", 60).state == "pending"


# Answers that get lost


class Proxy:
    """Stands between a client and Redis, and can lose an answer on the way back."""

    def __init__(self, port: int) -> None:
        self.lose = threading.Event()
        self.lost = 0
        self._redis = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=[near])
            self._threads.append(thread)
            thread.start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._redis)) as far:
            while request := near.recv(65536):
                far.sendall(request)
                answer = far.recv(65536)
                if b"EVALSHA" in request and self.lose.is_set():
                    self.lose.clear()
                    self.lost += 1
                    return
                near.sendall(answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@contextmanager
def lossy(server: RedisServer) -> Iterator[tuple[RedisCache, Proxy]]:
    """Make a cache whose client asks again when an answer is lost, and what loses it."""
    with closing(Proxy(server.port)) as proxy:
        retry = Retry(NoBackoff(), 3)
        again = [redis.ConnectionError]
        with redis.Redis(port=proxy.port, retry=retry, retry_on_error=again) as client:
            cache = RedisCache(client, next(PREFIX), timeout=None)
            cache.commit(cache.claim("warm", 60), 60)
            cache.release(cache.claim("warm up", 60))
            yield cache, proxy


@pytest.mark.parametrize("before", ["nothing", "lapsed", "pending", "committed"])
def test_lost_answer_to_a_claim(redis_server: RedisServer, before: str) -> None:
    """A claim that is asked again for a lost answer gets it, and is counted once."""
    with lossy(redis_server) as (cache, proxy):
        if before == "lapsed":
            cache.claim("key", 0.001)
            time.sleep(0.01)
        elif before != "nothing":
            claim = cache.claim("key", 60)
            cache.claim("key", 60)
            if before == "committed":
                cache.commit(claim, 60)
        expected = {
            "nothing": ("new", 0),
            "lapsed": ("lapsed", 1),
            "pending": ("pending", 2),
            "committed": ("committed", 1),
        }[before]

        proxy.lose.set()
        claim = cache.claim("key", 60)

        assert (proxy.lost, claim.state, claim.held_back) == (1, *expected)
        assert cache.claim("key", 60).held_back == expected[1] + 1


def test_lost_answer_to_a_commit(redis_server: RedisServer) -> None:
    """A commit that is sent again tells nothing twice."""
    with lossy(redis_server) as (cache, proxy):
        claim = cache.claim("key", 60)
        for _ in range(3):
            cache.claim("key", 60)
        proxy.lose.set()
        cache.commit(claim, 60)

        after = cache.claim("key", 60)
        assert (proxy.lost, after.state, after.held_back) == (1, "committed", 3)


def test_lost_answer_to_a_release(redis_server: RedisServer) -> None:
    """A release that is sent again takes nothing out twice."""
    with lossy(redis_server) as (cache, proxy):
        claim = cache.claim("key", 60)
        for _ in range(3):
            cache.claim("key", 60)
        proxy.lose.set()
        cache.release(claim)

        after = cache.claim("key", 60)
        assert (proxy.lost, after.state, after.held_back) == (1, "new", 3)


def test_same_token_same_answer(cache: RedisCache) -> None:
    """Others may come in between: a token gets its own answer again, not theirs."""

    def ask(token: str) -> tuple[str, int]:
        state, held_back = cache._claim([cache._prefix + "key"], [token, 60_000])
        return state.decode(), held_back

    first = {token: ask(token) for token in ("aa", "bb", "cc", "dd")}
    again = {token: ask(token) for token in ("bb", "dd", "aa", "cc")}

    assert first == again
    assert first["aa"] == ("new", 0)
    assert first["dd"] == ("pending", 3)
    assert ask("ee") == ("pending", 4)


# A Redis that is down, slow, full, or back again


def timed_failure(cache: RedisCache, error: type[Exception]) -> float:
    """Return how long a claim takes to fail."""
    began = time.monotonic()
    with pytest.raises(error):
        cache.claim("key", 60)
    return time.monotonic() - began


def test_down() -> None:
    """A Redis that is not there is an error at once, whatever the client's defaults."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        cache = RedisCache(redis.Redis(port=taken.getsockname()[1]))

        assert timed_failure(cache, redis.ConnectionError) < 1


def test_black_hole() -> None:
    """A Redis that takes connections and never answers is an error in about half a second."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        closing(RedisCache(redis.Redis(port=silent.getsockname()[1]))) as cache,
    ):
        assert 0.4 < timed_failure(cache, redis.TimeoutError) < 1.5


def test_slow(start_redis: Any) -> None:
    """A Redis that stops answering is an error in half a second; it heals with the Redis."""
    with (
        start_redis() as server,
        redis.Redis(port=server.port) as client,
        closing(RedisCache(client)) as cache,
    ):
        cache.claim("before", 60)
        server.process.send_signal(signal.SIGSTOP)
        try:
            took = timed_failure(cache, redis.TimeoutError)
        finally:
            server.process.send_signal(signal.SIGCONT)

        assert 0.4 < took < 1.5
        assert cache.claim("before", 60).state == "pending"


def test_full(start_redis: Any) -> None:
    """A full Redis is an error that leaves nothing behind; a running cooldown stays."""
    with (
        start_redis("--maxmemory-policy", "noeviction") as server,
        redis.Redis(port=server.port) as client,
        closing(RedisCache(client)) as cache,
    ):
        cache.commit(cache.claim("running", 60), 60)
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            cache.claim("key", 60)
        client.config_set("maxmemory", 0)

        assert cache.claim("key", 60).state == "new"
        assert cache.claim("running", 60).state == "committed"


def test_lost_connections_heal(cache: RedisCache, client: redis.Redis) -> None:
    """Connections that Redis has closed meanwhile, as after a restart, are replaced unnoticed."""
    cache.claim("key", 60)
    client.client_kill_filter(_type="normal", skipme=True)

    assert cache.claim("key", 60).state == "pending"


# Many processes

WORKER = """
import sys, redis
from posthog_twilio.caches import RedisCache
port, prefix = sys.argv[1:]
cache = RedisCache(redis.Redis(port=int(port)), prefix)
sys.stdin.readline()
for number in range(100):
    claim = cache.claim(f"key {number}", 60)
    if claim.granted:
        print("granted", number)
        cache.commit(claim, 3600)
cache.close()
"""


def test_of_many_processes_one_wins(redis_server: RedisServer, cache: RedisCache) -> None:
    """Of 8 processes each of 100 keys goes to one, and all are counted."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WORKER, str(redis_server.port), cache._prefix],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    granted = [worker.communicate()[0].splitlines() for worker in workers]

    assert [worker.returncode for worker in workers] == [0] * 8
    assert sorted(chain(*granted)) == sorted(f"granted {number}" for number in range(100))
    claims: list[Claim] = [cache.claim(f"key {number}", 60) for number in range(100)]
    assert [claim.held_back for claim in claims] == [7] * 100
