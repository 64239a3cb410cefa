"""The hook for PostHog's own SDK, run by the real SDK; nothing leaves loopback."""

from __future__ import annotations

import asyncio
import gc
import gzip
import importlib.util
import json
import logging
import multiprocessing
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import missing
from twilio_stand_in import StandIn

from posthog_twilio.caches import MemoryCache
from posthog_twilio.hosts import _background, posthog_sdk
from posthog_twilio.hosts.posthog_sdk import before_send

ROOT = Path(__file__).parents[1]
SIGNUP = {"event": "signup", "distinct_id": "1", "properties": {"plan": "pro"}}


def signup(number: int = 0, **more):
    """Return a matching message with a uuid of its own."""
    return {**SIGNUP, "uuid": f"018f-{number}", **more}


class Capture(BaseHTTPRequestHandler):
    """PostHog's side: keeps the events of each batch."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.events += json.loads(body).get("batch", [])
        self.send_response(200)
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b'{"status": "Ok"}'[:15])

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def posthog():
    """Serve as PostHog on loopback; its events are those it got."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Capture) as server:
        server.events = []
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(posthog):
    """Make clients of the real SDK that send in the calling thread."""
    if importlib.util.find_spec("posthog") is None:
        missing("the posthog SDK")
    from posthog import Posthog

    made = []

    def make(hook, **options):
        options = {"host": posthog.url, "sync_mode": True, **options}
        made.append(Posthog("phc_test", before_send=hook, **options))
        return made[-1]

    yield make
    for one in made:
        one.shutdown()


@pytest.fixture
def hooked():
    """Make hooks that are closed after the test."""
    made = []

    def make(meta, **options):
        made.append(before_send(meta, **options))
        return made[-1]

    yield make
    for hook in made:
        hook._background._drain = 0
        hook.close()


class Held:
    """A Twilio that keeps every request until it is let go."""

    def __init__(self, fake):
        self.fake = fake
        self.asked = threading.Semaphore(0)
        self.let_go = threading.Event()
        self.threads = []

    def request(self, *args, **options):
        self.threads.append(threading.get_ident())
        self.asked.release()
        assert self.let_go.wait(30)
        return self.fake.request(*args, **options)


@pytest.fixture
def held(fake_twilio):
    """Hand out a Twilio that answers nothing before the test, or its end, lets it go."""
    twilio = Held(fake_twilio)
    yield twilio
    twilio.let_go.set()


class Failing(MemoryCache):
    """A cache that fails for the first few claims."""

    def __init__(self, times, timer):
        super().__init__(timer)
        self.times = times
        self.asked = 0

    def claim(self, key, seconds):
        self.asked += 1
        if self.asked <= self.times:
            raise OSError("disk full")
        return super().claim(key, seconds)


@pytest.fixture
def failing(clock):
    """Make a cache that fails for the first few claims."""
    return lambda times: Failing(times, clock)


def cyclic():
    """Return an event that holds itself."""
    event = signup()
    event["properties"] = {"self": event}
    return event


WEIRD = {
    "nothing": None,
    "a number": 5,
    "a list": [],
    "no name": {},
    "an empty name": {"event": ""},
    "a name that is a list": {"event": []},
    "a name that is nothing": {"event": None},
    "no properties": {"event": "signup"},
    "properties that are a number": {"event": "signup", "properties": 5},
    "a datetime": {"event": "signup", "properties": {"at": datetime.now(timezone.utc)}},
    "sets and tuples": {"event": "signup", "properties": {1: {2}, "b": ({"c": object()},)}},
}
TEXTED = ("no properties", "properties that are a number", "a datetime", "sets and tuples")


