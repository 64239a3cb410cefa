"""No event stops an action, and none keeps it busy for long."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthog_twilio.actions import Action
from posthog_twilio.actions.chain import parse_chain

EVERYTHING = Action.parse({
    "name": "Everything",
    "steps": [
        {"event": "a", "url": "x%y", "text": "t", "selector": "a .b[c='d']:nth-child(2)"},
        {"text": "t_%", "text_matching": "contains"},
        {"href": "/x", "href_matching": "regex"},
        {"tag_name": "a"},
        *(
            {"properties": [{"key": "k", "operator": operator, "value": value, "type": kind,
                             "group_type_index": 0}]}
            for kind in ("event", "person", "group")
            for operator, value in (
                ("exact", ["a", 5, True]), ("is_not", "x"), ("icontains", "a%"), ("regex", "a"),
                ("gt", 5), ("between", [1, 2]), ("is_date_after", "2026-01-01"), ("is_set", 1),
            )
        ),
        {"properties": [{"key": "text", "type": "element", "operator": "gt", "value": 1}]},
        {"properties": [{"key": "distinct_id", "type": "person", "value": "x"}]},
    ],
})  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ELEMENT = st.fixed_dictionaries({}, optional=dict.fromkeys(
    ("tag_name", "text", "$el_text", "href", "attr_class", "attr__class", "attr_id", "attributes",
     "nth_child", "attr__c", "attr__href"), ANY,
)) | ANY  # fmt: skip
FIELDS = {
    "event": ANY, "distinct_id": ANY, "person": ANY, "person_properties": ANY, "$set": ANY,
    "elements_chain": ANY, "elements": st.lists(ELEMENT, max_size=3) | ANY, "groups": ANY,
    "elementsList": ANY, "group0_properties": ANY,
    "properties": ANY | st.fixed_dictionaries({}, optional={
        "$elements": st.lists(ELEMENT, max_size=3) | ANY, "$elements_chain": ANY, "k": ANY,
        "$current_url": ANY, "$set": ANY, "$set_once": ANY,
    }),
}  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(ANY | st.fixed_dictionaries({}, optional=FIELDS))
def test_any_event_is_decided(caplog, event):
    """Whatever stands in the fields of an event, the answer is a bool, and found without help."""
    with caplog.at_level(logging.ERROR, "posthog_twilio.actions"):
        assert EVERYTHING.matches(event) in (True, False)

    assert caplog.records == []


@pytest.mark.parametrize("event", [None, 5, "a", [], [("event", "a")], object()])
def test_no_mapping(event):
    """What is no mapping fires nothing, not even a step without a condition."""
    assert not Action.parse({"name": "A", "steps": [{}]}).matches(event)


def test_cyclic_and_deep_events():
    """An event that holds itself, or is nested without end, is decided all the same."""
    cyclic = {"event": "a", "distinct_id": "x"}
    cyclic["properties"] = cyclic["person"] = cyclic["groups"] = cyclic["k"] = cyclic
    cyclic["elements"] = [cyclic, {"attributes": cyclic, "tag_name": "q", "attr_class": []}]
    deep = []
    for _ in range(sys.getrecursionlimit() * 3):
        deep = [deep]
    fields = dict.fromkeys(
        ("properties", "person", "elements", "groups", "person_properties"), deep
    )

    for event in (cyclic, {"event": "a", **fields}, {"properties": {"k": deep, "$elements": deep}}):
        assert EVERYTHING.matches(event) in (True, False)
    many = "[" * 100_000
    assert EVERYTHING.matches({"person_properties": many, "group0_properties": many}) in (
        True,
        False,
    )


class Broken(Mapping):
    """A mapping of a host's own that fails in the field *bad*."""

    def __init__(self, bad):
        self.bad = bad

    def __getitem__(self, key):
        if key == self.bad:
            raise OSError("secret")
        return {"event": "a", "properties": {}}[key]

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 2


def test_broken_mapping(caplog):
    """An event that raises when it is read fires nothing and is logged; other steps count."""
    action = Action.parse({"name": "A", "steps": [{"tag_name": "a"}, {"event": "a"}]})

    assert not action.matches(Broken("event"))
    assert action.matches(Broken("elements"))
    assert [r.getMessage() for r in caplog.records] == [
        "action 'A': unreadable event: OSError",
        "action 'A', step 1: not decided: OSError",
    ]


