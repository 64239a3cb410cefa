"""examples/kafka_consumer.py in a process of its own, trapped, telling which partitions it has."""

from __future__ import annotations

from typing import Any

from benchmarks.trap import FOLDER
from examples import kafka_consumer


class TellingConsumer(kafka_consumer.Consumer):
    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        super().subscribe(topics, on_assign=tell, **callbacks)


def tell(_: Any, partitions: list[kafka_consumer.TopicPartition]) -> None:
    note = FOLDER / "note"
    note.write_text(" ".join(str(place.partition) for place in partitions))
    note.rename(FOLDER / "assigned")


if __name__ == "__main__":
    kafka_consumer.Consumer = TellingConsumer
    kafka_consumer.main()
