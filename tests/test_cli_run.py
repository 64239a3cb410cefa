"""``posthog-twilio run``: events on standard input, messages out."""

from __future__ import annotations

import builtins
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from queue import Empty
from types import SimpleNamespace

import pytest
from twilio_stand_in import SID, TOKEN, StandIn

from posthog_twilio import runner as module
from posthog_twilio.caches import MemoryCache, RedisCache
from posthog_twilio.cli import main, stores
from posthog_twilio.cli.usage import UsageError
from posthog_twilio.errors import RetryError
from posthog_twilio.outcome import Outcome, Status
from posthog_twilio.runner import DeadLetters, Lines, Runner

ONE, TWO = "+15550100001", "+15550100002"


def event(uuid, name="signup", **more):
    """Make an event."""
    return {"event": name, "uuid": uuid, "distinct_id": "anna", **more}


def lines(*events):
    """Write events as JSON lines."""
    return "".join(json.dumps(one) + "\n" for one in events).encode()


@pytest.fixture
def stand_in():
    """Run a Twilio on loopback."""
    with StandIn() as server:
        yield server


@pytest.fixture
def config(tmp_path, stand_in):
    """Write a config whose messages tell the uuid; settings may be changed."""

    def write(**changed):
        settings = {
            "accountSID": SID,
            "authToken": TOKEN,
            "triggeringEventsAndNumber": f"signup:{ONE}",
            "senderPhoneNumber": "+15550199000",
            "timeout": 3600,
            "apiBaseURL": stand_in.url,
            "messageTemplate": "{event.uuid}",
            **changed,
        }
        path = tmp_path / "config.json"
        path.write_text(json.dumps(settings))
        return str(path)

    return write


@pytest.fixture
def feed(monkeypatch, capsys):
    """Run the command in this process on bytes; return status, output and errors."""

    def feed(data, *arguments):
        read, write = os.pipe()
        with open(read, "rb") as stdin, open(write, "wb") as target:
            target.write(data)
            target.close()
            monkeypatch.setattr(sys, "stdin", stdin)
            status = main(["run", *arguments])
        return status, *capsys.readouterr()

    return feed


class Process:
    """The command as a process of its own, on a pipe that stays open."""

    def __init__(self, *arguments):
        self.errors = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "posthog_twilio", "run", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.thread = threading.Thread(target=lambda: self.errors.extend(self.process.stderr))
        self.thread.start()

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self, number=None):
        """Send a signal, or end the stream; return status, output and errors."""
        if number is None:
            self.process.stdin.close()
        else:
            self.process.send_signal(number)
        status = self.process.wait(30)
        self.thread.join()
        out = self.process.stdout.read().decode()
        return status, out, b"".join(self.errors).decode()


