"""
The errors, as a tree.

::

    ValueError
    ├── ConfigError     the set-up is wrong; nothing runs until a person mends it
    └── InvalidEvent    this is no plugin event; nothing was claimed, nothing sent
    Exception
    └── RetryError      deliver the same event again, please

"The set-up is wrong" and "this message could not be sent" share no base on
purpose: whoever tolerates the second must not swallow the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posthog_twilio.outcome import Outcome


class ConfigError(ValueError):
    """
    Raised when plugin parameters cannot be used; never worth a retry.

    Attributes:
        problems: a list of sentences, one per fault, each beginning with the
            setting's name in plugin.json.

    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n  ".join(["invalid plugin settings", *self.problems]))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[str]]]:
        return type(self), (self.problems,)


class InvalidEvent(ValueError):
    """Raised when something that is not a plugin event is handed in as one."""


class RetryError(Exception):
    """
    Raised when at least one message is not settled yet.

    It was not sent, another worker has it in hand, or, where ``whenInDoubt`` is
    ``ask`` or ``resend``, it is still in doubt.
    It is raised after all recipients of the event were tried.  Delivering the
    same event again is safe: what was sent is not sent again.

    Attributes:
        outcomes: every :class:`~posthog_twilio.Outcome` of the event.

    """

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self.outcomes = tuple(outcomes)
        reasons = dict.fromkeys(o.reason for o in self.outcomes if o.status == "retry")
        super().__init__("deliver this event again: " + "; ".join(map(str, reasons)))

    def __reduce__(self) -> tuple[type[RetryError], tuple[tuple[Outcome, ...]]]:
        return type(self), (self.outcomes,)
