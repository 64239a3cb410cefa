"""
What the hook adds to a ``capture()`` of PostHog's own SDK that fires nothing.

::

    python benchmarks/before_send.py

Nothing leaves the process.  The SDK copies an event once more after any hook, so a
hook that does nothing stands beside ours.
"""

from __future__ import annotations

import sys
import time
from timeit import Timer
from typing import Any

from posthog_twilio import setup_plugin
from posthog_twilio.hosts.posthog_sdk import before_send

NUMBER = 50
ROUNDS = 100
PROPERTIES = {"$current_url": "https://shop.example/cart", "plan": "pro", "items": [1, 2, 3]}


def client(hook: Any) -> Any:
    """Make a client of the SDK that does all but send."""
    from posthog import Posthog

    return Posthog("phc_benchmark", send=False, before_send=hook)


def hooks() -> dict[str, Any]:
    """Return the hooks to compare."""
    meta = setup_plugin(
        {
            "accountSID": "AC" + "0" * 32,
            "authToken": "token",
            "senderPhoneNumber": "+15550199",
            "triggeringEventsAndNumber": "signup:+15550100",
        }
    )
    nothing = {"no hook": None, "a hook that does nothing": lambda message: message}
    return {**nothing, "before_send(meta)": before_send(meta)}


def microseconds() -> dict[str, float]:
    """Return the processor time of a capture with each hook: the best of rounds in turn."""
    timers = {}
    for name, hook in hooks().items():
        capture = client(hook).capture
        timers[name] = Timer(
            "capture('$pageview', distinct_id='1', properties=PROPERTIES)",
            globals={"capture": capture, "PROPERTIES": PROPERTIES},
            timer=time.thread_time,
        )
    rounds = [{n: t.timeit(NUMBER) for n, t in timers.items()} for _ in range(ROUNDS)]
    return {name: min(r[name] for r in rounds) / NUMBER * 1e6 for name in timers}


if __name__ == "__main__":
    costs = microseconds()
    print(f"CPython {sys.version.split()[0]}; microseconds a capture() that fires nothing")
    for name, cost in costs.items():
        added = cost - costs["no hook"]
        print(f"{name:<26}{cost:>7.1f}  +{added:>4.1f}  x{cost / costs['no hook']:.2f}")
