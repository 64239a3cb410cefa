"""The FastAPI example, as PostHog's HTTP destination calls it."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from attrs import frozen
from conftest import free_port, wait_for_port
from twilio_stand_in import StandIn

EXAMPLES = Path(__file__).parents[1] / "examples"
SECRET = "whsec_" + base64.b64encode(b"twenty-four bytes or more").decode()
TOKEN = "correct horse"
PERSON = {"id": "018f-p", "name": "Ada", "properties": {"email": "ada@example.com"}}
for needed in ("fastapi", "standardwebhooks", "uvicorn"):
    if importlib.util.find_spec(needed) is None:
        if os.environ.get("CI") != "true":
            pytest.skip(f"{needed} is missing", allow_module_level=True)
        pytest.fail(f"{needed} is missing, and CI must have it", pytrace=False)


def body(uuid="018f-1", event="signup"):
    """Return what the destination posts by default."""
    shown = {"uuid": uuid, "event": event, "distinct_id": "1", "properties": {"plan": "pro"}}
    return json.dumps({"event": shown, "person": PERSON}, indent=1).encode()


def signed(raw, at=None, secret=SECRET):
    """Return the headers of Standard Webhooks, as PostHog makes them."""
    from standardwebhooks import Webhook

    at = at or datetime.now(timezone.utc)
    signature = Webhook(secret).sign("msg_1", at, raw.decode())
    stamp = str(int(at.timestamp()))
    return {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": signature}


@pytest.fixture
def stand_in():
    """Run a Twilio on loopback."""
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def environment(stand_in, twilio_config, tmp_path):
    """Make the settings of the example, whose Twilio is the one on loopback."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**twilio_config, "apiBaseURL": stand_in.url}))
    return {
        "POSTHOG_TWILIO_CONFIG": str(config),
        "COOLDOWNS": str(tmp_path / "cooldowns.sqlite"),
        "WEBHOOK_SECRET": SECRET,
    }


@frozen
class Response:
    """What came back."""

    status: int
    content: dict
    retry_after: str | None


def send(url, raw, headers=None):
    """Post *raw*, signed unless *headers* are given."""
    headers = signed(raw) if headers is None else headers
    try:
        with urlopen(Request(f"{url}/posthog", raw, headers), timeout=60) as response:
            return Response(response.status, json.load(response), None)
    except HTTPError as error:
        with error:
            return Response(error.code, json.load(error), error.headers["Retry-After"])