@pytest.fixture
def start():
    """Start the command as a process that ends with the test."""
    started = []

    def start(*arguments):
        started.append(Process(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        one.thread.join()
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            stream.close()


def eventually(holds, seconds=20):
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestCommand:
    def test_texts_and_tells_the_totals(self, feed, config, stand_in, tmp_path):
        """Each matching event is handled; blank lines are none; the totals come last."""
        cache = str(tmp_path / "c.sqlite")
        data = lines(event("a"), event("b"), event("c", "page")) + b"\n"

        status, out, err = feed(data, "--config", config(), "--cache", cache)

        assert status == 0
        assert [message.body for message in stand_in.fake.outbox] == ["a"]
        assert out == "3 events, 2 matched: 1 sent, 1 cooling down.\n"
        assert f"cooldowns are kept in {cache}" in err
        assert "INFO signup to +1555•••0001 sent" in err
        assert ONE not in err

    def test_any_shape_is_read(self, feed, config, stand_in):
        """A line may hold a batch, or a webhook's body; the last line needs no end."""
        batch = {"api_key": "k", "batch": [event("a"), event("b")]}
        data = lines(batch, {"event": event("c"), "person": {}}).rstrip()

        status, out, _ = feed(data, "--config", config(timeout=1), "--cache", "memory:")

        assert status == 0
        assert out.startswith("3 events, 3 matched")

    def test_lines_that_hold_no_event_are_kept(self, feed, config, tmp_path):
        """The line's number and the reason are told; the line goes to the dead letters."""
        dead = tmp_path / "dead.jsonl"
        data = b"{broken\n" + lines(event("a"), {"no": "event"})
        arguments = ("--config", config(), "--cache", "memory:")

        status, out, err = feed(data, *arguments, "--dead-letter", str(dead))

        kept = [json.loads(line) for line in dead.read_text().splitlines()]
        assert status == 1
        assert [one["line"] for one in kept] == ["{broken", '{"no": "event"}']
        assert "line 1: not JSON" in err
        assert "line 3: expected a PostHog event" in err
        assert out == "1 event, 1 matched: 1 sent, 2 unreadable.\n"
        assert feed(data, *arguments)[0] == 1

    def test_a_refused_message_is_not_done(self, feed, config, stand_in):
        """What Twilio refuses ends with status 1, though not with a dead letter."""
        stand_in.fail(400, code=21211)

        status, out, err = feed(lines(event("a")), "--config", config(), "--cache", "memory:")

        assert status == 1
        assert "1 refused" in out
        assert "WARNING signup to +1555•••0001 refused" in err

    def test_what_cannot_be_sent_is_kept_and_can_be_fed_again(
        self, feed, config, stand_in, tmp_path, monkeypatch
    ):
        """With Twilio away events become dead letters; fed again, each goes out once."""
        monkeypatch.setattr("posthog_twilio.transport.BACK_OFF", (0.001,))
        dead = tmp_path / "dead.jsonl"
        arguments = ["--config", config(), "--cache", str(tmp_path / "c.sqlite")]
        with stand_in.closed():
            data = lines(event("a", timestamp="2026-03-02T12:00:00Z", properties={"x": 1}))
            status, out, _ = feed(data, *arguments, "--dead-letter", str(dead))

        assert status == 1
        assert out == "1 event, 1 matched: 1 retried, 1 given up.\n"
        assert dead.stat().st_mode & 0o777 == 0o600
        assert json.loads(dead.read_text())["timestamp"] == "2026-03-02T12:00:00+00:00"

        again = dead.read_bytes()
        assert feed(again, *arguments)[0] == 0
        assert feed(again, *arguments)[0] == 0
        assert [message.body for message in stand_in.fake.outbox] == ["a"]

    def test_without_a_file_the_uuids_are_told(self, feed, config, stand_in, monkeypatch):
        """Nothing is lost silently."""
        monkeypatch.setattr("posthog_twilio.transport.BACK_OFF", (0.001,))
        with stand_in.closed():
            status, _, err = feed(lines(event("a")), "--config", config(), "--cache", "memory:")

        assert status == 1
        assert "not delivered: event 'a': deliver this event again: no connection to Twilio" in err

    def test_unusable_arguments_end_at_once(self, feed, config, tmp_path, monkeypatch, capsys):
        """Config, cache, dead letter and standard input are looked at before anything is read."""
        nowhere = str(tmp_path / "no" / "where")
        good = ("--config", config(), "--cache", "memory:")

        assert feed(b"", "--config", nowhere)[0] == 2
        assert "there is no directory" in feed(b"", *good[:2], "--cache", nowhere)[2]
        assert feed(b"", *good, "--dead-letter", nowhere) == (
            2, "", f"--dead-letter: {nowhere}: No such file or directory\n",
        )  # fmt: skip
        monkeypatch.setattr(sys, "stdin", None)
        assert main(["run", *good]) == 2
        assert main(["run", "--config", config(timeout=0)]) == 2
        assert "standard input" in capsys.readouterr().err

    def test_a_signal_finishes_the_event_in_hand(self, feed, config, stand_in, tmp_path):
        """The message in flight goes out; the rest of what was read is kept."""
        dead = tmp_path / "dead.jsonl"
        stand_in.fake.on_request = lambda _: os.kill(os.getpid(), signal.SIGTERM)
        batch = [event("a"), event("b"), event("x", "page")]
        data = lines(batch, event("c"), event("y", "page")) + b"\n{cut"
        before = signal.getsignal(signal.SIGTERM)

        status, out, _ = feed(
            data, "--config", config(), "--cache", "memory:", "--dead-letter", str(dead)
        )

        kept = [json.loads(line) for line in dead.read_text().splitlines()]
        assert status == 1
        assert [message.body for message in stand_in.fake.outbox] == ["a"]
        assert [one.get("uuid", one.get("line")) for one in kept] == ["b", "c", "{cut"]
        assert out == "5 events, 3 matched: 1 sent, 2 given up, 1 left over.\n"
        assert signal.getsignal(signal.SIGTERM) is before


class TestProcess:
    def test_sends_as_soon_as_a_line_is_there(self, start, config, stand_in):
        """On a pipe that never ends nothing waits for a buffer to fill."""
        process = start("--config", config(timeout=1), "--cache", "memory:")
        process.write(lines(event("a")))
        eventually(lambda: len(stand_in.fake.outbox) == 1)

        assert process.end()[0] == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_while_it_waits(self, start, config, stand_in, number):
        """It notices at once, tells the totals, and leaves nothing half done."""
        process = start("--config", config(), "--cache", "memory:")
        process.write(lines(event("a")))
        eventually(lambda: len(stand_in.fake.outbox) == 1)

        status, out, err = process.end(number)

        assert (status, out) == (0, "1 event, 1 matched: 1 sent.\n")
        assert "Traceback" not in err

    def test_a_message_in_flight_is_finished(self, start, config, stand_in):
        """A signal while Twilio takes its time is obeyed after the answer."""
        stand_in.delay_after = 0.5
        process = start("--config", config(), "--cache", "memory:")
        process.write(lines(event("a")))
        eventually(lambda: len(stand_in.fake.outbox) == 1)

        status, out, _ = process.end(signal.SIGTERM)

        assert (status, out) == (0, "1 event, 1 matched: 1 sent.\n")

    def test_cooldowns_survive_a_restart(self, start, config, stand_in, tmp_path):
        """Killed and started again, it texts nobody twice within the timeout."""
        arguments = ("--config", config(), "--cache", str(tmp_path / "c.sqlite"))
        first = start(*arguments)
        first.write(lines(event("a")))
        eventually(lambda: any(b" sent" in line for line in first.errors))
        first.end(signal.SIGKILL)

        second = start(*arguments)
        second.write(lines(event("a"), event("b")))
        status, out, _ = second.end()

        assert (status, out) == (0, "2 events, 2 matched: 2 cooling down.\n")
        assert len(stand_in.fake.outbox) == 1

    def test_tries_again_while_the_stream_goes_on(self, start, config, stand_in):
        """What failed goes out by itself when Twilio is back; later events are not held up."""
        for _ in range(4):
            stand_in.fail(429)
        process = start("--config", config(), "--cache", "memory:")
        process.write(lines(event("a")))
        eventually(lambda: len(stand_in.fake.outbox) == 1)

        status, out, _ = process.end()

        assert (status, out) == (0, "1 event, 1 matched: 1 sent, 1 retried.\n")


class FakeMeta:
    """A plugin whose outcomes are scripted: for each uuid, a list of statuses for each try."""

    def __init__(self, script):
        self.script = defaultdict(lambda: [["sent"]])
        self.script.update({uuid: [*tries, ["sent"]] for uuid, tries in script.items()})
        self.handled = []

    def matches(self, event):
        return event["event"] == "signup"

    def handle(self, event):
        self.handled.append(event["uuid"])
        statuses = self.script[event["uuid"]].pop(0)
        outcomes = [
            Outcome(status=Status(status), trigger="signup", recipient=str(at), reason="why")
            for at, status in enumerate(statuses)
        ]
        if "retry" in statuses:
            raise RetryError(outcomes)
        return tuple(outcomes)


class FakeLines:
    """Lines that come at once; while there is none, a clock goes on instead of waiting."""

    fault = None

    def __init__(self, *script):
        self.script = list(script)
        self.now = 0.0
        self.stopped = False
        self.waited = []

    def next(self, timeout):
        self.waited.append(timeout)
        if self.script and isinstance(self.script[0], float):
            if timeout is not None and timeout < self.script[0]:
                self.script[0] -= timeout
                self.now += timeout
                raise Empty
            self.now += self.script.pop(0)
            raise Empty
        return self.script.pop(0) if self.script else None

    def rest(self):
        return iter(self.script)

    def stop(self):
        self.stopped = True


def make_runner(script, *stream):
    """Make a runner around a scripted plugin and stream."""
    told = []
    source = FakeLines(*stream)
    letters = DeadLetters(None, told.append)
    meta = FakeMeta(script)
    runner = Runner(meta, source, letters, told.append, timer=lambda: source.now)
    return SimpleNamespace(runner=runner, meta=meta, lines=source, told=told, letters=letters)


class TestRunner:
    def test_pauses_grow_until_an_event_is_given_up(self):
        """The tries are bounded, and last longer than the lease of a worker that died."""
        made = make_runner({"a": [["retry"]] * 99}, lines(event("a")), 1000.0)

        totals = made.runner.run()

        assert len(made.meta.handled) == len(module.PAUSES) + 1
        assert (totals.retried, totals.undelivered) == (len(module.PAUSES), 1)
        pauses = [wait for wait in made.lines.waited if wait]
        assert all(p <= w <= p * 1.1 for p, w in zip(module.PAUSES, pauses, strict=True))
        assert sum(module.PAUSES) > 60

    def test_between_two_tries_lines_get_their_turn(self):
        """A hundred events that wait to be tried again do not hold up what comes in."""
        script = {str(n): [["retry"]] * 99 for n in range(100)}
        made = make_runner(
            script, *(lines(event(str(n))) for n in range(100)), 50.0, lines(event("z"))
        )

        made.lines.script.insert(101, lines(event("y")))
        made.runner.run()

        assert made.meta.handled.index("y") < len(made.meta.handled) - 100

    def test_what_was_settled_before_is_counted_once(self):
        """Of an event with two recipients, each message is counted by what became of it."""
        script = {"a": [["sent", "retry"], ["cooling_down", "retry"], ["cooling_down", "sent"]]}
        made = make_runner(script, lines(event("a")), 60.0)

        totals = made.runner.run()

        assert totals.outcomes == {"sent": 2}
        assert str(totals) == "1 event, 1 matched: 2 sent, 2 retried."

    def test_too_many_waiting_are_given_up(self, monkeypatch):
        """Memory is bounded: what finds no room is kept elsewhere at once."""
        monkeypatch.setattr(module, "MOST_PENDING", 1)
        made = make_runner({"a": [["retry"]], "b": [["retry"]]}, lines(event("a"), event("b")))

        totals = made.runner.run()

        assert "not delivered: event 'b': 1 others wait to be tried again" in made.told[0]
        assert (totals.undelivered, totals.outcomes) == (1, {"sent": 1})

    def test_at_the_end_all_get_a_last_try_for_some_seconds(self):
        """Then what is left is given up, though its turn had not come."""
        made = make_runner({n: [["retry"]] * 9 for n in "abc"}, lines(*map(event, "abc")))
        handle = made.meta.handle

        def slowly(one):
            made.lines.now += 6
            return handle(one)

        made.meta.handle = slowly
        totals = made.runner.run()

        assert made.meta.handled == ["a", "b", "c", "a", "b", "c"]
        assert totals.undelivered == 3
        assert "the run ended before it could be tried again" in made.told[2]

    def test_an_event_without_a_uuid_gets_one(self):
        """Else trying again could text those again who got their message."""
        made = make_runner({}, b'{"event": "signup"}\n')
        uuids = made.meta.handled
        made.meta.script = defaultdict(lambda tries=[["retry"], ["sent"]]: tries)

        made.runner.run()

        assert len(uuids) == 2
        assert uuids[0] == uuids[1]
        assert len(uuids[0]) == 36

    def test_a_stop_gives_up_what_is_pending(self):
        """Neither pending events nor lines that were read are lost."""
        made = make_runner(
            {"a": [["retry"]]}, lines(event("a")), lines(event("b")), lines(event("c")), b" "
        )
        handle = made.meta.handle

        def stopping(one):
            if one["uuid"] == "b":
                made.runner.stop()
            return handle(one)

        made.meta.handle = stopping
        totals = made.runner.run()

        assert made.lines.stopped
        assert made.meta.handled == ["a", "b"]
        assert [line.split(":")[1] for line in made.told] == [" event 'a'", " event 'c'"]
        assert totals.undelivered == 2

    def test_a_stream_that_breaks_is_told(self):
        """An error while reading is no quiet end."""
        made = make_runner({})
        made.lines.fault = "Is a directory"

        totals = made.runner.run()

        assert made.told == ["standard input: Is a directory"]
        assert not totals.complete


class TestLines:
    @pytest.fixture
    def pipe(self):
        read, write = os.pipe()
        with open(read, "rb"), open(write, "wb", buffering=0) as target:
            yield read, target

    def test_a_line_may_come_in_pieces(self, pipe):
        """It is there when its end is; the last needs none; then there are no more."""
        source = Lines(pipe[0])
        pipe[1].write(b"a\nb")
        assert source.next(5) == b"a"
        with pytest.raises(Empty):
            source.next(0.01)

        pipe[1].write(b"c\n\nd")
        pipe[1].close()

        assert [source.next(5) for _ in range(5)] == [b"bc", b"", b"d", None, None]

    def test_a_long_line_is_one_line(self, pipe):
        """Lines of many chunks are put together."""
        source = Lines(pipe[0])
        long = b"x" * 1_000_000
        writer = threading.Thread(target=lambda: (pipe[1].write(long + b"\n"), pipe[1].close()))
        writer.start()

        assert source.next(5) == long
        assert source.next(None) is None
        writer.join()

    def test_stopping_wakes_who_waits(self, pipe):
        """However long the next line takes."""
        source = Lines(pipe[0])
        timer = threading.Timer(0.01, source.stop)
        timer.start()

        with pytest.raises(Empty):
            source.next(None)
        timer.join()

    def test_the_rest_is_what_was_read(self, pipe):
        """Lines not asked for, in chunks taken or not, and a piece without an end."""
        source = Lines(pipe[0])
        pipe[1].write(b"a\nb\n")
        assert source.next(5) == b"a"
        pipe[1].write(b"c\nd")
        eventually(lambda: not source._chunks.empty())
        source.stop()

        assert list(source.rest()) == [b"b", b"c", b"d"]
        assert list(source.rest()) == []

    def test_reads_no_further_ahead_than_a_little(self, tmp_path):
        """A slow Twilio holds the stream up, not the memory."""
        path = tmp_path / "lines"
        path.write_bytes((b"x" * 65_535 + b"\n") * 10)
        with path.open("rb") as file:
            source = Lines(file.fileno())
            for taken in range(9):
                eventually(lambda: source._chunks.qsize() == 2)  # the end counts as well
                read = os.lseek(file.fileno(), 0, os.SEEK_CUR)
                assert read == min(10, 2 + taken) * 65_536
                source.next(5)

    def test_an_error_ends_the_stream(self, tmp_path):
        """The reason is kept."""
        folder = os.open(tmp_path, os.O_RDONLY)
        source = Lines(folder)

        assert source.next(5) is None
        assert source.fault == "Is a directory"
        os.close(folder)


class TestDeadLetters:
    def test_a_disk_that_is_full_is_told(self):
        """What cannot be kept is told by its uuid."""
        told = []
        letters = DeadLetters("/dev/full", told.append)

        letters.event(event("a"), "why")

        assert told == [
            "the dead letter could not be written: No space left on device",
            "not delivered: event 'a': why",
        ]
        letters.close()


class TestStores:
    def test_in_memory(self):
        """It says that it forgets."""
        cache, where = stores.open_cache("memory:")

        assert isinstance(cache, MemoryCache)
        assert "end with this process" in where

    @pytest.mark.parametrize(
        ("url", "where"),
        [
            ("redis://user:secret@example.com:6380/1", "in Redis at example.com:6380"),
            ("rediss://example.com", "in Redis at example.com"),
            ("unix:///run/redis.sock", "in Redis at a socket"),
        ],
    )
    def test_in_redis(self, url, where):
        """The place is told without its password, and nothing is connected to."""
        pytest.importorskip("redis")

        cache, told = stores.open_cache(url)

        assert isinstance(cache, RedisCache)
        assert told == where

    def test_a_url_that_is_none_is_refused(self):
        """And its password is not shown."""
        pytest.importorskip("redis")
        with pytest.raises(UsageError, match="expected a URL such as redis://") as caught:
            stores.open_cache("redis://:secret@host:port/x")
        assert "secret" not in str(caught.value)

    def test_a_url_that_is_none_is_not_told(self):
        """What cannot be taken apart may hold a password anywhere."""
        with pytest.raises(UsageError, match="expected a URL such as redis://") as caught:
            stores.open_cache("redis://user:secr\u2100t@host")

        assert "secret" not in str(caught.value)

    def test_by_default_in_a_file_of_the_users_state(self, monkeypatch, tmp_path):
        """Folders are made, with or without platformdirs; XDG's variable counts."""
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setenv("HOME", str(tmp_path))
        expected = str(tmp_path / "state" / "posthog-twilio" / "cooldowns.sqlite")
        hide = _hider("platformdirs", "redis")

        if sys.platform == "linux":
            assert stores.default_path() == expected
        monkeypatch.setattr(builtins, "__import__", hide)
        assert stores.default_path() == expected
        with stores.open_cache(None)[0]:
            assert Path(expected).exists()
        with pytest.raises(UsageError, match=r"pip install 'posthog-twilio\[redis\]'"):
            stores.open_cache("redis://localhost")
        monkeypatch.setenv("XDG_STATE_HOME", "relative")
        assert stores.default_path() == str(
            tmp_path / ".local" / "state" / "posthog-twilio" / "cooldowns.sqlite"
        )

    def test_a_path_that_cannot_be_used_is_refused(self, tmp_path):
        """The reason is told."""
        with pytest.raises(UsageError, match="it is a directory"):
            stores.open_cache(str(tmp_path))


def _hider(*packages):
    real = builtins.__import__

    def fail(name, *more, **named):
        if name.split(".")[0] in packages:
            raise ImportError(name)
        return real(name, *more, **named)

    return fail
