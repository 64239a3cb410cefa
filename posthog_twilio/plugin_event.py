"""The plugin event: a mapping that reads each field when it is first asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from posthog_twilio.fields import (
    NOT_JSON,
    distinct_id,
    known_of_person,
    mapping,
    shown_id,
    timestamp,
    uuid,
)
from posthog_twilio.phone import mask


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
        return f"<Event {mask(repr(self['event']))} uuid={shown_id(self)}>"


class Captured(Mapping[str, Any]):
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
            self._inner = mapping(self._outer, "data")
        return self._inner


def _properties(raw: Mapping[str, Any]) -> dict[str, Any]:
    properties = mapping(raw, "properties")
    return properties if isinstance(properties, dict) else dict(properties)


def _person(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    person = raw.get("person")
    if isinstance(person, Mapping):
        known = known_of_person(raw)
        return person if known is person.get("properties") else {**person, "properties": known}
    columns = {"id": "person_id", "created_at": "person_created_at"}
    known = {key: raw[name] for key, name in columns.items() if raw.get(name) is not None}
    if not known and raw.get("person_properties") is None:
        return None
    return {**known, "properties": mapping(raw, "person_properties")}


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
            elements = json.loads(elements)  # some databases get JSON text in JSON text
    except NOT_JSON:
        return None
    return elements


def _set_by(key: str) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    """Read ``$set`` or ``$set_once``; database exports have both columns without the dollar."""
    column = key[1:]

    def read(raw: Mapping[str, Any]) -> dict[str, Any] | None:
        exported = key not in raw and "set" in raw and "set_once" in raw
        return dict(mapping(raw, column if exported else key)) or None

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
