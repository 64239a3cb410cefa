"""
What the operators ask of one value, compiled with the filter's own value.

Each function takes the filter's value and raises ``Undecidable`` where it
cannot be used.  A list means any of its values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posthog_twilio.actions._re2 import compile_search
from posthog_twilio.actions.text import compile_like, fold
from posthog_twilio.actions.undecidable import Undecidable, kind
from posthog_twilio.actions.values import Scalar, as_number, as_scalar, as_text, equal
from posthog_twilio.events import as_timestamp

Predicate = Callable[[Any], "bool | None"]
"""Says of a value that is there: yes, no, or ``None`` where that is not settled."""


def _wanted(value: object) -> list[Scalar]:
    """Return the value's alternatives; a filter without any is incomplete."""
    if isinstance(value, (list, tuple)) and not value:
        raise Undecidable("its list of values is empty")
    wanted = list(value) if isinstance(value, (list, tuple)) else [value]
    for odd in wanted:
        if as_text(odd) is None:
            raise Undecidable(f"expected text, a number or a bool as its value, got {kind(odd)}")
    return [scalar for scalar in map(as_scalar, wanted) if scalar is not None]


def _any_of(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]

    def predicate(value: object) -> bool | None:
        answers = [ask(value) for ask in predicates]
        return True if True in answers else None if None in answers else False

    return predicate


def _on_text(test: Callable[[str], bool]) -> Predicate:
    def predicate(value: object) -> bool | None:
        text = as_text(value)
        return None if text is None else test(text)

    return predicate


def _texts(value: object) -> list[str]:
    return [text for text in map(as_text, _wanted(value)) if text is not None]


def equals(value: object) -> Predicate:
    """Ask for equality after casting."""

    def to(wanted: Scalar) -> Predicate:
        return lambda actual: equal(actual, wanted)

    return _any_of([to(wanted) for wanted in _wanted(value)])


def one_of(value: object) -> Predicate:
    """Ask the same of a list only, as ``in`` does."""
    if not isinstance(value, (list, tuple)):
        raise Undecidable(f"expected a list of values, got {kind(value)}")
    return equals(value)


def contains(value: object) -> Predicate:
    """Ask for a LIKE, or where the filter has several texts, for any of them as they stand."""
    texts = _texts(value)
    if len(texts) > 1:
        return contains_any(value)
    return _on_text(compile_like(texts[0], ignore_case=True))


def contains_any(value: object) -> Predicate:
    """Ask for any of the texts, without wildcards or case."""
    folded = [fold(text) for text in _texts(value)]
    return _on_text(lambda text: any(map(fold(text).__contains__, folded)))


def matches(value: object) -> Predicate:
    """Ask for a regular expression somewhere in the text."""
    return _any_of([_on_text(compile_search(text)) for text in _texts(value)])


def _number(value: Scalar) -> int | float:
    number = as_number(value)
    if number is None:
        raise Undecidable(f"expected a number as its value, got {kind(value)}")
    return number


def ordered(compare: Callable[[Any, Any], bool]) -> Callable[[object], Predicate]:
    """Return what asks how a number stands to the filter's; text that is no number is unsettled."""

    def against(limit: int | float) -> Predicate:
        def predicate(value: object) -> bool | None:
            number = as_number(value)
            return None if number is None else compare(number, limit)

        return predicate

    return lambda value: _any_of([against(_number(wanted)) for wanted in _wanted(value)])


def between(value: object) -> Predicate:
    """Ask for a number in ``[min, max]``, both included."""
    limits = [_number(wanted) for wanted in _wanted(value)]
    if len(limits) != 2 or limits[0] > limits[1]:
        raise Undecidable("expected two numbers as its value, [min, max]")
    low, high = limits

    def predicate(value: object) -> bool | None:
        number = as_number(value)
        return None if number is None else low <= number <= high

    return predicate


def dated(compare: Callable[[Any, Any], bool]) -> Callable[[object], Predicate]:
    """
    Return what asks how an instant stands to the filter's.

    A relative date such as ``-7d`` is refused: its zone is a setting of the PostHog team.
    """

    def against(wanted: Scalar) -> Predicate:
        limit = as_timestamp(wanted)
        if limit is None:
            raise Undecidable("expected a date or date and time as its value")

        def predicate(value: object) -> bool | None:
            instant = as_timestamp(as_scalar(value))
            return None if instant is None else compare(instant, limit)

        return predicate

    return lambda value: _any_of([against(wanted) for wanted in _wanted(value)])


def anything(_value: object) -> Predicate:
    """Ask nothing: a value that is there will do."""
    return lambda _actual: True
