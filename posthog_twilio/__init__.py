"""
Texts the right people, through Twilio, when a PostHog event or action happens.

Never twice within the timeout, never silently lost, never on a guess.
"""

from posthog_twilio.errors import ConfigError, InvalidEvent, RetryError
from posthog_twilio.manifest import manifest
from posthog_twilio.outcome import Outcome, Status
from posthog_twilio.plugin import Meta, on_event, setup_plugin, teardown_plugin

__all__ = [
    "ConfigError",
    "InvalidEvent",
    "Meta",
    "Outcome",
    "RetryError",
    "Status",
    "manifest",
    "on_event",
    "setup_plugin",
    "teardown_plugin",
]
