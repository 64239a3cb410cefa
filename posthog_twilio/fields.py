"""
One field each, read from a plugin event of any make, a plain ``dict`` included.

Nothing here raises, whatever stands in the event, and nothing is changed.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from posthog_twilio.phone import mask

log = logging.getLogger("posthog_twilio")

NOT_JSON = (ValueError, RecursionError)


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
    return _as_text(mapping(event, "properties").get("distinct_id"))


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
    return found or _from_epoch(mapping(event, "properties").get("$time"))


def person_properties(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return the person's properties as they are after the event; do not change the result.

    What the event sets (``$set``) lies over what rides along in ``person`` or
    ``person_properties``, and ``$set_once`` under it.  Empty where nothing is known.
    """
    known = known_of_person(event)
    sources = (mapping(event, "properties"), event)
    over = [mapping(source, "$set") for source in sources if "$set" in source]
    under = [mapping(source, "$set_once") for source in sources if "$set_once" in source]
    if not over and not under:
        return known
    return {key: value for layer in (*under, known, *over) for key, value in layer.items()}


def known_of_person(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what rides along of the person, without what the event sets."""
    person = event.get("person")
    if isinstance(person, Mapping) and person.get("properties") is not None:
        return mapping(person, "properties")
    return mapping(event, "person_properties")


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


def mapping(event: Mapping[str, Any], key: str) -> Mapping[str, Any]:
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
    except NOT_JSON:
        value = text
    if isinstance(value, Mapping):
        return value
    if value is not None:
        log.warning(
            "%s of event %s holds no JSON object and is read as empty", key, shown_id(event)
        )
    return {}


_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def shown_id(event: Mapping[str, Any]) -> str:
    """Return the uuid as a log may show it; senders choose it, so it may be anything."""
    found = uuid(event)
    return repr(found) if found and _UUID.fullmatch(found) else f"{mask(repr(found)):.40}"
