"""What a person should know of a set-up that is valid, and may still surprise."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from posthog_twilio.caches import Cache, MemoryCache
from posthog_twilio.config import Config, strip
from posthog_twilio.message import Template, ucs2_cause
from posthog_twilio.phone import numbering_plans

if TYPE_CHECKING:
    from posthog_twilio.actions import Action

DAY = 86_400
_LIQUID_FILTER = re.compile(r"\{\{[^{}|]*\|[^{}]*\}\}")
_ABOUT_ALL = "actions: "  # how a warning begins that concerns the list, not the one action

log = logging.getLogger("posthog_twilio")


def load_actions(settings: Any, given: Any, problems: list[str]) -> tuple[Action, ...]:
    """
    Return the actions of the ``actions`` setting and those *given* in Python.

    What cannot be read is appended to *problems*.
    """
    stored = settings.get("actions") if isinstance(settings, Mapping) else None
    found: list[Action] = []
    for source in map(strip, (stored, given)):
        if source is None or (isinstance(source, str | list | tuple) and not source):
            continue
        from posthog_twilio.actions import parse_actions

        try:
            found += parse_actions(source)
        except ValueError as error:
            problems.append(f"actions: {error}")
    return tuple(found)


def notices(config: Config, cache: Cache | None, actions: tuple[Action, ...]) -> tuple[str, ...]:
    """Return all warnings about a set-up, one sentence each; no *cache* is none to warn of."""
    return (
        *_about_actions(config, actions),
        *_about_cache(config, cache),
        *_about_template(config),
        *_about_recipients(config),
    )


def tell(warnings: tuple[str, ...]) -> None:
    """Log each of *warnings* once."""
    for warning in warnings:
        log.warning("%s", warning)


def _about_actions(config: Config, actions: tuple[Action, ...]) -> Iterator[str]:
    """Only actions that a trigger names matter; a page of the API may hold hundreds."""
    told = (warning for action in actions for warning in action.warnings)
    yield from (warning for warning in told if warning.startswith(_ABOUT_ALL))
    for name in config.triggers:
        named = [action for action in actions if action.name == name]
        for action in named:
            yield from (text for text in action.warnings if not text.startswith(_ABOUT_ALL))
        if named and all(action.event_names == frozenset() for action in named):
            yield (
                f"triggeringEventsAndNumber: {name!r} is an action that can never fire here; "
                "only an event of that name would"
            )


def _about_cache(config: Config, cache: Cache | None) -> Iterator[str]:
    if isinstance(cache, MemoryCache) and config.cooldown >= DAY:
        yield (
            f"timeout: {config.cooldown} s in a cache in memory, which a restart forgets; "
            "SQLiteCache and RedisCache remember"
        )


def _about_template(config: Config) -> Iterator[str]:
    if cause := ucs2_cause(Template.parse(config.template)):
        yield (
            f"messageTemplate: {cause} is not in SMS's own alphabet, so a part holds "
            "70 characters, not 160"
        )
    if found := _LIQUID_FILTER.search(config.template):
        yield (
            f"messageTemplate: {found[0]} is no path and stays as it is; "
            "Liquid's filters are not applied"
        )


def _about_recipients(config: Config) -> Iterator[str]:
    from_data = any("{" in number for numbers in config.triggers.values() for number in numbers)
    if from_data and numbering_plans() is None:
        yield (
            "triggeringEventsAndNumber: numbers from event data are checked against the "
            "best-known premium ranges only; pip install 'posthog-twilio[phone]' knows more"
        )
