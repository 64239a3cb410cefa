"""
Fixtures for those who test their set-up; pytest finds them by itself.

::

    from posthog_twilio import on_event, setup_plugin

    def test_signup_texts_the_owner(fake_twilio, twilio_config):
        meta = setup_plugin(twilio_config, http_client=fake_twilio)

        on_event({"event": "signup", "distinct_id": "1"}, meta)

        assert [message.to for message in fake_twilio.outbox] == ["+15550100001"]

``pytest --fixtures -v`` shows them.  Nothing of Twilio's SDK is imported before a test
asks for ``fake_twilio``; ``-p no:posthog_twilio`` switches the plugin off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posthog_twilio.fake import FakeTwilio


@pytest.fixture
def fake_twilio() -> FakeTwilio:
    """
    Hand out a Twilio of this test's own, with an empty outbox: ``http_client=fake_twilio``.

    See :class:`posthog_twilio.testing.FakeTwilio`.
    """
    from posthog_twilio.testing import FakeTwilio

    return FakeTwilio()


@pytest.fixture
def twilio_config() -> dict[str, Any]:
    """
    Hand out plugin parameters that are valid as they are, with fictional credentials.

    The event ``signup`` texts ``+15550100001`` from ``+15005550006``, the sender
    of Twilio's test credentials, at most once a minute.  It is a fresh dict each
    time: change what the test is about, as in ``twilio_config["timeout"] = "3600"``.
    """
    return {
        "accountSID": "AC0123456789abcdef0123456789abcdef",
        "authToken": "fedcba9876543210fedcba9876543210",
        "triggeringEventsAndNumber": "signup:+15550100001",
        "senderPhoneNumber": "+15005550006",
        "timeout": "60",
    }


@pytest.fixture(scope="session")
def recorded_events() -> Callable[..., Iterator[Any]]:
    """
    Hand out the function that reads plugin events from a recording.

    ``for event in recorded_events("week.jsonl.gz"): ...``; see
    :func:`posthog_twilio.testing.recorded_events`.
    """
    from posthog_twilio.testing import recorded_events

    return recorded_events
