"""The arguments, and what --help says of them."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from posthog_twilio.cli.terminal import say
from posthog_twilio.config import as_seconds

ABOUT = """\
Texts the right people, through Twilio, when a PostHog event or action happens.
"""

CONFIG = """\
CONFIG.json is an object with the parameters of plugin.json, for instance

  {"accountSID": "AC...", "authToken": "...", "senderPhoneNumber": "+15550199",
   "triggeringEventsAndNumber": "payment failed:+15550100", "timeout": "3600"}

The credentials may come from TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN instead.
"""

REPLAY = """\
Shows what would have been sent for recorded events, to whom, when, and why not,
on the recording's own clock.  It never sends, and works without credentials.

A recording is JSON lines, JSON or Parquet, gzipped or not, in any shape in
which PostHog delivers events.
"""

REPLAY_EXAMPLES = f"""\
examples:
  posthog-twilio replay events.jsonl --config shop.json
  posthog-twilio replay exports/*.gz --config shop.json \\
      --timeout 60 --timeout 3600 --timeout 86400 --price 0.0079 --plot days.png
  posthog-twilio replay events.jsonl --config shop.json \\
      --format json > expected.json
  posthog-twilio replay events.jsonl --config shop.json --expect expected.json

exit status:
  0 done; 1 a line could not be read, or the outcome is not as expected;
  2 unusable arguments, config or files

{CONFIG}"""

CHECK = """\
Checks a config, says what will text whom and how often, and asks Twilio
whether the credentials and the sender are good.  It sends no message.
"""

CHECK_EXAMPLES = f"""\
example:
  posthog-twilio check --config shop.json

exit status:
  0 all is well; 1 Twilio said no, or could not be asked;
  2 unusable arguments or config

{CONFIG}"""

RUN = """\
Texts people about the events on standard input: JSON lines, each in any shape
in which PostHog delivers events.  Cooldowns survive restarts.

What could not be sent just now is tried again with growing pauses; feeding an
event again is always safe, since what was sent is not sent again.  SIGTERM and
Ctrl-C finish the event in hand; a second one ends at once.
"""

RUN_EXAMPLES = f"""\
examples:
  tail -F events.jsonl | \\
      posthog-twilio run --config shop.json --dead-letter failed.jsonl
  posthog-twilio run --config shop.json --cache redis://localhost < events.jsonl

exit status:
  0 done; 1 something was not sent, surely or perhaps, or a line could not be
  read; 2 unusable arguments or config

{CONFIG}"""


class Parser(argparse.ArgumentParser):
    """Tells an error in one line."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    parser = Parser(
        prog="posthog-twilio",
        description=ABOUT,
        epilog="posthog-twilio COMMAND --help says more, with examples.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version, and end")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    _add_replay(commands)
    _add_check(commands)
    _add_run(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        from importlib.metadata import version

        say(f"posthog-twilio {version('posthog-twilio')}")
        parser.exit()


def _add_command(
    commands: argparse._SubParsersAction[Parser],
    name: str,
    help_: str,
    description: str,
    examples: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=help_,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_argument("--config", required=True, metavar="CONFIG.json", help="the settings")
    return command


def _add_replay(commands: argparse._SubParsersAction[Parser]) -> None:
    command = _add_command(
        commands, "replay", "show what would have been sent", REPLAY, REPLAY_EXAMPLES
    )
    command.add_argument("recordings", nargs="+", metavar="RECORDING", help="recorded events")
    command.add_argument(
        "--format",
        choices=("table", "json", "csv"),
        default="table",
        help="a table for people (the default; numbers masked), or JSON or CSV for programs "
        "(numbers in full)",
    )
    command.add_argument("--all", action="store_true", help="show every message in the table")
    command.add_argument(
        "--timeout",
        action="append",
        type=_seconds,
        metavar="SECONDS",
        help="in place of the config's timeout; several are compared side by side",
    )
    command.add_argument(
        "--price", type=_price, metavar="N", help="price of one segment, to estimate the cost"
    )
    command.add_argument(
        "--plot",
        metavar="FILE",
        help="draw events and messages on a time line, as .png or .svg (extra: plot)",
    )
    command.add_argument(
        "--expect",
        metavar="FILE",
        help="compare with the output of an earlier --format json; print what differs, exit 1",
    )
    command.set_defaults(command=_replay)


def _add_check(commands: argparse._SubParsersAction[Parser]) -> None:
    command = _add_command(commands, "check", "check a config", CHECK, CHECK_EXAMPLES)
    command.add_argument("--offline", action="store_true", help="do not ask Twilio")
    command.set_defaults(command=_check)


def _add_run(commands: argparse._SubParsersAction[Parser]) -> None:
    command = _add_command(commands, "run", "send, for events on standard input", RUN, RUN_EXAMPLES)
    command.add_argument(
        "--cache",
        metavar="WHERE",
        help="where cooldowns are kept: the path of a SQLite file, redis://..., or memory: "
        "(forgotten at the end); by default a SQLite file among the user's state files",
    )
    command.add_argument(
        "--dead-letter",
        metavar="FILE",
        help="append what could not be sent or read to this file, as JSON lines; its events can "
        "be fed to run again",
    )
    command.set_defaults(command=_run)


def _seconds(text: str) -> int:
    try:
        return as_seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _price(text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal(-1)
    if not (price.is_finite() and 0 <= price < 1000):
        raise argparse.ArgumentTypeError(f"expected a price such as 0.0079, got {text!r}")
    return price


def _replay(given: argparse.Namespace) -> int:
    from posthog_twilio.cli.replay import replay_command

    return replay_command(given)


def _check(given: argparse.Namespace) -> int:
    from posthog_twilio.cli.check import check_command

    return check_command(given)


def _run(given: argparse.Namespace) -> int:
    from posthog_twilio.cli.run import run_command

    return run_command(given)