@pytest.fixture
def load(environment, monkeypatch):
    """Import the example, with settings changed."""

    def load(**changes):
        monkeypatch.delenv("WEBHOOK_TOKEN", raising=False)
        for name, value in {**environment, **changes}.items():
            monkeypatch.setenv(name, value)
        spec = importlib.util.spec_from_file_location("webhook", EXAMPLES / "webhook.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "webhook", module)
        spec.loader.exec_module(module)
        module.meta._transport.pause = lambda seconds: None
        return module

    return load


@pytest.fixture
def serve(load):
    """Import the example and serve it on loopback; lend the module and how to post to it."""
    with ExitStack() as stack:

        def serve(**changes):
            module = load(**changes)
            return module, partial(send, stack.enter_context(serving(module.app)))

        yield serve


@contextmanager
def serving(app):
    """Serve *app* in a thread."""
    import uvicorn

    config = uvicorn.Config(app, "127.0.0.1", port=0, log_config=None, ws="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class TestWhatItTakes:
    def test_a_signed_event_is_texted(self, serve, stand_in):
        """An event whose signature fits the raw body is sent, and the answer says so."""
        _, post = serve()

        response = post(body())

        assert response.status == 200
        assert response.content == {"outcomes": ["sent"]}
        assert len(stand_in.fake.outbox) == 1

    def test_another_event_is_welcome(self, serve, stand_in):
        """An event that fires nothing is no error."""
        _, post = serve()

        response = post(body(event="$pageview"))

        assert (response.status, response.content) == (200, {"outcomes": []})
        assert stand_in.fake.requests == []

    @pytest.mark.parametrize(
        "change",
        [
            lambda headers: headers.clear(),
            lambda headers: headers.update(signed(body("018f-2"))),
            lambda headers: headers.update(signed(body(), secret="whsec_" + "b3RoZXIK" * 4)),
            lambda headers: headers.update(
                signed(body(), datetime.now(timezone.utc) - timedelta(minutes=6))
            ),
            lambda headers: headers.update(
                signed(body(), datetime.now(timezone.utc) + timedelta(minutes=6))
            ),
            lambda headers: headers.update({"webhook-signature": "no comma"}),
            lambda headers: headers.update({"webhook-signature": "v1,not base64"}),
            lambda headers: headers.update({"webhook-timestamp": "yesterday"}),
        ],
        ids=[
            "unsigned",
            "of another body",
            "of another secret",
            "old",
            "of the future",
            "no comma",
            "no base64",
            "no time",
        ],
    )
    def test_what_is_not_signed_by_posthog_is_refused(self, serve, stand_in, change):
        """Unsigned, tampered, replayed and garbled requests get 401, and Twilio is not asked."""
        _, post = serve()
        headers = signed(body())
        change(headers)

        response = post(body(), headers)

        assert response.status == 401
        assert stand_in.fake.requests == []

    def test_bytes_that_are_no_text_are_refused(self, serve):
        """A body that is not UTF-8 can bear no signature."""
        _, post = serve()

        assert post(b"\xff\xfe", signed(b"{}")).status == 401

    @pytest.mark.parametrize(
        ("given", "status"),
        [(TOKEN, 200), ("wrong", 401), ("", 401), (None, 401), ("naïve", 401)],
    )
    def test_a_token_does_without_signing(self, serve, given, status):
        """Where a token is set and no secret, the header must hold just that."""
        _, post = serve(WEBHOOK_SECRET="", WEBHOOK_TOKEN=TOKEN)
        headers = {} if given is None else {"X-Webhook-Token": given.encode("latin-1")}

        assert post(body(), headers).status == status

    def test_with_a_secret_a_token_does_not_do(self, serve):
        """A token opens nothing where events are signed."""
        _, post = serve(WEBHOOK_TOKEN=TOKEN)

        assert post(body(), {"X-Webhook-Token": TOKEN}).status == 401

    def test_without_either_it_does_not_start(self, load):
        """An endpoint that anybody could use is not opened."""
        with pytest.raises(SystemExit, match="WEBHOOK_SECRET or WEBHOOK_TOKEN"):
            load(WEBHOOK_SECRET="")

    @pytest.mark.parametrize("raw", [b'{"text": "Ada signed up"}', b"hello", b""], ids=repr)
    def test_what_is_no_event_is_refused_for_good(self, serve, raw):
        """A body that holds no event gets 400, which PostHog does not repeat."""
        _, post = serve()

        response = post(raw)

        assert response.status == 400
        assert "expected" in response.content["error"] or "JSON" in response.content["error"]

    def test_a_huge_body_is_not_read(self, load):
        """Reading ends where a body is larger than any event."""
        import fastapi

        module = load()
        module.LARGEST = 1000
        chunk = {"type": "http.request", "body": b"x" * 600, "more_body": True}
        chunks = iter([chunk] * 5)

        async def receive():
            return next(chunks)

        request = fastapi.Request({"type": "http", "headers": []}, receive)
        response = asyncio.run(module.receive(request))
        module.cache.close()

        assert response.status_code == 413
        assert len(list(chunks)) == 3


class TestRedelivery:
    def test_what_was_not_sent_is_asked_for_again(self, serve, stand_in):
        """While Twilio cannot be reached the answer is 503; then the event comes out once."""
        _, post = serve()
        with stand_in.closed():
            refused = post(body())

        answers = [post(body()).content for _ in range(2)]

        assert refused.status == 503
        assert refused.retry_after == "30"
        assert refused.content["outcomes"] == ["retry"]
        assert answers == [{"outcomes": ["sent"]}, {"outcomes": ["cooling_down"]}]
        assert len(stand_in.fake.outbox) == 1

    def test_one_event_of_a_batch_keeps_no_other_from_being_sent(
        self, serve, environment, stand_in
    ):
        """All events of a body are tried before the answer asks for it again."""
        path = Path(environment["POSTHOG_TWILIO_CONFIG"])
        config = json.loads(path.read_text())
        numbers = {"signup": "+15550100001", "order": "+15550100002"}
        path.write_text(json.dumps({**config, "triggeringEventsAndNumber": numbers}))
        _, post = serve()
        for _ in range(4):
            stand_in.fail(429)
        raw = json.dumps([{"event": e, "uuid": e} for e in numbers]).encode()

        first, second = post(raw), post(raw)

        assert first.status == 503
        assert first.content["outcomes"] == ["retry", "sent"]
        assert second.content["outcomes"] == ["sent", "cooling_down"]

    def test_it_answers_in_time_while_twilio_hangs(self, serve, texting, fake_twilio):
        """The answer is 503 by the deadline; the thread goes on, and sends once."""
        asked, let_go = threading.Event(), threading.Event()

        class Held:
            def request(self, *args, **options):
                asked.set()
                assert let_go.wait(30)
                return fake_twilio.request(*args, **options)

        module, post = serve()
        module.meta = texting(cache=module.cache, http_client=Held())
        module.DEADLINE = 0.05
        late = post(body())
        assert asked.wait(30)
        module.DEADLINE = 30.0

        meanwhile = post(body())
        let_go.set()
        until = time.monotonic() + 30
        while (later := post(body())).status != 200:
            assert time.monotonic() < until

        assert late.status == 503
        assert meanwhile.status == 503
        assert meanwhile.content["outcomes"] == ["retry"]
        assert later.content["outcomes"] in (["cooling_down"], ["duplicate"])
        assert len(fake_twilio.outbox) == 1


def test_it_runs_under_uvicorn(environment, stand_in):
    """The command of the docstring serves on a port, sends, and ends cleanly on SIGTERM."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "webhook:app"]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"],
        env={**os.environ, **environment},
    )
    try:
        wait_for_port(port, 60)
        answers = [send(f"http://127.0.0.1:{port}", body(), headers) for headers in (None, {})]
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    finally:
        server.kill()
        server.wait()

    assert [answer.status for answer in answers] == [200, 401]
    assert len(stand_in.fake.outbox) == 1
    assert server.returncode in (0, -signal.SIGTERM)  # uvicorn raises the signal again
