"""``posthog-twilio run``."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from posthog_twilio.cli import settings, stores, terminal
from posthog_twilio.cli.usage import UsageError
from posthog_twilio.errors import ConfigError
from posthog_twilio.plugin import setup_plugin, teardown_plugin
from posthog_twilio.runner import DeadLetters, Lines, Runner

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from posthog_twilio.caches import Cache
    from posthog_twilio.plugin import Meta

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def run_command(given: Namespace) -> int:
    """Text people about the events on standard input, until it ends."""
    path = given.config
    found = settings.read_settings(path)
    settings.parse(path, found)  # before anything is opened
    if sys.stdin is None:
        raise UsageError("expected events on standard input, which is closed")
    cache, where = stores.open_cache(given.cache)
    dead = _dead_letters(given.dead_letter)
    with _logging_to_stderr():
        meta = _set_up(path, found, cache)
        terminal.complain(f"cooldowns are kept {where}")
        runner = Runner(meta, Lines(sys.stdin.fileno()), dead, terminal.complain)
        try:
            with _stopped_by_signals(runner.stop):
                totals = runner.run()
        finally:
            teardown_plugin(meta)
            dead.close()
            if close := getattr(cache, "close", None):
                close()
    terminal.say(str(totals))
    return 0 if totals.complete else 1


def _dead_letters(path: str | None) -> DeadLetters:
    try:
        return DeadLetters(path, terminal.complain)
    except OSError as error:
        raise UsageError(f"--dead-letter: {path}: {error.strerror or error}") from None


def _set_up(path: str, found: dict[str, object], cache: Cache) -> Meta:
    try:
        return setup_plugin(found, cache=cache)
    except ConfigError as error:  # pragma: no cover - it was parsed before
        raise settings.faulty(path, error.problems) from None


@contextmanager
def _logging_to_stderr() -> Iterator[None]:
    """Show the library's log: a line for each outcome worth a person's time."""
    log = logging.getLogger("posthog_twilio")
    handler, level = logging.StreamHandler(), log.level
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call *stop* at the first SIGTERM or SIGINT; the second one ends the process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def first(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop()

    for number in before:
        signal.signal(number, first)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
