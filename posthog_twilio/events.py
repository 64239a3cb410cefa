"""
The shapes in which PostHog delivers events, read into plugin events.

PostHog hands the same event out in many forms: to a plugin, through Kafka, as the body of a
webhook, from its API, in batch exports, and as its SDKs post them.  :func:`parse_events` tells
them apart by their keys and gives them one form.  The functions before it read one field each
from a plugin event of any make, a plain ``dict`` included.
"""

from __future__ import annotations

import io
import json
import logging
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import chain, islice
from typing import Any, AnyStr
from urllib.parse import parse_qs
from uuid import UUID

from posthog_twilio.errors import InvalidEvent
from posthog_twilio.phone import mask

log = logging.getLogger(__name__)

_MAX_UNZIPPED = 256 * 2**20
"""Bytes; a small gzipped body can hold more than any memory."""
_MAX_DEPTH = 8
_MAX_KEYS_SHOWN = 8
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = "\ufeff"
_BLANK = f"{_BOM} \t\r\n"

_json = json.JSONDecoder().decode
_NOT_JSON = (ValueError, RecursionError)

# --- the fields of one event --------------------------------------------------------------------


def uuid(event: Mapping[str, Any]) -> str | None:
    """Return the ID that stays the same when the event is delivered again, else ``None``."""
    value = event.get("uuid") or event.get("eventUuid")
    if value is None and "elements_chain" in event and "uuid" not in event:
        value = event.get("id")  # an item of the events API
    if isinstance(value, UUID):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def distinct_id(event: Mapping[str, Any]) -> str | None:
    """
    Return the ID of the person, as text, else ``None``.

    Whatever is not text becomes the JSON text of it, as PostHog has it: ``5`` and ``5.0`` are
    ``"5"``, ``True`` is ``"true"``.
    """
    for key in ("distinct_id", "$distinct_id", "distinctId"):
        if text := _as_text(event.get(key)):
            return text
    return _as_text(_mapping(event, "properties").get("distinct_id"))


def timestamp(event: Mapping[str, Any]) -> datetime | None:
    """
    Return when the event happened, as an aware datetime in UTC, else ``None``.

    An event that has only just been captured may have no ``timestamp``.  Then it is ``now``
    (when PostHog received it) less ``offset`` in milliseconds, as PostHog's ingestion has it; last
    comes ``$time`` in epoch seconds, which posthog-js leaves in the properties.
    """
    found = as_timestamp(event.get("timestamp"))
    if found is None and (found := as_timestamp(event.get("now"))):
        found = _before(found, event.get("offset"))
    return found or _from_epoch(_mapping(event, "properties").get("$time"))


