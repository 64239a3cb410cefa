"""The asyncio example, in this process and as a program."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from twilio_stand_in import StandIn

from posthog_twilio.caches import MemoryCache

EXAMPLE = Path(__file__).parents[1] / "examples" / "asyncio_pipeline.py"


def signup(number):
    """Return a matching event of a person of its own."""
    return {"event": "signup", "uuid": f"018f-{number}", "distinct_id": str(number)}


def as_lines(events):
    """Return the events as JSON lines."""
    return [json.dumps(event).encode() + b"\n" for event in events]


@pytest.fixture
def example():
    """Import the example by its path."""
    spec = importlib.util.spec_from_file_location("asyncio_pipeline", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Source:
    """Lines that come one at a time; counts how many were taken."""

    def __init__(self, lines):
        self.lines = lines
        self.taken = 0

    async def __aiter__(self):
        for line in self.lines:
            self.taken += 1
            yield line


class Failing(MemoryCache):
    """A cache that fails for the first few claims."""

    def __init__(self, times, timer):
        super().__init__(timer)
        self.times = times

    def claim(self, key, seconds):
        self.times -= 1
        if self.times >= 0:
            raise OSError("disk full")
        return super().claim(key, seconds)


class Held:
    """A Twilio that keeps every request until it is let go."""

    def __init__(self, fake):
        self.fake = fake
        self.asked = threading.Semaphore(0)
        self.let_go = threading.Event()

    def request(self, *args, **options):
        self.asked.release()
        assert self.let_go.wait(30)
        return self.fake.request(*args, **options)


def run(example, source, meta):
    """Run the pipeline to its end; return what is left."""
    left = []

    async def main():
        await example.pipeline(source, meta, asyncio.Event(), left.append)

    asyncio.run(main())
    return left


class TestPipeline:
    def test_it_texts_what_matches(self, example, texting, fake_twilio):
        """Each matching event is texted, others are not, and a broken line stops nothing."""
        lines = as_lines([signup(1), {"event": "$pageview"}, signup(2)])
        source = Source([lines[0], b"{broken\n", b"\n", *lines[1:]])

        left = run(example, source, texting(timeoutScope="person"))

        assert left == []
        assert len(fake_twilio.outbox) == 2

    def test_what_was_not_sent_is_tried_again(self, example, texting, fake_twilio, clock):
        """An event that is to be delivered again is, while there are pauses left."""
        example.PAUSES = (0.0, 0.001)

        left = run(example, Source(as_lines([signup(1)])), texting(cache=Failing(2, clock)))

        assert left == []
        assert len(fake_twilio.outbox) == 1

    def test_in_the_end_it_is_handed_back(self, example, texting, fake_twilio, clock):
        """What no try delivered is left, once and in full."""
        example.PAUSES = (0.0, 0.0)

        left = run(example, Source(as_lines([signup(1)])), texting(cache=Failing(3, clock)))

        assert [event["uuid"] for event in left] == ["018f-1"]
        assert fake_twilio.outbox == []

    def test_the_pauses_outlast_a_crash(self, example):
        """The tries go on for longer than the lease that a crashed worker leaves behind."""
        assert sum(example.PAUSES) > 60

    def test_no_more_is_read_than_can_be_in_hand(self, example, texting, fake_twilio):
        """While as many events are in hand as may be, reading waits."""
        example.AT_ONCE = 2
        twilio = Held(fake_twilio)
        source = Source(as_lines(map(signup, range(9))))

        async def main():
            meta = texting(http_client=twilio, timeoutScope="person")
            task = asyncio.create_task(
                example.pipeline(source, meta, asyncio.Event(), lambda event: None)
            )
            for _ in range(2):
                assert await asyncio.to_thread(twilio.asked.acquire, timeout=30)
            for _ in range(20):
                await asyncio.sleep(0)
            taken = source.taken
            twilio.let_go.set()
            await task
            return taken

        assert asyncio.run(main()) == 2
        assert len(fake_twilio.outbox) == 9

    def test_a_cancellation_finishes_what_is_in_hand(self, example, texting, fake_twilio, clock):
        """Cancelled, it finishes the message in hand and hands back what waits for a try."""
        example.PAUSES = (3600.0,)
        twilio = Held(fake_twilio)
        left = []
        waiting = threading.Event()

        class Once(Failing):
            def claim(self, key, seconds):
                try:
                    return super().claim(key, seconds)
                except OSError:
                    waiting.set()
                    raise

        async def endless():
            yield as_lines([signup(1)])[0]
            assert await asyncio.to_thread(waiting.wait, 30)
            yield as_lines([signup(2)])[0]
            await asyncio.Event().wait()

        async def main():
            cache = Once(1, clock)
            meta = texting(cache=cache, http_client=twilio, timeoutScope="person")
            task = asyncio.create_task(
                example.pipeline(endless(), meta, asyncio.Event(), left.append)
            )
            assert await asyncio.to_thread(twilio.asked.acquire, timeout=30)
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
            twilio.let_go.set()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())

        assert [event["uuid"] for event in left] == ["018f-1"]
        assert len(fake_twilio.outbox) == 1


@pytest.fixture
def start(twilio_config, tmp_path):
    """Start the program against a Twilio; it is gone after the test."""
    started = []

    def start(stand_in, stdin=subprocess.PIPE):
        config = {**twilio_config, "apiBaseURL": stand_in.url, "timeoutScope": "person"}
        (tmp_path / "config.json").write_text(json.dumps(config))
        started.append(
            subprocess.Popen(
                [sys.executable, str(EXAMPLE)],
                cwd=tmp_path,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


class TestProgram:
    @pytest.mark.parametrize("kind", ["file", "pipe"])
    def test_it_reads_lines_to_the_end(self, start, tmp_path, kind):
        """A file or a pipe of events is texted about, and nothing is left."""
        lines = b"".join(
            [*as_lines([signup(1), {"event": "other"}]), b"{\n", *as_lines([signup(2)])]
        )
        (tmp_path / "events.jsonl").write_bytes(lines)
        with StandIn() as stand_in, open(tmp_path / "events.jsonl", "rb") as file:
            process = start(stand_in, file if kind == "file" else subprocess.PIPE)

            left, log = process.communicate(None if kind == "file" else lines, timeout=120)

            assert process.returncode == 0, log
            assert len(stand_in.fake.outbox) == 2
        assert left == b""
        assert b"skipped a line" in log

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
    def test_a_signal_ends_it_and_nothing_is_lost(self, start, number):
        """Told to end, it prints the event that waits for its next try, and goes."""
        with StandIn() as stand_in, stand_in.closed():
            process = start(stand_in)
            process.stdin.write(as_lines([signup(1)])[0])
            process.stdin.flush()
            while b"deliver this event again" not in (line := process.stderr.readline()):
                assert line

            process.send_signal(number)
            left = process.stdout.read()
            process.wait(60)

        assert process.returncode == 0
        assert json.loads(left)["uuid"] == "018f-1"
