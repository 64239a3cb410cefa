"""
A Twilio for tests, behind the SDK's own seam.

``client`` holds :class:`FakeTwilio` over an ``account``, whose ``rules`` refuse
and whose ``resources`` are answered; ``wire`` is a request and a reply,
``failures`` what can be scripted, ``raising`` the exceptions that follow.
"""

from __future__ import annotations

from posthog_twilio.fake.client import FakeTwilio
from posthog_twilio.fake.resources import AcceptedMessage
from posthog_twilio.fake.wire import Reply, Request

__all__ = ["AcceptedMessage", "FakeTwilio", "Reply", "Request"]
