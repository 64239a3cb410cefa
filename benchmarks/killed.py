"""
Kill a Celery worker in the middle of its sends, and count.

    python benchmarks/killed.py                                   every case, a few minutes
    python benchmarks/killed.py --in-doubt ask --when accepted    some of them

It runs a Redis, a Twilio on loopback and examples/celery_worker.py with two processes, and hands
the worker 40 events, each for another number.  Once both processes are in the middle of a
send, they are killed with -9: just before their request leaves, or when Twilio has accepted the
message and they have not seen the answer.  ``worker`` kills the whole worker, which is then
started again; ``child`` kills the two processes, and the worker replaces them.

The table counts the 40 messages: those that Twilio accepted ``once`` and ``twice``, those that
were reported as ``uncertain`` (accepted or not), and those ``lost``: neither accepted nor reported.

Needs redis-server and ``pip install posthog-twilio[engines]``.
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
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import frozen

from posthog_twilio.phone import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

ROOT = Path(__file__).parents[1]
LEASE = 6.0
"""Seconds; the library's own minute would only make the experiment longer."""
NUMBERS = [f"+1555010{number:04}" for number in range(40)]
PREY = NUMBERS[10:12]


@frozen
class Case:
    """One experiment, in the words of the options."""

    kill: str
    when: str
    in_doubt: str


@frozen
class Count:
    """What became of the messages; each is named by its recipient."""

    once: frozenset[str]
    twice: frozenset[str]
    uncertain: frozenset[str]

    @property
    def lost(self) -> frozenset[str]:
        """Neither accepted nor reported."""
        return frozenset(NUMBERS) - self.once - self.twice - self.uncertain


def experiment(case: Case, lease: float = LEASE) -> Count:
    """Run one case from the first event to the last message."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        redis_url = stack.enter_context(redis_server(folder))
        write_plan(folder, case, lease, stack.enter_context(twilio(folder)))
        environment = {
            "REDIS_URL": redis_url,
            "POSTHOG_TWILIO_CONFIG": str(folder / "config.json"),
            "TRAP_FOLDER": str(folder),
        }
        worker = stack.enter_context(celery_worker(folder, environment))
        send_events(folder, environment)
        trapped = [folder / f"trapped{number}" for number in PREY]
        until(lambda: all(path.exists() for path in trapped))

        if case.kill == "worker":
            kill_group(worker)
        else:
            for path in trapped:
                os.kill(int(path.read_text()), signal.SIGKILL)
        (folder / "trap").unlink()
        if case.kill == "worker":
            stack.enter_context(celery_worker(folder, environment))
        until(lambda: is_idle(redis_url), 60 + 5 * lease)
        return count(folder)


def write_plan(folder: Path, case: Case, lease: float, twilio_url: str) -> None:
    """Write what the worker reads: its config, the events, and the trap."""
    (folder / "config.json").write_text(json.dumps(config(twilio_url, case.in_doubt)))
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(event(n))}\n" for n in NUMBERS))
    (folder / "plan.json").write_text(json.dumps({"lease": lease, "when": case.when, "prey": PREY}))
    (folder / "trap").touch()


def config(twilio_url: str, in_doubt: str) -> dict[str, object]:
    """Make plugin parameters that text whomever an event is about."""
    return {
        "accountSID": "AC" + "0" * 32,
        "authToken": "0" * 32,
        "senderPhoneNumber": "+15550109999",
        "triggeringEventsAndNumber": "order shipped:{person.properties.phone}",
        "allowedCountryCodes": "+1",
        "timeout": 3600,
        "whenInDoubt": in_doubt,
        "apiBaseURL": twilio_url,
    }


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
    """Hand the events to the broker with the example's own command."""
    with (folder / "events.jsonl").open() as events:
        subprocess.run(
            [sys.executable, ROOT / "examples" / "celery_worker.py"],
            stdin=events,
            env=extended(environment),
            check=True,
        )


def count(folder: Path) -> Count:
    """Read the messages' fates from Twilio's log and from the worker's."""
    lines = (folder / "accepted.jsonl").read_text().splitlines()
    accepted = Counter(json.loads(line)["to"] for line in lines)
    told = re.findall(r"order shipped to (\S+) uncertain", (folder / "worker.log").read_text())
    return Count(
        once=frozenset(number for number, times in accepted.items() if times == 1),
        twice=frozenset(number for number, times in accepted.items() if times > 1),
        uncertain=frozenset(number for number in NUMBERS if mask(number) in told),
    )


def is_idle(redis_url: str) -> bool:
    """Tell whether no task waits, runs, or is to be tried again."""
    from redis import Redis

    with closing(Redis.from_url(redis_url)) as client, client.pipeline() as both:
        return both.llen("celery").hlen("unacked").execute() == [0, 0]


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis on loopback that keeps nothing on the disk; gives its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is missing; on Debian: apt-get install redis-server")
    port, log = free_port(), folder / "redis.log"
    options = f"--bind 127.0.0.1 --port {port} --dir {folder} --appendonly no --save"
    with process([program, *options.split(), ""], log):
        until(lambda: "Ready to accept connections" in log.read_text())
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def twilio(folder: Path) -> Iterator[str]:
    """Run a Twilio on loopback; gives its URL."""
    program, log = ROOT / "tests" / "twilio_stand_in.py", folder / "twilio.log"
    with process([sys.executable, program, "--log", folder / "accepted.jsonl"], log):
        until(lambda: log.read_text().endswith("\n"))
        yield log.read_text().split()[-1]


def celery_worker(
    folder: Path, environment: Mapping[str, str]
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Run the worker with two processes."""
    program = f"{sys.executable} -m celery -A killed_worker worker -P prefork -c 2"
    options = "--without-gossip --without-mingle --loglevel info"
    return process([*program.split(), *options.split()], folder / "worker.log", environment)


@contextmanager
def process(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* in a process group of its own, which does not outlive the block."""
    with log.open("ab") as output:
        leader = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=extended(environment or {}),
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        yield leader
    finally:
        kill_group(leader)


def extended(environment: Mapping[str, str]) -> dict[str, str]:
    """Add to our own environment; subprocesses find these scripts and write UTF-8."""
    scripts = os.pathsep.join(str(ROOT / folder) for folder in ("benchmarks", "examples"))
    return {**os.environ, "PYTHONPATH": scripts, "PYTHONUTF8": "1", **environment}


def kill_group(leader: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a group, and all its children, without a warning."""
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()


def free_port() -> int:
    """Find a loopback port that nobody listens on just now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something *holds*, but not for ever."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited for {seconds} seconds in vain")
        time.sleep(0.05)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Kill a Celery worker as it sends, and count.")
    choices = {
        "kill": ["worker", "child"],
        "when": ["accepted", "before"],
        "in-doubt": ["report", "ask", "resend"],
    }
    for name, words in choices.items():
        parser.add_argument(f"--{name}", choices=words, action="append")
    parser.add_argument("--lease", type=float, default=LEASE, metavar="SECONDS")
    chosen = vars(parser.parse_args(arguments))
    print("killed  when      in doubt  once  twice  uncertain  lost", flush=True)
    for kill, when, in_doubt in product(
        *(chosen[name.replace("-", "_")] or words for name, words in choices.items())
    ):
        found = experiment(Case(kill, when, in_doubt), chosen["lease"])
        counts = [len(part) for part in (found.once, found.twice, found.uncertain, found.lost)]
        print("{:6}  {:8}  {:8}  {:4}  {:5}  {:9}  {:4}".format(kill, when, in_doubt, *counts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
