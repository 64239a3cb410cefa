"""examples/kafka_consumer.py, on librdkafka's own mock cluster, one of three killed for real."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from engines import ROOT, load, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import ModuleType

PARTITIONS = range(4)
QUICK = {
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 500,
    "auto.commit.interval.ms": 200,
}
PHONES = [f"+1555010{number:04}" for number in range(100)]
TOPICS = (f"events{number}" for number in count())


def row(phone: str, name: str = "order shipped", **columns: Any) -> bytes:
    """Make a row of clickhouse_events_json about the person who has *phone*."""
    known = {
        "uuid": str(uuid4()),
        "event": name,
        "distinct_id": phone,
        "team_id": 1,
        "timestamp": time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime()),
        "properties": json.dumps({"$lib": "web"}),
        "person_properties": json.dumps({"phone": phone}),
        "elements_chain": "",
    }
    return json.dumps({**known, **columns}).encode()


class Cluster:
    """A broker that lives in a producer, as long as that does."""

    def __init__(self) -> None:
        from confluent_kafka import Producer

        self._producer = Producer({"test.mock.num.brokers": 1, "log_level": 2})
        brokers = self._producer.list_topics().brokers.values()
        address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        self.settings = {"bootstrap.servers": address, "log_level": 2, **QUICK}

    def consumer(self, **settings: Any) -> Any:
        from confluent_kafka import Consumer

        return Consumer({"group.id": "posthog-twilio", **settings, **self.settings})

    def produce(self, topic: str, rows: Sequence[bytes | None], *partitions: int) -> None:
        """Put the rows into the partitions, one after the other, by turns."""
        for number, value in enumerate(rows):
            partition = partitions[number % len(partitions)]
            self._producer.produce(topic, value, partition=partition)
        assert self._producer.flush(30) == 0

    def committed(self, topic: str) -> list[int]:
        """Tell how many rows of each partition are done with."""
        from confluent_kafka import TopicPartition

        with closing(self.consumer()) as probe:
            places = probe.committed([TopicPartition(topic, number) for number in PARTITIONS], 10)
        return [max(place.offset, 0) for place in places]


@pytest.fixture(autouse=True)
def _engine() -> None:
    need("confluent_kafka", "redis")


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    """Run one broker for all tests here; each has a topic of its own."""
    need("confluent_kafka")
    return Cluster()


@pytest.fixture
def topic() -> str:
    """Name a topic that no other test uses."""
    return next(TOPICS)


@pytest.fixture
def example(topic: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Lend the example, reading the test's topic."""
    module = load("examples/kafka_consumer.py")
    monkeypatch.setattr(module, "TOPIC", topic)
    return module


@pytest.fixture
def meta(texting: Any) -> Any:
    """Text each person who is in an event."""
    recipient = "order shipped:{person.properties.phone}"
    return texting(triggeringEventsAndNumber=recipient, allowedCountryCodes="+1")


