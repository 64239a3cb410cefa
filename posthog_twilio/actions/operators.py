"""
The operators of property filters.

Semantics follow PostHog's two current engines where they agree and the
quieter one where they do not; an operator or value outside the table is
undecidable.
"""

from __future__ import annotations

from operator import eq, ge, gt, le, lt
from typing import TYPE_CHECKING

from attrs import frozen

from posthog_twilio.actions import predicates
from posthog_twilio.actions.undecidable import Undecidable
from posthog_twilio.actions.values import is_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@frozen
class Comparison:
    """
    An operator with its value.

    Attributes:
        predicate: the positive question, also of a negative operator.
        negated: whether "no" is the answer wanted.
        if_missing: the answer for a property that is absent or null.

    """

    predicate: predicates.Predicate
    negated: bool
    if_missing: bool

    def holds(self, value: object) -> bool:
        """Decide about one property; what is not settled does not hold."""
        if is_missing(value):
            return self.if_missing
        answer = self.predicate(value)
        return answer is not None and answer is not self.negated

    def holds_among(self, values: Iterable[object]) -> bool:
        """Decide about many: some value, or for a negative operator every one."""
        answers = [self.predicate(value) for value in values]
        if not answers:
            return self.if_missing
        return all(a is False for a in answers) if self.negated else True in answers


def compile_comparison(operator: object, value: object) -> Comparison:
    """
    Compile a filter's operator and value.

    Raises:
        Undecidable: the operator is not known, or *value* is none it can use.

    """
    name = operator or "exact"
    if not isinstance(name, str) or name not in _OPERATORS:
        raise Undecidable(f"the operator {operator!r} cannot be decided")
    compile_predicate, negated, if_missing = _OPERATORS[name]
    try:
        return Comparison(compile_predicate(value), negated, if_missing)
    except Undecidable as error:
        raise Undecidable(f"operator {name}: {error}") from None


_OPERATORS: dict[str, tuple[Callable[[object], predicates.Predicate], bool, bool]] = {
    # name: (predicate, negated, the answer for a missing property)
    "exact": (predicates.equals, False, False),
    "is_not": (predicates.equals, True, True),
    "in": (predicates.one_of, False, False),
    "not_in": (predicates.one_of, True, True),
    "icontains": (predicates.contains, False, False),
    "not_icontains": (predicates.contains, True, True),
    "icontains_multi": (predicates.contains_any, False, False),
    "not_icontains_multi": (predicates.contains_any, True, True),
    "regex": (predicates.matches, False, False),
    "not_regex": (predicates.matches, True, True),
    "gt": (predicates.ordered(gt), False, False),
    "gte": (predicates.ordered(ge), False, False),
    "min": (predicates.ordered(ge), False, False),
    "lt": (predicates.ordered(lt), False, False),
    "lte": (predicates.ordered(le), False, False),
    "max": (predicates.ordered(le), False, False),
    "between": (predicates.between, False, False),
    "not_between": (predicates.between, True, False),
    "is_date_exact": (predicates.dated(eq), False, False),
    "is_date_before": (predicates.dated(lt), False, False),
    "is_date_after": (predicates.dated(gt), False, False),
    "is_set": (predicates.anything, False, False),
    "is_not_set": (predicates.anything, True, True),
}