class TestTheMessage:
    @pytest.mark.parametrize("name", WEIRD)
    def test_it_comes_back_as_it_is(self, name, texting, hooked, fake_twilio):
        """Whatever is captured, the very object comes back unchanged, and texts if it matches."""
        hook, message = hooked(texting()), WEIRD[name]
        before = repr(message)

        result = hook(message)

        assert hook.flush()
        assert result is message
        assert repr(message) == before
        assert len(fake_twilio.outbox) == (name in TEXTED)
        assert (hook.overflowed, hook.lost) == (0, 0)

    def test_one_that_cannot_be_copied_comes_back_too(self, texting, hooked, caplog):
        """An event that holds itself is not texted, which is logged, and still comes back."""
        hook, message = hooked(texting()), cyclic()

        assert hook(message) is message
        assert "before_send failed" in caplog.text

    def test_a_broken_plugin_does_no_harm(self, hooked, caplog):
        """An error of our own is logged, and the message comes back."""
        hook = hooked(None)
        message = signup()

        assert hook(message) is message
        assert "before_send failed" in caplog.text

    def test_a_broken_log_does_no_harm(self, hooked):
        """Even a log filter that raises keeps no message from coming back."""
        hook, message = hooked(None), signup()

        def refuse(record):
            raise RuntimeError

        posthog_sdk.log.addFilter(refuse)
        try:
            assert hook(message) is message
        finally:
            posthog_sdk.log.removeFilter(refuse)

    def test_what_the_application_changes_later_is_not_texted(self, texting, hooked, held):
        """The text tells what was captured, though the application goes on with its objects."""
        template = "{event.properties.order.total}"
        meta = texting(http_client=held, messageTemplate=template, timeoutScope="person")
        hook = hooked(meta, threads=1)
        order = {"total": 5}

        for number in (1, 2):  # the first keeps the only thread busy
            hook(signup(number, distinct_id=str(number), properties={"order": order}))
        assert held.asked.acquire(timeout=30)
        order["total"] = 6
        held.let_go.set()
        assert hook.flush()

        assert [message.body for message in held.fake.outbox] == ["5", "5"]


