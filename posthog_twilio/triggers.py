"""Which triggers does an event fire?  One dict look-up for most events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from posthog_twilio.paths import Path
from posthog_twilio.phone import as_recipient, mask


class Matcher(Protocol):
    """What the index asks of an action."""

    name: str
    event_names: frozenset[str] | None

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Tell whether *event* is one of the action's."""
        ...


@frozen
class Recipient:
    """
    Whom to text: a fixed address, or the place at which an event carries a number.

    Attributes:
        text: as in the settings.
        path: where in the event the number is; None for a fixed address.
        channel: what stands before the number, such as ``whatsapp:``.

    """

    text: str = field(repr=mask)
    path: Path | None = None
    channel: str = ""

    @classmethod
    def parse(cls, text: str) -> Recipient:
        """Read *text* as the settings hold it."""
        channel, brace, path = text.partition("{")
        return cls(text, Path.parse(path.rstrip("}")), channel) if brace else cls(text)

    def resolve(self, event: Mapping[str, Any], country_codes: tuple[str, ...]) -> str:
        """
        Return the address to text about *event*.

        Raises:
            ValueError: when the event holds no number in an allowed country.

        """
        if self.path is None:
            return self.text
        return self.channel + as_recipient(self.path.get(event), country_codes)


@frozen
class Trigger:
    """The name of an event or action, and whom to text about it."""

    name: str
    recipients: tuple[Recipient, ...]


_Plan = tuple[tuple[Trigger, tuple[Matcher, ...] | None], ...]


class Triggers:
    """
    An index from event names to what may fire on them.

    A trigger fires on an event of its name and on an action of its name;
    both at once fire it once.

    Args:
        triggers: in the order in which they are to fire.
        actions: only those named by a trigger count.

    """

    def __init__(self, triggers: Iterable[Trigger], actions: Iterable[Matcher] = ()) -> None:
        by_name: dict[str, list[Matcher]] = defaultdict(list)
        for action in actions:
            by_name[action.name].append(action)
        ordered = tuple(triggers)
        watched: dict[str, dict[int, tuple[Matcher, ...] | None]] = defaultdict(dict)
        anywhere: dict[int, tuple[Matcher, ...] | None] = {}
        for position, trigger in enumerate(ordered):
            own = tuple(by_name[trigger.name]) if trigger.name in by_name else ()
            if any(action.event_names is None for action in own):
                anywhere[position] = own
            for name in frozenset().union(*(action.event_names or () for action in own)):
                watched[name][position] = own
            watched[trigger.name][position] = None  # by its own name, whatever the actions say
        self._plans: dict[str, _Plan] = {
            name: tuple((ordered[at], plan) for at, plan in sorted({**anywhere, **here}.items()))
            for name, here in watched.items()
        }
        self._default: _Plan = tuple((ordered[at], plan) for at, plan in anywhere.items())

    def match(self, event: Mapping[str, Any]) -> tuple[Trigger, ...]:
        """Return the triggers that *event* fires, in the order of the settings."""
        return tuple(
            trigger
            for trigger, actions in self._plans.get(event["event"], self._default)
            if actions is None or any(action.matches(event) for action in actions)
        )

    def ignores(self, name: str) -> bool:
        """Tell whether no event of this name can fire anything."""
        return not self._plans.get(name, self._default)
