"""
Kafka: texts about the rows of PostHog's topic clickhouse_events_json, in any number of processes.

    python examples/kafka_consumer.py

Start it as often as the topic has partitions.  It reads the parameters of plugin.json from the
file that ``POSTHOG_TWILIO_CONFIG`` names (``config.json``), librdkafka's settings from the one
that ``KAFKA_CONFIG`` names (``kafka.json``, such as ``{"bootstrap.servers": "kafka:9092"}``), the
topic from ``KAFKA_TOPIC``, and finds Redis at ``REDIS_URL``.  SIGTERM ends it cleanly.

    pip install posthog-twilio[redis] confluent-kafka
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

SETTINGS = {
    "group.id": "posthog-twilio",
    "auto.offset.reset": "earliest",  # "latest" skips what came before there was a commit
    "enable.auto.offset.store": False,  # of what is stored, librdkafka commits the offset by itself
}
LONGEST_WAIT = 60.0

log = logging.getLogger("kafka_consumer")


def consume(consumer: Consumer, topic: str, meta: Meta, stopping: threading.Event) -> None:
    """Text about each row of *topic*; a row's offset is committed after its outcome."""
    waiting: dict[tuple[str, int], tuple[float, int, Message]] = {}

    def forget(_: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:  # whoever has it now begins with the row that waits here
            waiting.pop((partition.topic, partition.partition), None)

    consumer.subscribe([topic], on_revoke=forget, on_lost=forget)
    while not stopping.is_set():
        message, tries = next_row(consumer, waiting)
        if message is None:
            continue
        place = TopicPartition(message.topic(), message.partition(), message.offset() + 1)
        key = (place.topic, place.partition)
        if deliver(message, meta):
            consumer.store_offsets(offsets=[place])
            consumer.resume([place])
        else:  # the partition waits, and poll() goes on for the others, so nobody thinks us dead
            waiting[key] = time.monotonic() + min(2.0**tries, LONGEST_WAIT), tries + 1, message
            consumer.pause([place])