class TestWithTheSDK:
    def test_a_matching_event_is_captured_and_texted_once(
        self, client, posthog, texting, hooked, held
    ):
        """The event goes to PostHog, and one message out, from a thread of its own."""
        hook = hooked(texting(http_client=held))
        held.let_go.set()

        uuid = client(hook).capture("signup", distinct_id="1", properties={"plan": "pro"})

        assert hook.flush()
        assert [event["uuid"] for event in posthog.events] == [uuid]
        assert len(held.fake.outbox) == 1
        assert threading.get_ident() not in held.threads

    def test_another_event_is_only_captured(self, client, posthog, texting, hooked, fake_twilio):
        """An event that fires nothing starts no thread and sends nothing."""
        hook = hooked(texting())

        client(hook).capture("$pageview", distinct_id="1")

        assert hook.flush(0)
        assert [event["event"] for event in posthog.events] == ["$pageview"]
        assert fake_twilio.outbox == []
        assert hook._background._alive == 0

    def test_capture_does_not_wait_for_twilio(self, client, posthog, texting, hooked, held):
        """While Twilio answers nothing, captures return, and their events reach PostHog."""
        hook = hooked(texting(http_client=held))
        sdk = client(hook)

        sdk.capture("signup", distinct_id="1")
        assert held.asked.acquire(timeout=30)
        sdk.capture("signup", distinct_id="2")

        assert len(posthog.events) == 2
        assert held.fake.outbox == []
        assert not hook.flush(0)

    @pytest.mark.parametrize("failure", [401, 500, "no connection", "reset"])
    def test_a_text_that_fails_costs_no_event(
        self, client, posthog, texting, hooked, fake_twilio, failure
    ):
        """However sending fails, the event was captured."""
        fake_twilio.fail(failure)
        hook = hooked(texting())

        client(hook).capture("signup", distinct_id="1")

        assert hook.flush()
        assert [event["event"] for event in posthog.events] == ["signup"]

    def test_a_broken_plugin_costs_no_event(self, client, posthog, texting, hooked, monkeypatch):
        """An error of our own, in the hook or in the thread, costs no event."""
        hook, sdk = hooked(None), client(None)
        sdk.before_send = hook
        sdk.capture("signup", distinct_id="1")
        sdk.before_send = later = hooked(texting())
        monkeypatch.setattr(posthog_sdk, "on_event", lambda *_: 1 / 0)

        sdk.capture("signup", distinct_id="2")

        assert later.flush()
        assert later.lost == 1
        assert len(posthog.events) == 2

    def test_the_properties_may_hold_datetimes(self, client, posthog, texting, hooked, fake_twilio):
        """Types of Python's own in the properties are texted like their JSON."""
        hook = hooked(texting(messageTemplate="at {event.properties.at}"))

        at = datetime(2026, 11, 2, 8, tzinfo=timezone.utc)
        client(hook).capture("signup", distinct_id="1", properties={"at": at}, timestamp=at)

        assert hook.flush()
        assert len(posthog.events) == 1
        assert fake_twilio.outbox[0].body.startswith("at 2026-11-02")

    def test_the_asynchronous_client_takes_it_too(
        self, client, posthog, texting, hooked, fake_twilio
    ):
        """PostHog's asyncio client calls the same hook."""
        client(None)
        from posthog import AsyncPosthog

        hook = hooked(texting())

        async def main():
            async with AsyncPosthog("phc_test", host=posthog.url, before_send=hook) as sdk:
                sdk.capture("signup", distinct_id="1")
                await sdk.flush()

        asyncio.run(main())

        assert hook.flush()
        assert [event["event"] for event in posthog.events] == ["signup"]
        assert len(fake_twilio.outbox) == 1

    def test_a_log_handler_that_captures_ends(self, client, posthog, texting, hooked, caplog):
        """An event captured about a failing text causes no text, nor an endless loop."""
        hook = hooked(texting(), limit=0)
        sdk = client(hook)

        class Handler(logging.Handler):
            def emit(self, record):
                sdk.capture("signup", distinct_id="1", properties={"log": record.getMessage()})

        handler = Handler()
        posthog_sdk.log.addHandler(handler)
        try:
            sdk.capture("signup", distinct_id="1")
        finally:
            posthog_sdk.log.removeHandler(handler)

        assert hook.overflowed == 1
        assert len(posthog.events) == 2

    def test_a_log_handler_that_captures_in_our_thread_ends(
        self, client, posthog, texting, hooked, monkeypatch
    ):
        """Nor does an event that is captured in the thread that sends."""
        monkeypatch.setattr(posthog_sdk, "on_event", lambda *_: 1 / 0)
        hook = hooked(texting())
        sdk = client(hook)

        class Handler(logging.Handler):
            def emit(self, record):
                sdk.capture("signup", distinct_id="1")

        handler = Handler()
        posthog_sdk.log.addHandler(handler)
        try:
            sdk.capture("signup", distinct_id="1")
            assert hook.flush()
        finally:
            posthog_sdk.log.removeHandler(handler)

        assert hook.lost == 1
        assert len(posthog.events) == 2

    @pytest.mark.speed
    def test_it_adds_few_microseconds(self, client):
        """A capture that fires nothing costs under 10 µs more with the hook."""
        client(None)
        spec = importlib.util.spec_from_file_location("cost", ROOT / "benchmarks/before_send.py")
        benchmark = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(benchmark)

        costs = benchmark.microseconds()

        assert costs["before_send(meta)"] - costs["a hook that does nothing"] < 10


