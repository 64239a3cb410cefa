"""Where output goes: plain text into files and pipes, something nicer on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from posthog_twilio.grid import Grid

PLAIN_WIDTH = 80


def say(*lines: str) -> None:
    """Print lines on standard output."""
    for line in lines:
        sys.stdout.write(f"{line}\n")


def complain(*lines: str) -> None:
    """Print lines on standard error."""
    for line in lines:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


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


def rich_console(stream: TextIO) -> Any:
    """Return a console of the ``rich`` package for *stream*, or None: plain text it is."""
    if not is_fancy(stream):
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=stream)


def rich_table(grid: Grid) -> Any:
    """Make a table of the ``rich`` package."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in grid.columns:
        table.add_column(
            column.title.strip(),
            justify="right" if column.right else "left",
            overflow="ellipsis",
            no_wrap=True,
            ratio=1 if column.flexible else None,
            max_width=column.most,
        )
    for row in grid.rows:
        if isinstance(row, str):
            table.add_row(Text(row, "bold"))
        else:
            table.add_row(*map(Text, row))
    return table
