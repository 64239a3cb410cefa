"""One element of the page, and how the fields of its several forms are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from posthog_twilio.actions.values import as_number, as_text

if TYPE_CHECKING:
    from collections.abc import Mapping


@define
class Element:
    """
    One element of the page.

    Attributes:
        classes: whole class names.
        nth_child, nth_of_type: as delivered; read them with :meth:`position`.
        attributes: as delivered, under ``attr__`` and the name, among what
            else the form has; read them with :meth:`attribute`.

    """

    tag: str | None = None
    text: str | None = None
    href: str | None = None
    id: str | None = None
    classes: tuple[str, ...] = ()
    nth_child: object = None
    nth_of_type: object = None
    attributes: Mapping[Any, Any] = field(factory=dict)

    def attribute(self, name: str) -> str | None:
        """Return the value of the attribute *name* (lower case)."""
        if name in ("id", "href"):
            return self.id if name == "id" else self.href
        key = f"attr__{name}"
        values = (v for k, v in self.attributes.items() if isinstance(k, str) and k.lower() == key)
        return as_text(next(values, None))

    def position(self, name: str) -> int | float | None:
        """Return ``nth_child`` or ``nth_of_type``, which a chain holds as text."""
        value = getattr(self, name)
        return None if isinstance(value, bool) else as_number(value)


def as_classes(value: object) -> tuple[str, ...]:
    """Return whole class names, from "a b" or from a list."""
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, (list, tuple)):
        return tuple(token for name in value for token in name.split())
    raise TypeError("no classes")
