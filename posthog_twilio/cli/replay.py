"""``posthog-twilio replay``."""

from __future__ import annotations

import difflib
import json
import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import evolve

from posthog_twilio.cli import settings, terminal
from posthog_twilio.cli.progress import watched
from posthog_twilio.cli.usage import UsageError
from posthog_twilio.config import shown
from posthog_twilio.notices import notices
from posthog_twilio.replay import Reading, replay
from posthog_twilio.report import Findings, as_csv, as_object, as_text

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from posthog_twilio.actions import Action
    from posthog_twilio.config import Config

COMPARED = ("events", "matched", "outcomes", "segments", "messages", "timeouts")
PLOTS = (".png", ".svg")


def replay_command(given: Namespace) -> int:
    """Replay recordings, and print what was found."""
    path = given.config
    config, actions = settings.parse(
        path, settings.without_credentials(settings.read_settings(path))
    )
    check_readable(given.recordings)
    expected = read_expected(given.expect) if given.expect else None
    if given.plot:
        check_plot(given.plot)
    warn(path, config, actions)
    findings = look_at(given, config, actions)
    if given.plot:
        draw(findings, given.plot)
    if expected is not None:
        agrees = compare(expected, as_object(findings), given.expect)
    else:
        agrees = True
        show(findings, given.format, given.all)
    return 0 if agrees and not findings.reading.faults else 1


def look_at(given: Namespace, config: Config, actions: Sequence[Action]) -> Findings:
    """Replay the recordings for each timeout."""
    timeouts = dict.fromkeys(given.timeout or [config.cooldown])
    reading = Reading()
    try:
        with quiet_logs(), watched(reading, given.recordings) as tell:
            reports = replay(
                given.recordings,
                [evolve(config, cooldown=timeout) for timeout in timeouts],
                actions,
                tell=tell,
                reading=reading,
                keep_marks=bool(given.plot),
            )
    except OSError as error:
        raise UsageError(f"{error.filename or 'recording'}: {error.strerror or error}") from None
    except ImportError as error:
        raise UsageError(str(error)) from None
    if reading.untimed:
        terminal.complain(
            f"warning: {reading.untimed:,} matching events without a readable timestamp "
            "took the place of the event before them"
        )
    return Findings(reports, reading, given.price)


def check_readable(paths: Sequence[str]) -> None:
    """
    Say at once which recordings cannot be read.

    Raises:
        UsageError: naming each of them.

    """
    problems = []
    for path in paths:
        try:
            if os.path.isdir(path):
                problems.append(f"{path}: it is a directory; expected a recording")
            elif os.path.isfile(path):
                with open(path, "rb"):
                    pass
            else:
                os.stat(path)
        except OSError as error:
            problems.append(f"{path}: {error.strerror or error}")
    if problems:
        raise UsageError(*problems)


def warn(path: str, config: Config, actions: Sequence[Action]) -> None:
    """Print what a person should know of the set-up."""
    for notice in notices(config, None, tuple(actions)):
        terminal.complain(f"warning: {path}: {notice}")


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep the log out of it: the report tells each outcome."""
    log = logging.getLogger("posthog_twilio")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


def show(findings: Findings, form: str, every: bool) -> None:
    """Print the findings on standard output."""
    if form == "json":
        terminal.say(as_json(as_object(findings)))
    elif form == "csv":
        sys.stdout.write(as_csv(findings))
    else:
        terminal.show(as_text(findings, every=every))


def as_json(found: dict[str, Any]) -> str:
    """Write JSON that *sys.stdout* can show without loss."""
    readable = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(found, indent=2, ensure_ascii=not readable)


def read_expected(path: str) -> dict[str, Any]:
    """
    Read the output of an earlier replay.

    Raises:
        UsageError: there is none in the file.

    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            expected = json.load(file)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        expected = None
    if not (isinstance(expected, dict) and expected.keys() & COMPARED):
        got = "something else" if expected is None else shown(expected)
        raise UsageError(f"{path}: expected the output of replay --format json, got {got}")
    return expected


def compare(expected: dict[str, Any], found: dict[str, Any], path: str) -> bool:
    """Print how *found* differs from what was *expected*, as a unified diff."""
    before, after = _comparable(expected, expected), _comparable(found, expected)
    if before == after:
        terminal.say(f"as expected: {path}")
        return True
    terminal.say(*difflib.unified_diff(before, after, path, "this replay", lineterm=""))
    return False


def _comparable(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return the outcome as lines of JSON, without what follows from it or from the price."""
    kept = {key: found[key] for key in COMPARED if key in found and key in expected}
    if isinstance(timeouts := kept.get("timeouts"), list):
        kept["timeouts"] = [
            {key: part[key] for key in ("timeout", *COMPARED) if key in part} for part in timeouts
        ]
    return json.dumps(kept, indent=2, sort_keys=True).splitlines()


def check_plot(path: str) -> None:
    """
    Say before the replay, not after it, that a picture cannot be drawn.

    Raises:
        UsageError: for the file's name, or because matplotlib is missing.

    """
    if not path.lower().endswith(PLOTS):
        raise UsageError(f"--plot: expected a file that ends in .png or .svg, got {path!r}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("--plot needs matplotlib: pip install 'posthog-twilio[plot]'") from None


def draw(findings: Findings, path: str) -> None:
    """Draw the picture."""
    from posthog_twilio.plot import plot

    try:
        plot(findings.reports, path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
