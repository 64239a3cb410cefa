"""
How long an action takes to decide: ``python benchmarks/actions.py``.

Each line is the best of several runs, in microseconds, and as a multiple of a
bare Python function that looks one key up in a dict.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Mapping
from typing import Any

from posthog_twilio.actions import Action

WRAPPER = (
    'div.c{0}.wrap:attr__class="wrap c{0}"attr__style="color: red; top: {0}px"'
    'nth-child="{0}"nth-of-type="1"'
)
BUTTON = (
    'button.btn.btn-primary:attr__class="btn btn-primary"attr__data-attr="checkout-pay"'
    'attr__id="pay"attr_id="pay"nth-child="3"nth-of-type="2"text="Pay now"'
)
CHAIN = ";".join(
    [
        'span:nth-child="1"nth-of-type="1"text="Pay now"',
        BUTTON,
        *(WRAPPER.format(i) for i in range(17)),
        'body:nth-child="2"nth-of-type="1"',
    ]
)
CLICK = {
    "event": "$autocapture",
    "properties": {"$current_url": "https://acme.test/checkout/5/pay"},
    "elements_chain": CHAIN,
}
DEEP = {"event": "$autocapture", "elements": [{"attr_class": ["a"]}] * 200}
SELECTOR = '.c3 .c0 > button[data-attr="checkout-pay"]'


def at(url: str) -> Mapping[str, Any]:
    """Make an event at a url."""
    return {"event": "$pageview", "properties": {"$current_url": url}}


CASES: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "another event's name": ({"event": "other", "selector": SELECTOR}, CLICK),
    "name only": ({"event": "$autocapture"}, CLICK),
    "url contains": ({"url": "/checkout/"}, CLICK),
    "url contains %": ({"url": "/checkout/%/pay"}, CLICK),
    "url regex": ({"url": r"/checkout/\d+", "url_matching": "regex"}, CLICK),
    "three property filters": (
        {"properties": [{"key": k, "operator": "is_not", "value": "x"} for k in "abc"]},
        CLICK,
    ),
    "url, text and selector, 20 elements": (
        {"url": "/checkout/%/pay", "text": "Pay now", "selector": SELECTOR},
        CLICK,
    ),
    "hostile: (a+)+$ on 5 kB": ({"url": "(a+)+$", "url_matching": "regex"}, at("a" * 5000 + "!")),
    "hostile: %a%a%a... on 5 kB": ({"url": "%a" * 2500 + "b"}, at("a" * 5000)),
    "hostile: _a%_a%... on 5 kB": ({"url": "_a%" * 1600 + "b"}, at("a" * 5000)),
    "hostile: 10 parts on 200 elements": (
        {"selector": ".a > .a .a > .a .a > .a .a > .a .a .b"},
        DEEP,
    ),
}


def microseconds(call: Callable[[], object]) -> float:
    """Return the best time of one call."""
    timer = timeit.Timer(call)
    number, _ = timer.autorange()
    return min(timer.repeat(5, max(number // 5, 1))) / max(number // 5, 1) * 1e6


def main() -> None:
    """Print the table."""
    table = {"$autocapture": ()}

    def bare(event: Mapping[str, Any]) -> object:
        return table.get(event["event"])

    base = microseconds(lambda: bare(CLICK))
    print(f"{'a bare function with one look-up':40} {base:10.2f} us {1:9.1f} x")
    for name, (step, event) in CASES.items():
        action = Action.parse({"name": "A", "steps": [step]})
        took = microseconds(lambda action=action, event=event: action.matches(event))  # type: ignore[misc]
        note = "".join(action.warnings)
        print(f"{name:40} {took:10.2f} us {took / base:9.1f} x {note}")


if __name__ == "__main__":
    main()
