"""
Kill a Celery worker in the middle of its sends, start it again, and count.

    python benchmarks/killed.py                                   every case, in two minutes
    python benchmarks/killed.py --in-doubt ask --when accepted    one of them

It runs a Redis, a Twilio on loopback and examples/celery_worker.py with two processes, and hands
the worker 40 events, each for another number.  When both processes are in the middle of a
send, they are killed with -9: just before their request leaves, or when Twilio has accepted the
message and they have not seen the answer.  ``worker`` kills the whole worker, which is then
started again; ``child`` kills the two processes, and the worker goes on.

Of the 40 messages, the table counts those that Twilio accepted once, twice, or that it never
accepted: ``uncertain`` of these two were reported as such, ``lost`` were not.

Needs redis-server, and ``pip install posthog-twilio[engines]``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import frozen

from posthog_twilio.phone import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

ROOT = Path(__file__).parents[1]
NUMBERS = [f"+1555010{number:04}" for number in range(40)]
PREY = NUMBERS[10:12]
LEASE = 6.0
"""Seconds; the library's own minute would only make the experiment longer."""


@frozen
class Case:
    """One experiment; the names are those of the options."""

    in_doubt: str
    when: str
    kill: str


@frozen
class Count:
    """What became of the messages, each by its recipient."""

    once: frozenset[str]
    twice: frozenset[str]
    uncertain: frozenset[str]

    @property
    def lost(self) -> frozenset[str]:
        """Neither accepted nor reported."""
        return frozenset(NUMBERS) - self.once - self.twice - self.uncertain


def experiment(case: Case, lease: float = LEASE) -> Count:
    """Run one case from the start to the last message."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        redis_url = stack.enter_context(redis_server(folder))
        twilio_url = stack.enter_context(twilio(folder))
        write_plan(folder, case, lease, twilio_url)
        environment = {
            "REDIS_URL": redis_url,
            "POSTHOG_TWILIO_CONFIG": str(folder / "config.json"),
            "KILLED_FOLDER": str(folder),
        }
        with celery_worker(folder / "worker.log", environment) as worker:
            send_events(folder, environment)
            held = [folder / f"held{number}" for number in PREY]
            until(lambda: all(path.exists() and path.read_text() for path in held), lease + 60)
            if case.kill == "worker":
                kill_group(worker)
            else:
                kill_processes([int(path.read_text()) for path in held])
            (folder / "hold").unlink()
            if case.kill == "worker":
                stack.enter_context(celery_worker(folder / "worker.log", environment))
            until(lambda: is_idle(redis_url), 3 * lease + 60)
        return count(folder)


def write_plan(folder: Path, case: Case, lease: float, twilio_url: str) -> None:
    """Write what the worker reads: its config, its trap, the events."""
    config = {
        "accountSID": "AC" + "0" * 32,
        "authToken": "0" * 32,
        "senderPhoneNumber": "+15550109999",
        "triggeringEventsAndNumber": "order shipped:{person.properties.phone}",
        "allowedCountryCodes": "+1",
        "timeout": 3600,
        "whenInDoubt": case.in_doubt,
        "apiBaseURL": twilio_url,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "plan.json").write_text(json.dumps({"lease": lease, "when": case.when, "prey": PREY}))
    (folder / "events.jsonl").write_text("".join(json.dumps(event(n)) + "\n" for n in NUMBERS))
    (folder / "hold").touch()


def event(number: str) -> dict[str, object]:
    """Make an event of the person who has *number*."""
    return {
        "event": "order shipped",
        "uuid": str(uuid4()),
        "distinct_id": number,
        "timestamp": datetime.now(timezone.utc).isoformat(),
        "properties": {},
        "person": {"properties": {"phone": number}},
    }


def send_events(folder: Path, environment: Mapping[str, str]) -> None:
    """Hand the events to the broker, with the example's own command."""
    with (folder / "events.jsonl").open() as events:
        subprocess.run(
            [sys.executable, ROOT / "examples" / "celery_worker.py"],
            stdin=events,
            env=with_ours(environment),
            check=True,
        )


def count(folder: Path) -> Count:
    """Read the fates of all messages from Twilio's log and from the worker's."""
    lines = (folder / "accepted.jsonl").read_text().splitlines()
    accepted = Counter(json.loads(line)["to"] for line in lines)
    told = re.findall(r"order shipped to (\S+) uncertain", (folder / "worker.log").read_text())
    return Count(
        once=frozenset(number for number, times in accepted.items() if times == 1),
        twice=frozenset(number for number, times in accepted.items() if times > 1),
        uncertain=frozenset(number for number in NUMBERS if mask(number) in told),
    )


def is_idle(redis_url: str) -> bool:
    """Tell whether no task waits, runs or is to be tried again."""
    from redis import Redis

    with closing(Redis.from_url(redis_url)) as redis, redis.pipeline() as both:
        return both.llen("celery").hlen("unacked").execute() == [0, 0]


def celery_worker(log: Path, environment: Mapping[str, str]) -> AbstractContextManager[Popen]:
    """Run the worker with two processes."""
    command = f"{sys.executable} -m celery -A benchmarks.killed_worker worker -P prefork -c 2"
    options = "--loglevel info --without-gossip --without-mingle"
    return process([*command.split(), *options.split()], log, environment)


@contextmanager
def twilio(folder: Path) -> Iterator[str]:
    """Run a Twilio on loopback; gives its URL."""
    command = [sys.executable, ROOT / "tests" / "twilio_stand_in.py"]
    said = folder / "twilio.log"
    with process([*command, "--log", folder / "accepted.jsonl"], said):
        until(lambda: said.read_text().endswith("\n"))
        yield said.read_text().split()[-1]


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis on loopback that keeps nothing on the disk; gives its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is missing; on Debian: apt-get install redis-server")
    port = free_port()
    settings = f"--bind 127.0.0.1 --port {port} --dir {folder} --appendonly no --save"
    with process([program, *settings.split(), ""], folder / "redis.log") as server:
        until(lambda: "Ready to accept connections" in (folder / "redis.log").read_text(), of=server)
        yield f"redis://127.0.0.1:{port}/0"


def free_port() -> int:
    """Find a loopback port that nobody listens on just now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Popen[bytes]]:
    """Run *command* in a process group of its own, which does not outlive the block."""
    with log.open("ab") as output, Popen(
        command,
        stdin=DEVNULL,
        stdout=output,
        stderr=STDOUT,
        env=with_ours(environment or {}),
        cwd=ROOT,
        start_new_session=True,
    ) as started:
        try:
            yield started
        finally:
            kill_group(started)


def with_ours(environment: Mapping[str, str]) -> dict[str, str]:
    """Add to the environment what a subprocess needs to find this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **environment}


def kill_group(leader: Popen[bytes]) -> None:
    """Kill a process that :func:`process` started, and its children, with no warning."""
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait; fails when it takes more than some *seconds*."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up after {seconds} s")
        time.sleep(0.05)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit status is 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description="Kill a Celery worker while it sends; count.")
    parser.add_argument("--in-doubt", choices=["report", "ask", "resend"])
    parser.add_argument("--when", choices=["before", "accepted"])
    parser.add_argument("--kill", choices=["worker", "child"])
    parser.add_argument("--lease", type=float, default=LEASE, metavar="SECONDS")
    chosen = parser.parse_args(arguments)
    print("killed  when      in doubt  once  twice  uncertain  lost")
