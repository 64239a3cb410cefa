"""The forms in which people have action definitions: one, a list, a page, JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import evolve

from posthog_twilio.actions.action import Action
from posthog_twilio.actions.undecidable import kind


def parse_actions(source: object) -> tuple[Action, ...]:
    """
    Compile definitions in any form PostHog's API gives them.

    Args:
        source: one definition, a list of them, the API's page
            (``{"results": [...]}``), JSON text of any of these, or actions
            that are compiled already.

    Returns:
        An action for each, deleted ones and those without a name included.
        If PostHog has a next page, the first action warns of it.

    Raises:
        ValueError: something in *source* is not the definition of an action.

    """
    if isinstance(source, (str, bytes, bytearray)):
        source = _loads(source)
    if isinstance(source, Action):
        return (source,)
    if isinstance(source, Mapping) and "results" in source:
        return _page(source)
    if isinstance(source, Mapping):
        return (Action.parse(source),)
    return _each(source)


def _each(source: object) -> tuple[Action, ...]:
    if not isinstance(source, (list, tuple)):
        raise ValueError(
            f"expected action definitions as PostHog's API has them, got {kind(source)}"
        )
    return tuple(_numbered(position, item) for position, item in enumerate(source, 1))


def _numbered(position: int, item: Any) -> Action:
    if isinstance(item, Action):
        return item
    try:
        return Action.parse(item)
    except ValueError as error:
        raise ValueError(f"number {position} of the list: {error}") from None


def _page(page: Mapping[str, Any]) -> tuple[Action, ...]:
    actions = _each(page["results"])
    if page.get("next") is None or not actions:
        return actions
    warning = "actions: this is not PostHog's last page, the actions of the next one are missing"
    return (evolve(actions[0], warnings=(*actions[0].warnings, warning)), *actions[1:])


def _loads(text: str | bytes | bytearray) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON, got text that is none: {error}") from None
