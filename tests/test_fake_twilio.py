"""FakeTwilio against the real SDK: first in the process, then over a loopback socket."""

from __future__ import annotations

import doctest
import json
import re
import signal
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests
import urllib3
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http import HttpClient
from twilio.rest import Client
from twilio.rest.api.v2010.account.message import MessageInstance
from twilio_stand_in import SID, TOKEN, StandIn

from posthog_twilio.fake import Reply, Request, client, failures, raising, resources
from posthog_twilio.testing import FakeTwilio

TO, FROM, MAGIC = "+15550100001", "+15550100002", "+15005550006"
SERVICE = "MG" + "0" * 32


@pytest.fixture
def fake():
    """Hand out a fake that accepts everything well-formed."""
    return FakeTwilio()


@pytest.fixture
def sdk(fake):
    """Hand out the official client over the fake."""
    return Client(SID, TOKEN, http_client=fake)


@contextmanager
def refused(code, status=400):
    """Expect Twilio's error, as the SDK raises it."""
    with pytest.raises(TwilioRestException) as caught:
        yield caught
    assert (caught.value.code, caught.value.status) == (code, status)


def send(sdk, **changes):
    """Create a message; a parameter of None is left out."""
    return sdk.messages.create(**{"to": TO, "from_": FROM, "body": "Hi", **changes})


def status(sdk):
    """Create a message; return its status, or the HTTP status of the refusal."""
    try:
        return send(sdk).status
    except TwilioRestException as error:
        return error.status


# What the Message resource of Twilio's OpenAPI document says of each field.
DATE = r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000"
STATUSES = {
    *("queued", "sending", "sent", "failed", "delivered", "undelivered", "receiving", "received"),
    *("accepted", "scheduled", "read", "partially_delivered", "canceled"),
}


def text(pattern):
    """Return a check for text of a form."""
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.S)


def nullable(check):
    """Return a check that also takes null."""
    return lambda value: value is None or check(value)


MESSAGE_SCHEMA = {
    "account_sid": text("AC[0-9a-fA-F]{32}"),
    "api_version": text("2010-04-01"),
    "body": text(".*"),
    "date_created": text(DATE),
    "date_sent": nullable(text(DATE)),
    "date_updated": text(DATE),
    "direction": {"inbound", "outbound-api", "outbound-call", "outbound-reply"}.__contains__,
    "error_code": nullable(lambda value: type(value) is int),
    "error_message": nullable(text(".*")),
    "from": nullable(text(".+")),
    "messaging_service_sid": nullable(text("MG[0-9a-fA-F]{32}")),
    "num_media": text("[0-9]+"),
    "num_segments": text("[0-9]+"),
    "price": nullable(text("-?[0-9.]+")),
    "price_unit": nullable(text("[A-Z]{3}")),
    "sid": text("(SM|MM)[0-9a-fA-F]{32}"),
    "status": STATUSES.__contains__,
    "subresource_uris": lambda value: (
        set(value) == {"media"} and text("/2010-04-01/.*")(*value.values())
    ),
    "to": text(".+"),
    "uri": text(r"/2010-04-01/Accounts/AC\w{32}/Messages/(SM|MM)\w{32}\.json"),
}


def faults(payload):
    """Return the fields in which *payload* is no Message resource."""
    missing = set(MESSAGE_SCHEMA) ^ set(payload)
    return missing | {
        name for name in MESSAGE_SCHEMA.keys() - missing if not MESSAGE_SCHEMA[name](payload[name])
    }


def form_post(fake, form, *, user=SID, password=TOKEN):
    """Post a message as bare HTTP and return the JSON of the answer."""
    url = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"
    return json.loads(fake.request("POST", url, data=form, auth=(user, password)).text)


