"""
How much reading recordings costs over a bare ``json.loads`` loop.

    python benchmarks/parsing.py [EVENTS]

Writes recordings of several shapes into a temporary directory and times, for each, the fastest of
five rounds of ``for line in file: json.loads(line)`` against ``recordings.read`` with a look at
every event's name, and against one that reads timestamp and distinct_id too.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from posthog_twilio.recordings import read

BROWSER = {
    "$os": "Mac OS X",
    "$browser": "Chrome",
    "$current_url": "https://shop.example.com/cart?step=2",
    "$host": "shop.example.com",
    "$pathname": "/cart",
    "$screen_height": 1080,
    "$screen_width": 1920,
    "$lib": "web",
    "$lib_version": "1.200.0",
    "$insert_id": "k3j9x0v2q8",
    "$time": 1714564800.123,
    "$referrer": "$direct",
    "$session_id": "018f3e6a-0000-7000-8000-000000000001",
}


def tiny(number):
    """Make the smallest event."""
    return {"event": "order placed", "uuid": f"{number}", "distinct_id": f"user_{number % 99}"}


def sdk(number):
    """Make an event as an SDK posts it."""
    return {
        **tiny(number),
        "timestamp": "2024-05-01T12:00:00.123456+00:00",
        "properties": {**BROWSER, "total": number},
    }


def row(number):
    """Make a ClickHouse row: objects as JSON text."""
    event = sdk(number)
    return {
        **event,
        "properties": json.dumps(event["properties"]),
        "timestamp": "2024-05-01 12:00:00.123456",
        "team_id": 2,
        "elements_chain": "",
        "person_id": "018e0000-0000-7000-8000-000000000003",
        "person_properties": json.dumps({"email": "a@example.com"}),
    }


def webhook(number):
    """Make the body of a webhook."""
    return {"event": sdk(number), "person": {"id": "1", "properties": {"email": "a@example.com"}}}


def bare(path):
    """Only parse each line."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for line in file:
            json.loads(line)


def names(path):
    """Read each event and look at its name."""
    for event in read(path):
        event["event"]


def ordered(path):
    """Read each event, its time and its person."""
    for event in read(path):
        event["event"], event["timestamp"], event["distinct_id"]


def fastest(function, path):
    """Return the seconds of the fastest of five rounds."""

    def once():
        start = perf_counter()
        function(path)
        return perf_counter() - start

    return min(once() for _ in range(5))


def main():
    """Print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    print(f"{count} events, seconds and times the bare loop")
    print(f"{'recording':<18}{'bare':>8}{'names':>8}{'':>8}{'+ time, person':>16}")
    with tempfile.TemporaryDirectory() as folder:
        for shape in (tiny, sdk, row, webhook):
            text = "".join(json.dumps(shape(number)) + "\n" for number in range(count))
            plain = Path(folder, f"{shape.__name__}.jsonl")
            zipped = Path(folder, f"{shape.__name__}.jsonl.gz")
            plain.write_text(text)
            zipped.write_bytes(gzip.compress(text.encode(), 1))
            for path in (plain, zipped):
                base, some, more = (fastest(f, path) for f in (bare, names, ordered))
                ratios = f"{base:8.2f}{some:8.2f}{some / base:7.2f}x{more:8.2f}{more / base:7.2f}x"
                print(f"{path.name:<18}{ratios}")


if __name__ == "__main__":
    main()
