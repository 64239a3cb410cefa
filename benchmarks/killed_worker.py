"""
The worker that killed.py kills: examples/celery_worker.py on a shorter lease, with a trap.

While the file ``trap`` is there, a request to one of the ``prey`` numbers stops: just before
it leaves, or when Twilio's answer is there and nobody has read it.  The process says so
in a file and waits, in the middle of a send, to be killed.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from examples.celery_worker import app
from posthog_twilio import _http, claims, plugin

FOLDER = Path(os.environ["KILLED_FOLDER"])
PLAN = json.loads((FOLDER / "plan.json").read_text())

claims.LEASE = PLAN["lease"]
plugin.PATIENCE = PLAN["lease"] * 2 / 3  # long enough to ask Twilio before
app.conf.broker_transport_options = {
    "visibility_timeout": PLAN["lease"] + 1,
    "unacked_restore_interval": 0.5,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 2,
}

request = _http.PooledHttpClient.request


def trapped_request(self: Any, method: str, url: str, **options: Any) -> Any:
    """Make the request, and fall into the trap on this or the other side of it."""
    prey = (options.get("data") or {}).get("To") in PLAN["prey"]
    if prey and PLAN["when"] == "before":
        trap(options["data"]["To"])
    reply = request(self, method, url, **options)
    if prey and PLAN["when"] == "accepted":
        trap(options["data"]["To"])
    return reply


def trap(number: str) -> None:
    """Wait for as long as the trap is set."""
    if (FOLDER / "trap").exists():
        note = FOLDER / f"note{number}"
        note.write_text(str(os.getpid()))
        note.rename(FOLDER / f"trapped{number}")  # whoever sees it can read it
    while (FOLDER / "trap").exists():
        time.sleep(0.02)


_http.PooledHttpClient.request = trapped_request
