"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from posthog_twilio import setup_plugin
from posthog_twilio.caches import MemoryCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of engines, so that they can be left out."""
    for item in items:
        if item.path.name.startswith("test_engine_"):
            item.add_marker("engine")


@frozen
class RedisServer:
    """A Redis of our own on loopback."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


def free_port() -> int:
    """Find a loopback port that nobody listens on just now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def missing(what: str) -> None:
    """Skip on a laptop, fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is missing")


@contextmanager
def run_redis(*options: str) -> Iterator[RedisServer]:
    """Run a Redis server that keeps nothing on disk; it ends with the block."""
    program = shutil.which("redis-server")
    if program is None:
        missing("redis-server")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        command += ["--save", "", "--appendonly", "no", *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_for_port(port)
            yield RedisServer(port, process)
        finally:
            process.kill()
            process.wait()


def wait_for_port(port: int, seconds: float = 20) -> None:
    """Return once something listens on *port*."""
    deadline = time.monotonic() + seconds
    while not listens(port):
        assert time.monotonic() < deadline, f"nothing listens on port {port}"
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Tell whether something listens on *port*."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def start_redis() -> Callable[..., AbstractContextManager[RedisServer]]:
    """Start a Redis of one's own, to stop or to fill; a context manager, it takes options."""
    return run_redis


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Share one Redis server; use keys of your own, and never flush it."""
    with run_redis() as server:
        yield server


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads take turns as often as Python can, so that no race is missed by luck."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        """Let some time pass."""
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """Hand out a clock that stands still until it is told to tick."""
    return Clock()


@pytest.fixture
def texting(clock: Clock, fake_twilio: Any, twilio_config: dict[str, Any]) -> Callable[..., Any]:
    """Set a plugin up against the fake; its cooldowns run on the clock, and it never sleeps."""

    def make(cache: Any = None, http_client: Any = None, actions: Any = (), **changes: Any) -> Any:
        meta = setup_plugin(
            {**twilio_config, **changes},
            cache=cache or MemoryCache(timer=clock),
            http_client=http_client or fake_twilio,
            actions=actions,
        )
        meta._transport.pause = clock.tick
        meta._transport._timer = clock
        meta._timer = clock
        if meta._limit:
            meta._limit._now = clock
        meta._courier._now = clock
        meta._courier._timer = clock
        return meta

    return make