def person_properties(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return the person's properties as they are after the event; do not change the result.

    What the event sets (``$set``) lies over what rides along in ``person`` or
    ``person_properties``, and ``$set_once`` under it.  Empty where nothing is known.
    """
    known = _known_of_person(event)
    sources = (_mapping(event, "properties"), event)
    over = [_mapping(source, "$set") for source in sources if "$set" in source]
    under = [_mapping(source, "$set_once") for source in sources if "$set_once" in source]
    if not over and not under:
        return known
    return {key: value for layer in (*under, known, *over) for key, value in layer.items()}


def _known_of_person(event: Mapping[str, Any]) -> Mapping[str, Any]:
    person = event.get("person")
    if isinstance(person, Mapping) and person.get("properties") is not None:
        return _mapping(person, "properties")
    return _mapping(event, "person_properties")


_ISO_8601 = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](\d\d:\d\d)(?:(:\d\d)(?:[.,](\d{1,9}))?)?"
    r"(?: ?([Zz])| ?([+-]\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)


def as_timestamp(value: object) -> datetime | None:
    """
    Read a point in time; ``None`` where *value* is none, never an error.

    Args:
        value: a datetime, or text in ISO 8601 or as ClickHouse writes it
            (``2024-05-01 12:00:00.123456``).  Without a zone it is UTC.  Numbers are not
            read: whether seconds or milliseconds are meant would be a guess.

    Returns:
        An aware datetime in UTC.

    """
    try:
        found = _from_iso(value.strip()) if isinstance(value, str) else value
        if not isinstance(found, datetime):
            return None
        if found.utcoffset() is None:
            return found.replace(tzinfo=timezone.utc)
        return found if found.tzinfo is timezone.utc else found.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _from_iso(text: str) -> datetime | None:
    # The fast way reads what PostHog writes; fromisoformat alone would read more than the
    # expression below since Python 3.11 (week dates), and less before (".1", "+0100").
    if text[7:8] == "-" and text[13:14] == text[16:17] == ":" and text[10] in "Tt ":
        try:
            return datetime.fromisoformat(text[:-1] + "+00:00" if text[-1] in "Zz" else text)
        except ValueError:
            pass
    parts = _ISO_8601.fullmatch(text)
    if parts is None:
        return None
    day, minutes, seconds, fraction, _, hours_off, minutes_off = parts.groups(default="")
    clock = f"{minutes or '00:00'}{seconds or ':00'}.{fraction[:6]:0<6}"
    return datetime.fromisoformat(f"{day}T{clock}{hours_off or '+00'}:{minutes_off or '00'}")


def _from_epoch(seconds: object) -> datetime | None:
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _before(moment: datetime, milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, (int, float)):
        return moment
    try:
        return moment - timedelta(milliseconds=milliseconds)
    except (ValueError, OverflowError):
        return None


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value if value and value.strip() else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        value = int(value)
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None


def _mapping(event: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object in a field, parsed where it is JSON text; empty where there is none."""
    value = event.get(key)
    if type(value) is dict:  # spares the common case the slow look at an abstract class
        return value
    if isinstance(value, (str, bytes)):
        return _parsed(value, key, event) if value.strip() else {}
    return value if isinstance(value, Mapping) else {}


def _parsed(text: str | bytes, key: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except _NOT_JSON:
        value = text
    if isinstance(value, Mapping):
        return value
    if value is not None:
        log.warning(
            "%s of event %s holds no JSON object and is read as empty", key, _shown_id(event)
        )
    return {}


_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def _shown_id(event: Mapping[str, Any]) -> str:
    """Return the uuid as a log may show it; senders choose it, so it may be anything."""
    found = uuid(event)
    return repr(found) if found and _UUID.fullmatch(found) else f"{mask(repr(found)):.40}"


# --- the plugin event ---------------------------------------------------------------------------


class Event(Mapping[str, Any]):
    """
    A plugin event: a read-only mapping that reads each field when it is first asked for.

    Most events match no trigger, so only the name is looked at beforehand: JSON in strings stays
    unparsed.  ``dict(event)`` gives everything.  The repr shows no data, so it can be logged.
    What was read is the caller's own; do not change it.

    Fields: ``event`` (str), ``uuid`` and ``distinct_id`` (str or None), ``timestamp`` (aware
    datetime in UTC, or None) and ``properties`` (dict) are always there; ``person`` (a mapping
    with ``properties``), ``elements_chain`` (str), ``elements`` (list), ``team_id`` (int),
    ``$set`` and ``$set_once`` (dicts) where the source has them.  Every other key of the source
    rides along as it is.
    """

    __slots__ = ("_fields", "_raw")

    def __init__(self, raw: Mapping[str, Any], name: str) -> None:
        self._raw = raw
        self._fields: dict[str, Any] = {"event": name}

    def __getitem__(self, key: str) -> Any:
        fields = self._fields
        return fields[key] if key in fields else self._read(key)

    def _read(self, key: str) -> Any:
        if read := _READERS.get(key):
            value = read(self._raw)
            if value is None and key not in _ALWAYS:
                raise KeyError(key)
        elif key in _RENAMED:
            raise KeyError(key)
        else:
            value = self._raw[key]
        self._fields[key] = value
        return value

    def __iter__(self) -> Iterator[str]:
        yield "event"
        yield from (key for key in _READERS if key in self)
        yield from (key for key in self._raw if key not in _NOT_AS_IS)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return True  # without asking __len__, which reads every field

    def __repr__(self) -> str:
        return f"<Event {mask(repr(self['event']))} uuid={_shown_id(self)}>"


class _Captured(Mapping[str, Any]):
    """What ingestion's Kafka topic holds: the event as it was posted is text, under ``data``."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, outer: Mapping[str, Any]) -> None:
        self._outer = {key: value for key, value in outer.items() if value is not None}
        self._inner: Mapping[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        if key != "data" and key in self._outer:
            return self._outer[key]
        return self._posted()[key]

    def __iter__(self) -> Iterator[str]:
        outer = (key for key in self._outer if key != "data")
        return iter(dict.fromkeys([*outer, *self._posted()]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _posted(self) -> Mapping[str, Any]:
        if self._inner is None:
            self._inner = _mapping(self._outer, "data")
        return self._inner


def _properties(raw: Mapping[str, Any]) -> dict[str, Any]:
    properties = _mapping(raw, "properties")
    return properties if isinstance(properties, dict) else dict(properties)


def _person(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    person = raw.get("person")
    if isinstance(person, Mapping):
        known = _known_of_person(raw)
        return person if known is person.get("properties") else {**person, "properties": known}
    columns = {"id": "person_id", "created_at": "person_created_at"}
    known = {key: raw[name] for key, name in columns.items() if raw.get(name) is not None}
    if not known and raw.get("person_properties") is None:
        return None
    return {**known, "properties": _mapping(raw, "person_properties")}


def _team_id(raw: Mapping[str, Any]) -> int | None:
    team = raw.get("team_id", raw.get("teamId"))
    return team if isinstance(team, int) and not isinstance(team, bool) else None


def _elements_chain(raw: Mapping[str, Any]) -> str | None:
    chain = raw.get("elements_chain")
    if chain is None:
        chain = _exported_elements(raw)
    return chain if isinstance(chain, str) else None


def _elements(raw: Mapping[str, Any]) -> list[Any] | None:
    for elements in (raw.get("elements"), _exported_elements(raw), raw.get("elementsList")):
        if isinstance(elements, list):
            return elements
    return None


def _exported_elements(raw: Mapping[str, Any]) -> Any:
    """Read the column ``elements`` of a database export: JSON text of the chain or a list."""
    elements = raw.get("elements")
    try:
        while isinstance(elements, str) and elements[:1] in ('"', "["):
            elements = _json(elements)  # some databases get JSON text in JSON text
    except _NOT_JSON:
        return None
    return elements


def _set_by(key: str) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    """Read ``$set`` or ``$set_once``; database exports have both columns without the dollar."""
    column = key[1:]

    def read(raw: Mapping[str, Any]) -> dict[str, Any] | None:
        exported = key not in raw and "set" in raw and "set_once" in raw
        return dict(_mapping(raw, column if exported else key)) or None

    return read


_ALWAYS = frozenset({"event", "uuid", "distinct_id", "timestamp", "properties"})
_READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "uuid": uuid,
    "distinct_id": distinct_id,
    "timestamp": timestamp,
    "properties": _properties,
    "person": _person,
    "elements_chain": _elements_chain,
    "elements": _elements,
    "team_id": _team_id,
    "$set": _set_by("$set"),
    "$set_once": _set_by("$set_once"),
}
_RENAMED = frozenset(
    {
        "$distinct_id",
        "distinctId",
        "elementsList",
        "eventUuid",
        "person_created_at",
        "person_id",
        "person_properties",
        "teamId",
    }
)
_NOT_AS_IS = _ALWAYS | _RENAMED | _READERS.keys()

# --- telling the shapes apart -------------------------------------------------------------------


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
        text = _unpacked(payload)
    except InvalidEvent as fault:
        yield fault
        return
    many = "\n" in text.strip()
    for number, item in read_lines(io.StringIO(text, newline="\n")):
        if many and isinstance(item, InvalidEvent):
            item = InvalidEvent(f"line {number}: {item}")  # noqa: PLW2901
        yield item
    if not text.strip(_BLANK):
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
        except _NOT_JSON as error:
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
    except _NOT_JSON as error:
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
    except _NOT_JSON:
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
        return _Captured(value)
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


# --- bodies as they travel ----------------------------------------------------------------------

_FORM = re.compile(r"(?:[A-Za-z0-9_.-]+=[^&\s]*&)*data=")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")


def _unpacked(body: str | bytes | bytearray | memoryview) -> str:
    """Return the JSON text of a body: gunzipped, out of the form, out of base64."""
    text = body if isinstance(body, str) else _as_text_body(bytes(body))
    if _FORM.match(stripped := text.strip(_BLANK)):
        text = parse_qs(stripped).get("data", [""])[0]
    encoded = text.strip(_BLANK).replace(" ", "+")  # a form's plus signs are blanks
    if not _BASE64.fullmatch(encoded):
        return text
    urlsafe = encoded.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        decoded = urlsafe_b64decode(urlsafe + "=" * (-len(urlsafe) % 4))
    except ValueError:
        return text
    return _as_text_body(decoded) if decoded[:1] in (b"{", b"[", _GZIP_MAGIC[:1]) else text


def _as_text_body(body: bytes) -> str:
    if body.startswith(_GZIP_MAGIC):
        body = _unzipped(body)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent(_why_not_json(error)) from None


def _unzipped(body: bytes) -> bytes:
    import gzip
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            content = file.read(_MAX_UNZIPPED + 1)
    except (OSError, EOFError, zlib.error):
        raise InvalidEvent("expected gzipped JSON, got gzip data that is broken or cut") from None
    if len(content) > _MAX_UNZIPPED:
        raise InvalidEvent(f"expected at most {_MAX_UNZIPPED} bytes of gzipped JSON, got more")
    return content
