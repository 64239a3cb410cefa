"""One event under the eyes of an action, its costly parts read at most once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from posthog_twilio.actions.elements import from_event
from posthog_twilio.events import distinct_id, person_properties

if TYPE_CHECKING:
    from posthog_twilio.actions.element import Element


class EventView:
    """What conditions ask an event for; lives as long as one decision."""

    def __init__(self, event: Mapping[Any, Any]) -> None:
        self.event = event
        self.name = event.get("event")
        self.properties = _mapping(event.get("properties"))

    @cached_property
    def elements(self) -> list[Element]:
        """The clicked element first; empty where the event has none."""
        return from_event(self.event, self.properties)

    @cached_property
    def person(self) -> Mapping[str, Any]:
        """The person's properties as far as they ride along."""
        return person_properties(self.event)

    @property
    def distinct_id(self) -> str | None:
        """The event's distinct_id."""
        return distinct_id(self.event)

    def group(self, index: int) -> Mapping[Any, Any] | None:
        """Return the properties of a group; ``None`` where they do not ride along."""
        for group in _mapping(self.event.get("groups")).values():
            if isinstance(group, Mapping) and group.get("index") == index:
                return _properties(group.get("properties"))
        return _properties(self.event.get(f"group{index}_properties"))


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _properties(value: object) -> Mapping[Any, Any] | None:
    """Return properties, which rows of exports hold as JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, Mapping) else None
