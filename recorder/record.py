"""
Record what PostHog's SDKs send: a browser on a small shop, and the shop's back end.

Usage: ``python recorder/record.py [--out FOLDER]``; see README.md beside this file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from backend import moment, report, timeline
from capture import HERE, Shop, make_certificate, serve


def record_web(shop: Shop) -> list[Any]:
    """Play the visits in Chromium and return the bodies that posthog-js sent."""
    with tempfile.TemporaryDirectory() as folder:
        server = serve(shop, make_certificate(Path(folder)))
        address = f"https://127.0.0.1:{server.server_port}"
        subprocess.run(["node", HERE / "visits.mjs", HERE / "story.json", address], check=True)
        server.shutdown()
    return shop.take_bodies()


def record_backend(shop: Shop) -> list[Any]:
    """Report what the visits caused, and return the bodies that the Python SDK sent."""
    server = serve(shop)
    host = f"http://127.0.0.1:{server.server_port}"
    facts = timeline(shop.story, shop.journal)
    report(facts, host, shop.story["token"], moment(shop.story["capture_v1_from"]))
    server.shutdown()
    return shop.take_bodies()


def as_lines(bodies: list[Any]) -> bytes:
    """Return one JSON text a line; refuse what would tell where it was recorded."""
    text = "".join(json.dumps(body, ensure_ascii=False) + "\n" for body in bodies)
    for private in ("127.0.0.1", "localhost", str(Path.home()), str(HERE), socket.gethostname()):
        if re.search(rf"(?<!\w){re.escape(private)}(?!\w)", text):
            raise SystemExit(f"the recording holds {private!r}, which must not leave this machine")
    return text.encode()


def write(path: Path, bodies: list[Any]) -> None:
    data = as_lines(bodies)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    events = sum(len(body["batch"]) for body in bodies)
    print(f"{path}: {len(bodies)} bodies, {events} events, {path.stat().st_size} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description="Record the shop's events.")
    parser.add_argument("--out", type=Path, default=HERE.parent / "recordings")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    shop = Shop(json.loads((HERE / "story.json").read_text(encoding="utf-8")))
    write(folder / shop.story["recordings"]["web"], record_web(shop))
    write(folder / shop.story["recordings"]["backend"], record_backend(shop))
    return 0


if __name__ == "__main__":
    sys.exit(main())
