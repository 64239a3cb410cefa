"""
What an event costs that fires nothing, next to a bare function with one dict look-up.

::

    python benchmarks/matching.py
"""

from __future__ import annotations

import sys
from timeit import repeat

from posthog_twilio import on_event, setup_plugin

NUMBER = 500_000
EVENT = {"event": "$pageview", "uuid": "018f3e6a", "properties": {"$current_url": "https://e.com"}}


def bare(event, table):
    """Do the least that any filter by name must do."""
    return table.get(event["event"])


def plugin(triggers: int):
    """Set up a plugin of that many triggers."""
    return setup_plugin(
        {
            "accountSID": "AC" + "0" * 32,
            "authToken": "token",
            "senderPhoneNumber": "+15550199",
            "triggeringEventsAndNumber": {f"event {n}": "+15550100" for n in range(triggers)},
        }
    )


def seconds(statement: str, **names) -> float:
    """Return the best of several runs."""
    return min(repeat(statement, globals={**names, "event": EVENT}, number=NUMBER, repeat=7))


def ratios() -> dict[str, float]:
    """Return the cost of a miss as a multiple of the bare function's."""
    table = {f"event {n}": n for n in range(10)}
    base = seconds("bare(event, table)", bare=bare, table=table)
    found = {}
    for number in (10, 10_000):
        names = {"on_event": on_event, "meta": plugin(number)}
        for call in ("on_event(event, meta)", "meta.matches(event)"):
            found[f"{call}, {number:,} triggers"] = seconds(call, **names) / base
    return found


if __name__ == "__main__":
    print(f"CPython {sys.version.split()[0]}; a bare function with one dict look-up is 1.00")
    for name, ratio in ratios().items():
        print(f"{name:<40}{ratio:>6.2f}")
