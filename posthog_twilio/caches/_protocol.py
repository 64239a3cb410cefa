"""What every cache can do, and what a claim is."""

from __future__ import annotations

import os
from typing import Literal, Protocol

from attrs import field, frozen

DAY = 86_400
LONGEST = 100 * 366 * DAY

State = Literal["new", "lapsed", "pending", "committed"]


@frozen
class Claim:
    """
    What a cache answered to one claim.

    Attributes:
        key: the key that was asked for.
        token: text that no other claim has and nobody can guess; it proves
            to :meth:`Cache.commit` and :meth:`Cache.release` who is asking.
        state: where the claim was granted, ``new``, or ``lapsed`` if an
            earlier claim ran out without commit or release during the last
            24 hours; where it was refused, ``pending`` or ``committed``:
            what the claim in its way is.
        held_back: the claims asked on this key since the last committed one,
            granted or refused, this one not included.

    """

    key: str
    token: str = field(repr=False)
    state: State
    held_back: int

    @property
    def granted(self) -> bool:
        """Whether the key is the asker's until it lapses."""
        return self.state in ("new", "lapsed")


class Cache(Protocol):
    """
    Remembers which keys are taken, until when, and how often they were asked for.

    A span covers ``[now, now + seconds)``.  *seconds* is above 0 and at most
    100 years, fractions welcome; anything else is a ``ValueError``.  A count
    outlives its span by at least as long again (in these caches by a day at
    least), then the key is as if it had never been asked for.  Errors of the
    underlying store are let through: the caller sends nothing then.

    Whoever writes a cache inherits :class:`posthog_twilio.testing.CacheContract`.
    """

    def claim(self, key: str, seconds: float) -> Claim:
        """
        Ask for *key*; atomic: granted to one asker until it lapses.

        A refused claim changes nothing but the count.
        """
        ...

    def commit(self, claim: Claim, seconds: float) -> None:
        """
        Settle *claim*: hold its key for *seconds* from now.

        The claims asked up to and including this one leave the count.  It may
        be repeated, and does nothing where the claim has lapsed or was refused.
        """
        ...

    def release(self, claim: Claim) -> None:
        """
        Give *claim* up: nothing happened, as if it had never been asked.

        A key that was granted as ``lapsed`` stays lapsed.  It does nothing
        where the claim has lapsed, was refused or was committed.
        """
        ...


def as_seconds(seconds: float) -> float:
    """Return *seconds* if it is a span that every store can keep."""
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"expected seconds above 0, at most {LONGEST}, got {seconds!r}")
    return seconds


def new_token() -> str:
    """Make the token of one claim: 128 random bits, also after a fork."""
    return os.urandom(16).hex()
