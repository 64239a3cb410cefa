"""How values from events are written, and what they cannot do."""

import json
import math
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthog_twilio.segments import units
from posthog_twilio.values import shown


class Plan(str, Enum):
    PRO = "pro"


class Size(IntEnum):
    BIG = 3


class Raises:
    """An object that cannot be shown."""

    def __str__(self):
        raise RuntimeError("no")

    def __repr__(self):
        return "Raises()"  # for pytest


class Impostor(str):
    """Text that lies about itself."""

    def __str__(self):
        return "\x00" * 5000

    def isprintable(self):
        return True


class Endless(Mapping):
    """A mapping that never ends."""

    def __getitem__(self, key):
        return key

    def __iter__(self):
        while True:
            yield "k"

    def __len__(self):
        return 1


def cyclic_list():
    """Make a list that holds itself."""
    value = []
    value.append(value)
    return value


def cyclic_dict():
    """Make a mapping that holds itself."""
    value = {"a": 1}
    value["self"] = value
    return value


def deep_list():
    """Make a list nested deeper than Python can recurse."""
    value = []
    for _ in range(100_000):
        value = [value]
    return value


def wide_and_deep():
    """Make a small structure that prints as 10 to the power of 30 characters."""
    value = ["x"]
    for _ in range(30):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        (" as it is ", " as it is "),
        ("Größe ж 😀", "Größe ж 😀"),
        (Plan.PRO, "pro"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (Size.BIG, "3"),
        (10**30, "1" + "0" * 30),
        (5.0, "5"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (19.99, "19.99"),
        (1e16, "10000000000000000"),
        (123456789012345680.0, "123456789012345680"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
        (0.00001, "0.00001"),
        (-0.0000123, "-0.0000123"),
        (1e-6, "0.000001"),
        (1e-7, "1e-07"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        (Decimal("5.10"), "5.10"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 12, tzinfo=timezone.utc), "2024-02-29T12:00:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({}, "{}"),
        ([], "[]"),
        ({"a": [1, 2.0, None, True]}, '{"a":[1,2,null,true]}'),
        (['ж"{event.event}'], '["ж\\"{event.event}"]'),
        ((1, (2, 3)), "[1,[2,3]]"),
        ({1: math.nan, None: 1e-5}, '{"1":null,"":0.00001}'),
        ({"when": date(2024, 2, 29)}, '{"when":"2024-02-29"}'),
        ({"plan": Plan.PRO}, '{"plan":"pro"}'),
        ("a\nb", "a b"),
        ("a \r\n\t b", "a b"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("a  b", "a  b"),
        ("a\x00b\x1bc\x7f\x9b", "abc"),
        ("a\u202eb\u2066c\u200fd\ufeffe\u00adf\u200bg\U000e0041h", "abcdefgh"),
        ("👨‍👩‍👧 می‌خواهم ❤️", "👨‍👩‍👧 می‌خواهم ❤️"),
        ("\ud83d\ude00", "😀"),
        ("a\ud83db\ude00c\ud83d", "abc"),
        (Impostor("ok"), "ok"),
        (Raises(), ""),
        ([1, Raises()], ""),
    ],
    ids=repr,
)  # fmt: skip
def test_written(value, text):
    """Values are written as people and JSON write them, on one line."""
    assert shown(value) == text


@pytest.mark.parametrize(
    ("value", "beginning"),
    [
        ("x" * 301, "x" * 297 + "..."),
        ("x" * 10**7, "x" * 297 + "..."),
        ("ж" * 301, "ж" * 299 + "…"),
        ("😀" * 151, "😀" * 149 + "…"),
        (10**400, None),
        (10**100_000, "0x"),
        (cyclic_list(), "[" * 32 + "..." + "]" * 32),
        (cyclic_dict(), '{"a":1,"self":{"a":1,"self":'),
        (deep_list(), "[" * 32 + "..." + "]" * 32),
        (wide_and_deep(), "[" * 31),
        (Endless(), '{"k":"k","k":"k",'),
        ({"k" * 10**6: "v" * 10**6}, '{"kkk'),
        (list(range(10**6)), "[0,1,2,3"),
        (b"\xff" * 1000, "b'"),
    ],
    ids=["text", "long text", "UCS-2", "emoji", "big", "huge", "cyclic list", "cyclic dict", "deep",
         "wide", "endless", "long in dict", "long list", "bytes"],
)  # fmt: skip
def test_bounded(value, beginning):
    """However big a value is, 300 units of it are written, with a visible end."""
    text = shown(value)

    assert units(text) <= 300
    assert text.startswith(beginning or "1")
    assert text.endswith(("...", "…", "]"))


def test_just_fits():
    """A value of exactly the bound is not cut."""
    assert shown("x" * 300) == "x" * 300
    assert shown("😀" * 150) == "😀" * 150


def test_much_that_is_dropped_is_not_searched():
    """What stands behind a thousand invisible characters is not looked for."""
    assert shown("\u202e" * 5000 + "x") == ""
    assert shown("\u202e" * 1000 + "x") == "x"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back(value):
    """A float is written without loss."""
    assert json.loads(shown(value)) == value


scalars = st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False)
json_values = st.recursive(
    scalars | st.text("aж", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=4).filter(lambda value: "nf" not in repr(value)))
def test_lists_are_json(value):
    """A list that is short enough reads back as JSON."""
    text = shown(value)

    if units(text) < 290:
        assert json.loads(text) == value


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Lu"])))
def test_no_control_characters(text):
    """No text smuggles a control or format character, or half a pair, into a message."""
    written = shown(text)

    categories = {unicodedata.category(c) for c in written if c not in "\u200c\u200d"}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert units(written) <= 300


def test_many_blanks_cost_no_time():
    """Blanks without end do not make the clean-up slow."""
    assert shown(" " * 5000 + "\x00") == " " * 297 + "..."
