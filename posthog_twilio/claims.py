"""What one message holds in the cache until its fate is known."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posthog_twilio.caches import Cache, Claim

LEASE = 60.0
"""Seconds for which a crash in the middle of a message can silence anything."""

REMEMBERED = 86_400.0
"""Seconds for which it is remembered that an event was settled."""

log = logging.getLogger("posthog_twilio")


class CacheDown(Exception):
    """Raised when the cache cannot say whether a message may go out."""


def key_of(kind: str, *parts: str | None) -> str:
    """Return an unambiguous key for *parts*, none of which can be read from it."""
    digest = hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{kind}:{digest}"


class Claims:
    """
    The claims of one message: taken one by one, settled or dropped together.

    After a message went out nothing here raises: asking for the event again
    would send it again.  Once a message *may* be out, :meth:`seal` sees to it
    that nothing is released as if it had never been tried.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._held: list[tuple[Claim, float]] = []
        self._sealed = False

    def seal(self) -> None:
        """From here on, what is not settled lapses; it is not released."""
        self._sealed = True

    def take(self, key: str, keep: float) -> Claim:
        """
        Claim *key* on a lease; once settled, it is held for *keep* seconds.

        Raises:
            CacheDown: when the cache fails; what was taken before is dropped.

        """
        try:
            claim = self._cache.claim(key, LEASE)
        except Exception as error:
            self.drop()
            raise CacheDown(type(error).__name__) from error
        if claim.granted:
            self._held.append((claim, keep))
        return claim

    def settle(self, *claims: Claim) -> None:
        """Commit *claims*, or all in the order in which they were taken."""
        for claim, keep in self._pick(claims):
            try:
                self._cache.commit(claim, keep)
            except Exception:
                log.exception("a message went out, but the cache did not take note of it")

    def drop(self, *claims: Claim) -> None:
        """Release *claims*, or all, the last taken first; once sealed, let them lapse."""
        if self._sealed:
            return
        for claim, _ in reversed(self._pick(claims)):
            try:
                self._cache.release(claim)
            except Exception:
                log.warning("could not release a claim; it lapses by itself", exc_info=True)

    def _pick(self, claims: tuple[Claim, ...]) -> list[tuple[Claim, float]]:
        """Take the given claims, or all, off the list of those held."""
        picked = [held for held in self._held if not claims or held[0] in claims]
        self._held = [held for held in self._held if held not in picked]
        return picked