@contextmanager
def consuming(example: ModuleType, cluster: Cluster, meta: Any) -> Iterator[None]:
    """Run the example's loop in a thread; it must end by itself when it is told to."""
    stopping = threading.Event()
    with ThreadPoolExecutor() as pool, closing(cluster.consumer(**example.SETTINGS)) as consumer:
        loop = pool.submit(example.consume, consumer, meta, stopping)
        try:
            yield
        finally:
            stopping.set()
            loop.result(30)


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds, but not for ever."""
    load("benchmarks/killed.py").until(holds, seconds)


def texted(fake_twilio: Any) -> list[str]:
    """List who was texted, in that order."""
    return [message.to for message in fake_twilio.outbox]


def test_what_needs_no_text_is_settled_too(
    example: ModuleType, cluster: Cluster, topic: str, meta: Any, fake_twilio: Any, caplog: Any
) -> None:
    """Other events, history, tombstones and garbage are passed over, and garbage is logged."""
    rows = [row(PHONES[0]), row(PHONES[1], "other"), b"garbage", None, b'{"event": 1}']
    rows += [row(PHONES[2], historical_migration=True), row(PHONES[3])]
    cluster.produce(topic, rows, 0)

    with consuming(example, cluster, meta):
        until(lambda: cluster.committed(topic) == [len(rows), 0, 0, 0])

    assert texted(fake_twilio) == [PHONES[0], PHONES[3]]
    assert [line.args for line in caplog.records if line.name == "kafka_consumer"] == [
        (0, 2),
        (0, 3),
        (0, 4),
    ]


def test_a_row_that_must_wait_keeps_its_place_and_holds_up_no_other_partition(
    example: ModuleType, cluster: Cluster, topic: str, meta: Any, fake_twilio: Any
) -> None:
    """What Twilio does not take now is tried again; the rows behind it wait, others go on."""
    fake_twilio.fail("no connection", times=6)
    cluster.produce(topic, [row(phone) for phone in PHONES[:3]], 0)

    with consuming(example, cluster, meta):
        until(lambda: len(fake_twilio.requests) >= 4)
        cluster.produce(topic, [row(PHONES[3])], 1)
        until(lambda: cluster.committed(topic) == [3, 1, 0, 0])

    assert sorted(texted(fake_twilio)) == PHONES[:4]
    assert [phone for phone in texted(fake_twilio) if phone != PHONES[3]] == PHONES[:3]


def test_a_row_that_waits_survives_a_rebalance(
    example: ModuleType, cluster: Cluster, topic: str, meta: Any, fake_twilio: Any
) -> None:
    """A partition that waited when it was taken away is read again once it is back."""
    fake_twilio.fail("no connection", times=10_000)
    cluster.produce(topic, [row(phone) for phone in PHONES[:8]], *PARTITIONS)

    with consuming(example, cluster, meta):
        until(lambda: len({request.value("To") for request in fake_twilio.requests}) == 4)
        with closing(cluster.consumer()) as other:
            other.subscribe([topic])
            until(lambda: not other.poll(0.1) and other.assignment())
        fake_twilio.reset()
        until(lambda: cluster.committed(topic) == [2, 2, 2, 2])

    assert sorted(texted(fake_twilio)) == PHONES[:8]


class Broken:
    """A consumer that has nothing but an error to give, and then ends."""

    def __init__(self, stopping: threading.Event, *, fatal: bool) -> None:
        self._stopping = stopping
        self._fatal = fatal

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        """Do nothing."""

    def poll(self, seconds: float) -> Broken:
        self._stopping.set()
        return self

    def error(self) -> Any:
        from confluent_kafka import KafkaError

        return KafkaError(KafkaError._TRANSPORT, "no broker", fatal=self._fatal)


def test_a_passing_error_is_logged(example: ModuleType, meta: Any, caplog: Any) -> None:
    """Most errors mend themselves in librdkafka; the loop tells and goes on."""
    stopping = threading.Event()
    example.consume(Broken(stopping, fatal=False), meta, stopping)

    assert "no broker" in caplog.text


def test_a_fatal_error_ends_it(example: ModuleType, meta: Any) -> None:
    """What librdkafka cannot mend is raised, so that whoever runs the process starts it again."""
    from confluent_kafka import KafkaException

    stopping = threading.Event()

    with pytest.raises(KafkaException, match="no broker"):
        example.consume(Broken(stopping, fatal=True), meta, stopping)


class Member:
    """The example in a process of its own, one of a group."""

    def __init__(self, folder: Path, prey: Sequence[str], when: str, kafka: Any) -> None:
        folder.mkdir()
        (folder / "plan.json").write_text(json.dumps({"lease": 6, "when": when, "prey": prey}))
        (folder / "kafka.json").write_text(json.dumps(kafka))
        (folder / "trap").touch()
        self.folder = folder
        self.process: Any = None

    @contextmanager
    def running(self, environment: dict[str, str]) -> Iterator[None]:
        ours = {"TRAP_FOLDER": str(self.folder), "KAFKA_CONFIG": str(self.folder / "kafka.json")}
        command = [sys.executable, ROOT / "tests" / "kafka_trapped.py"]
        log = self.folder / "consumer.log"
        with load("benchmarks/killed.py").process(command, log, {**environment, **ours}) as process:
            self.process = process
            yield

    @property
    def assigned(self) -> list[int]:
        path = self.folder / "assigned"
        return [int(number) for number in path.read_text().split()] if path.exists() else []

    @property
    def is_trapped(self) -> bool:
        return any(self.folder.glob("trapped*"))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return int(self.process.wait(30))


@pytest.mark.parametrize(
    ("when", "commits"),
    [("before", True), ("accepted", False)],
    ids=["before its request left", "before its first commit"],
)
def test_nothing_is_lost_or_sent_twice_when_one_of_three_is_killed(
    when: str, commits: bool, cluster: Cluster, topic: str, tmp_path: Path
) -> None:
    """
    Each of a hundred people is texted exactly once, though one consumer dies as it sends.

    Half of them have three events each, in different partitions; the one in whose message the
    consumer dies has a single one, so that no other event makes up for it.
    """
    need("redis", programs=("redis-server",))
    killed = load("benchmarks/killed.py")
    slow = {} if commits else {"auto.commit.interval.ms": 60_000}
    victim = Member(tmp_path / "victim", PHONES[50:], when, {**cluster.settings, **slow})
    others = [Member(tmp_path / name, [], when, cluster.settings) for name in ("second", "third")]
    everybody = [victim, *others]
    cluster.produce(topic, [row("", "other")], *PARTITIONS)

    def done() -> list[int]:
        """Tell up to where the victim's partitions are committed."""
        committed = cluster.committed(topic)
        return [committed[number] for number in victim.assigned]

    with ExitStack() as stack:
        environment = surroundings(stack, tmp_path, topic)
        for member in everybody:
            stack.enter_context(member.running(environment))
        until(lambda: sorted(chain(*(member.assigned for member in everybody))) == [*PARTITIONS])
        cluster.produce(topic, [row(phone) for phone in PHONES], *PARTITIONS)
        until(lambda: victim.is_trapped)
        until(lambda: any(place > 1 for place in done()) == commits)
        time.sleep(0.6 * commits)  # were the row in hand stored, it would be committed by now
        for turn in (1, 2):
            turned = [*PARTITIONS[turn:], *PARTITIONS[:turn]]
            cluster.produce(topic, [row(phone) for phone in PHONES[:50]], *turned)

        killed.kill_group(victim.process)
        until(lambda: sum(cluster.committed(topic)) == 1 + 100 + 50 + 50)
        codes = [member.stop() for member in others]

    lines = (tmp_path / "accepted.jsonl").read_text().splitlines()
    assert Counter(json.loads(line)["to"] for line in lines) == dict.fromkeys(PHONES, 1)
    assert codes == [0, 0]


def surroundings(stack: ExitStack, folder: Path, topic: str) -> dict[str, str]:
    """Start Redis and Twilio, write the config, and return where all this is."""
    killed = load("benchmarks/killed.py")
    redis_url = stack.enter_context(killed.redis_server(folder))
    config = killed.config(stack.enter_context(killed.twilio(folder)), in_doubt="ask")
    (folder / "config.json").write_text(json.dumps(config))
    return {
        "KAFKA_TOPIC": topic,
        "REDIS_URL": redis_url,
        "POSTHOG_TWILIO_CONFIG": str(folder / "config.json"),
    }
