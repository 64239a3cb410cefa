"""An action: compiled once from its definition, then asked about every event."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from posthog_twilio.actions.step import Step, compile_step
from posthog_twilio.actions.undecidable import Undecidable, kind
from posthog_twilio.actions.view import EventView

log = logging.getLogger("posthog_twilio")


@frozen(kw_only=True, eq=False)
class Action:
    """
    One of PostHog's actions; make it with :meth:`parse`.

    Attributes:
        name: as in PostHog; ``""`` where it has none, so that no trigger can
            name it.
        deleted: whether it was deleted in PostHog; then it matches nothing.
        undecidable: whether it has steps of which not one can be decided.
        warnings: what a person should know, each naming action and step.
        event_names: the names of the events that can match, ``None`` for any
            event.  Empty: it can never fire.

    """

    name: str
    deleted: bool = False
    undecidable: bool = False
    warnings: tuple[str, ...] = field(default=(), repr=False)
    _steps: tuple[tuple[int, Step], ...] = field(default=(), repr=False)
    event_names: frozenset[str] | None = field(init=False)

    @event_names.default
    def _event_names(self) -> frozenset[str] | None:
        names = {step.event for _, step in self._steps}
        return None if None in names else frozenset(name for name in names if name is not None)

    @classmethod
    def parse(cls, definition: Mapping[str, Any]) -> Action:
        """
        Compile one definition, as PostHog's API returns it.

        A step that cannot be decided never matches, and the others still do;
        :attr:`warnings` says which and why.

        Raises:
            ValueError: *definition* is not the definition of an action.

        """
        name, steps = _name(definition), _steps(definition)
        label = (
            f"action {name!r}" if name else f"action {definition.get('id')!r}, which has no name"
        )
        if definition.get("deleted"):
            return cls(name=name, deleted=True, warnings=(f"{label}: deleted, so it never fires",))
        warnings: list[str] = []
        numbered = (
            (n, _compile(s, f"{label}, step {n}", warnings)) for n, s in enumerate(steps, 1)
        )
        compiled = tuple((number, step) for number, step in numbered if step)
        if not steps:
            warnings.append(f"{label}: it has no steps, so it never fires")
        if not name:
            warnings.append(f"{label}: no trigger can name it")
        return cls(
            name=name,
            undecidable=bool(steps) and not compiled,
            warnings=tuple(warnings),
            steps=compiled,
        )

    def matches(self, event: object) -> bool:
        """Tell whether the action happens with *event*; never raises, whatever *event* is."""
        if not isinstance(event, Mapping):
            return False
        try:
            view = EventView(event)
            return any(self._holds(number, step, view) for number, step in self._steps)
        except Exception as error:  # noqa: BLE001  a mapping of a host's own may raise anything
            log.error("action %r: unreadable event: %s", self.name, type(error).__name__)
            return False

    def _holds(self, number: int, step: Step, view: EventView) -> bool:
        try:
            return step.matches(view)
        except Exception as error:  # noqa: BLE001  no event may stop the pipeline, nor other steps
            reason = type(error).__name__
            log.error("action %r, step %d: not decided: %s", self.name, number, reason)
            return False


def _name(definition: object) -> str:
    if not isinstance(definition, Mapping):
        raise ValueError(f"expected the definition of an action, a mapping, got {kind(definition)}")
    if "name" not in definition:
        raise ValueError(f"expected the definition of an action, got no name in {list(definition)}")
    name = definition["name"]
    if name is not None and not isinstance(name, str):
        raise ValueError(f"expected the name of an action as text, got {name!r}")
    return name if name and name.strip() else ""


def _steps(definition: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    steps = definition.get("steps")
    if steps is None:
        return []
    if not isinstance(steps, (list, tuple)):
        raise ValueError(
            f"steps of action {definition['name']!r}: expected a list, got {kind(steps)}"
        )
    for number, step in enumerate(steps, 1):
        if not isinstance(step, Mapping):
            label = f"step {number} of action {definition['name']!r}"
            raise ValueError(f"{label}: expected a mapping, got {kind(step)}")
    return list(steps)


def _compile(definition: Mapping[str, Any], label: str, warnings: list[str]) -> Step | None:
    try:
        step = compile_step(definition)
    except Undecidable as error:
        warnings.append(f"{label}: cannot be decided, so it never fires: {error}")
        return None
    if step.event is None and not step.conditions:
        warnings.append(f"{label}: it has no condition, so it FIRES ON EVERY EVENT")
    return step
