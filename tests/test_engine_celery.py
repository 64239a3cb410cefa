"""examples/celery_worker.py, on a real Redis, in real workers that are killed for real."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from engines import ROOT, load, need

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RedisServer

PROGRAM = ROOT / "examples" / "celery_worker.py"
CONFIG = {
    "accountSID": "AC" + "0" * 32,
    "authToken": "0" * 32,
    "senderPhoneNumber": "+15550109999",
    "triggeringEventsAndNumber": "signup:+15550100001",
}


@pytest.fixture(autouse=True)
def _engine() -> None:
    need("celery", "redis", programs=("redis-server",))


def killed(kill: str, when: str, in_doubt: str) -> tuple[int, int, int, int]:
    """Do what the README does; count messages sent once, twice, uncertain ones, lost ones."""
    script = load("benchmarks/killed.py")
    found = script.experiment(script.Case(kill, when, in_doubt))
    return len(found.once), len(found.twice), len(found.uncertain), len(found.lost)


@pytest.mark.parametrize("when", ["before", "accepted"])
@pytest.mark.parametrize("kill", ["worker", "child"])
def test_ask_sends_every_message_exactly_once(kill: str, when: str) -> None:
    """Two sends are killed in the middle, and Twilio is asked: nothing is lost, nothing twice."""
    counts = killed(kill, when, "ask")

    assert counts == (40, 0, 0, 0)


@pytest.mark.parametrize(("when", "sent"), [("before", 38), ("accepted", 40)])
def test_report_never_sends_twice_and_tells_what_is_unsure(when: str, sent: int) -> None:
    """Two sends are killed in the middle: both are reported as uncertain, none is sent again."""
    counts = killed("worker", when, "report")

    assert counts == (sent, 0, 2, 0)


def run(
    command: list[Any], folder: Path, redis_url: str = "redis://127.0.0.1:1/0", **config: Any
) -> subprocess.CompletedProcess[str]:
    """Run the example with a config of its own, on events that are in the folder."""
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    (folder / "events.jsonl").touch()
    environment = {"REDIS_URL": redis_url, "POSTHOG_TWILIO_CONFIG": str(folder / "config.json")}
    with (folder / "events.jsonl").open() as events:
        return subprocess.run(
            [sys.executable, *command],
            stdin=events,
            env=load("benchmarks/killed.py").extended(environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def test_only_what_matches_is_handed_to_the_broker(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """Of a matching event, another and a broken line, one task is made and one line is named."""
    from redis import Redis

    lines = [{"event": "other"}, {"no": "event"}, {"event": "signup", "uuid": "1"}]
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    url = redis_server.url.replace("/0", "/9")
    done = run([PROGRAM], tmp_path, url)
    with Redis.from_url(url) as client:
        queued = client.lrange("celery", 0, -1)
        client.delete("celery")

    assert [json.loads(task)["headers"]["task"] for task in queued] == ["posthog_twilio.text"]
    assert done.stderr.startswith("line 2: expected a PostHog event")
    assert done.returncode == 0


@pytest.mark.parametrize(
    "command", [[PROGRAM], ["-m", "celery", "-A", "celery_worker", "worker", "-P", "solo"]]
)
def test_a_faulty_config_stops_it_at_once(command: list[Any], tmp_path: Path) -> None:
    """Neither worker nor producer starts, and both name what is wrong."""
    done = run(command, tmp_path, timeout="0")

    assert done.returncode != 0
    assert "timeout: expected whole seconds from 1 to 31536000, got '0'" in done.stderr
