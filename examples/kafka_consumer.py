"""
Kafka: texts about the rows of PostHog's topic clickhouse_events_json, in any number of processes.

    python examples/kafka_consumer.py

Start it as often as the topic has partitions; SIGTERM ends it cleanly.  It reads the parameters of
plugin.json from the file that ``POSTHOG_TWILIO_CONFIG`` names (``config.json``) and librdkafka's
settings from the one that ``KAFKA_CONFIG`` names (``kafka.json``, for example
``{"bootstrap.servers": "kafka:9092"}``).  Redis is at ``REDIS_URL``.

    pip install 'posthog-twilio[redis]' confluent-kafka
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from redis import Redis

from posthog_twilio import Meta, RetryError, on_event, setup_plugin, teardown_plugin
from posthog_twilio.caches import RedisCache
from posthog_twilio.events import parse_events

TOPIC = os.environ.get("KAFKA_TOPIC", "clickhouse_events_json")
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
SETTINGS = {
    "group.id": "posthog-twilio",
    "auto.offset.reset": "earliest",  # "latest" would skip what came before the first commit
    "enable.auto.offset.store": False,  # we store; librdkafka commits that every 5 s and at the end
}
log = logging.getLogger("kafka_consumer")


def consume(consumer: Consumer, meta: Meta, stopping: threading.Event) -> None:
    """Text about each row; its offset is stored, and later committed, once its fate is known."""
    waiting: dict[int, tuple[float, int, Message]] = {}

    def forget(_: Consumer, revoked: list[TopicPartition]) -> None:
        consumer.resume(revoked)  # else they are still paused should they ever come back
        for place in revoked:  # whoever gets them begins with the row that waits here
            waiting.pop(place.partition, None)

    consumer.subscribe([TOPIC], on_revoke=forget)
    while not stopping.is_set():
        for message, tries in (polled(consumer), overdue(waiting)):
            if message is None:
                continue
            place = TopicPartition(TOPIC, message.partition(), message.offset() + 1)
            if is_settled(message, meta):
                consumer.store_offsets(offsets=[place])
                if tries:
                    consumer.resume([place])
            else:  # only this partition waits: polling goes on, so the group knows us alive
                consumer.pause([place])
                due = time.monotonic() + 2 ** min(tries, 6)
                waiting[place.partition] = due, tries + 1, message


def is_settled(message: Message, meta: Meta) -> bool:
    """Text whom the row concerns; what can never be sent is settled too, or it would block."""
    try:
        for event in filter(meta.matches, parse_events(message.value())):
            if not event.get("historical_migration"):
                on_event(event, meta)
    except RetryError:
        return False
    except Exception:
        log.exception("skipped partition %d, offset %d", message.partition(), message.offset())
    return True


def polled(consumer: Consumer) -> tuple[Message | None, int]:
    """Return a new row, if one comes."""
    message = consumer.poll(0.5)
    if message is not None and (error := message.error()):
        if error.fatal():
            raise KafkaException(error)
        log.warning("%s", error)
        return None, 0
    return message, 0


def overdue(waiting: dict[int, tuple[float, int, Message]]) -> tuple[Message | None, int]:
    """Return a row that has waited long enough, if there is one, and how often it was tried."""
    for partition, (due, tries, message) in waiting.items():
        if due <= time.monotonic():
            del waiting[partition]
            return message, tries
    return None, 0


def main() -> None:
    """Consume until SIGTERM or SIGINT; the message in hand is finished first."""
    logging.basicConfig(level=logging.INFO)
    config = json.loads(Path(os.environ.get("POSTHOG_TWILIO_CONFIG", "config.json")).read_bytes())
    kafka = json.loads(Path(os.environ.get("KAFKA_CONFIG", "kafka.json")).read_bytes())
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    meta = setup_plugin(config, cache=RedisCache(Redis.from_url(REDIS_URL)))
    consumer = Consumer(SETTINGS | kafka)
    try:
        consume(consumer, meta, stopping)
    finally:
        consumer.close()
        teardown_plugin(meta)


if __name__ == "__main__":
    main()
