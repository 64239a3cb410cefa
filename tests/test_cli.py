"""The command line: arguments, help, errors, and ``replay``."""

from __future__ import annotations

import argparse
import builtins
import gzip
import io
import json
import os
import re
import runpy
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from posthog_twilio import cli
from posthog_twilio.cli import main, parser, terminal
from posthog_twilio.cli import replay as command
from posthog_twilio.config import Config
from posthog_twilio.replay import Reading, replay

ONE = "+15550100001"
ROOT = Path(__file__).parent.parent
SETTINGS = {
    "triggeringEventsAndNumber": f"signup:{ONE}",
    "senderPhoneNumber": "+15550199000",
    "timeout": 60,
}
EVENTS = [
    {"event": "signup", "uuid": f"u{n}", "timestamp": f"2026-03-02T12:00:{n:02}Z"}
    for n in range(0, 60, 10)
] + [{"event": "page", "uuid": "p", "timestamp": "2026-03-02T12:05:00Z"}]


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch):
    for variable in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def config(tmp_path):
    """Write a config; settings may be changed."""

    def write(**changed):
        path = tmp_path / "config.json"
        path.write_text(json.dumps({**SETTINGS, **changed}))
        return str(path)

    return write


@pytest.fixture
def recording(tmp_path):
    """Write a recording of six sign-ups in a minute, and a page view."""
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    return str(path)


def options():
    """Yield every command with every option that it has."""
    whole = parser.make_parser()
    [commands] = [a for a in whole._actions if isinstance(a, argparse._SubParsersAction)]
    for name, one in [("posthog-twilio", whole), *commands.choices.items()]:
        for action in one._actions:
            for option in action.option_strings:
                yield name, option