class TestTheQueue:
    def test_overflow_is_counted_and_logged(self, texting, hooked, held, caplog):
        """Beyond the limit events are not taken, each is counted, and the log does not flood."""
        hook = hooked(texting(http_client=held), limit=2, threads=1)
        hook(signup(0))
        assert held.asked.acquire(timeout=30)

        for number in range(1, 10):
            hook(signup(number))

        assert hook.overflowed == 7
        logged = [r.getMessage() for r in caplog.records if "not texted" in r.getMessage()]
        assert [line.rpartition("; ")[2] for line in logged] == ["1 so far", "2 so far", "4 so far"]
        assert "too many wait" in logged[0]

    @pytest.mark.usefixtures("eager_threads")
    def test_many_threads_lose_no_event_and_no_count(self, texting, hooked, fake_twilio):
        """Of what many threads capture at once, each event is sent or counted."""
        hook = hooked(texting(timeoutScope="person"), limit=50, threads=2)
        together = threading.Barrier(8, timeout=30)

        def capture(first):
            together.wait()
            for number in range(first, first + 50):
                hook(signup(number, distinct_id=str(number)))

        threads = [threading.Thread(target=capture, args=(n * 50,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert hook.flush(60)

        assert len(fake_twilio.outbox) + hook.overflowed == 400
        assert hook.lost == 0

    def test_at_most_so_many_threads(self, texting, hooked, held):
        """No more messages are under way at once than there are threads."""
        hook = hooked(texting(http_client=held, timeoutScope="person"), threads=2)

        for number in range(5):
            hook(signup(number, distinct_id=str(number)))

        assert held.asked.acquire(timeout=30)
        assert held.asked.acquire(timeout=30)
        assert not held.asked.acquire(timeout=0.05)
        held.let_go.set()
        assert hook.flush()
        assert len(held.fake.outbox) == 5

    def test_what_was_not_sent_is_tried_again(
        self, texting, hooked, fake_twilio, failing, monkeypatch
    ):
        """While an event is to be delivered again, it is, after each pause."""
        monkeypatch.setattr(posthog_sdk, "RETRIES", (0.0, 0.01, 0.0))
        hook = hooked(texting(cache=failing(3)))

        hook(signup())

        assert hook.flush()
        assert len(fake_twilio.outbox) == 1
        assert hook.lost == 0

    def test_in_the_end_it_is_lost_and_logged(
        self, texting, hooked, fake_twilio, failing, monkeypatch, caplog
    ):
        """After the last try an event is counted as lost, with its uuid in the log."""
        monkeypatch.setattr(posthog_sdk, "RETRIES", (0.0, 0.0, 0.0))
        cache = failing(99)
        hook = hooked(texting(cache=cache))

        hook(signup(7))

        assert hook.flush()
        assert fake_twilio.outbox == []
        assert hook.lost == 1
        assert cache.asked == 4
        assert "gave up on event '018f-7': deliver this event again" in caplog.text

    def test_the_last_try_outlasts_a_crash(self):
        """The tries go on for longer than the lease that a crashed worker leaves behind."""
        assert sum(posthog_sdk.RETRIES) > 60

    def test_what_waits_for_a_try_holds_nobody_up(
        self, texting, hooked, fake_twilio, failing, monkeypatch, caplog
    ):
        """One thread sends on while an event waits for its next try."""
        monkeypatch.setattr(posthog_sdk, "RETRIES", (3600.0,))
        hook = hooked(texting(cache=failing(1)), threads=1, drain=0)

        hook(signup(1))
        hook(signup(2))
        wait_until(lambda: fake_twilio.outbox)

        assert not hook.flush(0)
        assert hook.close() == 1
        assert hook.lost == 1
        assert "no time left for event '018f-1'" in caplog.text

    def test_who_waits_for_the_end_takes_no_wake_up_call_from_a_thread(
        self, texting, hooked, fake_twilio, failing, monkeypatch
    ):
        """An event is handled at once though others, who flush, have waited for longer."""
        monkeypatch.setattr(posthog_sdk, "RETRIES", (3600.0,))
        hook = hooked(texting(cache=failing(1)), threads=1, drain=0)
        background = hook._background
        settle, flush = background._settle, threading.Thread(target=hook.flush, args=(60,))

        def settle_and_let_others_wait_first(*job):
            settle(*job)
            flush.start()
            wait_until(lambda: background._changed._waiters)

        background._settle = settle_and_let_others_wait_first
        hook(signup(1))  # waits for an hour
        wait_until(lambda: len(background._changed._waiters) == 2)
        background._settle = settle
        hook(signup(2))

        wait_until(lambda: fake_twilio.outbox)
        hook.close()
        flush.join(30)

        assert not flush.is_alive()

    def test_a_thread_that_dies_is_replaced(self, texting, hooked, fake_twilio, monkeypatch):
        """An exit in the middle of the work ends one thread, and the next event starts another."""
        hook = hooked(texting(), threads=1)
        work = hook._background._work
        seen = []
        monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))
        hook._background._work = lambda *_: sys.exit()
        hook(signup(1))
        wait_until(lambda: hook._background._alive == 0)

        hook._background._work = work
        hook(signup(2))

        assert hook.flush()
        assert len(fake_twilio.outbox) == 1

    def test_no_thread_no_loss_unheard(self, texting, hooked, fake_twilio, monkeypatch, caplog):
        """Where no thread can be had, the event is counted and logged, and nothing waits."""
        hook = hooked(texting())
        monkeypatch.setattr(threading.Thread, "start", out_of_threads)

        hook(signup())

        assert hook.overflowed == 1
        assert hook.flush(0)
        assert "can't start new thread" in caplog.text

    def test_one_thread_is_enough(self, texting, hooked, fake_twilio, monkeypatch):
        """Where a second thread cannot be had, the first does the work."""
        hook = hooked(texting(timeoutScope="person"))
        hook(signup(1, distinct_id="1"))
        assert hook.flush()
        monkeypatch.setattr(threading.Thread, "start", out_of_threads)

        hook(signup(2, distinct_id="2"))

        assert hook.flush()
        assert len(fake_twilio.outbox) == 2


def out_of_threads(_):
    """Fail as a thread's start does at a limit."""
    raise RuntimeError("can't start new thread")


def wait_until(condition, seconds=30):
    """Wait for what another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class TestClosing:
    def test_it_finishes_and_takes_no_more(self, texting, hooked, fake_twilio, caplog):
        """Closing sends what waits; later events are counted, and the threads are gone."""
        hook = hooked(texting(), threads=2)
        hook(signup(1))

        assert hook.close() == 0
        message = signup(2)
        assert hook(message) is message

        assert len(fake_twilio.outbox) == 1
        assert hook.overflowed == 1
        assert "since it was closed; 1 so far" in caplog.text
        wait_until(lambda: hook._background._alive == 0)
        assert hook.close() == 0

    def test_it_does_not_wait_for_ever(self, texting, hooked, held, caplog):
        """With Twilio dead it ends, drops what waits, and says what is still in hand."""
        hook = hooked(texting(http_client=held), threads=1, drain=0.01)
        for number in range(3):
            hook(signup(number))
        assert held.asked.acquire(timeout=30)

        assert hook.close() == 3
        assert hook.close() == 1

        assert hook.lost == 2
        assert caplog.text.count("no time left for event") == 2
        assert caplog.text.count("no time left to finish what is in hand: 1") == 1

    def test_a_try_that_fits_is_made(self, texting, hooked, fake_twilio, failing, monkeypatch):
        """Closing waits for the next try of an event if there is time for it."""
        monkeypatch.setattr(posthog_sdk, "RETRIES", (0.2,))
        hook = hooked(texting(cache=failing(1)), drain=30)
        hook(signup())

        assert hook.close() == 0

        assert len(fake_twilio.outbox) == 1

    def test_it_does_not_wait_for_what_comes_too_late(
        self, texting, hooked, failing, monkeypatch, caplog
    ):
        """Where all that waits is due after the end, closing drops it at once."""
        monkeypatch.setattr(posthog_sdk, "RETRIES", (3600.0,))
        cache = failing(1)
        hook = hooked(texting(cache=cache), drain=60)
        hook(signup())
        wait_until(lambda: cache.asked and hook._background._waiting)
        closing = threading.Thread(target=hook.close)
        closing.start()

        closing.join(30)

        assert not closing.is_alive()
        assert hook.lost == 1
        assert "no time left for event '018f-0'" in caplog.text

    def test_a_try_that_comes_too_late_is_not_waited_for(
        self, texting, hooked, monkeypatch, clock, caplog
    ):
        """What fails while closing, and would be tried after the end, is lost at once."""
        monkeypatch.setattr(posthog_sdk, "RETRIES", (3600.0,))
        asked, let_go = threading.Event(), threading.Event()

        class Stuck(MemoryCache):
            def claim(self, key, seconds):
                asked.set()
                assert let_go.wait(30)
                raise OSError("disk full")

        hook = hooked(texting(cache=Stuck(clock)), drain=30)
        hook(signup())
        assert asked.wait(30)
        closing = threading.Thread(target=hook.close)
        closing.start()
        wait_until(lambda: hook._background.closed)

        let_go.set()
        closing.join(20)

        assert not closing.is_alive()
        assert hook.lost == 1
        assert "no time left for event" in caplog.text

    def test_one_that_is_gone_is_not_closed_at_exit(self, texting, hooked):
        """A hook that nobody holds, and that never had work, leaves nothing behind."""
        reference = _background.ref(before_send(texting())._background)
        gc.collect()

        assert reference() is None
        _background._close(reference)
        _background._close(_background.ref(hooked(texting())._background))

    def test_it_is_known_to_multiprocessing_where_that_is_in_use(
        self, texting, hooked, monkeypatch
    ):
        """The end of a multiprocessing child, which skips atexit, closes the hook."""
        from multiprocessing import util

        made = []
        monkeypatch.setattr(util, "Finalize", lambda *args, **how: made.append((args, how)))
        hook = hooked(texting(), threads=2)
        hook(signup(1))
        hook(signup(2))

        ((_, close), how) = made[0]
        close()

        assert len(made) == 1
        assert how["exitpriority"] >= 0
        assert hook._background.closed

    def test_it_does_without_multiprocessing(self, texting, hooked, fake_twilio, monkeypatch):
        """Where nobody imported multiprocessing, it is not imported either."""
        monkeypatch.delitem(sys.modules, "multiprocessing.util", raising=False)
        hook = hooked(texting())

        hook(signup())

        assert hook.close() == 0
        assert len(fake_twilio.outbox) == 1
        assert "multiprocessing.util" not in sys.modules

    def test_a_child_begins_anew(self, texting, hooked, held):
        """In a child, nothing waits and nothing is counted; the parent has it all."""
        hook = hooked(texting(http_client=held), limit=1, threads=1)
        hook(signup(1))
        assert held.asked.acquire(timeout=30)
        hook(signup(2))
        hook(signup(3))
        parents = hook._background._changed
        held.let_go.set()
        assert hook.flush()

        _background._after_fork()

        assert hook._background._changed is not parents
        assert (hook.overflowed, hook.lost) == (0, 0)
        assert hook.flush(0)


PRELUDE = """
import atexit, logging, multiprocessing, os, sys, threading

from posthog import Posthog

from posthog_twilio import setup_plugin
from posthog_twilio.hosts.posthog_sdk import before_send

URL, DRAIN = sys.argv[1], float(sys.argv[2])
logging.basicConfig()
meta = setup_plugin({
    "accountSID": "AC0123456789abcdef0123456789abcdef",
    "authToken": "fedcba9876543210fedcba9876543210",
    "triggeringEventsAndNumber": {n: "+1555010000" + n for n in "1234"},
    "senderPhoneNumber": "+15005550006",
    "apiBaseURL": URL,
})
hook = before_send(meta, drain=DRAIN)
sdk = Posthog("phc_test", host=URL, send=False, before_send=hook)


def capture(name):
    sdk.capture(name, distinct_id="1")


def wait_for(pid):
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, status

"""


@pytest.fixture
def run(tmp_path):
    """Run a script against a Twilio on loopback; see who was texted, the exit status, the log."""
    if importlib.util.find_spec("posthog") is None:
        missing("the posthog SDK")

    @contextmanager
    def run(script, *, drain=30.0, hang=False):
        path = tmp_path / "script.py"
        path.write_text(PRELUDE + script)
        with StandIn() as stand_in:
            if hang:
                stand_in.fail("hang")
            done = subprocess.run(
                [sys.executable, str(path), stand_in.url, str(drain)],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            stand_in.release()
            texted = sorted(message.to[-1] for message in stand_in.fake.outbox)
            yield texted, done.returncode, done.stderr

    return run


needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork here")


class TestProcesses:
    @pytest.mark.parametrize(
        ("end", "status"), [("", 0), ("sys.exit(3)", 3), ("1 / 0", 1)], ids=["end", "exit", "error"]
    )
    def test_a_normal_exit_sends_what_waits(self, run, end, status):
        """A script that captures and ends at once, in whatever way, has its text sent."""
        with run(f"capture('1')\n{end}") as (texted, code, log):
            assert texted == ["1"], log
            assert code == status

    def test_an_exit_does_not_hang_on_a_dead_twilio(self, run):
        """The exit takes no longer than drain, and says what it left."""
        with run("capture('1')", drain=0.3, hang=True) as (texted, code, log):
            assert (texted, code) == ([], 0)
            assert log.count("no time left to finish what is in hand: 1") == 1

    def test_what_others_capture_at_their_exit_is_sent(self, run):
        """An event from an exit function that was registered after the hook is sent too."""
        with run("capture('1')\natexit.register(capture, '2')") as (texted, _, log):
            assert texted == ["1", "2"], log

    def test_an_event_too_late_for_a_thread_is_no_secret(self, run):
        """Where the interpreter starts no thread any more, the first event is sent or logged."""
        script = "atexit.register(capture, '1')"
        with run(script) as (texted, code, log):
            assert code == 0
            assert texted == ["1"] or "before_send failed" in log

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_the_children_of_multiprocessing_send_theirs(self, run, method):
        """A child that captures and returns has its text sent, though it skips atexit."""
        script = f"""
if __name__ == "__main__":
    capture("1")
    hook.flush()
    child = multiprocessing.get_context("{method}").Process(target=capture, args=("2",))
    child.start()
    child.join()
    assert child.exitcode == 0
"""
        if method not in multiprocessing.get_all_start_methods():
            pytest.skip(f"{method} is not known here")
        with run(script) as (texted, code, log):
            assert code == 0, log
            assert texted == ["1", "2"], log

    @needs_fork
    def test_a_forked_child_sends_its_own_and_no_more(self, run):
        """What the parent has waiting is sent once, by the parent; the child sends its own."""
        script = """
capture("1")
hook.flush()
background = hook._background
held = threading.Event()  # the threads of the parent wait for it from now on
background._work = lambda *job, work=background._work: held.wait(60) and work(*job)
for name in "23":
    capture(name)
pid = os.fork()
if not pid:
    held.set()
    capture("4")
    sys.exit()
wait_for(pid)
held.set()
"""
        with run(script) as (texted, code, log):
            assert code == 0, log
            assert texted == ["1", "2", "3", "4"], log

    @needs_fork
    def test_a_lock_that_another_thread_holds_at_the_fork_stops_no_child(self, run):
        """The child sends although a thread of the parent was in the middle of the queue."""
        script = """
inside, go_on = threading.Event(), threading.Event()

def hold():
    with hook._background._changed:
        inside.set()
        go_on.wait(60)

threading.Thread(target=hold, daemon=True).start()
inside.wait(60)
pid = os.fork()
if not pid:
    capture("1")
    os._exit(0 if hook.flush(30) else 1)
wait_for(pid)
go_on.set()
"""
        with run(script) as (texted, code, log):
            assert code == 0, log
            assert texted == ["1"], log
