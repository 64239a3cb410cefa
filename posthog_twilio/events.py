"""
The shapes in which PostHog delivers events, read into plugin events.

PostHog hands the same event out in many forms: to a plugin, through Kafka, as the body of a
webhook, from its API, in batch exports, and as its SDKs post them.  :func:`parse_events` tells
them apart by their keys and gives them one form.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, AnyStr

from posthog_twilio.bodies import BLANK, unpacked
from posthog_twilio.errors import InvalidEvent
from posthog_twilio.fields import (
    NOT_JSON,
    as_timestamp,
    distinct_id,
    person_properties,
    timestamp,
    uuid,
)
from posthog_twilio.phone import mask
from posthog_twilio.plugin_event import Captured, Event

__all__ = [
    "Event",
    "as_timestamp",
    "distinct_id",
    "iter_events",
    "parse_events",
    "person_properties",
    "read_lines",
    "timestamp",
    "uuid",
]

_MAX_DEPTH = 8
_MAX_KEYS_SHOWN = 8
_BOM = "\ufeff"

_json = json.JSONDecoder().decode


def parse_events(payload: object) -> list[Mapping[str, Any]]:
    """
    Read any payload that PostHog delivers into plugin events.

    Args:
        payload: an event or a batch of them: a mapping, a list, or text or bytes of JSON or of
            JSON lines; gzipped, in base64 or in a form's ``data=`` too.  It is not changed.

    Returns:
        The events, each an :class:`Event`; none for an empty batch.

    Raises:
        InvalidEvent: if anything in it is no event; says where and what was seen there, in terms
            of types and keys, never values.  A Slack message is no event: it holds only text.

    """
    return [*map(_raised, iter_events(payload))]


def _raised(item: Event | InvalidEvent) -> Event:
    if isinstance(item, InvalidEvent):
        raise item
    return item


def iter_events(payload: object) -> Iterator[Event | InvalidEvent]:
    """Read a payload as :func:`parse_events` does, but yield each fault and go on."""
    if not isinstance(payload, (str, bytes, bytearray, memoryview)):
        yield from _events(payload)
        return
    try:
        text = unpacked(payload)
    except InvalidEvent as fault:
        yield fault
        return
    many = "\n" in text.strip()
    for number, item in read_lines(io.StringIO(text, newline="\n")):
        if many and isinstance(item, InvalidEvent):
            item = InvalidEvent(f"line {number}: {item}")  # noqa: PLW2901
        yield item
    if not text.strip(BLANK):
        yield InvalidEvent("expected a PostHog event, got empty text")


def read_lines(lines: Iterable[AnyStr]) -> Iterator[tuple[int, Event | InvalidEvent]]:
    """
    Read JSON lines, or one JSON document that spans several lines.

    Args:
        lines: text or bytes, each with its line end.  Blank ones are skipped.  One line at a time
            is held in memory; a document is held as a whole.

    Yields:
        The number of the line (the first is 1; for a document, where it begins), and an event or
        what is wrong.

    """
    rest = iter(lines)
    first = [_without_bom(line) for line in islice(rest, 1)]
    return _numbered_events(enumerate(chain(first, rest), 1), may_span=True)


def _numbered_events(
    numbered: Iterator[tuple[int, AnyStr]], *, may_span: bool
) -> Iterator[tuple[int, Event | InvalidEvent]]:
    for number, line in numbered:
        try:
            value = _json(line if isinstance(line, str) else line.decode())
        except NOT_JSON as error:
            if not line.strip():
                continue
            if may_span and _is_cut_short(error):
                whole = [line]
                whole += (later for _, later in numbered)
                yield from _document(number, whole)
                return
            yield number, InvalidEvent(_why_not_json(error))
        else:
            event = _plain(value)
            if event is not None:
                yield number, event
            else:
                for item in _events(value):
                    yield number, item
        may_span = False


def _document(start: int, lines: list[AnyStr]) -> Iterator[tuple[int, Event | InvalidEvent]]:
    whole = lines[0][:0].join(lines)
    try:
        value = _json(whole if isinstance(whole, str) else whole.decode())
    except NOT_JSON as error:
        one_by_one = [*_numbered_events(enumerate(lines, start), may_span=False)]
        if any(isinstance(item, Event) for _, item in one_by_one):
            yield from one_by_one  # JSON lines after all, the first of them broken
        else:
            line = min(getattr(error, "lineno", 1), len(lines))
            yield start + line - 1, InvalidEvent(_why_not_json(error))
    else:
        for item in _events(value):
            yield start, item


def _without_bom(line: AnyStr) -> AnyStr:
    if isinstance(line, str):
        return line.removeprefix(_BOM)
    return line.removeprefix(_BOM.encode())


def _is_cut_short(error: Exception) -> bool:
    """Tell whether the JSON was good up to the end of the line, where more was expected."""
    return isinstance(error, json.JSONDecodeError) and error.pos >= len(error.doc.rstrip())


def _why_not_json(error: Exception) -> str:
    if _is_cut_short(error):
        return "not JSON: cut short"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} (column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text (byte {error.start + 1})"
    if isinstance(error, RecursionError):
        return "not JSON: nested too deep"
    return "not JSON: a number with too many digits"


def _plain(value: object) -> Event | None:
    """Return the event in its most common forms: no wrapper around it.  The fast way."""
    if type(value) is dict:
        name = value.get("event")
        if (
            type(name) is str
            and name
            and "batch" not in value
            and "hook" not in value
            and "data" not in value
        ):
            return Event(value, name)
    return None


def _events(value: object, where: str = "", depth: int = 0) -> Iterator[Event | InvalidEvent]:
    if depth > _MAX_DEPTH:
        yield InvalidEvent(f"{where}expected a PostHog event, got batches in batches in batches")
        return
    if isinstance(value, (str, bytes)):
        yield from _quoted(value, where, depth)
        return
    key, members = _members(value)
    if members is None:
        yield _one(value, where)
        return
    for index, item in enumerate(members):
        event = _plain(item)
        if event is not None:
            yield event
        else:
            yield from _events(item, f"{where}{key}[{index}]: ", depth + 1)


def _quoted(text: str | bytes, where: str, depth: int) -> Iterator[Event | InvalidEvent]:
    """Read an event that is JSON text inside a batch, as queues hand messages out."""
    try:
        value = json.loads(text)
    except NOT_JSON:
        yield InvalidEvent(f"{where}expected a PostHog event, got {_seen(text)}")
    else:
        yield from _events(value, where, depth + 1)


def _members(value: object) -> tuple[str, Sequence[object] | None]:
    """Return the list inside a batch, a page or a list, and the key where it stands."""
    if isinstance(value, (list, tuple)):
        return "", value
    if isinstance(value, Mapping):
        if isinstance(batch := value.get("batch"), list):
            return "batch", batch
        if isinstance(results := value.get("results"), list) and "event" not in value:
            return "results", results
    return "", None


def _one(value: object, where: str) -> Event | InvalidEvent:
    if isinstance(value, Event):
        return value
    if not isinstance(value, Mapping):
        return InvalidEvent(f"{where}expected a PostHog event, got {_seen(value)}")
    raw = _unwrapped(value)
    name = raw.get("event")
    if isinstance(name, str) and name:
        return Event(raw, name)
    got = _seen(value) if name is None else f"an event whose name is {_seen(name)}"
    return InvalidEvent(f"{where}expected a PostHog event, got {got}")


def _unwrapped(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the event out of what PostHog puts around it."""
    event, data = value.get("event"), value.get("data")
    if isinstance(data, Mapping) and isinstance(value.get("hook"), Mapping):
        return data
    if isinstance(event, Mapping):
        beside = {key: value[key] for key in ("person", "groups") if value.get(key) is not None}
        return {**event, **beside, "event": event.get("event") or event.get("name")}
    if isinstance(data, str) and "token" in value:
        return Captured(value)
    return value


_TYPES: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    bytes: "bytes",
    list: "a list",
    tuple: "a list",
    type(None): "nothing",
}
_WORD = re.compile(r"[$A-Za-z_][$A-Za-z_0-9.-]{0,39}")


def _seen(value: object) -> str:
    """Describe a value by its type and its keys.  Keys that look like data are left out."""
    if isinstance(value, str):
        return "text" if value else "empty text"
    if not isinstance(value, Mapping):
        return _TYPES.get(type(value)) or f"a {type(value).__name__}"
    if not value:
        return "an empty object"
    words = [repr(key) for key in value if isinstance(key, str) and _WORD.fullmatch(key)]
    shown = [mask(word) for word in words[:_MAX_KEYS_SHOWN]]
    hidden = len(value) - len(shown)
    return f"an object with the keys {', '.join([*shown, *[f'{hidden} more'] * bool(hidden)])}"
