"""
Casting, where PostHog's engines agree; where they do not, no answer.

Values are those of JSON.  What a Python pipeline may put beside them
(Decimal, UUID, dates) is read as the text or number that the posthog SDK
sends for it.
"""

from __future__ import annotations

import math
import re
from datetime import date
from decimal import Decimal
from uuid import UUID

Scalar = str | bool | int | float

_NUMERIC = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 400


def is_missing(value: object) -> bool:
    """Tell whether *value* is null, as NaN and the infinities are in JSON."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def as_scalar(value: object) -> Scalar | None:
    """Return *value* as text, bool or finite number; ``None`` if it is none of these."""
    if isinstance(value, Decimal):
        value = float(value)
    elif isinstance(value, date):
        value = value.isoformat()
    elif isinstance(value, UUID):
        value = str(value)
    return value if isinstance(value, (str, int, float)) and not is_missing(value) else None


def as_number(value: object) -> int | float | None:
    """Return *value* as a finite number: 5, 5.0, True, "5", "-5e3"; else ``None``."""
    value = as_scalar(value)
    if not isinstance(value, str):
        return value
    if len(value) > _LONGEST_NUMBER or not _NUMERIC.fullmatch(value):
        return None
    number = float(value)
    if not math.isfinite(number):
        return None
    # A whole number keeps its digits: a float would round a long ID.
    return int(value) if value.lstrip("+-").isdigit() else number


def as_text(value: object) -> str | None:
    """Return *value* as JavaScript prints it (``5.0`` is ``5``); ``None`` for lists and objects."""
    value = as_scalar(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 10**21:
        return str(int(value))
    try:
        return _float_text(float(value))
    except OverflowError:
        return None


def _float_text(number: float) -> str:
    digits, _, exponent = repr(number).partition("e")
    digits = digits.removesuffix(".0")
    if not exponent:
        return "0" if digits == "-0" else digits
    power = int(exponent)
    if power >= 21 or power < -6:
        return f"{digits}e{power:+d}"
    return format(Decimal(repr(number)), "f")


def equal(actual: object, wanted: Scalar) -> bool | None:
    """
    Compare after casting.

    Returns:
        ``None`` where PostHog's engines disagree: lists and objects, and text
        that is a number only once its blanks are gone (``""`` is 0 to some).

    """
    actual = as_scalar(actual)
    if actual is None:
        return None
    if isinstance(actual, str) is isinstance(wanted, str):
        return actual == wanted
    text, other = (actual, wanted) if isinstance(actual, str) else (wanted, actual)
    if isinstance(other, bool):
        return text == as_text(other)
    return _text_equals_number(str(text), other)


def _text_equals_number(text: str, number: object) -> bool | None:
    cast = as_number(text)
    if cast is not None:
        return cast == number
    bare = text.strip()
    return False if bare and as_number(bare) is None else None
