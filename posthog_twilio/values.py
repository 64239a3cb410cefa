"""
Values from an event, as they are shown to a person.

They are hostile until proven printable: anyone who has a project's public
token can post an event, so nothing in one may smuggle control characters into
a message, turn its reading order around, make it endless, or raise.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date, time
from typing import Any

from posthog_twilio.segments import shorten

MAX_UNITS = 300
"""No value takes more UTF-16 units of a message than this; the rest is cut visibly."""

_ENOUGH = 4 * MAX_UNITS  # leaves room for what is dropped
_MAX_DEPTH = 32
_MAX_BITS = 2100  # below 640 digits, the least that Python can be told to write in decimal
_BREAKS = re.compile(r"(?<! ) *[\t-\r\x1c-\x1f\x85\u2028\u2029][\t-\r\x1c-\x1f\x85\u2028\u2029 ]*")
_JOINERS = "\u200c\u200d"  # Persian and many emoji are misread without them


def shown(value: Any) -> str:
    """
    Write *value* on one line, in at most 300 UTF-16 units; never raises.

    ``None`` is empty and text is itself.  Numbers and booleans read as in JSON
    (``5.0`` as ``5``), mappings and lists are compact JSON, times ISO 8601.
    Line breaks become a blank; control and format characters and lone
    surrogates go.
    """
    try:
        text = _text(value)[:_ENOUGH]
    except Exception:  # noqa: BLE001 - a value's own class may raise anything
        return ""
    return shorten(text if text.isprintable() else _printable(text), None, MAX_UNITS)


def whole_pairs(text: str) -> str:
    """Join surrogates that belong together, and drop those that stand alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def _printable(text: str) -> str:
    text = _BREAKS.sub(" ", whole_pairs(text))
    return "".join(c for c in text if c in _JOINERS or unicodedata.category(c) not in ("Cc", "Cf"))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return str.__str__(value)  # an enum's text is its value
    if isinstance(value, Mapping | list | tuple):
        return _beginning(_json(value))
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value) if value.bit_length() <= _MAX_BITS else hex(value)
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return str.__str__(str(value))


def _decimal(value: float) -> str:
    """Write a number in plain digits from 1e-6 to 1e21, as JavaScript does, and without ``.0``."""
    text = float.__repr__(value)
    if not math.isfinite(value):
        return text
    if value.is_integer() and abs(value) < 1e21:
        return int.__repr__(int(value))
    digits, _, exponent = text.partition("e-")
    if not exponent or abs(value) < 1e-6:
        return text
    return f"{value:.{len(digits.partition('.')[2]) + int(exponent)}f}"


def _beginning(chunks: Iterator[str]) -> str:
    """Join *chunks* until there are enough: a cyclic list never ends."""
    text = ""
    for chunk in chunks:
        text += chunk
        if len(text) >= _ENOUGH:
            break
    return text


def _json(value: Any, depth: int = 0) -> Iterator[str]:
    if depth == _MAX_DEPTH:
        yield "..."
    elif isinstance(value, Mapping):
        items = (_entry(key, item, depth) for key, item in value.items())
        yield from _enclosed("{", items, "}")
    elif isinstance(value, list | tuple):
        yield from _enclosed("[", (_json(item, depth + 1) for item in value), "]")
    elif value is None or (isinstance(value, float) and not math.isfinite(value)):
        yield "null"
    elif isinstance(value, bool | int | float):
        yield _scalar(value)
    else:
        yield _quoted(value)


def _enclosed(opening: str, items: Iterator[Iterator[str]], closing: str) -> Iterator[str]:
    yield opening
    for i, item in enumerate(items):
        yield "," if i else ""
        yield from item
    yield closing


def _entry(key: Any, item: Any, depth: int) -> Iterator[str]:
    yield _quoted(key) + ":"
    yield from _json(item, depth + 1)


def _quoted(value: Any) -> str:
    return json.dumps(_text(value)[:_ENOUGH], ensure_ascii=False)
