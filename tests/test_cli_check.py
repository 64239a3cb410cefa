"""``posthog-twilio check``: a config, asked of Twilio without sending."""

from __future__ import annotations

import json

import pytest
from twilio_stand_in import SID, TOKEN, StandIn

from posthog_twilio.cli import main
from posthog_twilio.fake import FakeTwilio

ONE, SENDER = "+15550100001", "+15550199000"
SERVICE = "MG" + "1" * 32


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch):
    for variable in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module")
def stand_in():
    """Run a Twilio with one account, one number and one Messaging Service."""
    fake = FakeTwilio(account_sid=SID, auth_token=TOKEN, senders=[SENDER, SERVICE])
    with StandIn(fake) as server:
        yield server


@pytest.fixture
def check(tmp_path, stand_in, capsys):
    """Check a config with some settings changed; return status, output and errors."""
    stand_in.fake.reset()

    def check(*options, **changed):
        settings = {
            "accountSID": SID,
            "authToken": TOKEN,
            "triggeringEventsAndNumber": {"signup": [ONE, "+15550100002"], "order": ONE},
            "senderPhoneNumber": SENDER,
            "timeout": 5400,
            "apiBaseURL": stand_in.url,
            **changed,
        }
        path = tmp_path / "config.json"
        path.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))
        status = main(["check", "--config", str(path), *options])
        assert stand_in.fake.outbox == []
        return status, *capsys.readouterr()

    return check


def test_says_what_a_good_config_does(check):
    """Whom it texts on what, how often, from whom and what; numbers are masked."""
    status, out, err = check(dailyLimit=1500, allowedCountryCodes="+1")

    assert (status, err) == (0, "")
    assert "signup   an event  +1555•••0001, +1555•••0002" in out
    assert "Each trigger texts a number at most once in 1 h 30 min, 1,500 messages a UTC day" in out
    assert "From:    +1555•••9000" in out
    assert "Message: Hi {event.event} occurred{and_more} - PostHog" in out
    assert "only in +1" in out
    assert "Twilio: the credentials are good; account 'FakeTwilio' (Full)." in out
    assert "Twilio: the sender +1555•••9000 is a number of this account." in out
    assert "warning" not in out
    assert ONE not in out


def test_every_fault_is_told_and_nothing_asked(check, stand_in):
    """Status 2, and a line for each faulty setting."""
    status, out, err = check(timeout=0, authToken=None)

    assert status == 2
    assert out == ""
    assert [line.split(": ")[1] for line in err.splitlines()] == ["authToken", "timeout"]
    assert stand_in.fake.requests == []


def test_credentials_come_from_the_environment(check, monkeypatch):
    """They stand in where the config lacks them."""
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", TOKEN)

    assert check(authToken="")[0] == 0


def test_wrong_credentials_are_told(check):
    """Status 1, and what to mend; the token is not shown."""
    status, out, _ = check(authToken="wrong-token")

    assert status == 1
    assert "Twilio does not accept the credentials; check accountSID, authToken" in out
    assert "the sender" not in out
    assert "wrong-token" not in out


def test_a_sender_that_is_not_the_accounts_is_told(check):
    """Status 1; a number or a Messaging Service."""
    status, out, _ = check(senderPhoneNumber="+15550177000")
    assert status == 1
    assert "+1555•••7000 is not a number of this account" in out

    status, out, _ = check(senderPhoneNumber="MG" + "2" * 32)
    assert status == 1
    assert "is not a Messaging Service of this account" in out


def test_a_messaging_service_is_looked_up(check):
    """It is the account's."""
    status, out, _ = check(senderPhoneNumber=SERVICE)

    assert status == 0
    assert "is a Messaging Service of this account" in out


def test_a_sender_that_cannot_be_looked_up_is_no_fault(check):
    """A name or short code can only be checked by sending."""
    status, out, _ = check(senderPhoneNumber="My Shop")

    assert status == 0
    assert "the sender My Shop can only be checked by sending from it" in out


def test_a_twilio_that_does_not_answer_is_told(check, stand_in):
    """Status 1, for the account as for the sender."""
    stand_in.fail(500, on="account")
    assert check()[0] == 1

    stand_in.fail(500, on="numbers")
    status, out, _ = check()
    assert status == 1
    assert "Twilio: HTTP 500" in out


def test_an_account_that_is_not_active_is_told(check, monkeypatch):
    """A suspended account sends nothing."""
    monkeypatch.setattr(
        "posthog_twilio.transport.TwilioTransport.account",
        lambda _: {"status": "suspended", "type": "Full", "name": "Shop"},
    )

    status, out, _ = check()

    assert status == 1
    assert "the account 'Shop' is suspended" in out


def test_an_api_key_that_may_not_see_the_account_is_asked_otherwise(check, stand_in):
    """A standard key may send, and not look at the account; the sender tells whether it works."""
    key = {"apiKeySID": "SK" + "3" * 32}

    stand_in.fail(401, on="account")
    status, out, _ = check(**key)
    assert status == 0
    assert "an API key may not look at the account" in out

    stand_in.fail(401, on="account")
    stand_in.fail(401, on="numbers")
    assert check(senderPhoneNumber="My Shop", **key)[0] == 1


def test_offline_asks_nobody(check, stand_in):
    """Without Twilio it needs no credentials either."""
    status, out, _ = check("--offline", accountSID=None, authToken=None)

    assert status == 0
    assert "Twilio was not asked." in out
    assert stand_in.fake.requests == []


def test_warns_of_what_may_surprise(check):
    """A message in UCS-2, an action that cannot be decided; and it is no fault."""
    cohort = {"key": "id", "type": "cohort", "value": 1}
    actions = [{"name": "order", "steps": [{"event": "$autocapture", "properties": [cohort]}]}]

    status, out, _ = check(
        "--offline", timeout=86_400, messageTemplate="ж", actions=actions, timeoutScope="person"
    )

    assert status == 0
    assert "order    an event or action  +1555•••0001" in out
    assert "Each trigger texts a person and number at most once in 1 d." in out
    warnings = [line for line in out.splitlines() if line.startswith("warning: ")]
    assert any("messageTemplate" in warning for warning in warnings)
    assert not any("memory" in warning for warning in warnings)  # run keeps them in a file
    assert any("cohort" in warning for warning in warnings)
