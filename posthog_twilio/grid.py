"""Tables as plain text, for any terminal, file or pipe."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from attrs import frozen

GAP = "  "
_LEAST_FLEXIBLE = 12


@frozen
class Column:
    """
    One column.

    Attributes:
        title: stands above it.
        right: align at the right, as numbers are.
        most: columns of the terminal that it may take; None for the longest cell.
        flexible: takes what the others leave.

    """

    title: str
    right: bool = False
    most: int | None = None
    flexible: bool = False


@frozen
class Grid:
    """
    A table, however it is shown.

    Attributes:
        columns: what they are.
        rows: a cell for each column; a text alone is a line over all of them.

    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str] | str]

    def lines(self, width: int) -> Iterator[str]:
        """Yield plain text in at most *width* columns, give or take what cannot be cut."""
        return (line for _, line in self.kinds_and_lines(width))

    def kinds_and_lines(self, width: int) -> Iterator[tuple[str, str]]:
        """Yield each line with what it is: ``title``, ``rule``, ``heading`` or ``row``."""
        widths = self._widths(width)
        yield "title", self._line([column.title for column in self.columns], widths)
        yield "rule", GAP.join("-" * width for width in widths)
        for row in self.rows:
            if isinstance(row, str):
                yield "heading", row
            else:
                yield "row", self._line(row, widths)

    def _widths(self, width: int) -> list[int]:
        cells = [[column.title] for column in self.columns]
        for row in self.rows:
            if not isinstance(row, str):
                for cell, of_column in zip(row, cells, strict=True):
                    of_column.append(cell)
        longest = [max(map(columns_of, of_column)) for of_column in cells]
        widths = [
            min(wide, column.most or wide)
            for wide, column in zip(longest, self.columns, strict=True)
        ]
        for at, column in enumerate(self.columns):
            if column.flexible:
                others = sum(widths) - widths[at] + len(GAP) * (len(widths) - 1)
                widths[at] = min(widths[at], max(width - others, _LEAST_FLEXIBLE))
        return widths

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = []
        for cell, column, width in zip(row, self.columns, widths, strict=True):
            text = cut(cell, width)
            blanks = " " * (width - columns_of(text))
            cells.append(blanks + text if column.right else text + blanks)
        return GAP.join(cells).rstrip()


def one_line(text: str) -> str:
    """Put *text* on one line, with nothing in it that a terminal would obey."""
    shown = "".join(char if char.isprintable() or char == "\u200d" else " " for char in text)
    return " ".join(shown.split())


def cut(text: str, width: int) -> str:
    """Cut *text* to *width* columns, ending in an ellipsis where something is missing."""
    if columns_of(text) <= width:
        return text
    kept = text[:width]
    while columns_of(kept) > width - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def columns_of(text: str) -> int:
    """Count the columns that *text* takes on a terminal; Asian and emoji characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) or char in "\u200d\ufe0f"
        else 2 if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )  # fmt: skip
