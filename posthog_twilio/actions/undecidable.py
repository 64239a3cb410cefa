"""The one error of this package's inside: a condition that nobody can decide here."""

from __future__ import annotations


class Undecidable(ValueError):
    """Raised while a definition is compiled; its text is the reason for a person."""


def kind(value: object) -> str:
    """Name the type of *value* in an error, for the value itself may be personal."""
    return "nothing" if value is None else type(value).__name__
