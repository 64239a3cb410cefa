"""Addresses of people: what they look like, and how to show them to nobody."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, overload

E164 = re.compile(r"\+[1-9][0-9]{1,14}")

_NUMBER = re.compile(r"\+?[0-9]{7,}")
_CHANNELS = {
    "whatsapp": E164,
    "messenger": re.compile(r"[A-Za-z0-9._-]{1,100}"),
    "rcs": re.compile(rf"{E164.pattern}|[A-Za-z0-9._-]{{1,100}}"),
}
_SENDERS = re.compile(
    r"[0-9]{3,8}"  # short code
    r"|(?=.*[A-Za-z])(?! )[A-Za-z0-9 ]{1,11}(?<! )"  # alphanumeric
    r"|MG[0-9a-fA-F]{32}"  # Messaging Service
)

# Blanks and dashes of every width, as they come with a pasted number; no line break.
_SEPARATORS = re.compile(
    "[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000" + "\u2010-\u2013" + r"\-.()\[\]]"
)
_LONGEST = 40
_FEWEST_DIGITS = 8
_TRUNK_ZERO = re.compile(r"[(\[]\s*0\s*[)\]]")

# Ranges that are premium-rate or personal (paid by the sender) as a whole: NANP 900, United
# Kingdom 09 and 070, Germany 0900, Switzerland 090x, Australia 190, and +979.
_COSTLY = re.compile(r"\+(?:1900|449|4470|49900|4190[016]|61190|979)")
_COSTLY_TYPES = {
    "PREMIUM_RATE": "a premium-rate number",
    "SHARED_COST": "a shared-cost number",
    "PERSONAL_NUMBER": "a personal number",
    "PAGER": "a pager",
    "UAN": "a company's universal number",
    "VOICEMAIL": "a voicemail box",
}
_NANP_TOO_LONG = re.compile(r"\+1[0-9]{11,}")
_TWILIOS_MAGIC = re.compile(
    r"\+1500555000[0-9]"
)  # documented test numbers; their range is personal


@overload
def mask(text: str) -> str: ...
@overload
def mask(text: None) -> None: ...
def mask(text: str | None) -> str | None:
    """Hide the middle of every phone number in *text*: ``+15550100001`` is ``+1555•••0001``."""
    return text and _NUMBER.sub(_masked, text)


def _masked(found: re.Match[str]) -> str:
    shown = (5, 4) if len(found[0]) > 11 else (2, 2)
    return f"{found[0][: shown[0]]}•••{found[0][-shown[1] :]}"


def channel(address: str) -> str:
    """Name the channel of an address: ``sms``, or what stands before its colon."""
    prefix, colon, _ = address.partition(":")
    return prefix if colon and prefix in _CHANNELS else "sms"


def is_address(text: str) -> bool:
    """
    Whether a message can be addressed to *text*.

    That is an E.164 number, or an address on another channel:
    ``whatsapp:+15550100001``, ``messenger:<id>``, ``rcs:<id or number>``.
    """
    prefix, colon, rest = text.partition(":")
    pattern = _CHANNELS.get(prefix) if colon else E164
    return bool(pattern and pattern.fullmatch(rest if colon else text))


def is_sender(text: str) -> bool:
    """
    Whether a message can come from *text*.

    That is any address, a short code (3 to 8 digits), an alphanumeric sender (1
    to 11 ASCII letters, digits and blanks, one letter at least), or the SID of a
    Messaging Service (``MG...``).
    """
    return is_address(text) or bool(_SENDERS.fullmatch(text))


def normalise(text: str) -> str:
    """
    Drop what people write between the digits of a number, and nothing else.

    Blanks, dashes, dots and brackets go, and a leading ``00`` becomes ``+``.
    The result need not be a number: :func:`as_recipient` says that.
    """
    return re.sub(r"\A00", "+", _SEPARATORS.sub("", text))


def as_recipient(value: Any, allowed: tuple[str, ...]) -> str:
    """
    Return the E.164 number that *value*, taken from an event, surely means.

    Anyone can post an event, so what it says is no permission to text: a number
    of no more than 15 digits in an allowed country passes, and nothing that
    would have to be guessed.  At least 8 digits are required, as the shortest
    numbers of a whole country have them, so that no short code or emergency
    number passes behind a ``+``.  Premium-rate, shared-cost, personal and other
    numbers that may be billed to the sender are refused: with the ``phone``
    extra by the numbering plans in ``phonenumbers``, else only where a plan
    keeps a whole prefix for them.  What this cannot see: ordinary mobile ranges
    that are dear to reach or that someone is paid for.

    Args:
        value: what the event holds.
        allowed: prefixes such as ``+44`` or ``+1415``.  ``+1`` is all of North
            America and much of the Caribbean.

    Raises:
        ValueError: it is refused; the text says why, and shows no number.

    """
    if value is None or value == "":
        raise ValueError("the event holds no phone number")
    if not isinstance(value, str):
        raise ValueError(f"expected a phone number as text, got a {type(value).__name__}")
    number = normalise(value) if len(value) <= _LONGEST else ""
    if not E164.fullmatch(number) or _TRUNK_ZERO.search(value):
        raise ValueError(
            "expected a phone number with its country code, such as +15550100, "
            f"got {len(value)} characters{_oddities(value[:_LONGEST])}"
        )
    if len(number) <= _FEWEST_DIGITS:
        raise ValueError(f"expected a phone number of at least {_FEWEST_DIGITS} digits")
    if not number.startswith(allowed):
        countries = ", ".join(allowed) or "there is none"
        raise ValueError(f"{mask(number)} is in no allowed country ({countries})")
    if fault := _fault(number):
        raise ValueError(f"{mask(number)} is {fault}")
    return number


@cache
def numbering_plans() -> Any:
    """Return the ``phonenumbers`` module, or ``None`` where the ``phone`` extra is missing."""
    try:
        import phonenumbers  # an extra, and megabytes
    except ImportError:
        return None
    return phonenumbers


def _oddities(text: str) -> str:
    """Tell what is wrong with a number without telling the number."""
    kinds = {
        "no +": "+" not in text,
        "letters": any(map(str.isalpha, text)),
        "digits that are not ASCII": any(c.isdigit() and not c.isascii() for c in text),
        "line breaks or control characters": not _SEPARATORS.sub("", text).isprintable(),
        "a zero in brackets, which may or may not belong to it": _TRUNK_ZERO.search(text),
    }
    found = [kind for kind, holds in kinds.items() if holds]
    return f" with {', '.join(found)}" if found else ""


def _fault(number: str) -> str | None:
    if _TWILIOS_MAGIC.fullmatch(number):
        return None
    if _COSTLY.match(number):
        return "a premium-rate or personal number"
    if _NANP_TOO_LONG.match(number):
        return "longer than a North American number"
    plans = numbering_plans()
    return plans and _planned_fault(number, plans)


def _planned_fault(number: str, plans: Any) -> str | None:
    try:
        parsed = plans.parse(number)
    except plans.NumberParseException:
        return "in no country's numbering plan"
    # A zero that was dialled within the country is taken for a part of the number otherwise.
    same = plans.format_number(parsed, plans.PhoneNumberFormat.E164) == number
    if not same or not plans.is_possible_number(parsed):
        return "too long, too short or misspelt for its country's numbering plan"
    return _COSTLY_TYPES.get(plans.PhoneNumberType.to_string(plans.number_type(parsed)))
