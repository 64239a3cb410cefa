"""
Inside an application that captures events with PostHog's own Python SDK.

::

    posthog.before_send = before_send(setup_plugin(config))

The SDK calls the hook in the thread of ``capture()``, and drops the event when
the hook raises or returns anything but a dict (posthog-python,
``posthog/client.py``).  So this one returns the very message it was given,
never raises, and never sends in the caller's thread.

The SDK sees this process's events before PostHog does: no person properties
but those the event sets, no elements.  Nobody delivers such an event again, so
what cannot be sent is tried a few times and then logged as lost.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from posthog_twilio.errors import RetryError
from posthog_twilio.hosts._background import Background
from posthog_twilio.plugin import Meta, on_event

RETRIES = (1.0, 10.0, 65.0)
"""Seconds before each further try; the last outlasts the lease of a lost answer."""

log = logging.getLogger("posthog_twilio")


class BeforeSend:
    """
    A ``before_send`` hook; :func:`before_send` makes it.

    Attributes:
        overflowed: events not taken since too many waited.
        lost: events taken that could not be sent in the end.

    """

    def __init__(self, meta: Meta, *, limit: int, threads: int, drain: float) -> None:
        self.overflowed = 0
        self.lost = 0
        self._meta = meta
        self._background = Background(self._deliver, limit=limit, threads=threads, drain=drain)

    def __call__(self, message: Any) -> Any:
        """Hand a matching event to a thread; return *message* itself, whatever happens."""
        try:
            if self._meta.matches(message):
                self._take(message)
        except Exception:
            log.exception("before_send failed; the event itself goes on")
        return message

    def flush(self, seconds: float = 10.0) -> bool:
        """Wait until all taken events are done, at most *seconds*; tell whether they are."""
        return self._background.flush(seconds)

    def close(self) -> int:
        """Finish what was taken; return how many events are left.  Runs at exit by itself."""
        return self._background.close()

    def _take(self, message: Mapping[str, Any]) -> None:
        # The SDK goes on to work on the message and its properties.
        properties = message.get("properties")
        copy = {**message, "properties": dict(properties) if properties else {}}
        if not self._background.put(copy):
            self.overflowed += 1
            log.error("too many events wait to be texted; not taken: %d", self.overflowed)

    def _deliver(self, event: Mapping[str, Any]) -> None:
        for pause in (*RETRIES, None):
            try:
                on_event(event, self._meta)
            except RetryError as error:
                if pause is None or self._background.closing.wait(pause):
                    self.lost += 1
                    log.error("gave up on event %s: %s", event.get("uuid"), error)
                    return
            except Exception:
                self.lost += 1
                log.exception("could not handle event %s", event.get("uuid"))
                return
            else:
                return


def before_send(
    meta: Meta, *, limit: int = 1000, threads: int = 2, drain: float = 10.0
) -> BeforeSend:
    """
    Return a hook for ``posthog.before_send`` or ``Posthog(before_send=...)``.

    Args:
        meta: from :func:`~posthog_twilio.setup_plugin`.
        limit: the most events that wait; more are counted, logged, not taken.
        threads: how many messages are sent at once.
        drain: seconds to finish in when the process ends normally.

    """
    return BeforeSend(meta, limit=limit, threads=threads, drain=drain)
