"""Dotted paths into an event, as templates and recipients name them in braces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from posthog_twilio.events import person_properties

# A lone word is meant as a path, so that a misspelt root is found; "{ 1 + 2 }" and JSON are not.
_WORD = r"(\$?[^\W\d][\w-]*(?:\.[^\s{}]*)?)"
PLACEHOLDER = re.compile(rf"\{{\{{\s*{_WORD}\s*\}}\}}|\{{\s*{_WORD}\s*\}}")
_NAME = re.compile(r"[^\s{}.]+")
_INDEX = re.compile(r"[0-9]{1,9}")


def placeholders(text: str) -> Iterator[str]:
    """Yield each word that stands in ``{word}`` or ``{{ word }}``, without the braces."""
    return (found[1] or found[2] for found in PLACEHOLDER.finditer(text))


@frozen
class Path:
    """
    Where a value stands in an event or its person.

    Attributes:
        text: the path as it was written.
        root: ``event`` (the plugin event) or ``person`` (who did it).
        keys: the names below the root, at least one.

    """

    text: str
    root: str = field(repr=False)
    keys: tuple[str, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Path:
        """
        Read a path such as ``event.properties.plan`` or ``person.properties.email``.

        Names are split at dots, and hold any characters but dots, blanks and
        braces.  In a list, a name of digits counts from 0.

        Raises:
            ValueError: the root is unknown or stands alone, or a name is empty.

        """
        root, *keys = text.split(".")
        if root not in ("event", "person") or not keys or not all(map(_NAME.fullmatch, keys)):
            raise ValueError(
                "expected a path from event. or person., such as person.properties.email, "
                f"got {text!r}"
            )
        return cls(text, root, tuple(keys))

    def get(self, event: Any) -> Any:
        """
        Look the value up; ``None`` where it is missing, whatever *event* is.

        ``person.properties`` are those of
        :func:`~posthog_twilio.events.person_properties`, so that they are found
        in every shape of event, and as they are after it.
        """
        try:
            value, keys = self._start(event)
            for key in keys:
                value = _step(value, key)
        except Exception:  # noqa: BLE001 - an event's own classes may raise anything
            return None
        return value

    def _start(self, event: Any) -> tuple[Any, tuple[str, ...]]:
        if self.root == "event":
            return event, self.keys
        if self.keys[0] == "properties":
            return person_properties(event), self.keys[1:]
        return _step(event, "person"), self.keys


def _step(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list | tuple) and _INDEX.fullmatch(key):
        return value[int(key)]
    return None
