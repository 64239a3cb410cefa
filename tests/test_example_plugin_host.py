"""The plugin host, with answers piped in."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from twilio_stand_in import StandIn

import posthog_twilio
from posthog_twilio import manifest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "plugin_host.py"
FIELDS = [field for field in manifest()["config"] if "key" in field]


@pytest.fixture
def example():
    """Import the example by its path."""
    spec = importlib.util.spec_from_file_location("plugin_host", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def host(twilio_config):
    """Run the host with answers, and lines after them; see its status, its output, the outbox."""

    def host(*arguments, more=(), **changes):
        with StandIn() as stand_in:
            answers = {**twilio_config, "apiBaseURL": stand_in.url, **changes}
            lines = [answers.get(field["key"], "") for field in FIELDS]
            done = subprocess.run(
                [sys.executable, str(EXAMPLE), *arguments],
                input="\n".join([*lines, *more, ""]),
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            return done.returncode, done.stdout + done.stderr, stand_in.fake.outbox

    return host


def test_it_asks_feeds_and_sends(host, tmp_path):
    """The events of a recording fire what was asked for, in the manifest's own words."""
    recording = tmp_path / "recording.jsonl"
    recording.write_text("".join(json.dumps({"event": e}) + "\n" for e in ("signup", "other")))

    status, said, outbox = host(str(recording))

    assert status == 0, said
    assert [message.body for message in outbox] == ["Hi signup occurred - PostHog"]
    assert all(field["name"] in said and field["hint"] in said for field in FIELDS)
    assert "timeoutScope (event | person) [event]: " in said
    assert "status=<Status.SENT" in said


def test_a_recording_of_real_events(host):
    """It takes the recordings of this repository."""
    status, said, outbox = host(
        str(ROOT / "recordings" / "shop-backend.jsonl"),
        triggeringEventsAndNumber="refund requested:+15550100001",
    )

    assert status == 0, said
    assert len(outbox) == 1
    assert said.count("Outcome(") == 3


def test_events_may_follow_the_answers(host):
    """Without a recording events are read from where the answers came from."""
    more = [json.dumps({"event": "signup"}), "{", json.dumps({"event": "signup"})]

    status, said, outbox = host(more=more)

    assert status == 0, said
    assert len(outbox) == 1
    assert said.count("Outcome(") == 2
    assert "! not JSON" in said


def test_what_is_wrong_stands_at_its_field_and_is_asked_again(host):
    """Every faulty answer is shown with its field's name, and only those are asked for again."""
    status, said, outbox = host(
        timeout="0",
        senderPhoneNumber="+5",
        more=["+15005550006", "60", json.dumps({"event": "signup"})],
    )

    assert status == 0, said
    assert "! Timeout in seconds: expected whole seconds from 1 to 31536000, got '0'" in said
    assert "! Sender phone number: " in said
    assert said.count("! ") == 2
    assert len(outbox) == 1


def test_too_few_answers_are_an_error(host):
    """Where the answers end too early, it says so."""
    status, said, _ = host(timeout="0")

    assert status == 1
    assert said.endswith("expected an answer for each field, got fewer\n")


def test_a_cache_that_asks_for_redelivery_is_reported(example, texting, fake_twilio, capsys):
    """An event to be delivered again is said to be, and the next one goes on."""
    meta = texting()
    for _ in range(4):
        fake_twilio.fail("no connection")

    example.feed(posthog_twilio, meta, [{"event": "signup"}, {"event": "signup"}])

    assert "! deliver this event again: no connection" in capsys.readouterr().out
    assert len(fake_twilio.outbox) == 1


def test_a_secret_is_not_echoed_on_a_terminal(example, monkeypatch, capsys):
    """On a terminal secrets are asked for with getpass, other fields are not."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(example, "getpass", lambda prompt: f"hidden {prompt}")
    monkeypatch.setattr("builtins.input", lambda prompt: f"shown {prompt}")

    answers = {field["key"]: example.ask(field) for field in FIELDS}

    hidden = [key for key, answer in answers.items() if answer.startswith("hidden")]
    assert hidden == ["accountSID", "authToken", "apiKeySID"]


def test_an_empty_answer_is_the_default(example, monkeypatch):
    """What is left empty is what the manifest says."""
    monkeypatch.setattr("builtins.input", lambda prompt: "")

    assert [example.ask(field) for field in FIELDS] == [field["default"] for field in FIELDS]


class TestEntryPoint:
    def test_the_package_has_one(self, example):
        """A host finds the module with the hooks and the manifest among what is installed."""
        (found,) = entry_points(group=example.GROUP, name="posthog-twilio")

        assert found.load() is posthog_twilio
        assert found.load().manifest()["main"] == "posthog_twilio"

    def test_the_host_finds_it(self, host):
        """Loaded through its entry point, the plugin does the same."""
        more = [json.dumps({"event": "signup"})]

        status, said, outbox = host("--entry-point", "posthog-twilio", more=more)

        assert status == 0, said
        assert len(outbox) == 1

    def test_an_unknown_one_is_refused(self, host):
        """A plugin that is not installed is an error that names those that are."""
        status, said, _ = host("--entry-point", "other")

        assert status == 2
        assert "invalid choice: 'other'" in said
        assert "posthog-twilio" in said