class Terminal(io.StringIO):
    """Standard output or error that is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


class TestMain:
    def test_version(self, capsys):
        """--version prints the installed version."""
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"posthog-twilio {version('posthog-twilio')}\n"

    @pytest.mark.parametrize("name", ["replay", "check", "run"])
    def test_every_command_has_help_with_an_example(self, capsys, name):
        """--help shows what it does, an example that begins with the command, and exit statuses."""
        assert main([name, "--help"]) == 0

        text = capsys.readouterr().out
        assert re.search(rf"posthog-twilio {name} .*--config", text)
        assert "exit status" in text
        assert max(map(len, text.splitlines())) <= 100

    def test_no_command_shows_the_commands(self, capsys):
        """Without a command there is help, and status 2."""
        assert main([]) == 2
        assert "replay" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "arguments",
        [
            ["fly"],
            ["replay"],
            ["replay", "x", "--config", "c", "--timeout", "0"],
            ["replay", "x", "--config", "c", "--price", "cheap"],
            ["replay", "x", "--config", "c", "--price", "-1"],
            ["replay", "x", "--config", "c", "--price", "NaN"],
            ["replay", "x", "--config", "c", "--form", "json"],
        ],
        ids=" ".join,
    )
    def test_wrong_arguments_are_told_in_one_line(self, capsys, arguments):
        """Status 2, and one line on standard error."""
        assert main(arguments) == 2

        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert "--help" in err

    def test_runs_as_a_module(self):
        """``python -m posthog_twilio`` is the same command, and ends with its status."""
        done = subprocess.run(
            [sys.executable, "-m", "posthog_twilio", "replay"], capture_output=True, check=False
        )

        assert done.returncode == 2

    def test_the_module_ends_with_the_status(self, monkeypatch, capsys):
        """Its status is the process's."""
        monkeypatch.setattr(sys, "argv", ["posthog-twilio", "--version"])

        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(Path(cli.__file__).parent.parent / "__main__.py"), {}, "__main__")

        assert ended.value.code == 0
        assert version("posthog-twilio") in capsys.readouterr().out

    def test_importing_it_loads_nothing_heavy(self):
        """What only some commands need is imported by them."""
        heavy = ["rich", "matplotlib", "twilio", "sqlite3", "redis", "platformdirs", "pyarrow"]
        code = (
            "import sys, posthog_twilio.cli as cli; cli.make_parser(); "
            f"sys.exit(' '.join(set({heavy}) & set(sys.modules)) or None)"
        )

        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

        assert done.stderr == b""

    def test_a_reader_who_has_seen_enough_is_no_error(self, config, recording):
        """A broken pipe ends the command without a word."""
        with subprocess.Popen(
            [sys.executable, "-m", "posthog_twilio", "replay", recording, "--config", config()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            process.stdout.close()

            assert process.stderr.read() == b""
            assert process.wait() == 0

    def test_a_pipe_that_breaks_is_left_alone(self, config, recording, monkeypatch):
        """What Python itself writes at the end goes nowhere."""

        class Broken(io.StringIO):
            def write(self, _):
                raise BrokenPipeError

        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", Broken())
            status = main(["replay", recording, "--config", config()])
            with sys.stdout as left:
                assert left.name == os.devnull

        assert status == 0

    def test_ctrl_c_is_no_traceback(self, monkeypatch):
        """An interrupted command ends with 130, as shells expect."""

        def interrupted(_):
            raise KeyboardInterrupt

        monkeypatch.setattr(parser, "_replay", interrupted)

        assert main(["replay", "x", "--config", "y"]) == cli.INTERRUPTED

    def test_every_option_is_documented(self):
        """README names every command and every option."""
        text = (ROOT / "README.md").read_text("utf-8")
        missing = [
            f"{name} {option}"
            for name, option in options()
            if option not in ("-h", "--help") and option not in text
        ]
        missing += [name for name, _ in options() if name not in text]

        assert missing == []


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("{", "config.json:1: not JSON"),
            ('{"timeout":\n 1,}', "config.json:2: not JSON"),
            ("[]", "expected a JSON object"),
            ('{"timeout": 1, "timeout": 2}', "the key 'timeout' is there twice"),
            ("\xff", "config.json"),
        ],
    )
    def test_a_file_without_settings_is_refused(self, capsys, config, recording, text, told):
        """One line names file, line and what is wrong with it."""
        path = config()
        Path(path).write_bytes(text.encode("latin-1"))

        assert main(["replay", recording, "--config", path]) == 2
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1

    def test_a_missing_file_is_refused(self, capsys, recording):
        """The file is named."""
        assert main(["replay", recording, "--config", "nowhere.json"]) == 2
        assert capsys.readouterr().err == "nowhere.json: No such file or directory\n"

    def test_every_faulty_setting_is_told(self, capsys, config, recording):
        """One line for each, in the words of plugin.json."""
        path = config(timeout="0", senderPhoneNumber="12", actions={"name": 5})

        assert main(["replay", recording, "--config", path]) == 2
        problems = capsys.readouterr().err.splitlines()
        assert len(problems) == 3
        assert all(problem.startswith(f"{path}: ") for problem in problems)
        assert "timeout: expected whole seconds from 1 to 31536000, got '0'" in problems[0] + str(
            problems
        )

    def test_credentials_come_from_the_environment(self, capsys, config, recording, monkeypatch):
        """They stand in where the config lacks them, and are checked like the config's."""
        monkeypatch.setenv("TWILIO_ACCOUNT_SID", "nonsense")

        assert main(["replay", recording, "--config", config()]) == 2
        assert "accountSID" in capsys.readouterr().err
        assert main(["replay", recording, "--config", config(accountSID="AC" + "1" * 32)]) == 0

    def test_a_byte_order_mark_is_no_matter(self, config, recording):
        """Editors on Windows write one."""
        path = Path(config())
        path.write_text(path.read_text(), "utf-8-sig")

        assert main(["replay", recording, "--config", str(path)]) == 0


