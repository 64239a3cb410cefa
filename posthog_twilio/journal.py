"""One log line for each outcome, at the level that a person would choose."""

from __future__ import annotations

import logging

from posthog_twilio.outcome import Outcome, Status
from posthog_twilio.phone import mask

log = logging.getLogger("posthog_twilio")

_LEVELS = {
    Status.SENT: logging.INFO,
    Status.COOLING_DOWN: logging.DEBUG,
    Status.DUPLICATE: logging.DEBUG,
    Status.OVER_LIMIT: logging.DEBUG,  # the limit itself warns, once a day
    Status.REFUSED: logging.WARNING,
    Status.UNCERTAIN: logging.WARNING,
    Status.RETRY: logging.WARNING,
}
_SETUP_FAULTS = frozenset({401, 403, 404, 20003, 20005, 20006, 20008, 20403, 20404})


def note(outcome: Outcome) -> None:
    """
    Log *outcome*, its number masked.

    The record carries ``outcome``, ``trigger``, ``recipient``, ``sid``,
    ``code`` and ``held_back`` as attributes, for structured logging.
    """
    level = _LEVELS[outcome.status]
    if outcome.status is Status.REFUSED and outcome.code in _SETUP_FAULTS:
        level = logging.ERROR  # nothing will go out until a person mends the set-up
    if not log.isEnabledFor(level):
        return
    recipient = mask(outcome.recipient)
    fields = {
        "outcome": outcome.status.value,
        "trigger": outcome.trigger,
        "recipient": recipient,
        "sid": outcome.sid,
        "code": outcome.code,
        "held_back": outcome.held_back,
    }
    why = f": {outcome.reason}" if outcome.reason else ""
    log.log(level, "%s to %s %s%s", outcome.trigger, recipient, outcome.status, why, extra=fields)
