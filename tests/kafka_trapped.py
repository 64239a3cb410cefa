"""examples/kafka_consumer.py in a process of its own: trapped, and telling what it is assigned."""

from __future__ import annotations

from typing import Any

import kafka_consumer
from trap import FOLDER


class TellingConsumer(kafka_consumer.Consumer):
    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        super().subscribe(topics, on_assign=tell, **callbacks)


def tell(_: Any, places: list[kafka_consumer.TopicPartition]) -> None:
    """Leave the partitions in a file."""
    note = FOLDER / "note"
    note.write_text(" ".join(str(place.partition) for place in places))
    note.rename(FOLDER / "assigned")


if __name__ == "__main__":
    kafka_consumer.Consumer = TellingConsumer
    kafka_consumer.main()