class TestAccepting:
    def test_is_the_sdks_own_http_client(self, fake):
        """The SDK and its type checks take the fake for what it stands in for."""
        assert isinstance(fake, HttpClient)

    def test_message_comes_back_as_sent(self, fake, sdk):
        """The SDK reads from the answer what it was asked to send."""
        message = send(sdk, body="Grüße 👋 & more=1")

        assert (message.to, message.from_, message.body) == (TO, FROM, "Grüße 👋 & more=1")
        assert (message.status, message.date_sent, message.account_sid) == ("queued", None, SID)

    def test_outbox_holds_what_was_accepted(self, fake, sdk):
        """The outbox shows recipient, sender, body and SID, oldest first."""
        first, second = send(sdk, body="one"), send(sdk, body="two")

        seen = [(m.to, m.from_, m.body, m.sid) for m in fake.outbox]
        assert seen == [(TO, FROM, "one", first.sid), (TO, FROM, "two", second.sid)]
        assert first.sid != second.sid

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"body": "two\nlines 👋"},
            {"to": "whatsapp:+15550100001", "from_": "whatsapp:+15550100002"},
            {"from_": "12345"},
            {"from_": "PostHog"},
            {"from_": None, "messaging_service_sid": SERVICE},
            {"messaging_service_sid": SERVICE},
            {"body": None, "media_url": ["https://example.org/a.png", "https://example.org/b.png"]},
            {"body": None, "content_sid": "HX" + "0" * 32},
        ],
        ids=lambda changes: ",".join(changes) or "plain",
    )
    def test_answer_is_a_message_resource(self, fake, sdk, changes):
        """Created, fetched and listed, each answer obeys the schema of the resource."""
        sid = send(sdk, **changes).sid
        base = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages"
        fetched = json.loads(fake.request("GET", f"{base}/{sid}.json", auth=(SID, TOKEN)).text)
        listed = json.loads(fake.request("GET", f"{base}.json", auth=(SID, TOKEN)).text)["messages"]

        assert faults(fetched) == set()
        assert listed == [fetched]

    def test_schema_has_what_the_sdk_reads(self):
        """The SDK reads each field of the schema above, and no other."""
        read = set()

        class Payload(dict):
            def get(self, key, default=None):
                read.add(key)
                return default

        MessageInstance(None, Payload(), SID)

        assert read == set(MESSAGE_SCHEMA)

    def test_created_answer_is_a_message_resource(self, fake):
        """The 201 obeys the schema, and the check of it finds what does not."""
        payload = form_post(fake, {"To": TO, "From": FROM, "Body": "Hi"})

        assert faults(payload) == set()
        assert faults({**payload, "num_segments": 1, "status": "done", "date_sent": 0}) == {
            *("num_segments", "status", "date_sent")
        }

    def test_service_picks_the_sender_later(self, sdk):
        """With a Messaging Service the sender and the segments are not known yet."""
        message = send(sdk, from_=None, messaging_service_sid=SERVICE)

        assert (message.from_, message.status, message.num_segments) == (None, "accepted", "0")
        assert message.messaging_service_sid == SERVICE

    def test_media_repeats(self, fake, sdk):
        """Every media URL is kept, in order, and the SID says it is multimedia."""
        urls = ["https://example.org/a.png", "https://example.org/b.png"]
        message = send(sdk, media_url=urls)

        assert fake.outbox[0].media_url == tuple(urls)
        assert (message.num_media, message.sid[:2]) == ("2", "MM")

    def test_dates_come_from_the_clock(self):
        """The injected clock dates the message, to the second, in RFC 2822."""
        fake = FakeTwilio(clock=lambda: 1_700_000_000.9)
        message = send(Client(SID, TOKEN, http_client=fake))

        expected = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
        assert message.date_created == fake.outbox[0].date_created == expected

    def test_default_clock_is_bound_late(self, monkeypatch):
        """A clock that a test freezes after the import is the one that is read."""
        monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)

        payload = form_post(FakeTwilio(), {"To": TO, "From": FROM, "Body": "Hi"})
        assert parsedate_to_datetime(payload["date_created"]).timestamp() == 1_700_000_000

    @pytest.mark.parametrize(
        ("body", "segments"),
        [
            *(("a" * n, parts) for n, parts in [(1, 1), (160, 1), (161, 2), (306, 2), (307, 3)]),
            *(("€" * n, parts) for n, parts in [(80, 1), (81, 2), (152, 2), (153, 3)]),
            *(("ж" * n, parts) for n, parts in [(70, 1), (71, 2), (134, 2), (135, 3)]),
            *(("👋" * n, parts) for n, parts in [(35, 1), (36, 2), (66, 2), (67, 3)]),
            ("a" * 152 + "€" * 77, 3),
            ("{[~]}\\|^\f", 1),
        ],
        ids=lambda value: f"{value[0]!a}x{len(value)}" if isinstance(value, str) else "",
    )
    def test_segments(self, sdk, body, segments):
        """Segments are counted as Twilio bills them, and no character is split."""
        assert send(sdk, body=body).num_segments == str(segments)

    def test_phone_numbers_stay_out_of_reprs(self, fake, sdk):
        """Neither outbox nor requests show a number in the clear, body included."""
        send(sdk, body=f"call {TO}")
        sdk.messages.list(to=TO)

        shown = repr([fake, fake.outbox, fake.requests])
        assert TO[1:] not in shown
        assert FROM[1:] not in shown
        assert TOKEN not in shown
        assert "+1555•••0001" in shown

    def test_requests_are_recorded(self, fake, sdk):
        """Every request is listed with method and path, refused ones too."""
        with refused(21211):
            send(sdk, to="123")
        sdk.messages.list(to=TO)

        path = f"/2010-04-01/Accounts/{SID}/Messages.json"
        assert [(r.method, r.path) for r in fake.requests] == [("POST", path), ("GET", path)]
        assert repr(fake) == "FakeTwilio(outbox=0, requests=2)"

    def test_reset_forgets_everything(self, fake, sdk):
        """After a reset there are no messages, no requests and no failures to come."""
        send(sdk)
        fake.fail(500, times=3)
        fake.reset()

        assert (fake.outbox, fake.requests) == ([], [])
        assert send(sdk).status == "queued"

    def test_what_cannot_be_encoded_is_not_sent(self, fake, sdk):
        """A lone surrogate fails as it does on the way to the real Twilio."""
        with pytest.raises(UnicodeEncodeError):
            send(sdk, body="\ud83d")

        assert fake.requests == []

    def test_many_threads_share_one_fake(self, fake, sdk):
        """Messages of 8 threads all arrive, each with a SID of its own and its own answer."""
        barrier, answers = threading.Barrier(8), []

        def run(number):
            barrier.wait()
            answers.extend((text, send(sdk, body=text)) for text in map(str, range(number, 160, 8)))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert all(body == message.body for body, message in answers)
        assert len({m.sid for m in fake.outbox}) == 160

    def test_one_message_at_a_time(self):
        """Two threads are never in the middle of accepting at once."""
        barrier, met = threading.Barrier(2), []

        def clock():
            with suppress(threading.BrokenBarrierError):
                met.append(barrier.wait(timeout=0.2))
            return 1_700_000_000.0

        sdk = Client(SID, TOKEN, http_client=FakeTwilio(clock=clock))
        threads = [threading.Thread(target=send, args=(sdk,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert met == []

    def test_one_scripted_failure_hits_one_thread(self, fake, sdk):
        """Under 8 threads each scripted failure is used exactly once."""
        fake.fail(503, times=40)
        barrier, statuses = threading.Barrier(8), []

        def run():
            barrier.wait()
            statuses.extend(status(sdk) for _ in range(10))

        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=run) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(before)

        assert (statuses.count(503), statuses.count("queued")) == (40, 40)


class TestCredentials:
    @pytest.mark.parametrize(
        ("user", "password"),
        [(SID, "wrong"), ("AC" + "1" * 32, TOKEN), ("AC123", TOKEN), ("", ""), (SID, "")],
        ids=["token", "account", "malformed", "none", "no token"],
    )
    def test_wrong_credentials(self, user, password):
        """Anything but the given account and token is 401 with code 20003."""
        fake = FakeTwilio(account_sid=SID, auth_token=TOKEN)

        answer = form_post(fake, {}, user=user, password=password)
        assert (answer["status"], answer["code"], answer["message"]) == (401, 20003, "Authenticate")
        assert answer["detail"]

    @pytest.mark.parametrize("header", ["Bearer abc", "Basic !", "Basic /w==", "", None])
    def test_header_that_is_no_basic_authentication(self, fake, header):
        """A header of another scheme, or a garbled one, is nobody."""
        request = Request.parse("GET", f"/2010-04-01/Accounts/{SID}.json", header, None)

        assert request.user is None
        assert fake.answer(request).status == 401

    def test_api_key(self):
        """An API key signs for the account in the path; its secret is the token."""
        fake = FakeTwilio(account_sid=SID, auth_token="secret")
        sdk = Client("SK" + "a" * 32, "secret", SID, http_client=fake)

        assert send(sdk).account_sid == SID
        assert fake.requests[0].user == "SK" + "a" * 32

    def test_api_key_of_any_account(self, fake):
        """Without a fixed account, an API key may sign for whichever the path names."""
        assert send(Client("SK" + "a" * 32, "secret", SID, http_client=fake)).account_sid == SID

    def test_other_account_in_the_path(self, fake):
        """An account that is not the signer's own is not found."""
        sdk = Client(SID, TOKEN, "AC" + "1" * 32, http_client=fake)

        with refused(20404, 404):
            send(sdk)

    def test_api_key_of_another_account(self):
        """A key cannot reach an account other than the fake's."""
        fake = FakeTwilio(account_sid="AC" + "1" * 32)

        with refused(20404, 404):
            send(Client("SK" + "a" * 32, "secret", SID, http_client=fake))

    @pytest.mark.parametrize(
        ("method", "path", "code", "status"),
        [
            ("GET", "/elsewhere", 20404, 404),
            ("DELETE", f"/2010-04-01/Accounts/{SID}.json", 20004, 405),
        ],
    )
    def test_unknown_requests(self, fake, method, path, code, status):
        """A path that is not played is 404, another verb on a known one 405."""
        answer = fake.request(method, f"https://api.twilio.com{path}", auth=(SID, TOKEN))

        assert (answer.status_code, json.loads(answer.text)["code"]) == (status, code)


class TestRefusing:
    @pytest.mark.parametrize(
        ("to", "code", "sentence"),
        [
            ("+15005550001", 21211, "The 'To' number +15005550001 is not a valid phone number."),
            (
                "+15005550002",
                21612,
                (
                    "The 'To' phone number: +15005550002, is not currently reachable using the "
                    "'From' phone number: +15005550006 via SMS."
                ),
            ),
            (
                "+15005550003",
                21408,
                (
                    "Permission to send an SMS has not been enabled for the region indicated by "
                    "the 'To' number: +15005550003."
                ),
            ),
            ("+15005550004", 21610, "The message From/To pair violates a blacklist rule."),
            ("+15005550009", 21614, "To number: +15005550009, is not a mobile number"),
            ("123", 21211, "The 'To' number 123 is not a valid phone number."),
            ("15550100001", 21211, "The 'To' number 15550100001 is not a valid phone number."),
            ("+1555010000²", 21211, "The 'To' number +1555010000² is not a valid phone number."),
        ],
    )
    def test_magic_recipients(self, fake, sdk, to, code, sentence):
        """Each documented recipient is refused with its code and sentence."""
        with refused(code) as caught:
            send(sdk, to=to, from_=MAGIC)

        assert caught.value.msg == f"Unable to create record: {sentence}"
        assert fake.outbox == []

    @pytest.mark.parametrize(
        ("sender", "code", "status", "sentence"),
        [
            (
                "+15005550001",
                21212,
                400,
                (
                    "The 'From' number +15005550001 is not a valid phone number, shortcode, or "
                    "alphanumeric sender ID."
                ),
            ),
            (
                "+15005550007",
                21606,
                400,
                (
                    "The From phone number +15005550007 is not a valid, SMS-capable inbound phone "
                    "number or short code for your account."
                ),
            ),
            ("+15005550008", 21611, 429, "SMS queue is full."),
        ],
    )
    def test_magic_senders(self, fake, sdk, sender, code, status, sentence):
        """Each documented sender is refused with its code, status and sentence."""
        with refused(code, status) as caught:
            send(sdk, from_=sender)

        assert caught.value.msg == f"Unable to create record: {sentence}"
        assert fake.outbox == []

    def test_magic_sender_that_works(self, sdk):
        """The one valid sender of the test credentials is accepted."""
        assert send(sdk, from_=MAGIC).from_ == MAGIC

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"to": None}, 21604),
            ({"to": ""}, 21604),
            ({"from_": None}, 21603),
            ({"from_": ""}, 21603),
            ({"body": None}, 21602),
            ({"body": ""}, 21602),
            ({"body": "x" * 1601}, 21617),
            ({"body": "👋" * 801}, 21617),
            ({"from_": "not a sender!"}, 21212),
            ({"from_": "12"}, 21212),
            ({"from_": TO}, 21266),
            ({"from_": None, "messaging_service_sid": "MG1"}, 21705),
            ({"to": "whatsapp:+15550100001"}, 21910),
            ({"from_": "whatsapp:+15550100001"}, 21910),
            ({"to": "fax:+15550100001"}, 21211),
        ],
        ids=lambda value: (
            ",".join(f"{k}={v!a:.12}" for k, v in value.items())
            if isinstance(value, dict)
            else str(value)
        ),
    )
    def test_faulty_parameters(self, fake, sdk, changes, code):
        """A missing or malformed parameter is refused with Twilio's code for it."""
        with refused(code):
            send(sdk, **changes)

        assert fake.outbox == []

    @pytest.mark.parametrize("body", ["x" * 1600, "👋" * 800])
    def test_longest_body(self, sdk, body):
        """A body of exactly 1600 units is accepted."""
        assert send(sdk, body=body).body == body

    def test_recipient_is_named_first(self, sdk):
        """Where both ends are wrong, the recipient is."""
        with refused(21211):
            send(sdk, to="123", from_="+15005550001")

    def test_only_owned_senders(self):
        """With a set of senders, other numbers and services are refused."""
        fake = FakeTwilio(senders={FROM})
        sdk = Client(SID, TOKEN, http_client=fake)

        assert send(sdk).from_ == FROM
        with refused(21606):
            send(sdk, from_="+15550100003")
        with refused(21701):
            send(sdk, from_=None, messaging_service_sid=SERVICE)
        assert len(fake.outbox) == 1

    def test_error_body(self, fake):
        """An error has the four fields of Twilio's and no others."""
        assert form_post(fake, {}) == {
            "code": 21604,
            "message": "A 'To' phone number is required.",
            "more_info": "https://www.twilio.com/docs/errors/21604",
            "status": 400,
        }


