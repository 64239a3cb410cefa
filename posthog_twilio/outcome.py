"""What became of one message to one recipient."""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen

from posthog_twilio.phone import mask


class Status(str, Enum):
    """What happened; each value is the lower-case name."""

    SENT = "sent"
    """Twilio accepted the message.  Accepted is not delivered."""
    COOLING_DOWN = "cooling_down"
    """Held back and counted: the timeout of an earlier message still runs."""
    DUPLICATE = "duplicate"
    """This very event was settled before, for this trigger and recipient."""
    OVER_LIMIT = "over_limit"
    """The daily limit is used up."""
    REFUSED = "refused"
    """Twilio, or a rule of ours, will not have this message; ``reason`` says why."""
    UNCERTAIN = "uncertain"
    """Twilio may have accepted the message; it is not sent again by itself."""
    RETRY = "retry"
    """Not known to be sent; deliver the event again, which is safe."""

    __str__ = str.__str__


@frozen(kw_only=True)
class Outcome:
    """
    What became of one message; ``None`` stands where a field has no meaning.

    Attributes:
        status: what happened.
        trigger: the name of the trigger, as the settings have it.
        recipient: the address in full; only the repr masks it.
        body: the text, once it was composed.
        sid: Twilio's ID of the message, where Twilio told it.
        code: Twilio's error code, else the HTTP status.
        reason: why it was not sent, in words a person can act on.
        held_back: the events on this cooldown since the last message.

    """

    status: Status
    trigger: str
    recipient: str | None = field(default=None, repr=lambda value: repr(mask(value)))
    body: str | None = field(default=None, repr=False)
    sid: str | None = None
    code: int | None = None
    reason: str | None = None
    held_back: int | None = None
