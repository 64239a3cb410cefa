"""Where output goes: plain text into files and pipes, something nicer on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posthog_twilio.grid import Grid

PLAIN_WIDTH = 80
STYLES = {"title": "bold", "rule": "dim", "heading": "bold cyan", "row": ""}


def say(*lines: str) -> None:
    """Print lines on standard output."""
    for line in lines:
        sys.stdout.write(f"{line}\n")


def complain(*lines: str) -> None:
    """Print lines on standard error."""
    for line in lines:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def show(parts: Iterable[Grid | str]) -> None:
    """Print lines and tables on standard output, nicer where that is welcome."""
    console = rich_console(sys.stdout)
    for part in parts:
        if isinstance(part, str):
            say(*wrapped(part))
        elif console:
            _print_styled(console, part)
        else:
            say(*part.lines(width()))


def is_fancy(stream: TextIO) -> bool:
    """Tell whether colours and bars are welcome on *stream*: a terminal, and no NO_COLOR."""
    return (
        stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") not in ("dumb", "unknown")
    )


def width() -> int:
    """Return the columns of the terminal; 80 where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PLAIN_WIDTH


def wrapped(line: str) -> list[str]:
    """Break a line that is wider than the terminal between words."""
    return textwrap.wrap(
        line,
        width(),
        subsequent_indent=" " * 6,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def rich_console(stream: TextIO) -> Any:
    """Return a console of the ``rich`` package for *stream*, or None: plain text it is."""
    if not is_fancy(stream):
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=stream)


def _print_styled(console: Any, grid: Grid) -> None:
    """Print a table with the ``rich`` package: the plain layout, in colours."""
    from rich.text import Text

    for kind, line in grid.kinds_and_lines(width()):
        text = line.replace("-", "\u2500") if kind == "rule" else line
        console.print(Text(text, STYLES[kind]), soft_wrap=True)