class TestReading:
    def test_list_newest_first(self, sdk):
        """The message list begins with the latest message."""
        sids = [send(sdk).sid for _ in range(3)]

        assert [m.sid for m in sdk.messages.list()] == sids[::-1]

    def test_list_filters(self, sdk):
        """The list narrows to a recipient and to a sender."""
        wanted = send(sdk)
        send(sdk, to="+15550100009")
        send(sdk, from_="+15550100008")

        assert [m.sid for m in sdk.messages.list(to=TO, from_=FROM, limit=20)] == [wanted.sid]
        assert len(sdk.messages.list(to=TO)) == len(sdk.messages.list(from_=FROM)) == 2

    def test_date_filter_hides_what_was_not_sent(self, sdk):
        """A queued message has no date sent, so a filter on it finds nothing."""
        send(sdk)

        assert sdk.messages.list(date_sent_after=datetime(2000, 1, 1, tzinfo=timezone.utc)) == []

    def test_paging(self, fake, sdk):
        """The SDK walks all pages, and a message that arrives meanwhile shifts none of them."""
        sids = [send(sdk).sid for _ in range(7)]
        walk = sdk.messages.stream(to=TO, page_size=3)
        first = next(walk).sid
        send(sdk)

        assert [first, *(m.sid for m in walk)] == sids[::-1]
        assert [r.value("Page") for r in fake.requests if r.method == "GET"] == [None, "1", "2"]
        assert [r.value("To") for r in fake.requests if r.method == "GET"] == [TO] * 3

    def test_last_page_may_be_full(self, fake, sdk):
        """Where the messages fill the last page exactly, no empty one follows."""
        for _ in range(4):
            send(sdk)

        assert len(sdk.messages.list(page_size=2)) == 4
        assert sum(r.method == "GET" for r in fake.requests) == 2

    def test_limit_stops_early(self, fake, sdk):
        """A limit asks for one page of that size."""
        for _ in range(5):
            send(sdk)

        assert len(sdk.messages.list(limit=2)) == 2
        assert fake.requests[-1].value("PageSize") == "2"

    def test_odd_page_size_is_the_default(self, fake):
        """A page size that is no number counts as none, and 1000 is the most."""
        url = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json?PageSize="
        sizes = [
            json.loads(fake.request("GET", url + size, auth=(SID, TOKEN)).text)["page_size"]
            for size in ("x", "5000")
        ]

        assert sizes == [50, 1000]

    def test_list_delay(self):
        """A new message shows up in the list only after the delay, by the fake's clock."""
        now = [1_700_000_000.0]
        fake = FakeTwilio(clock=lambda: now[0], list_delay=2)
        sdk = Client(SID, TOKEN, http_client=fake)
        send(sdk)
        early = sdk.messages.list()
        now[0] += 2

        assert (early, len(sdk.messages.list())) == ([], 1)

    def test_fetch(self, sdk):
        """A message can be fetched by its SID; any other is not found."""
        message = send(sdk)

        assert sdk.messages(message.sid).fetch().body == "Hi"
        with refused(20404, 404):
            sdk.messages("SM" + "0" * 32).fetch()

    def test_accounts_see_their_own_messages(self, fake, sdk):
        """One fake plays several accounts, and none sees another's messages."""
        message = send(sdk)
        other = Client("AC" + "1" * 32, TOKEN, http_client=fake)

        assert other.messages.list() == []
        with refused(20404, 404):
            other.messages(message.sid).fetch()

    def test_account(self, sdk):
        """The account is active, and its answer tells no token."""
        account = sdk.api.accounts(SID).fetch()

        assert (account.sid, account.status, account.type) == (SID, "active", "Full")
        assert account.auth_token == "[redacted]"
        assert account.date_created.tzinfo

    def test_phone_numbers_of_the_account(self):
        """Only numbers count as phone numbers, and the filter finds one of them."""
        fake = FakeTwilio(senders={FROM, MAGIC, "PostHog", SERVICE})
        numbers = Client(SID, TOKEN, http_client=fake).incoming_phone_numbers

        assert [n.phone_number for n in numbers.list()] == [MAGIC, FROM]
        assert [n.phone_number for n in numbers.list(phone_number=FROM)] == [FROM]
        assert numbers.list(phone_number=FROM)[0].sid == numbers.list(phone_number=FROM)[0].sid
        assert numbers.list(phone_number="+15550100003") == []

    def test_phone_numbers_of_the_boundless_account(self, sdk):
        """Without a set of senders every number that is asked for is owned."""
        assert [n.phone_number for n in sdk.incoming_phone_numbers.list(phone_number=TO)] == [TO]
        assert sdk.incoming_phone_numbers.list() == []

    def test_messaging_service(self, sdk):
        """A Messaging Service that the account owns can be fetched."""
        service = sdk.messaging.v1.services(SERVICE).fetch()

        assert (service.sid, service.account_sid) == (SERVICE, SID)
        assert isinstance(service.date_created, datetime)

    @pytest.mark.parametrize("senders", [set(), {FROM}])
    def test_messaging_service_not_owned(self, senders):
        """A service that is not among the senders is not found."""
        sdk = Client(SID, TOKEN, http_client=FakeTwilio(senders=senders))

        with refused(20404, 404):
            sdk.messaging.v1.services(SERVICE).fetch()

    def test_malformed_service(self, sdk):
        """What is no SID of a service is not found."""
        with refused(20404, 404):
            sdk.messaging.v1.services("MG1").fetch()


