"""Dotted paths into events."""

# ruff: noqa: RUF001 - look-alikes are the point

from collections import defaultdict
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthog_twilio.paths import Path, placeholders

EVENT = {
    "event": "order placed",
    "uuid": "018f3e6a-0000-7000-8000-000000000001",
    "distinct_id": "user_1",
    "properties": {
        "order": {"total": 12, "items": [{"name": "tea"}, {"name": "pot"}]},
        "$current_url": "https://example.com/",
        "first-name": "Ada",
        "nothing": None,
    },
    "person": {"id": "p1", "properties": {"email": "a@example.com"}},
    "$set": {"plan": "pro"},
}


class Hostile(Mapping):
    """A mapping that does nothing but raise."""

    def __getitem__(self, key):
        raise RuntimeError(key)

    def __iter__(self):
        raise RuntimeError("iter")

    def __len__(self):
        raise RuntimeError("len")

    def get(self, key, default=None):
        raise RuntimeError(key)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("event.event", "order placed"),
        ("event.distinct_id", "user_1"),
        ("event.properties.order.total", 12),
        ("event.properties.order.items.1.name", "pot"),
        ("event.properties.$current_url", "https://example.com/"),
        ("event.properties.first-name", "Ada"),
        ("event.person.id", "p1"),
        ("person.id", "p1"),
        ("person.properties.email", "a@example.com"),
        ("person.properties.plan", "pro"),
        ("person.properties", {"email": "a@example.com", "plan": "pro"}),
    ],
)
def test_finds(text, value):
    """A path finds what stands there, in the event or in what is known of its person."""
    assert Path.parse(text).get(EVENT) == value


@pytest.mark.parametrize(
    "text",
    [
        "event.missing",
        "event.properties.nothing",
        "event.properties.nothing.below",
        "event.properties.order.total.below",
        "event.properties.order.items.2.name",
        "event.properties.order.items.-1",
        "event.properties.order.items.name",
        "event.properties.order.items.٠",
        "event.event.0",
        "person.missing",
        "person.properties.missing",
    ],
)
def test_misses(text):
    """Where nothing stands, the path gives None."""
    assert Path.parse(text).get(EVENT) is None


@pytest.mark.parametrize(
    "text",
    ["event", "person", "foo", "foo.bar", "", ".", "event.", "event..x", "event.x.", "Event.event",
     "event.a b", "event.{x}", "held_back"],
)  # fmt: skip
def test_refuses(text):
    """An unknown root, a root alone and an empty name are refused with what was expected."""
    with pytest.raises(ValueError, match=r"event\. or person\.") as caught:
        Path.parse(text)

    assert repr(text) in str(caught.value)


def test_person_of_a_row():
    """In a row, where no person rides along, the person's properties are found all the same."""
    row = {"event": "e", "person_properties": {"email": "row@example.com"}}

    assert Path.parse("person.properties.email").get(row) == "row@example.com"
    assert Path.parse("person.id").get(row) is None


@pytest.mark.parametrize(
    "path", ["event.event", "person.id", "person.properties.email", "event.a.b"]
)
@pytest.mark.parametrize(
    "event",
    [
        None,
        5,
        "text",
        [],
        {},
        Hostile(),
        {"person": Hostile(), "a": Hostile()},
        {"person": 5, "a": "x"},
    ],
    ids=["None", "int", "str", "list", "empty", "hostile", "hostile inside", "scalars"],
)
def test_never_raises(path, event):
    """Whatever the event is, the worst answer is None."""
    assert Path.parse(path).get(event) is None


def test_looking_changes_nothing():
    """A mapping that makes missing values up is not filled by being asked."""
    properties = defaultdict(dict)

    assert Path.parse("event.properties.plan").get({"properties": properties}) is None
    assert not properties


@given(st.lists(st.from_regex(r"[^\s{}.]+", fullmatch=True), min_size=1), st.integers())
def test_any_names(keys, value):
    """A path of any names finds what is nested under them, and remembers its text."""
    event = value
    for key in reversed(keys):
        event = {key: event}
    path = Path.parse(".".join(["event", *keys]))

    assert path.get(event) == value
    assert Path.parse(path.text) == path


def test_placeholders():
    """Words in single and double braces are found, other braces are not."""
    text = (
        '{a}{{ b.c }}{ d.$e-f }{}{ 1 + 2 }{"a": 1}{hello world}{"a"}{:)}{{{event.x}}}{{y | z: "0"}}'
    )

    assert list(placeholders(text)) == ["a", "b.c", "d.$e-f", "event.x"]