CLASSES = 'attr__class="wrap c{0}"attr__style="color: red; top: {0}px"'
WRAPPER = "div.c{0}.wrap:" + CLASSES + 'nth-child="{0}"nth-of-type="1"'
BUTTON = (
    'button.btn.btn-primary:attr__class="btn btn-primary"attr__data-attr="checkout-pay"'
    'attr__id="pay"attr_id="pay"nth-child="3"nth-of-type="2"text="Pay now"'
)
SPAN, BODY = 'span:nth-child="1"nth-of-type="1"text="Pay now"', 'body:nth-child="2"nth-of-type="1"'
CHAIN = ";".join([SPAN, BUTTON, *(WRAPPER.format(i) for i in range(17)), BODY])


def fastest(call, times=7):
    """Return the CPU seconds that *call* takes when the machine is at its best."""
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def test_an_ordinary_decision_is_quick():
    """Url, text and selector on a chain of 20 elements take well under a millisecond."""
    selector = '.c3 .c0 > button[data-attr="checkout-pay"]'
    step = {"url": "/checkout/%/pay", "text": "Pay now", "selector": selector}
    action = Action.parse({"name": "A", "steps": [step]})
    properties = {"$current_url": "https://acme.test/checkout/5/pay"}
    event = {"event": "$autocapture", "properties": properties, "elements_chain": CHAIN}

    assert action.matches(event)
    assert len(parse_chain(CHAIN)) == 20
    assert fastest(lambda: [action.matches(event) for _ in range(50)]) / 50 < 0.0005


def url_event(url):
    """Make an event at a url."""
    return {"event": "e", "properties": {"$current_url": url}}


DEEP = {"event": "e", "elements": [{"attr_class": ["a"]}] * 200}
A_LOT = "a" * 5000
HOSTILE = [
    ({"url": "(a+)+$", "url_matching": "regex"}, url_event(A_LOT + "!")),
    ({"url": "(a|a)*?(a|a)*?b", "url_matching": "regex"}, url_event(A_LOT)),
    ({"url": "%a" * 2500 + "b"}, url_event(A_LOT)),
    ({"url": "a%" * 2500 + "b"}, url_event("a\n" * 2500)),
    ({"url": "_a%" * 1600 + "b"}, url_event(A_LOT)),
    ({"url": "_" * 5000 + "b"}, url_event(A_LOT)),
    ({"url": "a" * 2500 + "b"}, url_event(A_LOT)),
    ({"url": "a%\n" * 1000 + "b"}, url_event("a\n" * 2500)),
    ({"text": "_a%" * 1600 + "b", "text_matching": "contains"}, {"elements": [{"text": A_LOT}]}),
    ({"selector": " ".join([".a"] * 9) + " > .b"}, DEEP),
    ({"selector": ".a > .a .a > .a .a > .a .a > .a .a .b"}, DEEP),
    ({"selector": " ".join(['.a[x="y"]'] * 10)}, DEEP),
]


@pytest.mark.parametrize(("step", "event"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_patterns(step, event):
    """Input made to exhaust a backtracking matcher is decided in milliseconds."""
    pytest.importorskip("re2")
    action = Action.parse({"name": "A", "steps": [step]})
    assert action.warnings == ()

    assert not action.matches(event)
    assert fastest(lambda: action.matches(event)) < 0.05


CHAINS = [
    '"', r"\"", r'"\"', ":a=", r':x="\"=', "a", ":", ".", ";", "\\", ' ":="', 'a:=\\"', ':a="b',
    "=", "\\n", " ", 'a:b="', 'x="', '="', "a=", ":\\",
]  # fmt: skip


@pytest.mark.parametrize("piece", CHAINS)
def test_hostile_chains(piece):
    """A malformed chain costs time in proportion to its length, whatever it is made of."""
    start = '"' if piece == r"\"" else ""
    short, long = (start + piece * (size // len(piece)) for size in (20_000, 80_000))

    assert fastest(lambda: parse_chain(long), 3) < 12 * fastest(lambda: parse_chain(short)) + 0.02


@pytest.mark.parametrize(
    "piece", ["\\", ".a", '[a="', "[a", "> ", ".a > ", "[ ", "\\a", "*", ":nth-child(1)", "> * "]
)
def test_hostile_selectors(piece):
    """A long selector is read in proportion to its length, or refused."""
    texts = ["a " + piece * (size // len(piece)) for size in (5_000, 20_000)]
    definitions = [{"name": "A", "steps": [{"selector": text}]} for text in texts]

    short, long = (fastest(lambda d=d: Action.parse(d), 3) for d in definitions)
    assert long < 12 * short + 0.02