class TestReplay:
    def test_prints_a_table(self, capsys, config, recording):
        """Without options a person reads what would have been sent."""
        assert main(["replay", recording, "--config", config()]) == 0

        out, err = capsys.readouterr()
        assert err == ""
        assert ONE not in out
        assert "12:00:00  signup   +1555•••0001  Hi signup occurred - PostHog     1     0" in out
        assert max(map(len, out.splitlines())) <= 80

    def test_prints_json(self, capsys, config, recording):
        """--format json prints one object, and nothing beside it."""
        assert main(["replay", recording, "--config", config(), "--format", "json"]) == 0

        out, err = capsys.readouterr()
        found = json.loads(out)
        assert err == ""
        assert (found["events"], found["matched"], found["segments"]) == (7, 6, 1)
        assert found["outcomes"] == {"sent": 1, "cooling_down": 5}
        assert found["messages"][0]["recipient"] == ONE

    def test_prints_csv(self, capsys, config, recording):
        """--format csv prints a header and a row for each message."""
        assert main(["replay", recording, "--config", config(), "--format", "csv"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "timeout,time,trigger,recipient,body,segments,held_back",
            f"60,2026-03-02T12:00:00Z,signup,{ONE},Hi signup occurred - PostHog,1,0",
        ]

    def test_timeouts_on_the_command_line_count(self, capsys, config, recording):
        """One takes the place of the config's; several are compared; twice the same is one."""
        arguments = ["replay", recording, "--config", config(), "--timeout", "10"]

        assert main([*arguments, "--timeout", "10", "--all"]) == 0
        assert "6 messages" in capsys.readouterr().out
        assert main([*arguments, "--timeout", "86400", "--price", "0.0079"]) == 0
        out = capsys.readouterr().out
        assert re.search(r"  10 s +6 +6 +0 +- +0\.05\n  1 d +1 +1 +5 +5 min +0\.01", out)

    def test_a_broken_line_is_told_and_the_rest_goes_on(self, capsys, config, recording):
        """File, line and reason on standard error, and status 1."""
        with open(recording, "a") as file:
            file.write('{broken\n{"event": "signup", "timestamp": "2026-03-03T00:00:00Z"}\n')

        assert main(["replay", recording, "--config", config(), "--format", "json"]) == 1
        out, err = capsys.readouterr()
        assert err.startswith(f"{recording}:8: not JSON")
        assert err.count("\n") == 1
        assert json.loads(out)["outcomes"]["sent"] == 2

    def test_files_that_cannot_be_read_are_told_before_anything(
        self, capsys, config, recording, tmp_path
    ):
        """Each has a line, and the status is 2."""
        paths = [recording, "nowhere.jsonl", str(tmp_path)]

        assert main(["replay", *paths, "--config", config()]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines() == [
            "nowhere.jsonl: No such file or directory",
            f"{tmp_path}: it is a directory; expected a recording",
        ]

    def test_a_file_that_fails_later_is_told(self, capsys, config, recording, monkeypatch):
        """An error of the disk is one line, and so is a missing extra."""
        for error, told in (
            (OSError(5, "Input/output error", "disk"), "disk: Input/output error\n"),
            (ImportError("needs pyarrow"), "needs pyarrow\n"),
        ):

            def fail(*_, error=error, **__):
                raise error

            monkeypatch.setattr(command, "replay", fail)
            assert main(["replay", recording, "--config", config()]) == 2
            assert capsys.readouterr().err == told

    def test_special_files_are_recordings_too(self, config):
        """A device, or a pipe of the shell, can be read."""
        assert main(["replay", "/dev/null", "--config", config()]) == 0

    def test_warns_of_what_may_surprise(self, capsys, config, recording):
        """The set-up's warnings are told, but not that a cache in memory forgets."""
        assert main(["replay", recording, "--config", config(messageTemplate="ж", timeout=90000)])\
            == 0  # fmt: skip
        err = capsys.readouterr().err
        assert err.count("warning: ") == 1
        assert "messageTemplate" in err

    def test_warns_of_events_without_a_time(self, capsys, config, tmp_path):
        """It says how many took their predecessor's place."""
        path = tmp_path / "untimed.json"
        path.write_text('[{"event": "signup"}, {"event": "signup"}]')

        assert main(["replay", str(path), "--config", config()]) == 0
        out, err = capsys.readouterr()
        assert "warning: 2 matching events without a readable timestamp" in err
        assert "no time known" in out

    def test_outcomes_are_not_logged(self, config, recording, caplog, tmp_path):
        """The report tells them; the log, in which thousands would stand, is quiet."""
        path = config(
            triggeringEventsAndNumber="signup:{person.properties.phone}", allowedCountryCodes="+1"
        )

        assert main(["replay", recording, "--config", path]) == 0
        assert caplog.records == []

    def test_output_that_cannot_show_a_character_goes_on(self, config, recording):
        """In an ASCII locale a table has question marks, and JSON loses nothing."""
        path = config(messageTemplate="ж 👍")
        run = [sys.executable, "-m", "posthog_twilio", "replay", recording, "--config", path]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}

        table = subprocess.run(run, env=environment, capture_output=True, check=True)
        as_json = subprocess.run(
            [*run, "--format", "json"], env=environment, capture_output=True, check=True
        )

        assert b"+1555???0001" in table.stdout
        assert json.loads(as_json.stdout)["messages"][0]["body"] == "ж 👍"

    def test_gzipped_recordings_work(self, capsys, config, recording, tmp_path):
        """A compressed recording gives the same replay."""
        packed = tmp_path / "events.gz"
        packed.write_bytes(gzip.compress(Path(recording).read_bytes()))

        main(["replay", recording, "--config", config()])
        plain = capsys.readouterr().out
        assert main(["replay", str(packed), "--config", config()]) == 0
        assert capsys.readouterr().out == plain

    def test_the_shipped_recordings_can_be_replayed(self, capsys):
        """What a newcomer runs first shows messages, one of an action, and refusals."""
        pytest.importorskip("re2")
        recordings = sorted(map(str, (ROOT / "recordings").glob("*.jsonl*")))

        status = main(["replay", *recordings, "--config", str(ROOT / "examples" / "shop.json")])

        out, err = capsys.readouterr()
        assert (status, err) == (0, "")
        assert "*Checkout clicked  +1555•••0004" in out
        assert "refused: {person.properties.phone}" in out
        assert max(map(len, out.splitlines())) <= 80


class TestExpect:
    @pytest.fixture
    def expected(self, capsys, config, recording, tmp_path):
        main(["replay", recording, "--config", config(), "--format", "json"])
        path = tmp_path / "expected.json"
        path.write_text(capsys.readouterr().out)
        return str(path)

    def test_the_same_outcome_is_as_expected(self, capsys, config, recording, expected):
        """Status 0 and one line; a price and a timeout of the same outcome are no matter."""
        path = config(timeout=61)

        status = main(["replay", recording, "--config", path, "--expect", expected, "--price", "1"])

        assert status == 0
        assert capsys.readouterr().out == f"as expected: {expected}\n"

    def test_another_outcome_is_shown_as_a_diff(self, capsys, config, recording, expected):
        """Status 1, and a unified diff says what changed."""
        path = config(timeout=30)

        assert main(["replay", recording, "--config", path, "--expect", expected]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[:2] == [f"--- {expected}", "+++ this replay"]
        assert '-    "cooling_down": 5,' in lines
        assert '+    "cooling_down": 4,' in lines

    def test_several_timeouts_are_compared_too(self, capsys, config, recording, tmp_path):
        """What depends on the price is left out there as well."""
        arguments = ["replay", recording, "--config", config(), "--timeout", "10"]
        main([*arguments, "--timeout", "60", "--format", "json", "--price", "1"])
        expected = tmp_path / "several.json"
        expected.write_text(capsys.readouterr().out)

        assert main([*arguments, "--timeout", "60", "--expect", str(expected)]) == 0
        assert main([*arguments, "--timeout", "61", "--expect", str(expected)]) == 1
        assert main([*arguments, "--expect", str(expected)]) == 1

    def test_part_of_an_outcome_may_be_expected(self, config, recording, tmp_path):
        """What the expectation leaves out is not compared."""
        path = tmp_path / "part.json"
        path.write_text('{"outcomes": {"cooling_down": 5, "sent": 1}}')

        assert main(["replay", recording, "--config", config(), "--expect", str(path)]) == 0

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"a": 1}'])
    def test_something_else_is_refused(self, capsys, config, recording, tmp_path, text):
        """What no replay has printed is no expectation."""
        path = tmp_path / "expected.json"
        path.write_text(text)

        assert main(["replay", recording, "--config", config(), "--expect", str(path)]) == 2
        assert "expected the output of replay --format json" in capsys.readouterr().err

    def test_a_missing_file_is_refused(self, capsys, config, recording):
        """The file is named."""
        assert main(["replay", recording, "--config", config(), "--expect", "nowhere"]) == 2
        assert capsys.readouterr().err == "nowhere: No such file or directory\n"


class TestPlot:
    def test_draws_a_picture_beside_the_table(self, capsys, config, recording, tmp_path):
        """--plot writes the file, and the table is printed all the same."""
        pytest.importorskip("matplotlib")
        path = tmp_path / "p.svg"

        assert main(["replay", recording, "--config", config(), "--plot", str(path)]) == 0
        assert "<svg" in path.read_text()
        assert "signup" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("name", "told"), [("p.pdf", "ends in .png or .svg"), ("nowhere/p.png", "No such file")]
    )
    def test_a_file_that_cannot_be_written_is_told(
        self, capsys, config, recording, tmp_path, name, told
    ):
        """A kind that is not drawn, and a folder that is not there."""
        pytest.importorskip("matplotlib")
        path = str(tmp_path / name)

        assert main(["replay", recording, "--config", config(), "--plot", path]) == 2
        assert told in capsys.readouterr().err

    def test_without_matplotlib_the_extra_is_named(self, capsys, config, recording, hide):
        """The pip command stands in the error."""
        hide("matplotlib")

        assert main(["replay", recording, "--config", config(), "--plot", "p.png"]) == 2
        assert "pip install 'posthog-twilio[plot]'" in capsys.readouterr().err


