"""
The clicked element and its ancestors, in the five forms PostHog delivers.

The order is innermost first.  What is no element (a null, a number for a
text) is left out; nothing raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posthog_twilio.actions.chain import parse_chain
from posthog_twilio.actions.element import Element, as_classes
from posthog_twilio.actions.values import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT_LIMIT, _HREF_LIMIT = 400, 2048  # characters that PostHog's ingestion keeps


def from_event(event: Mapping[Any, Any], properties: Mapping[Any, Any]) -> list[Element]:
    """Return the elements of *event* from the first form that holds any."""
    forms: tuple[tuple[Callable[[Any], list[Element]], object], ...] = (
        (_from_chain, event.get("elements_chain")),
        (_from_chain, properties.get("$elements_chain")),
        (_from_sdk, properties.get("$elements")),
        (_from_stored, event.get("elements")),
        (_from_stored, event.get("elementsList")),
    )
    for read, form in forms:
        if form and (elements := read(form)):
            return elements
    return []


def _from_chain(chain: object) -> list[Element]:
    return parse_chain(chain) if isinstance(chain, str) else []


def _from_sdk(rows: object) -> list[Element]:
    return _each(rows, _sdk_element)


def _from_stored(rows: object) -> list[Element]:
    return _each(rows, _stored_element)


def _each(rows: object, read: Callable[[Mapping[Any, Any]], Element]) -> list[Element]:
    def read_row(row: Any) -> Element | None:
        try:
            return read(row)
        except (TypeError, AttributeError):
            return None

    found = map(read_row, rows) if isinstance(rows, (list, tuple)) else ()
    return [element for element in found if element is not None]


def _sdk_element(row: Mapping[Any, Any]) -> Element:
    """Read what an SDK sends before ingestion: ``$el_text``, ``attr__class``."""
    text, href = _text(row.get("$el_text")), _text(row.get("attr__href"))
    return Element(
        tag=_text(row.get("tag_name")),
        text=None if text is None else text[:_TEXT_LIMIT],
        href=None if href is None else href[:_HREF_LIMIT],
        id=as_text(row.get("attr__id")),
        classes=as_classes(row.get("attr__class")),
        nth_child=row.get("nth_child"),
        nth_of_type=row.get("nth_of_type"),
        attributes=row,
    )


def _stored_element(row: Mapping[Any, Any]) -> Element:
    """Read PostHog's own element: ``text``, ``attr_class``, ``attributes``."""
    stored = row.get("attributes")
    attributes = stored if isinstance(stored, Mapping) else {}
    return Element(
        tag=_text(row.get("tag_name")),
        text=_text(row.get("text")),
        href=_text(_first(row.get("href"), attributes.get("attr__href"))),
        id=as_text(_first(row.get("attr_id"), attributes.get("attr__id"))),
        classes=as_classes(row.get("attr_class")) or as_classes(attributes.get("attr__class")),
        nth_child=row.get("nth_child"),
        nth_of_type=row.get("nth_of_type"),
        attributes=attributes,
    )


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError("no text")


def _first(value: object, other: object) -> object:
    return other if value is None else value
