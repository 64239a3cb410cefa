"""How far a long replay has come, on a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from posthog_twilio.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posthog_twilio.recordings import Fault
    from posthog_twilio.replay import Reading


@contextmanager
def watched(reading: Reading) -> Iterator[Callable[[Fault], object]]:
    """Show *reading* as it goes on, where there is a terminal; lend what prints faults."""
    console = terminal.rich_console(sys.stderr)
    if console is None:
        yield lambda fault: terminal.complain(str(fault))
        return
    with _bar(reading, console):
        # Printed by the console, a line stands above the bar.
        yield lambda fault: console.print(str(fault), markup=False, highlight=False, soft_wrap=True)


def _bar(reading: Reading, console: Any) -> Any:
    """Make a bar that looks at *reading* by itself, some times a second, and goes in the end."""
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Count(ProgressColumn):
        def render(self, task: Any) -> Text:  # noqa: ARG002
            return Text(f"{reading.events:,} events, {reading.matched:,} matched")

    progress = Progress(
        TextColumn("Replaying"),
        BarColumn(),
        Count(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    progress.add_task("", total=None)
    return progress
