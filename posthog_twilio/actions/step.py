"""One step of an action: conditions that all must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from attrs import frozen

from posthog_twilio.actions.properties import Condition, compile_filter, is_costly
from posthog_twilio.actions.selectors import parse_selector
from posthog_twilio.actions.text import compile_matching
from posthog_twilio.actions.undecidable import Undecidable, kind
from posthog_twilio.actions.view import EventView


@frozen(eq=False)
class Step:
    """
    A compiled step.

    Attributes:
        event: the name that an event must have; ``None`` for any.
        conditions: what else must hold, the cheap ones first.

    """

    event: str | None
    conditions: tuple[Condition, ...]

    def matches(self, view: EventView) -> bool:
        """Tell whether every condition holds."""
        if self.event is not None and view.name != self.event:
            return False
        return all(condition(view) for condition in self.conditions)


def compile_step(definition: Mapping[Any, Any]) -> Step:
    """
    Compile a step; keys that are not known are ignored.

    Raises:
        Undecidable: for at least one condition; the text has every reason.

    """
    event = None
    conditions, reasons = [], []
    try:
        event = _text(definition, "event")
    except Undecidable as error:
        reasons.append(str(error))
    for compile_condition in _conditions(definition):
        try:
            if condition := compile_condition():
                conditions.append(condition)
        except Undecidable as error:
            reasons.append(str(error))
    if reasons:
        raise Undecidable("; ".join(reasons))
    return Step(event, tuple(conditions))


def _conditions(definition: Mapping[Any, Any]) -> Iterator[Callable[[], Condition | None]]:
    """Yield what compiles each condition, those that need the elements last."""
    filters = sorted(_filters(definition.get("properties")), key=is_costly)
    yield partial(_url, definition)
    yield from (partial(compile_filter, f) for f in filters if not is_costly(f))
    yield partial(_tag, definition)
    yield partial(_of_elements, definition, "text")
    yield partial(_of_elements, definition, "href")
    yield partial(_selector, definition)
    yield from (partial(compile_filter, f) for f in filters if is_costly(f))


def _filters(properties: object) -> list[object]:
    if isinstance(properties, Mapping) and "key" in properties:
        return [properties]
    # Anything else that is no list becomes a filter that cannot be decided.
    return (
        list(properties)
        if isinstance(properties, (list, tuple))
        else [properties][: bool(properties)]
    )


def _text(definition: Mapping[Any, Any], key: str) -> str | None:
    """Return a condition's text; null and ``""`` are no condition."""
    value = definition.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Undecidable(f"{key}: expected text, got {kind(value)}")
    return value


def _matching(
    definition: Mapping[Any, Any], key: str, default: str, *, ignore_case: bool
) -> Callable[[str], bool] | None:
    pattern = _text(definition, key)
    if pattern is None:
        return None
    try:
        word = definition.get(f"{key}_matching") or default
        return compile_matching(pattern, word, ignore_case=ignore_case)
    except Undecidable as error:
        raise Undecidable(f"{key}: {error}") from None


def _url(definition: Mapping[Any, Any]) -> Condition | None:
    test = _matching(definition, "url", "contains", ignore_case=False)
    if test is None:
        return None

    def condition(view: EventView) -> bool:
        url = view.properties.get("$current_url")
        return isinstance(url, str) and url != "" and test(url)

    return condition


def _tag(definition: Mapping[Any, Any]) -> Condition | None:
    tag = _text(definition, "tag_name")
    return tag and (lambda view: any(element.tag == tag for element in view.elements))


def _of_elements(definition: Mapping[Any, Any], key: str) -> Condition | None:
    test = _matching(definition, key, "exact", ignore_case=True)
    if test is None:
        return None

    def condition(view: EventView) -> bool:
        values = (getattr(element, key) for element in view.elements)
        return any(test(value) for value in values if value is not None)

    return condition


def _selector(definition: Mapping[Any, Any]) -> Condition | None:
    text = _text(definition, "selector")
    if text is None:
        return None
    selector = parse_selector(text)
    return lambda view: selector.matches(view.elements)
