"""The last hop: judging answers, and real HTTP against a server that misbehaves."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from contextlib import closing
from datetime import datetime, timezone
from typing import ClassVar

import pytest
import requests
import urllib3
from requests.exceptions import InvalidSchema, InvalidURL
from twilio_stand_in import SID, TOKEN, StandIn
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
            requests.ConnectTimeout(),
            requests.exceptions.ProxyError(),
            requests.ConnectionError(socket.gaierror()),
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

    @pytest.mark.parametrize("error", [InvalidSchema("no SOCKS here"), InvalidURL("a..b")], ids=str)
    def test_an_address_that_cannot_be_called_is_no_doubt(self, error):
        """What requests refuses (a proxy's address, for one) has not left."""
        assert judge(Ended(), error).verdict is Verdict.NOT_PROCESSED

    @pytest.mark.parametrize(
        "error", [urllib3.exceptions.ProxyError, urllib3.exceptions.ConnectTimeoutError]
    )
    def test_a_proxy_or_a_connect_that_fails_is_no_doubt(self, error):
        """The request was never written."""
        made = error("no", OSError()) if error is urllib3.exceptions.ProxyError else error("no")

        assert judge(Ended(), requests.ConnectionError(made)).verdict is Verdict.NOT_PROCESSED

    def test_what_happened_before_an_error_proves_nothing(self):
        """An error that was dealt with is no cause: the request may have left after it."""
        error = requests.ReadTimeout()
        error.__context__ = ConnectionRefusedError()

        assert judge(Ended(), error).verdict is Verdict.IN_DOUBT

    def test_a_cause_counts(self):
        """Clients of other makes chain their errors."""
        error = RuntimeError("could not send")
        error.__cause__ = ConnectionRefusedError()

        assert judge(Ended(), error).verdict is Verdict.NOT_PROCESSED

    @pytest.mark.parametrize(
        ("text", "sid"),
        [('{"sid": "SM1"}', "SM1"), ('{"sid": ""}', None), ('{"sid": 7}', None), ("[]", None)],
    )
    def test_a_sid_is_read_where_the_sdk_could_not(self, text, sid):
        """Of a 2xx that the SDK choked on, the SID is still told."""
        answer = judge(Ended(201, text), ValueError())

        assert (answer.verdict, answer.sid) == (Verdict.ACCEPTED, sid)

    @pytest.mark.parametrize("text", ["[" * 100_000, None], ids=["deep", "none"])
    def test_a_body_of_nonsense_is_judged_by_its_status(self, text):
        """Nothing in an answer raises."""
        assert judge(Ended(400, text), ValueError()).verdict is Verdict.REFUSED

    def test_an_answer_may_have_no_headers(self):
        """Clients of other makes answer with status and text alone."""

        class Bare:
            status_code, text = 429, ""

        call = Ended()
        call.response = Bare()

        assert judge(call, ValueError()).verdict is Verdict.NOT_PROCESSED

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
    """Say what became of an event, also where it is asked for again."""
    try:
        return [
            outcome.status.value for outcome in on_event({"event": "signup", "uuid": uuid}, meta)
        ]
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

    @pytest.mark.parametrize(
        ("what", "code"), [(400, 21610), (401, None), (403, None), (404, None)]
    )
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
        began = time.monotonic()

        assert deliver(meta) == ["refused"]
        assert time.monotonic() - began < 5  # the whole body would take ten

    def test_an_endless_body_is_cut(self, stand_in, over_http, monkeypatch):
        """Nobody fills the memory with an error page."""
        monkeypatch.setattr(_http, "_BODY_BYTES", 1000)
        stand_in.fake.fail(400, code=21211, body="x" * 200_000)
        assert deliver(over_http()) == ["refused"]

        stand_in.fake.fail(400, code=21211, body="x" * 200_000, on="account")
        url = f"{stand_in.url}/2010-04-01/Accounts/{SID}.json"
        reply = PooledHttpClient().request("GET", url, auth=(SID, TOKEN))
        assert 1000 < len(reply.text) < 100_000

    def test_a_body_that_stops_does_not_take_the_read_limit(self, monkeypatch):
        """Once the status is in, the rest has less time than the answer had."""
        monkeypatch.setattr(_http, "BODY", 0.2)
        with closing(socket.create_server(("127.0.0.1", 0))) as server:

            def begin():
                peer, _ = server.accept()
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
                done.wait(30)
                peer.close()

            done = threading.Event()
            thread = threading.Thread(target=begin)
            thread.start()
            began = time.monotonic()
            reply = PooledHttpClient().request(
                "GET", f"http://127.0.0.1:{server.getsockname()[1]}/"
            )
            took = time.monotonic() - began
            done.set()
            thread.join()

        assert (reply.status_code, reply.text) == (201, "{")
        assert took < 10

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


class Session:
    """A session that knows whether it was closed."""

    closed = False

    def close(self):
        self.closed = True


class Response:
    """A response as urllib3 has it, without a socket."""

    connection = None

    def __init__(self, *pieces):
        self.pieces = [*pieces, b""]

    def read1(self, _amount):
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece


class Outer:
    """A response of an older urllib3 around one of http.client."""

    connection = None

    def __init__(self, response):
        self._fp = response


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

    def test_a_failed_session_is_closed(self, stand_in, monkeypatch):
        """Its socket does not wait for the garbage collector."""
        closed = []
        monkeypatch.setattr(requests.Session, "close", lambda session: closed.append(session))
        stand_in.fake.fail("reset", on="account")
        with pytest.raises(requests.ConnectionError):
            self.ask(PooledHttpClient(), stand_in)

        assert len(closed) == 1

    def test_the_last_used_is_used_first(self, clock):
        """So the others idle out, and are closed once the last one has."""
        client = PooledHttpClient(timer=clock)
        old, recent = Session(), Session()
        client._give_back(old)
        clock.tick(_http.IDLE - 1)
        client._give_back(recent)
        clock.tick(2)

        assert client._take() is recent
        assert [session for _, session in client._idle] == [old]
        with closing(client._take()) as another:
            assert another not in (old, recent)
        assert (old.closed, recent.closed, client._idle) == (True, False, [])

    def test_what_is_asked_of_requests(self, monkeypatch):
        """No compression, no redirects, headers and credentials as given, always limits."""
        asked = {}

        def request(_session, method, url, **options):
            asked.update(options, method=method, url=url)
            raise requests.ConnectionError

        monkeypatch.setattr(requests.Session, "request", request)
        for timeout in (None, 4.0):
            with pytest.raises(requests.ConnectionError):
                PooledHttpClient().request(
                    "POST",
                    "https://example.com/",
                    params={"p": 1},
                    data={"d": 1},
                    headers={"h": "1"},
                    auth=("u", "p"),
                    timeout=timeout,
                )
            limits, read = asked.pop("timeout"), timeout or _http.READ
            assert (limits.connect_timeout, limits.read_timeout) == (_http.CONNECT, read)
            assert limits.total == _http.CONNECT + read

        assert asked == {
            "method": "POST",
            "url": "https://example.com/",
            "params": {"p": 1},
            "data": {"d": 1},
            "headers": {"h": "1", "Accept-Encoding": "identity"},
            "auth": ("u", "p"),
            "allow_redirects": False,
            "stream": True,
        }

    def test_its_limits_are_those_that_twilio_needs(self):
        """Less than 30 s to read makes doubt; past a minute an idle connection may be dead."""
        assert _http.READ >= 30
        assert 30 <= _http.IDLE <= 60

    @pytest.mark.parametrize("nested", [False, True], ids=["urllib3 2", "urllib3 1"])
    def test_a_body_is_read_in_pieces(self, nested):
        """Also where urllib3 does not do so itself; what is no UTF-8 is shown as such."""
        response = Response(b"a\xff", b"b")
        raw = Outer(response) if nested else response

        assert PooledHttpClient()._body(raw) == "a\ufffdb"

    def test_a_body_that_breaks_off_is_what_came(self):
        """Whatever urllib3 or the socket has to say about it."""
        for error in (ProtocolError("broken"), ConnectionResetError()):
            assert PooledHttpClient()._body(Response(b"a", error)) == "a"

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
        assert [_http.Reply(status, "", {}).ok for status in (399, 400)] == [True, False]


class Listing:
    """An HTTP client whose message list holds one message, or whatever *text* is."""

    MESSAGE: ClassVar = {
        "sid": "SM1",
        "from": "+15005550006",
        "messaging_service_sid": None,
        "body": "Hi",
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
    }

    def __init__(self, *messages):
        self.text = json.dumps({"messages": messages or [self.MESSAGE]})
        self.timeouts = []

    def request(self, _method, _url, **options):
        self.timeouts.append(options["timeout"])
        return _http.Reply(200, self.text, {})


class Busy:
    """An HTTP client that is always told to come back later."""

    asked = 0

    def request(self, *_, **__):
        self.asked += 1
        return _http.Reply(429, "", {})


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

    def test_at_an_edge_services_are_asked_for_at_its_own_host(self):
        """Messaging has a host of its own beside the API's."""
        hosts = []

        class Client:
            def request(self, _method, url, **_options):
                hosts.append(url.partition("/v1/")[0])
                return _http.Reply(200, "{}", {})

        edge = "https://api.dublin.ie1.twilio.com"
        TwilioTransport(SID, SID, TOKEN, edge, Client()).owns("MG" + "0" * 32)

        assert hosts == ["https://messaging.dublin.ie1.twilio.com"]

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
        ("theirs", "ours"),
        [
            (None, 20.0),
            (5, None),
            (30.0, None),
            (300, 20.0),
            ((3.05, 30), None),
            ((3.05, 300), 20.0),
            ((3.05, None), 20.0),
            ("soon", 20.0),
        ],
        ids=str,
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

    def test_a_look_is_shorter(self):
        """Reading the list has seconds, also with a client that would wait longer."""
        listing = Listing()
        listing.timeout = (3.05, 30)
        TwilioTransport(SID, SID, TOKEN, http_client=listing).find(MESSAGE, "Hi".__eq__, LONG_AGO)

        assert listing.timeouts == [4.0]

    @pytest.mark.parametrize(
        ("changes", "found"),
        [
            ({}, True),
            ({"date_created": None}, True),
            ({"date_created": "Sat, 01 Jan 2000 00:00:01 +0000"}, True),
            ({"date_created": "Sat, 01 Jan 2000 00:00:00 +0000"}, False),
            ({"body": None}, False),
            ({"body": 7}, False),
            ({"from": None}, False),
            ({"from": None, "messaging_service_sid": "+15005550006"}, True),
            ({"body": "Sent from your Twilio trial account - Hi"}, True),
        ],
        ids=str,
    )
    def test_what_the_list_holds_is_compared(self, changes, found):
        """A message without a date may be the one; one without a body is not."""
        listing = Listing({**Listing.MESSAGE, **changes})
        transport = TwilioTransport(SID, SID, TOKEN, http_client=listing)

        sid = transport.find(MESSAGE, "Hi".__eq__, LONG_AGO)

        assert sid == ("SM1" if found else None)

    def test_a_list_that_makes_no_sense_is_unreadable(self):
        """A success that holds no list is none, and the reason names what was wrong."""
        listing = Listing()
        listing.text = "<html>"
        with pytest.raises(Unreadable, match="Error"):
            TwilioTransport(SID, SID, TOKEN, http_client=listing).find(
                MESSAGE, "Hi".__eq__, LONG_AGO
            )

    def test_a_sid_that_is_no_text_is_none(self):
        """A 201 counts as sent whatever its body, and an outcome's sid is text or None."""
        listing = Listing()
        listing.text = '{"sid": 7}'
        answer = TwilioTransport(SID, SID, TOKEN, http_client=listing).send(MESSAGE, float("inf"))

        assert (answer.verdict, answer.sid) == (Verdict.ACCEPTED, None)

    def test_retries_wait_longer_each_time(self):
        """A quarter of a second, a half, one; ten per cent of jitter keeps workers apart."""
        waits = []
        transport = TwilioTransport(
            SID, SID, TOKEN, http_client=Busy(), timer=lambda: 0.0, sleep=waits.append
        )
        answer = transport.send(MESSAGE, until=8.0)

        assert answer.verdict is Verdict.NOT_PROCESSED
        for wait, base in zip(waits, (0.25, 0.5, 1), strict=True):
            assert base <= wait <= base * 1.1

    @pytest.mark.parametrize(("now", "sends"), [(8.0, 1), (8.1, 0)])
    def test_the_last_moment_to_start_is_until(self, now, sends):
        """At *until* a send may start, after it none may."""
        busy = Busy()
        transport = TwilioTransport(SID, SID, TOKEN, http_client=busy, timer=lambda: now)

        assert transport.send(MESSAGE, until=8.0).verdict is Verdict.NOT_PROCESSED
        assert busy.asked == sends

    def test_a_client_that_was_handed_in_stays_open(self):
        """Closing it is its owner's business."""
        TwilioTransport(SID, SID, TOKEN, http_client=object()).close()

    def test_our_own_is_closed(self, stand_in, over_http):
        """Tearing down leaves no connection open."""
        meta = over_http()
        deliver(meta)
        ((_, session),) = meta._transport._own._idle
        closed = []
        session.close = lambda: closed.append(True)

        teardown_plugin(meta)

        assert closed == [True]
        assert meta._transport._own._idle == []

    def test_a_message_shows_nothing(self):
        """Neither number nor text stands in a Message's repr."""
        assert "100001" not in repr(MESSAGE)
        assert "Hi" not in repr(MESSAGE)
