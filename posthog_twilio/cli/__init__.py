"""
The command ``posthog-twilio``: replay, run, check.

Each command lives in a module of its own, imported when it is asked for.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from posthog_twilio.cli.parser import make_parser
from posthog_twilio.cli.terminal import complain
from posthog_twilio.cli.usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line *argv*, by default the process's own.

    Returns:
        The exit status: 0 done; 1 something could not be delivered, or read, or is not as
        expected; 2 unusable arguments or config.

    """
    parser = make_parser()
    try:
        given = parser.parse_args(argv)
    except SystemExit as done:  # --help, --version, or wrong arguments: all was said
        return int(done.code or 0)
    if given.command is None:
        parser.print_help(sys.stderr)
        return 2
    return _run(given.command, given)


def _run(command: Callable[[object], int], given: object) -> int:
    """Run *command*; whatever ends it early is told in one line."""
    # A terminal that cannot show a character is no reason to stop.
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    try:
        status = command(given)
        sys.stdout.flush()
    except UsageError as error:
        complain(*error.problems)
        return 2
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python flushes it when it ends
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return status