@pytest.fixture
def hide(monkeypatch):
    """Make imports of a package fail, as where it is not installed."""
    real = builtins.__import__

    def hide(package):
        def fail(name, *more, **named):
            if name.split(".")[0] == package:
                raise ImportError(name)
            return real(name, *more, **named)

        monkeypatch.setattr(builtins, "__import__", fail)

    return hide


class TestTerminal:
    @pytest.fixture
    def screen(self, monkeypatch):
        """Run a command line on a terminal; returns its status, output and errors."""
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "120")

        def run(*arguments):
            with monkeypatch.context() as patch:
                out, err = Terminal(), Terminal()
                patch.setattr(sys, "stdout", out)
                patch.setattr(sys, "stderr", err)
                assert terminal.width() == 120
                status = main(arguments)
            return status, out.getvalue(), err.getvalue()

        return run

    def test_on_a_terminal_tables_are_nicer(self, config, recording, screen):
        """With rich there are lines and bold type, and a long text has more room."""
        pytest.importorskip("rich")
        body = "a text that is rather long, and needs more columns than eighty"

        status, out, _ = screen("replay", recording, "--config", config(messageTemplate=body))

        assert status == 0
        assert "─" in out
        assert "\x1b[1m" in out
        assert body in out
        assert ONE not in out

    def test_a_progress_bar_shows_what_was_read(self, config, recording, screen):
        """It stands on standard error, and faults stand above it."""
        pytest.importorskip("rich")
        with open(recording, "a") as file:
            file.write("[bold]broken\n")

        status, out, err = screen("replay", recording, "--config", config())

        assert status == 1
        assert "Replaying" in err
        assert "7 events, 6 matched" in err
        assert f"{recording}:8: not JSON" in err
        assert "Replaying" not in out

    @pytest.mark.parametrize("command", [[], ["replay"], ["check"], ["run"]], ids=str)
    def test_help_fits_eighty_columns(self, command, capsys, monkeypatch):
        """Whoever asks for help reads it without lines that break."""
        monkeypatch.setenv("COLUMNS", "80")
        assert main([*command, "--help"]) == 0

        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80

    def test_a_pipe_has_no_position(self):
        """How much of a pipe was read is not known, and not asked for."""
        reader, writer = os.pipe()
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            assert Reading(files=[pipe]).position == 0

    def test_the_bar_knows_how_far_it_is(self, recording, twilio_config):
        """It counts bytes on the disk, of files in hand and of those read to the end."""
        with open(recording, "a") as file:
            file.write("{broken\n")
        size, seen, reading = os.path.getsize(recording), [], Reading()

        replay(
            [recording, recording],
            [Config.parse(twilio_config)],
            tell=lambda _: seen.append(reading.position),
            reading=reading,
        )

        assert reading.position == 2 * size
        assert all(size <= position <= 2 * size for position in seen)

    @pytest.mark.parametrize(
        ("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")], ids=["NO_COLOR", "dumb"]
    )
    def test_who_wants_it_plain_gets_it_plain(
        self, config, recording, screen, monkeypatch, name, value
    ):
        """No escape sequence is written where nobody wants one."""
        monkeypatch.setenv(name, value)

        status, out, err = screen("replay", recording, "--config", config())

        assert status == 0
        assert "\x1b" not in out + err
        assert "--------" in out

    def test_without_rich_it_is_plain(self, config, recording, screen, hide):
        """The plain table has the terminal's width."""
        hide("rich")

        status, out, _ = screen("replay", recording, "--config", config())

        assert status == 0
        assert "--------" in out


def test_csv_and_json_hold_the_same_messages(capsys, config, recording):
    """The columns of the CSV are keys of the JSON's messages."""
    found = {}
    for form in ("json", "csv"):
        main(["replay", recording, "--config", config(), "--format", form])
        found[form] = capsys.readouterr().out

    [message] = json.loads(found["json"])["messages"]
    columns, values = (line.split(",")[1:] for line in found["csv"].splitlines())
    assert dict(zip(columns, values, strict=True)) == {
        key: str(value) for key, value in message.items() if key != "event"
    }
