"""
The testing kit: a Twilio with no network, a suite for caches, recorded events.

- :class:`FakeTwilio`: the real SDK runs against it; it shows what was accepted
  and fails in every way that matters, when told to.
- :class:`CacheContract`: inherit it to test a cache of your own.
- :func:`recorded_events`: plugin events from a recording.

Each is imported when it is first asked for: importing this module alone loads
neither Twilio's SDK nor pytest.  :mod:`posthog_twilio.pytest_plugin` hands them
out as fixtures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posthog_twilio.cache_contract import CacheContract
    from posthog_twilio.fake import FakeTwilio
    from posthog_twilio.recordings import recorded_events

__all__ = ["CacheContract", "FakeTwilio", "recorded_events"]

_HOMES = {
    "CacheContract": "posthog_twilio.cache_contract",
    "FakeTwilio": "posthog_twilio.fake",
    "recorded_events": "posthog_twilio.recordings",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
