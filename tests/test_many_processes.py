"""Many processes share one cache, get the same events, and fail at random."""

from __future__ import annotations

import json
import multiprocessing
import random
from collections import Counter
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING, Any

from engines import load, need
from requests import ConnectTimeout, ReadTimeout
from urllib3.exceptions import ConnectTimeoutError

from posthog_twilio import RetryError, doubt, on_event, setup_plugin, teardown_plugin, transport
from posthog_twilio._http import PooledHttpClient, Reply
from posthog_twilio.caches import RedisCache, SQLiteCache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import RedisServer

PROCESSES = 8
KEYS = 100
PREFIX = (f"many{number}:" for number in count())


class FlakyHttp:
    """
    A way to Twilio that fails at random.

    It leaves doubt about a number once at most: where a second attempt fails too,
    the event waits for the lease to run out, which nobody here has time for.
    """

    def __init__(self, dice: random.Random) -> None:
        self._http = PooledHttpClient()
        self._dice = dice
        self._reliable: set[str] = set()

    def request(self, method: str, url: str, **options: Any) -> Reply:
        number = (options["data"] or {}).get("To")
        fate = self._dice.choice(FATES) if method == "POST" else None
        if fate is None or number in self._reliable:
            return self._http.request(method, url, **options)
        if fate == "too many":
            return Reply(429, "{}", {})
        if fate == "no connection":
            raise ConnectTimeout(ConnectTimeoutError())
        self._reliable.add(number)
        if fate == "broken":
            return Reply(500, "{}", {})
        self._http.request(method, url, **options)
        if fate == "broken later":
            return Reply(500, "{}", {})
        raise ReadTimeout

    def close(self) -> None:
        self._http.close()


FATES = ["too many", "no connection", "broken", "broken later", "answer lost", None, None, None]


class FlakyCache:
    """A cache that at times cannot be asked."""

    def __init__(self, cache: Any, dice: random.Random) -> None:
        self._cache = cache
        self._dice = dice
        self.commit = cache.commit
        self.release = cache.release

    def claim(self, key: str, seconds: float) -> Any:
        if self._dice.random() < 0.1:
            raise ConnectionError
        return self._cache.claim(key, seconds)


def redis_cache(url: str, prefix: str) -> RedisCache:
    """Be patient: that a machine is slow is not what is tested here."""
    from redis import Redis

    return RedisCache(Redis.from_url(url), prefix, timeout=20)


def work(seed: int, start: Any, folder: Path, make_cache: Any, where: tuple[Any, ...]) -> None:
    """Deliver every event, in an order of one's own, until each is settled."""
    doubt.ASK_AGAIN, transport.BACK_OFF = 0.0, (0.0,)
    dice = random.Random(seed)
    http = FlakyHttp(dice)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    dice.shuffle(events)
    told = []
    with closing(http), closing(make_cache(*where)) as cache:
        config = json.loads((folder / "config.json").read_text())
        meta = setup_plugin(config, cache=FlakyCache(cache, dice), http_client=http)
        start.wait(60)
        while events:
            event = events.pop(0)
            try:
                told += [(o.recipient, o.status.value) for o in on_event(event, meta)]
            except RetryError:
                events.append(event)
        teardown_plugin(meta)
    (folder / f"told{seed}.json").write_text(json.dumps(told))


def run(folder: Path, make_cache: Callable[..., Any], *where: Any) -> tuple[Any, Any]:
    """Let the processes run; count what Twilio accepted, and what they were told."""
    killed = load("benchmarks/killed.py")
    numbers = [f"+1555010{number:04}" for number in range(KEYS)]
    context = multiprocessing.get_context("spawn")
    with killed.twilio(folder) as url:
        (folder / "config.json").write_text(json.dumps(killed.config(url, in_doubt="ask")))
        lines = [json.dumps(killed.event(number)) for number in numbers]
        (folder / "events.jsonl").write_text("\n".join(lines))
        start = context.Barrier(PROCESSES)
        processes = [
            context.Process(target=work, args=(seed, start, folder, make_cache, where))
            for seed in range(PROCESSES)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
            process.kill()
            process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    for process in processes:
        process.close()
    logged = (folder / "accepted.jsonl").read_text().splitlines()
    told = [json.loads((folder / f"told{seed}.json").read_text()) for seed in range(PROCESSES)]
    accepted = Counter(json.loads(line)["to"] for line in logged)
    return accepted, Counter(status for each in told for _, status in each)


def check(accepted: Any, told: Any) -> None:
    """Everybody was told of every event; one of them, that its message went out."""
    assert sorted(accepted.values()) == [1] * KEYS
    assert told["sent"] == KEYS
    # Whoever asks in the very moment in which the message is settled learns of the event.
    assert told["cooling_down"] + told["duplicate"] == KEYS * (PROCESSES - 1)


def test_on_one_sqlite_file(tmp_path: Path) -> None:
    """Eight processes get a hundred events each: every key is accepted exactly once."""
    accepted, told = run(tmp_path, SQLiteCache, tmp_path / "cooldowns.sqlite")

    check(accepted, told)


def test_on_one_redis(tmp_path: Path, redis_server: RedisServer) -> None:
    """Eight processes get a hundred events each: every key is accepted exactly once."""
    need("redis")
    accepted, told = run(tmp_path, redis_cache, redis_server.url, next(PREFIX))

    check(accepted, told)


def hold_back(config: dict[str, Any], path: str, events: int) -> None:
    """Deliver events at a moment when the timeout runs, in a process of its own."""
    with SQLiteCache(path, timer=lambda: 1030.0) as cache:
        meta = setup_plugin(config, cache=cache)
        for _ in range(events):
            [outcome] = on_event({"event": "signup"}, meta)
            assert outcome.status == "cooling_down"


def test_what_two_processes_hold_back_one_message_tells(
    tmp_path: Path, twilio_config: dict[str, Any], fake_twilio: Any
) -> None:
    """The sum of both is in the next message, and in no other."""
    path, now = str(tmp_path / "cooldowns.db"), [1000.0]
    with SQLiteCache(path, timer=lambda: now[0]) as cache:
        meta = setup_plugin(twilio_config, cache=cache, http_client=fake_twilio)
        on_event({"event": "signup"}, meta)
        spawn = multiprocessing.get_context("spawn")
        both = [
            spawn.Process(target=hold_back, args=(twilio_config, path, events))
            for events in (150, 250)
        ]
        for process in both:
            process.start()
        for process in both:
            process.join(60)
        now[0] = 1060.0
        on_event({"event": "signup"}, meta)
        now[0] = 1120.0
        on_event({"event": "signup"}, meta)

    assert [process.exitcode for process in both] == [0, 0]
    assert [message.body for message in fake_twilio.outbox] == [
        "Hi signup occurred - PostHog",
        "Hi signup occurred (+400 more) - PostHog",
        "Hi signup occurred - PostHog",
    ]
