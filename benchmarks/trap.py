"""
A trap for a process that sends, in which it can be killed at a chosen moment.

Imported before anything is sent, it shortens the lease.  While the file ``trap`` is there, a
message to one of the ``prey`` stops: just before its request leaves, or when Twilio's answer is
there and nobody has read it.  The process leaves its ID in a file, and waits to be killed.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from posthog_twilio import _http, claims, plugin

FOLDER = Path(os.environ["TRAP_FOLDER"])
PLAN = json.loads((FOLDER / "plan.json").read_text())

request = _http.PooledHttpClient.request


def trapped_request(self: Any, method: str, url: str, **options: Any) -> Any:
    """Make a request; a message to the prey gets stuck on this or the other side of it."""
    number = (options.get("data") or {}).get("To")
    if number not in PLAN["prey"]:
        return request(self, method, url, **options)
    if PLAN["when"] == "before":
        stick(number)
    reply = request(self, method, url, **options)
    if PLAN["when"] == "accepted":
        stick(number)
    return reply


def stick(number: str) -> None:
    """Wait for as long as the trap is set."""
    if (FOLDER / "trap").exists():
        note = FOLDER / f"note{number}"
        note.write_text(str(os.getpid()))
        note.rename(FOLDER / f"trapped{number}")  # whoever sees it finds all of it
    while (FOLDER / "trap").exists():
        time.sleep(0.02)


claims.LEASE = PLAN["lease"]
plugin.PATIENCE = PLAN["lease"] * 2 / 3  # long enough to ask Twilio before a send
_http.PooledHttpClient.request = trapped_request  # type: ignore[assignment,method-assign]
