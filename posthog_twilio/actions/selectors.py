"""A CSS selector, compiled, and its search in the chain of elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posthog_twilio.actions.element import Element


@frozen
class Compound:
    """What one element must be; *child* ties it to the compound before by ``>``."""

    child: bool
    tag: str | None = None
    ids: tuple[str, ...] = ()
    classes: frozenset[str] = frozenset()
    attributes: tuple[tuple[str, frozenset[str]], ...] = ()
    positions: tuple[tuple[str, int], ...] = ()

    def matches(self, element: Element) -> bool:
        """Tell whether *element* is all of it."""
        return (
            (self.tag is None or self.tag == element.tag)
            and (not self.classes or self.classes.issubset(element.classes))
            and all(wanted == element.id for wanted in self.ids)
            and all(element.attribute(name) in values for name, values in self.attributes)
            and all(element.position(name) == n for name, n in self.positions)
        )


@frozen
class Selector:
    """A compiled selector: compounds from the outermost ancestor inwards."""

    compounds: tuple[Compound, ...]

    def matches(self, elements: Sequence[Element]) -> bool:
        """
        Tell whether any element matches, the clicked one or an ancestor.

        All the places that the compounds so far can end at are kept at once,
        which is backtracking without its cost.
        """
        first, *others = self.compounds
        ends = [i for i, element in enumerate(elements) if first.matches(element)]
        for compound in others:
            if not ends:
                return False
            inner = [i - 1 for i in ends if i] if compound.child else range(max(ends))
            ends = [i for i in inner if compound.matches(elements[i])]
        return bool(ends)
