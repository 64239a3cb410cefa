"""
How long a replay takes, compared with a bare ``json.loads`` loop over the same file.

    python benchmarks/replay.py [EVENTS]

Writes recordings into a temporary directory, in which one event in a hundred matches, and takes
the CPU time of the fastest of five rounds of each, the command's whole work included.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import process_time

from posthog_twilio.cli import main

START = datetime(2026, 3, 2, tzinfo=timezone.utc)
CONFIG = {
    "triggeringEventsAndNumber": "payment failed:+15550100001",
    "senderPhoneNumber": "+15550199000",
    "timeout": 3600,
}
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
SHAPES = {"tiny": {}, "posthog-js": BROWSER}


def event(number, properties):
    """Make one event; one in a hundred matches."""
    return {
        "event": "payment failed" if number % 100 == 0 else f"page {number % 50}",
        "uuid": f"{number:032x}",
        "distinct_id": f"user_{number % 99}",
        "timestamp": (START + timedelta(seconds=number)).isoformat(),
        "properties": properties,
    }


def bare(path):
    """Do what any reader must do at least."""
    with path.open() as file:
        for line in file:
            json.loads(line)


def replay(path, config):
    """Run the command."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["replay", str(path), "--config", str(config)]) == 0


def fastest(work, *arguments):
    """Return the CPU seconds of the fastest round."""
    rounds = []
    for _ in range(5):
        start = process_time()
        work(*arguments)
        rounds.append(process_time() - start)
    return min(rounds)


def compare(events, folder):
    """Print a line for each shape."""
    config = folder / "config.json"
    config.write_text(json.dumps(CONFIG))
    for name, properties in SHAPES.items():
        path = folder / f"{name}.jsonl"
        with path.open("w") as file:
            file.writelines(json.dumps(event(n, properties)) + "\n" for n in range(events))
        loop, ours = fastest(bare, path), fastest(replay, path, config)
        print(
            f"{name:12} {events:,} events: json.loads {loop:.2f} s, "
            f"replay {ours:.2f} s, {ours / loop:.2f} times"
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        compare(int(sys.argv[1]) if sys.argv[1:] else 200_000, Path(folder))
