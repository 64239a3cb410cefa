"""examples/kafka_consumer.py, on librdkafka's own mock cluster, one of three killed for real."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from engines import ROOT, load, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import ModuleType

PARTITIONS = range(4)
LEASE = 6.0
QUICK = {
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 500,
    "auto.commit.interval.ms": 200,
}
PHONES = [f"+1555010{number:04}" for number in range(100)]
TOPICS = (f"events{number}" for number in count())


def row(phone: str, name: str = "signup", **columns: Any) -> bytes:
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
    recipient = "signup:{person.properties.phone}"
    return texting(triggeringEventsAndNumber=recipient, allowedCountryCodes="+1")


@contextmanager
def consuming(example: ModuleType, cluster: Cluster, meta: Any) -> Iterator[None]:
    """Run the example's loop in a thread; it must end by itself when it is told to."""
    stopping, errors = threading.Event(), []
    consumer = cluster.consumer(**example.SETTINGS)

    def run() -> None:
        try:
            example.consume(consumer, meta, stopping)
        except BaseException as error:
            errors.append(error)
        finally:
            consumer.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(30)
    assert not thread.is_alive()
    assert errors == []


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    load("benchmarks/killed.py").until(holds, seconds)


def texted(fake_twilio: Any) -> list[str]:
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
    """While Twilio takes nothing for one row, it is tried again; its partition waits, others go on."""
    fake_twilio.fail("no connection", times=6)
    cluster.produce(topic, [row(phone) for phone in PHONES[:3]], 0)

    with consuming(example, cluster, meta):
        until(lambda: len(fake_twilio.requests) >= 4)
        cluster.produce(topic, [row(PHONES[3])], 1)
        until(lambda: cluster.committed(topic) == [3, 1, 0, 0])

    assert sorted(texted(fake_twilio)) == PHONES[:4]
    assert [phone for phone in texted(fake_twilio) if phone != PHONES[3]] == PHONES[:3]
