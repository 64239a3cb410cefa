"""One step of an action: conditions that all must hold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from posthog_twilio.actions.css import parse_selector
from posthog_twilio.actions.properties import Condition, compile_filter, is_costly
from posthog_twilio.actions.text import compile_matching
from posthog_twilio.actions.undecidable import Undecidable, kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from posthog_twilio.actions.view import EventView

_T = TypeVar("_T")


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
    reasons: list[str] = []
    event = _tried(partial(_text, definition, "event"), reasons)
    tried = (_tried(compile_condition, reasons) for compile_condition in _conditions(definition))
    conditions = tuple(condition for condition in tried if condition)
    if reasons:
        raise Undecidable("; ".join(reasons))
    return Step(event, conditions)


def _tried(compile_one: Callable[[], _T | None], reasons: list[str]) -> _T | None:
    try:
        return compile_one()
    except Undecidable as error:
        reasons.append(str(error))
        return None


def _conditions(definition: Mapping[Any, Any]) -> Iterator[Callable[[], Condition | None]]:
    """Yield what compiles each condition, those that need the elements last."""
    filters = _filters(definition.get("properties"))
    yield partial(_url, definition)
    yield from (partial(compile_filter, f) for f in filters if not is_costly(f))
    yield partial(_tag, definition)
    yield partial(_of_elements, definition, "text")
    yield partial(_of_elements, definition, "href")
    yield partial(_selector, definition)
    yield from (partial(compile_filter, f) for f in filters if is_costly(f))


def _filters(properties: object) -> list[object]:
    """Return the filters; what is no list of them becomes one that cannot be decided."""
    if isinstance(properties, (list, tuple)):
        return list(properties)
    return [properties] if properties else []


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
    if tag is None:
        return None
    return lambda view: any(element.tag == tag for element in view.elements)


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