class TestScripting:
    @pytest.mark.parametrize("accepted", [False, True])
    @pytest.mark.parametrize(
        ("status", "code"), [(500, 20500), (502, 502), (503, 20503), (504, 504)]
    )
    def test_server_errors(self, fake, sdk, status, code, accepted):
        """A 5xx comes before or after the message was accepted, once."""
        fake.fail(status, accepted=accepted)

        with refused(code, status):
            send(sdk)
        assert len(fake.outbox) == accepted
        assert send(sdk).status == "queued"

    @pytest.mark.parametrize(
        ("status", "code"), [(401, 20003), (403, 20403), (404, 20404), (422, 20422), (429, 20429)]
    )
    def test_refusals(self, fake, sdk, status, code):
        """A 4xx has the code that Twilio gives this status, and accepts nothing."""
        fake.fail(status)

        with refused(code, status):
            send(sdk)
        assert fake.outbox == []

    def test_code_and_message(self, fake, sdk):
        """A status of many codes takes one, with Twilio's sentence or one's own."""
        fake.fail(400, code=21610)
        fake.fail(429, code=63038, message="Daily limit")
        fake.fail(400, code=99999)

        with refused(21610) as caught:
            send(sdk)
        assert caught.value.msg.endswith("violates a blacklist rule.")
        with refused(63038, 429) as caught:
            send(sdk)
        assert caught.value.msg.endswith("Daily limit")
        with refused(99999):
            send(sdk)

    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after(self, fake, status):
        """The header says when to come back, whatever the case of its name."""
        fake.fail(status, retry_after=7)
        url = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"
        answer = fake.request("POST", url, auth=(SID, TOKEN))

        assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")

    def test_proxy_answers_in_html(self, fake):
        """A 502 is a page of HTML, as a proxy in front of Twilio sends it."""
        fake.fail(502)
        answer = fake.request("POST", "https://api.twilio.com/", auth=(SID, TOKEN))
        fake.fail(502)
        url = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"
        scripted = fake.request("POST", url, auth=(SID, TOKEN))

        assert answer.status_code == 404
        assert (scripted.text[:6], scripted.headers["content-type"]) == ("<html>", "text/html")

    def test_body_of_ones_own(self, fake, sdk):
        """A whole body can be scripted, such as RFC 9457's, for which the SDK has another class."""
        problem = {"type": "about:blank", "title": "Bad", "status": 400, "code": 20001}
        fake.fail(400, body=json.dumps(problem))

        with pytest.raises(TwilioException) as caught:
            send(sdk)
        assert (caught.value.status, caught.value.code) == (400, 20001)

    @pytest.mark.parametrize("accepted", [False, True])
    @pytest.mark.parametrize(
        ("word", "error"),
        [
            ("hang", requests.ReadTimeout),
            ("reset", requests.ConnectionError),
            ("tls", requests.exceptions.SSLError),
        ],
    )
    def test_lost(self, fake, sdk, word, error, accepted):
        """A request that is lost on the way was accepted, or was not."""
        fake.fail(word, accepted=accepted)

        with pytest.raises(error) as caught:
            send(sdk)
        assert type(caught.value) is error
        assert len(fake.outbox) == accepted

    @pytest.mark.parametrize(
        ("word", "error"),
        [
            ("no connection", requests.ConnectionError),
            ("connect timeout", requests.ConnectTimeout),
            ("certificate", requests.exceptions.SSLError),
        ],
    )
    def test_never_sent(self, fake, sdk, word, error):
        """A request that never left accepts nothing."""
        fake.fail(word)

        with pytest.raises(error) as caught:
            send(sdk)
        assert type(caught.value) is error
        assert fake.outbox == []

    def test_spoilt_successes(self, fake, sdk):
        """A broken, an empty and a cut 201 all mean that the message was accepted."""
        for word in ("empty", "broken", "cut"):
            fake.fail(word)

        url = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"
        form = {"To": TO, "From": FROM, "Body": "Hi"}
        empty = fake.request("POST", url, data=form, auth=(SID, TOKEN))
        assert (empty.status_code, empty.text) == (201, "")
        with pytest.raises(json.JSONDecodeError):
            send(sdk)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            send(sdk)
        assert len(fake.outbox) == 3

    def test_queue(self, fake, sdk):
        """Failures come in the order of the calls, each as often as told, then all is well."""
        fake.fail(500, times=2)
        fake.fail(429)

        assert [status(sdk) for _ in range(4)] == [500, 500, 429, "queued"]

    @pytest.mark.parametrize(
        ("on", "call"),
        [
            ("list", lambda sdk: sdk.messages.list()),
            ("fetch", lambda sdk: sdk.messages("SM" + "0" * 32).fetch()),
            ("account", lambda sdk: sdk.api.accounts(SID).fetch()),
            ("numbers", lambda sdk: sdk.incoming_phone_numbers.list()),
            ("service", lambda sdk: sdk.messaging.v1.services(SERVICE).fetch()),
        ],
    )
    def test_other_requests_fail_too(self, fake, sdk, on, call):
        """Each kind of request has a queue of its own; creating goes on meanwhile."""
        fake.fail("hang", on=on)

        assert send(sdk).status == "queued"
        with pytest.raises(requests.ReadTimeout):
            call(sdk)

    def test_accepted_obeys_the_rules(self, fake, sdk):
        """A message that Twilio would refuse is not accepted by a failure either."""
        fake.fail(500, accepted=True)

        with refused(20500, 500):
            send(sdk, to="+15005550001")
        assert fake.outbox == []

    def test_hook_sees_the_request_first(self, fake, sdk):
        """The hook is called before the message is accepted, and what it raises is raised."""
        seen = []

        def hook(request):
            seen.append((request.method, request.value("Body"), len(fake.outbox)))
            if len(seen) == 2:
                raise KeyboardInterrupt

        fake.on_request = hook
        send(sdk)
        with pytest.raises(KeyboardInterrupt):
            send(sdk)

        assert seen == [("POST", "Hi", 0), ("POST", "Hi", 1)]
        assert len(fake.outbox) == 1

    def test_hook_holds_no_lock(self):
        """Two requests can meet in the hook."""
        barrier = threading.Barrier(2)
        fake = FakeTwilio(on_request=lambda _: barrier.wait(timeout=10))
        sdk = Client(SID, TOKEN, http_client=fake)
        threads = [threading.Thread(target=send, args=(sdk,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(fake.outbox) == 2

    @pytest.mark.parametrize(
        ("what", "how", "message"),
        [
            ("explode", {}, "expected an HTTP status from 400 to 599 or one of 'no connection', "),
            (200, {}, "what: expected an HTTP status from 400 to 599, got 200"),
            (True, {}, "what: expected an HTTP status from 400 to 599, got True"),
            (600, {}, "what: expected an HTTP status from 400 to 599, got 600"),
            (400, {}, "code: expected Twilio's error code, since HTTP 400 has many"),
            (500, {"times": 0}, "times: expected a whole number from 1, got 0"),
            (500, {"times": True}, "times: expected a whole number from 1, got True"),
            (500, {"on": "delete"}, "on: expected one of create, list, fetch, account, numbers, "),
            (500, {"on": "list", "accepted": True}, "accepted: only 'create' accepts a message"),
            (429, {"accepted": True}, "accepted: expected False, since 429 means that nothing"),
            ("no connection", {"accepted": True}, "accepted: expected False, since 'no connect"),
            ("hang", {"code": 1}, "code: only an HTTP status has one, not 'hang'"),
        ],
    )
    def test_faulty_scripts(self, fake, sdk, what, how, message):
        """A failure that does not exist is refused at once and says what does."""
        with pytest.raises(
            ValueError, match="^" + re.escape(message) if what != "explode" else message
        ):
            fake.fail(what, **how)

        assert send(sdk).status == "queued"


def shape(error):
    """Return the types in an exception's args, reason, cause and context, as nested tuples."""
    inner = [*error.args, getattr(error, "reason", None), error.__cause__, error.__context__]
    names = {shape(e) for e in inner if isinstance(e, BaseException)}
    return (type(error).__name__, *sorted(names, key=str))


def raised(call):
    """Return the exception of a call."""
    with pytest.raises(requests.RequestException) as caught:
        call()
    return caught.value


def prepared():
    """Return a request as ``requests`` prepares it."""
    url = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Messages.json"
    return requests.Request("POST", url).prepare()


class TestExceptionsAreReal:
    """What the fake raises has the shape of what ``requests`` raises over a real socket."""

    def test_no_connection(self):
        """A closed port is a ConnectionError around NewConnectionError, and was never sent."""
        with StandIn() as stand_in, stand_in.client() as sdk, stand_in.closed():
            real = raised(lambda: send(sdk))

        assert shape(raising.exception("no connection", prepared())) == shape(real)
        assert isinstance(real.args[0].reason, urllib3.exceptions.NewConnectionError)

    def test_connect_timeout(self, monkeypatch):
        """A connection that is not answered in time is a ConnectTimeout."""

        def never(*_, **__):
            raise TimeoutError("timed out")

        monkeypatch.setattr("urllib3.util.connection.create_connection", never)
        real = raised(lambda: requests.post("https://127.0.0.1:1/", timeout=1))

        assert shape(raising.exception("connect timeout", prepared())) == shape(real)

    def test_hang(self):
        """A server that never answers is a ReadTimeout."""
        with StandIn() as stand_in, stand_in.client(read=0.1) as sdk:
            stand_in.fail("hang")
            real = raised(lambda: send(sdk))

        assert shape(raising.exception("hang", prepared())) == shape(real)

    def test_reset(self):
        """A reset after the request is a ConnectionError around ProtocolError."""
        with StandIn() as stand_in, stand_in.client() as sdk:
            stand_in.fail("reset")
            real = raised(lambda: send(sdk))

        assert shape(raising.exception("reset", prepared())) == shape(real)

    def test_cut(self):
        """An answer that ends too early is a ChunkedEncodingError around IncompleteRead."""
        with StandIn() as stand_in, stand_in.client() as sdk:
            stand_in.fail("cut")
            real = raised(lambda: send(sdk))

        assert shape(raising.exception("cut", prepared())) == shape(real)

    @pytest.mark.parametrize(
        ("word", "error"),
        [
            ("tls", ssl.SSLEOFError(8, "EOF occurred in violation of protocol")),
            ("certificate", ssl.SSLCertVerificationError(1, "certificate verify failed")),
        ],
    )
    def test_tls(self, monkeypatch, word, error):
        """A broken handshake is an SSLError that tells whether the certificate was the cause."""

        def broken(*_, **__):
            raise error

        with StandIn() as stand_in:
            monkeypatch.setattr("urllib3.connection.ssl_wrap_socket", broken)
            url = stand_in.url.replace("http:", "https:")
            real = raised(lambda: requests.get(url, timeout=5))

        assert shape(raising.exception(word, prepared())) == shape(real)
        assert real.args[0].reason.args[0] is error

    @pytest.mark.parametrize("word", [*failures.NEVER_SENT, *failures.LOST, "cut"])
    def test_request_rides_along(self, word):
        """Each exception carries its request, as those of ``requests`` do."""
        request = prepared()

        assert raising.exception(word, request).request is request


class TestStandIn:
    """The same fake behind a socket, for what only a wire can do."""

    def test_same_answers_as_in_the_process(self):
        """Create, list, fetch, account, numbers and service work over HTTP."""
        with StandIn() as stand_in, stand_in.client() as sdk:
            message = send(sdk, body="Grüße 👋")

            assert sdk.messages.list(to=TO)[0].body == message.body == "Grüße 👋"
            assert sdk.messages(message.sid).fetch().sid == stand_in.fake.outbox[0].sid
            assert sdk.api.accounts(SID).fetch().status == "active"
            assert sdk.incoming_phone_numbers.list(phone_number=FROM)[0].phone_number == FROM
            assert sdk.messaging.v1.services(SERVICE).fetch().sid == SERVICE
            assert stand_in.connections == 1

    def test_statuses(self):
        """Scripted statuses arrive with body and headers."""
        with StandIn() as stand_in, stand_in.client() as sdk:
            stand_in.fail(500, accepted=True)
            stand_in.fail(502)
            stand_in.fail(429, retry_after=3)
            stand_in.fail(499, code=1)

            with refused(20500, 500):
                send(sdk)
            with refused(502, 502):
                send(sdk)
            url = f"{stand_in.url}/2010-04-01/Accounts/{SID}/Messages.json"
            answer = requests.post(url, auth=(SID, TOKEN), timeout=5)
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
            with refused(1, 499):
                send(sdk)
            assert len(stand_in.fake.outbox) == 1

    @pytest.mark.parametrize("accepted", [False, True])
    @pytest.mark.parametrize(
        ("word", "error"), [("hang", requests.ReadTimeout), ("reset", requests.ConnectionError)]
    )
    def test_lost(self, word, error, accepted):
        """A hang and a reset happen before or after accepting, and the next message works."""
        with StandIn() as stand_in, stand_in.client(read=0.1) as sdk:
            stand_in.fail(word, accepted=accepted)

            with pytest.raises(error):
                send(sdk)
            assert len(stand_in.fake.outbox) == accepted
        with StandIn() as stand_in, stand_in.client() as sdk:
            assert send(sdk).status == "queued"

    def test_release_ends_a_hang(self):
        """A released request ends with no answer, long before the client's patience does."""
        with StandIn() as stand_in, stand_in.client(read=60) as sdk:
            stand_in.fail("hang")
            stand_in.fake.on_request = lambda _: stand_in.release()

            assert "RemoteDisconnected" in str(shape(raised(lambda: send(sdk))))

    def test_spoilt(self):
        """Broken, empty and cut answers are accepted messages."""
        with StandIn() as stand_in, stand_in.client() as sdk:
            for word in ("empty", "broken", "cut"):
                stand_in.fail(word)

            url = f"{stand_in.url}/2010-04-01/Accounts/{SID}/Messages.json"
            form = {"To": TO, "From": FROM, "Body": "Hi"}
            empty = requests.post(url, form, auth=(SID, TOKEN), timeout=5)
            assert (empty.status_code, empty.text) == (201, "")
            with pytest.raises(json.JSONDecodeError):
                send(sdk)
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                send(sdk)
            assert len(stand_in.fake.outbox) == 3

    def test_reopens_on_the_same_port(self):
        """After a time without connections the same client works again."""
        with StandIn() as stand_in, stand_in.client() as sdk:
            send(sdk)
            with stand_in.closed(), pytest.raises(requests.ConnectionError):
                send(sdk)
            send(sdk)

            assert (len(stand_in.fake.outbox), stand_in.connections) == (2, 2)

    def test_idle_connection_dropped(self):
        """A connection closed while idle is noticed by the client, which opens another."""
        with StandIn() as stand_in, stand_in.client() as sdk:
            send(sdk)
            stand_in.drop_idle()
            send(sdk)

            assert (len(stand_in.fake.outbox), stand_in.connections) == (2, 2)

    def test_idle_connection_silently_dead(self):
        """A deaf connection swallows a message until the read time limit; a new one works."""
        with StandIn() as stand_in, stand_in.client(read=0.1) as sdk:
            send(sdk)
            stand_in.deafen()
            with pytest.raises(requests.ReadTimeout):
                send(sdk)
            assert len(stand_in.fake.outbox) == 1
            with stand_in.client() as other:
                assert send(other).status == "queued"

    def test_drip(self):
        """An answer that comes byte by byte is whole in the end."""
        with StandIn() as stand_in, stand_in.client() as sdk:
            stand_in.drip = 0.0001

            assert send(sdk).body == "Hi"

    def test_delays_end_with_the_stand_in(self):
        """Delays before and after accepting show in what the outbox holds meanwhile."""
        with StandIn(delay_after=60) as after, after.client(read=0.1) as sdk:
            with pytest.raises(requests.ReadTimeout):
                send(sdk)
            assert len(after.fake.outbox) == 1
        with StandIn(delay_before=60) as before, before.client(read=0.1) as sdk:
            with pytest.raises(requests.ReadTimeout):
                send(sdk)
            assert before.fake.outbox == []

    def test_words_for_the_fake_alone(self):
        """What a server cannot act out is refused when it is scripted."""
        with StandIn() as stand_in, pytest.raises(ValueError, match="one of"):
            stand_in.fail("no connection")

    def test_own_faults_come_out(self):
        """A fault inside the stand-in is raised at its end, not printed."""

        def fail(_):
            raise LookupError("a fault of the test")

        with pytest.raises(RuntimeError, match="stand-in itself failed") as caught:  # noqa: SIM117
            with StandIn(FakeTwilio(on_request=fail)) as stand_in, stand_in.client() as sdk:
                raised(lambda: send(sdk))

        assert isinstance(caught.value.__cause__, LookupError)

    def test_own_process(self, tmp_path):
        """Started as a program it logs each accepted message and ends cleanly on SIGTERM."""
        log = tmp_path / "accepted.jsonl"
        program = Path(__file__).with_name("twilio_stand_in.py")
        command = [sys.executable, "-W", "error", program, "--log", log, "--delay-after", "0.01"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            url = process.stdout.readline().decode().split()[-1]
            path = f"{url}/2010-04-01/Accounts/{SID}/Messages.json"
            form = {"To": TO, "From": FROM, "Body": "Hi"}
            answer = requests.post(path, form, auth=(SID, TOKEN), timeout=10)
            requests.post(path, {**form, "To": "1"}, auth=(SID, TOKEN), timeout=10)
            logged = log.read_text()
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=10)

        assert [json.loads(line)["sid"] for line in logged.splitlines()] == [answer.json()["sid"]]
        assert (process.returncode, errors) == (0, b"")


def test_docstrings_run():
    """The examples in the docstrings show what really happens."""
    result = doctest.testmod(client)

    assert (result.failed, result.attempted) == (0, 10)


def test_reply_repr_masks_numbers():
    """A reply in a failing test's output shows no number."""
    assert TO not in repr(Reply(body=json.dumps({"to": TO})))


def test_number_sids_differ():
    """Two numbers have two SIDs of Twilio's form."""
    date = datetime(2023, 1, 1, tzinfo=timezone.utc)
    sids = {resources.phone_number(number, SID, date)["sid"] for number in (TO, FROM)}

    assert len(sids) == 2
    assert all(re.fullmatch("PN[0-9a-f]{32}", sid) for sid in sids)
