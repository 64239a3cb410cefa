"""The last hop: judging answers, and real HTTP against a server that misbehaves."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import closing
from datetime import datetime, timezone

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from posthog_twilio import RetryError, Status, _http, on_event, setup_plugin, teardown_plugin
from posthog_twilio._http import PooledHttpClient
from posthog_twilio.caches import MemoryCache
from posthog_twilio.claims import LEASE
from posthog_twilio.transport import (
    Message,
    TwilioTransport,
    Unreadable,
    Verdict,
    judge,
)
from twilio_stand_in import SID, TOKEN, StandIn

LONG_AGO = datetime(2000, 1, 1, tzinfo=timezone.utc)
MESSAGE = Message(sender="+15005550006", recipient="+15550100001", body="Hi")


class Ended:
    """How far a call came."""

    def __init__(self, status=None, text="", headers=None, *, started=True):
        self.started = started
        self.response = None if status is None else _http.Reply(status, text, headers or {})


class TestJudge:
    @pytest.mark.parametrize(
        ("status", "text", "verdict", "code"),
        [
            (201, "", Verdict.ACCEPTED, None),
            (200, "<html>", Verdict.ACCEPTED, None),
            (400, '{"code": 21211}', Verdict.REFUSED, 21211),
            (400, "not json", Verdict.REFUSED, 400),
            (400, '{"code": "21211"}', Verdict.REFUSED, 400),
            (401, '{"code": 20003}', Verdict.REFUSED, 20003),
            (302, "", Verdict.REFUSED, 302),
            (422, "", Verdict.REFUSED, 422),
            (429, "", Verdict.NOT_PROCESSED, 429),
            (429, '{"code": 63038}', Verdict.NOT_PROCESSED, 63038),
            (400, '{"code": 21611}', Verdict.NOT_PROCESSED, 21611),
            (400, '{"code": 21730}', Verdict.NOT_PROCESSED, 21730),
            (500, '{"code": 20500}', Verdict.IN_DOUBT, 20500),
            (503, '{"code": 20429}', Verdict.IN_DOUBT, 20429),
            (502, "<html>Bad Gateway</html>", Verdict.IN_DOUBT, 502),
            (503, "", Verdict.IN_DOUBT, 503),
            (600, "", Verdict.IN_DOUBT, 600),
            (100, "", Verdict.IN_DOUBT, 100),
        ],
    )
    def test_the_status_comes_first_and_codes_refine_it(self, status, text, verdict, code):
        """2xx was accepted, 5xx may have been, 429 and a few codes were not processed."""
        answer = judge(Ended(status, text), ValueError())

        assert (answer.verdict, answer.code) == (verdict, code)

    @pytest.mark.parametrize(
        ("status", "text", "said"),
        [
            (400, '{"code": 21610}', "HTTP 400, code 21610: the recipient opted out"),
            (401, "", "HTTP 401: Twilio does not accept the credentials; check accountSID"),
            (403, '{"code": 1}', "HTTP 403, code 1: access denied"),
            (404, "", "HTTP 404: Twilio knows no such account; check accountSID"),
            (302, "", "HTTP 302: redirected; check apiBaseURL"),
            (400, "", "HTTP 400: no reason given"),
            (400, '{"code": 9, "message": "to +15550100001"}', "code 9: to +1555•••0001"),
        ],
    )
    def test_the_reason_is_one_to_act_on(self, status, text, said):
        """A reason says what to mend, in the settings' words, and shows no number."""
        assert said in judge(Ended(status, text), ValueError()).reason

    @pytest.mark.parametrize(
        ("headers", "wait"),
        [
            ({"Retry-After": "7"}, 7),
            ({"retry-after": "0.5"}, 0.5),
            ({"Retry-After": "-3"}, 0),
            ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
            ({"Retry-After": None}, None),
            ({}, None),
        ],
    )
    def test_retry_after_is_read_in_seconds(self, headers, wait):
        """Whatever its case; what is no number counts as absent."""
        assert judge(Ended(429, "", headers), ValueError()).wait == wait

    @pytest.mark.parametrize(
        "error",
        [
            requests.ConnectionError(
                MaxRetryError(None, "/", NewConnectionError(None, "refused"))  # type: ignore[arg-type]
            ),
            requests.exceptions.SSLError(
                MaxRetryError(None, "/", ssl.SSLCertVerificationError("expired"))  # type: ignore[arg-type]
            ),
            UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"),
            ConnectionRefusedError(),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_fails_before_the_request_was_not_processed(self, error):
        """Only proof that nothing left counts."""
        assert judge(Ended(), error).verdict is Verdict.NOT_PROCESSED

    @pytest.mark.parametrize(
        "error",
        [
            requests.ReadTimeout(),
            requests.ConnectionError(ProtocolError("aborted", ConnectionResetError())),
            requests.exceptions.ChunkedEncodingError(),
            requests.exceptions.SSLError(MaxRetryError(None, "/", ssl.SSLError())),  # type: ignore[arg-type]
            RuntimeError("a bug in a client"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_anything_else_without_an_answer_is_in_doubt(self, error):
        """A broken handshake and a break after the request look alike."""
        answer = judge(Ended(), error)

        assert answer.verdict is Verdict.IN_DOUBT
        assert type(error).__name__ in answer.reason

    def test_what_never_reached_the_client_was_not_sent(self):
        """An error before the HTTP client is asked cannot have sent anything."""
        answer = judge(Ended(started=False), ImportError("twilio"))

        assert answer.verdict is Verdict.NOT_PROCESSED
        assert "ImportError" in answer.reason

    def test_an_error_that_contains_itself_is_judged_too(self):
        """Chains of causes may be circular."""
        error = requests.ReadTimeout()
        error.args = (error,)

        assert judge(Ended(), error).verdict is Verdict.IN_DOUBT


@pytest.fixture
def stand_in():
    """Run a stand-in for Twilio on loopback."""
    with StandIn() as server:
        yield server


@pytest.fixture
def over_http(stand_in, twilio_config, clock, monkeypatch):
    """Set a plugin up that talks HTTP to the stand-in, with short time limits."""
    monkeypatch.setattr(_http, "READ", 0.3)
    monkeypatch.setattr("posthog_twilio.transport.READ", 0.3)
    monkeypatch.setattr("posthog_twilio.transport.BACK_OFF", (0.01, 0.01, 0.01))
    monkeypatch.setattr("posthog_twilio.doubt.ASK_AGAIN", 0.01)
    cache = MemoryCache(timer=clock)
    metas = []

    def make(**changes):
        config = {
            **twilio_config,
            "accountSID": SID,
            "authToken": TOKEN,
            "apiBaseURL": stand_in.url,
            **changes,
        }
        metas.append(setup_plugin(config, cache=cache))
        return metas[-1]

    yield make
    for meta in metas:
        teardown_plugin(meta)


def deliver(meta, uuid="1"):
    try:
        return [outcome.status.value for outcome in on_event({"event": "signup", "uuid": uuid}, meta)]
    except RetryError as error:
        return [outcome.status.value for outcome in error.outcomes]


class TestOverHTTP:
    def test_a_message_arrives(self, stand_in, over_http):
        """The real SDK, the real wire: one POST, one message."""
        (outcome,) = on_event({"event": "signup"}, over_http())

        assert [message.sid for message in stand_in.fake.outbox] == [outcome.sid]

    @pytest.mark.parametrize("accepted", [False, True], ids=["lost", "accepted"])
    @pytest.mark.parametrize("what", ["hang", "reset", 500, 502, 503, 504])
    def test_doubt_never_makes_two_messages(self, stand_in, over_http, clock, what, accepted):
        """However the answer gets lost, there is one POST, and then the timeout."""
        meta = over_http(timeout=3600)
        stand_in.fake.fail(what, accepted=accepted, retry_after=0 if what == 503 else None)

        assert deliver(meta) == ["uncertain"]
        assert deliver(meta, "2") == ["cooling_down"]
        assert len(stand_in.fake.requests) == 1
        clock.tick(3600)
        assert deliver(meta) == ["duplicate"]

    @pytest.mark.parametrize("what", ["cut", "broken", "empty"])
    def test_a_spoilt_201_is_sent(self, stand_in, over_http, what):
        """Once the status is in, the message is out."""
        stand_in.fake.fail(what)

        assert deliver(over_http()) == ["sent"]
        assert len(stand_in.fake.outbox) == 1

    @pytest.mark.parametrize(("what", "code"), [(400, 21610), (401, None), (403, None), (404, None)])
    def test_a_definite_failure_uses_no_timeout_up(self, stand_in, over_http, clock, what, code):
        """After the lease of a minute the next event may try, whatever the timeout."""
        meta = over_http(timeout=31_536_000)
        stand_in.fake.fail(what, code=code)
        assert deliver(meta) == ["refused"]

        clock.tick(LEASE)
        assert deliver(meta, "2") == ["sent"]

    def test_redelivery_brings_it_out_once(self, stand_in, over_http):
        """While Twilio is away the event is asked for again; then it comes out once."""
        meta = over_http()
        stand_in.close()
        assert deliver(meta) == deliver(meta) == ["retry"]

        stand_in.open()
        stand_in.fake.fail(429, times=4, retry_after=0)
        assert deliver(meta) == ["retry"]
        assert deliver(meta) == ["sent"]
        assert deliver(meta) == ["cooling_down"]
        assert len(stand_in.fake.outbox) == 1

    @pytest.mark.parametrize("accepted", [False, True], ids=["lost", "accepted"])
    @pytest.mark.parametrize("what", ["hang", "reset", 500])
    def test_ask_settles_the_doubt(self, stand_in, over_http, what, accepted):
        """Found or not, asked there is one message in the end."""
        stand_in.fake.fail(what, accepted=accepted)

        assert deliver(over_http(whenInDoubt="ask")) == ["sent"]
        assert len(stand_in.fake.outbox) == 1

    def test_a_body_that_drips_does_not_outlast_the_lease(self, stand_in, over_http, monkeypatch):
        """The rest of an answer has a few seconds in all, not for each byte."""
        monkeypatch.setattr(_http, "BODY", 0.2)
        stand_in.drip = 0.002
        meta = over_http()
        stand_in.fake.fail(400, code=21211, body="x" * 5000)

        assert deliver(meta) == ["refused"]

    def test_an_endless_body_is_cut(self, stand_in, over_http, monkeypatch):
        """Nobody fills the memory with an error page."""
        monkeypatch.setattr(_http, "_BODY_BYTES", 1000)
        stand_in.fake.fail(400, code=21211, body="x" * 200_000)

        assert deliver(over_http()) == ["refused"]

    def test_threads_share_a_plugin(self, stand_in, over_http):
        """Each thread gets the answer to its own request."""
        names = [f"event {n}" for n in range(40)]
        meta = over_http(triggeringEventsAndNumber=dict.fromkeys(names, "+15550100001"))
        found = {}

        def run(mine):
            for name in mine:
                (found[name],) = on_event({"event": name}, meta)

        threads = [threading.Thread(target=run, args=(names[n::8],)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        sids = {message.body: message.sid for message in stand_in.fake.outbox}
        assert {o.body: o.sid for o in found.values()} == sids
        assert all(o.status is Status.SENT for o in found.values())


class TestPooledHttpClient:
    def ask(self, client, stand_in):
        path = f"/2010-04-01/Accounts/{SID}.json"
        return client.request("GET", stand_in.url + path, auth=(SID, TOKEN))

    def test_connections_are_reused(self, stand_in):
        """A second request costs no second connection."""
        client = PooledHttpClient()

        assert [self.ask(client, stand_in).status_code for _ in range(3)] == [200] * 3
        assert stand_in.connections == 1
        client.close()

    def test_an_idle_one_is_not(self, stand_in, clock):
        """After about a minute a connection may have died silently; a new one is made."""
        client = PooledHttpClient(timer=clock)
        self.ask(client, stand_in)

        clock.tick(_http.IDLE)
        self.ask(client, stand_in)

        assert stand_in.connections == 2
        client.close()

    def test_after_a_fork_the_parents_are_left_alone(self, stand_in, monkeypatch):
        """A child shares no socket with its parent."""
        client = PooledHttpClient()
        self.ask(client, stand_in)
        ((_, parents),) = client._idle

        monkeypatch.setattr("os.getpid", lambda: -1)
        self.ask(client, stand_in)

        assert stand_in.connections == 2
        client.close()
        parents.close()

    def test_each_thread_has_a_session_of_its_own(self, stand_in):
        """Two requests at once are on two connections, each used by one thread at a time."""
        client = PooledHttpClient()
        together = threading.Barrier(2, timeout=10)
        stand_in.fake.on_request = lambda _: together.wait()
        threads = [threading.Thread(target=self.ask, args=(client, stand_in)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert stand_in.connections == 2
        assert len(client._idle) == 2
        client.close()

    def test_a_failed_session_is_not_used_again(self, stand_in):
        """What broke once is closed, not given back."""
        client = PooledHttpClient()
        stand_in.fake.fail("reset", on="account")
        with pytest.raises(requests.ConnectionError):
            self.ask(client, stand_in)

        assert client._idle == []

    def test_there_is_always_a_time_limit(self, monkeypatch):
        """A server that accepts and says nothing is given up on."""
        monkeypatch.setattr(_http, "READ", 0.1)
        with closing(socket.create_server(("127.0.0.1", 0))) as silent:
            port = silent.getsockname()[1]
            with pytest.raises(requests.ReadTimeout):
                PooledHttpClient().request("GET", f"http://127.0.0.1:{port}/")

    def test_its_reply_reads_like_the_sdks(self):
        """The SDK reads content and ok as well."""
        reply = _http.Reply(404, "no", {})

        assert (reply.content, reply.ok, "no" in repr(reply)) == ("no", False, False)


class TestTransport:
    @pytest.fixture
    def transport(self, stand_in):
        transport = TwilioTransport(SID, SID, TOKEN, stand_in.url)
        yield transport
        transport.close()

    def test_the_account_proves_the_credentials(self, stand_in, transport):
        """Fetching the account sends nothing, and tells its status."""
        assert transport.account()["status"] == "active"

        stand_in.fake.fail(401, on="account")
        with pytest.raises(Unreadable, match="check accountSID, authToken"):
            transport.account()

    def test_it_tells_whose_a_sender_is(self, transport, stand_in):
        """Numbers and services are looked up in the account."""
        stand_in.fake._account.senders = frozenset({"+15550100001", "MG" + "0" * 32})

        assert transport.owns("+15550100001")
        assert not transport.owns("+15550100002")
        assert transport.owns("MG" + "0" * 32)
        assert not transport.owns("MG" + "1" * 32)

    def test_an_unreadable_service_is_no_answer(self, transport, stand_in):
        """Only a 404 says that there is no such service."""
        stand_in.fake.fail(500, on="service")

        with pytest.raises(Unreadable, match="HTTP 500"):
            transport.owns("MG" + "0" * 32)

    def test_find_compares_on_our_side(self, transport):
        """Recipient, sender, body and time: all of them."""
        sid = transport.send(MESSAGE, until=float("inf")).sid
        assert transport.find(MESSAGE, "Hi".__eq__, LONG_AGO) == sid

        future = datetime(2999, 1, 1, tzinfo=timezone.utc)
        assert transport.find(MESSAGE, "Ho".__eq__, LONG_AGO) is None
        assert transport.find(MESSAGE, "Hi".__eq__, future) is None

    def test_find_knows_a_services_message(self, transport):
        """A message from a service is found by the service, whatever number it picked."""
        message = Message(sender="MG" + "0" * 32, recipient="+15550100001", body="Hi")
        sid = transport.send(message, until=float("inf")).sid

        assert transport.find(message, "Hi".__eq__, LONG_AGO) == sid

    @pytest.mark.parametrize(
        ("theirs", "ours"), [(None, 30.0), (5, None), (300, 30.0), ((3.05, 30), None)], ids=str
    )
    def test_a_client_without_a_limit_gets_one(self, theirs, ours):
        """A client that was handed in never waits for ever, nor past the lease."""
        seen = []

        class Client:
            timeout = theirs

            def request(self, _method, _url, **options):
                seen.append(options["timeout"])
                return _http.Reply(201, "{}", {})

        TwilioTransport(SID, SID, TOKEN, http_client=Client()).send(MESSAGE, until=float("inf"))

        assert seen == [ours]

    def test_a_client_that_was_handed_in_stays_open(self):
        """Closing it is its owner's business."""
        TwilioTransport(SID, SID, TOKEN, http_client=object()).close()

    def test_a_message_shows_nothing(self):
        """Neither number nor text stands in a Message's repr."""
        assert "100001" not in repr(MESSAGE)
        assert "Hi" not in repr(MESSAGE)
