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

Where several processes capture (a web server's workers, say), give the plugin a
cache that they share: ``setup_plugin(config, cache=SQLiteCache(path))``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from posthog_twilio.errors import RetryError
from posthog_twilio.fields import shown_id
from posthog_twilio.hosts._background import Background
from posthog_twilio.plugin import Meta, on_event

RETRIES = (1.0, 10.0, 65.0)
"""Seconds before each further try; the last outlasts the lease of a lost answer."""

log = logging.getLogger("posthog_twilio")


class BeforeSend:
    """
    A ``before_send`` hook; :func:`before_send` makes it.

    An event that is captured while this hook works in the same thread, as a log
    handler may do, passes untouched: a text that fails must not cause texts
    about itself.
    """

    def __init__(self, meta: Meta, *, limit: int, threads: int, drain: float) -> None:
        self._meta = meta
        self._inside = _Inside()
        self._background = Background(
            self._deliver, self._leave, limit=limit, threads=threads, drain=drain
        )

    def __call__(self, message: Any) -> Any:
        """Hand a matching event to a thread; return *message* itself, whatever happens."""
        inside = self._inside
        if inside.on:
            return message
        inside.on = True
        try:
            if self._meta.matches(message):
                self._take(message)
        except Exception:
            with suppress(Exception):  # a logger's filter may raise
                log.exception("before_send failed; the event itself goes on")
        finally:
            inside.on = False
        return message

    @property
    def overflowed(self) -> int:
        """The events not taken, in this process, since too many waited or it was closed."""
        return self._background.refused

    @property
    def lost(self) -> int:
        """The events taken, in this process, that could not be sent in the end."""
        return self._background.lost

    def flush(self, seconds: float = 10.0) -> bool:
        """Wait until all taken events are done, at most *seconds*; tell whether they are."""
        return self._background.flush(seconds)

    def close(self) -> int:
        """
        Take no more, finish what was taken, and drop what does not end in *drain* seconds.

        It runs by itself at a normal exit, and is safe to call twice.

        Returns:
            how many events are left, those included that are just being sent.

        """
        return self._background.close()

    def _take(self, message: Mapping[str, Any]) -> None:
        # The application may go on to change what its properties hold.
        refused = self._background.put(_copy(message))
        if refused and refused & (refused - 1) == 0:  # 1, 2, 4, 8: never a flood
            why = "it was closed" if self._background.closed else "too many wait"
            log.error("an event is not texted, since %s; %d so far", why, refused)

    def _deliver(self, event: Mapping[str, Any], tries: int) -> float | None:
        """Send, and return the seconds after which to try again, if at all."""
        self._inside.on = True
        try:
            on_event(event, self._meta)
        except RetryError as error:
            if tries < len(RETRIES):
                return RETRIES[tries]
            self._background.lose()
            log.error("gave up on event %s: %s", shown_id(event), error)
        except Exception:
            self._background.lose()
            log.exception("could not handle event %s", shown_id(event))
        return None

    def _leave(self, event: Mapping[str, Any]) -> None:
        self._background.lose()
        log.error("no time left for event %s", shown_id(event))


class _Inside(threading.local):
    """Whether this thread is in the hook, or works for it."""

    on = False


def _copy(value: Any) -> Any:
    """Copy what can change in an event; leaves, of any type, stay as they are."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value


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
