"""What ends a command at once: arguments or files that cannot be used."""

from __future__ import annotations


class UsageError(Exception):
    """Raised when arguments, config or files are unusable; each problem is a line."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))
