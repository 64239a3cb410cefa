"""Property filters, by what they ask: event, person, group or element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from posthog_twilio.actions.css import parse_selector
from posthog_twilio.actions.operators import compile_comparison
from posthog_twilio.actions.undecidable import Undecidable, kind
from posthog_twilio.actions.view import EventView

Condition = Callable[[EventView], bool]


def compile_filter(definition: object) -> Condition:
    """
    Compile one property filter.

    Raises:
        Undecidable: an event alone cannot tell, or the filter is incomplete.

    """
    if not isinstance(definition, Mapping):
        raise Undecidable(f"a filter: expected a mapping, got {kind(definition)}")
    key, filter_type = definition.get("key"), definition.get("type") or "event"
    if not isinstance(filter_type, str) or filter_type not in _TYPES:
        raise Undecidable(f"an event does not tell what a filter of type {filter_type!r} asks")
    if not isinstance(key, str) or not key:
        raise Undecidable("a filter has no key")
    try:
        return _TYPES[filter_type](key, definition)
    except Undecidable as error:
        raise Undecidable(f"filter on {key!r}: {error}") from None


def is_costly(definition: object) -> bool:
    """Tell whether a filter needs the elements, which are worth asking for last."""
    return isinstance(definition, Mapping) and definition.get("type") == "element"


def _event(key: str, definition: Mapping[Any, Any]) -> Condition:
    holds = compile_comparison(definition.get("operator"), definition.get("value")).holds
    return lambda view: holds(view.properties.get(key))


def _person(key: str, definition: Mapping[Any, Any]) -> Condition:
    holds = compile_comparison(definition.get("operator"), definition.get("value")).holds
    if key == "distinct_id":
        return lambda view: holds(view.distinct_id)
    return lambda view: holds(view.person.get(key))


def _group(key: str, definition: Mapping[Any, Any]) -> Condition:
    holds = compile_comparison(definition.get("operator"), definition.get("value")).holds
    index = definition.get("group_type_index")
    if not isinstance(index, int) or isinstance(index, bool):
        raise Undecidable(f"expected a number as its group_type_index, got {kind(index)}")

    def condition(view: EventView) -> bool:
        group = view.group(index)
        return group is not None and holds(group.get(key))

    return condition


def _element(key: str, definition: Mapping[Any, Any]) -> Condition:
    operator, value = definition.get("operator") or "exact", definition.get("value")
    if key not in ("selector", "tag_name", "text", "href"):
        raise Undecidable("elements have no such key")
    if key in ("selector", "tag_name") and operator not in ("exact", "is_not"):
        raise Undecidable(f"the operator {operator!r} does not go with it")
    if key == "selector":
        return _selector(value, negated=operator == "is_not")
    holds_among = compile_comparison(operator, value).holds_among
    attribute = "tag" if key == "tag_name" else key

    def condition(view: EventView) -> bool:
        values = (getattr(element, attribute) for element in view.elements)
        return bool(view.elements) and holds_among(v for v in values if v is not None)

    return condition


def _selector(value: object, *, negated: bool) -> Condition:
    texts: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise Undecidable("expected selectors as its value")
    tests = [parse_selector(text).matches for text in texts]

    def condition(view: EventView) -> bool:
        elements = view.elements
        return bool(elements) and any(test(elements) for test in tests) is not negated

    return condition


_TYPES: dict[str, Callable[[str, Mapping[Any, Any]], Condition]] = {
    "event": _event,
    "feature": _event,
    "person": _person,
    "group": _group,
    "element": _element,
}
