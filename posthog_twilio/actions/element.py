"""One element of the page, and how the fields of its several forms are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from posthog_twilio.actions.values import as_number, as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@define
class Element:
    """
    One element of the page.

    Attributes:
        classes: whole class names.
        attributes: by lower-case name, without PostHog's ``attr__``.

    """

    tag: str | None = None
    text: str | None = None
    href: str | None = None
    id: str | None = None
    classes: tuple[str, ...] = ()
    nth_child: int | None = None
    nth_of_type: int | None = None
    attributes: dict[str, str] = field(factory=dict)

    def attribute(self, name: str) -> str | None:
        """Return the value of the attribute *name* (lower case)."""
        if name == "id":
            return self.id
        return self.href if name == "href" else self.attributes.get(name)


def as_classes(value: object) -> tuple[str, ...]:
    """Return whole class names, from "a b" or from a list."""
    if value is None:
        return ()
    if not isinstance(value, (str, list, tuple)):
        raise TypeError("no classes")
    names: Iterable[str] = [value] if isinstance(value, str) else value
    return tuple(token for name in names for token in name.split())


def as_position(value: object) -> int | None:
    """Return an ``nth-child``, which some forms hold as text."""
    number = None if isinstance(value, bool) else as_number(value)
    return None if number is None or number != int(number) else int(number)


def as_attributes(row: Mapping[Any, Any]) -> dict[str, str]:
    """Return the ``attr__*`` of *row* that have a value with one spelling."""
    named = ((name, as_text(value)) for name, value in row.items())
    return {
        name[6:].lower(): value
        for name, value in named
        if value is not None and isinstance(name, str) and name.startswith("attr__")
    }
