"""How far a long replay has come, on a terminal."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from posthog_twilio.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from posthog_twilio.recordings import Fault
    from posthog_twilio.replay import Reading


@contextmanager
def watched(reading: Reading, paths: Sequence[str]) -> Iterator[Callable[[Fault], object]]:
    """Show how *reading* gets on, where there is a terminal; lend what prints faults."""
    console = terminal.rich_console(sys.stderr)
    if console is None:
        yield lambda fault: terminal.complain(str(fault))
        return
    with _bar(reading, sum(map(_size, paths)), console):
        # Printed by the console, a line stands above the bar.
        yield lambda fault: console.print(str(fault), markup=False, highlight=False, soft_wrap=True)


def _size(path: str) -> int:
    return os.stat(path).st_size if os.path.isfile(path) else 0


def _bar(reading: Reading, size: int, console: Any) -> Any:
    """Make a bar that looks at *reading* by itself, some times a second, and goes in the end."""
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Count(ProgressColumn):
        def render(self, task: Any) -> Text:  # noqa: ARG002
            return Text(f"{reading.events:,} events, {reading.matched:,} matched")

    class Bar(Progress):
        def get_renderables(self) -> Iterator[Any]:
            for task in self.tasks:
                task.completed = reading.position
            yield from super().get_renderables()

    columns = TextColumn("Replaying"), BarColumn(), Count(), TimeRemainingColumn()
    progress = Bar(*columns, console=console, transient=True)
    progress.add_task("", total=size or None)
    return progress
