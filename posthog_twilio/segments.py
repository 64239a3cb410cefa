"""How long a text is in an SMS: its encoding, its billed segments, and where to cut it."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left

MAX_UNITS = 1600
"""Twilio takes no longer body (error 21617), counted in UTF-16 units: the strictest reading."""

# 3GPP TS 23.038, sections 6.2.1 and 6.2.1.1; the escape itself is no character to send.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
GSM7 = _BASIC | _EXTENSION
_REGIONALS = "".join(map(chr, range(0x1F1E6, 0x1F200)))  # two make a flag
_LONGEST_CHARACTER = 40


def is_gsm7(text: str) -> bool:
    """Whether *text* travels in GSM-7: no other character in it turns the whole into UCS-2."""
    return GSM7.issuperset(text)


def count_segments(body: str) -> int:
    r"""
    Count the segments that Twilio bills for *body* as an SMS without Smart Encoding.

    GSM-7 bodies hold 160 septets, or 153 in each of several segments; the
    characters ``^{}\[~]|€`` and form feed take two, which stay together.  Any
    other character makes the body UCS-2: 70 UTF-16 units, or 67 in each of
    several, surrogate pairs kept together (3GPP TS 23.038 and 23.040).  An empty
    body, which Twilio refuses to send, counts as one, as in Twilio's own calculator.

    Returns:
        The number of segments, at least 1.

    """
    single, several = (160, 153) if is_gsm7(body) else (70, 67)
    sizes = _sizes(body)
    if sum(sizes) <= single:
        return 1
    segments, free = 1, several
    for size in sizes:
        if size > free:
            segments, free = segments + 1, several
        free -= size
    return segments


def units(text: str) -> int:
    """Count the UTF-16 units of *text*."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def shorten(text: str, max_segments: int | None, max_units: int = MAX_UNITS) -> str:
    """
    Cut *text* so that it fits, with a visible end: ``...`` in GSM-7, ``…`` in UCS-2.

    The cut falls between characters as people see them: a base and its
    combining marks, an emoji and its modifiers or a flag stay whole.  The
    longest beginning that fits is kept, in either encoding.

    Args:
        text: what to cut; it is returned as it is where it fits.
        max_segments: at most this many, from 1; ``None`` for no such limit.
        max_units: at most this many UTF-16 units, from 3.

    """

    def too_long(text: str) -> bool:
        return units(text) > max_units or (
            max_segments is not None and count_segments(text) > max_segments
        )

    def cut(after: int, up_to: int) -> str:
        ends = range(after, min(up_to, max_units) + 1)
        end = after + bisect_left(ends, True, key=lambda end: too_long(_ended(text[:end]))) - 1
        return _ended(text[: _between_characters(text, end)])

    if not too_long(text):
        return text
    # Before the first character outside GSM-7 there is room for more than after it.
    turn = next((i for i, c in enumerate(text) if c not in GSM7), len(text))
    longest = cut(turn + 1, len(text))
    return cut(0, turn) if too_long(longest) else longest


def _sizes(text: str) -> list[int]:
    if is_gsm7(text):
        return [2 if c in _EXTENSION else 1 for c in text]
    return [2 if c > "\uffff" else 1 for c in text]


def _ended(beginning: str) -> str:
    return beginning + ("..." if is_gsm7(beginning) else "…")


def _between_characters(text: str, end: int) -> int:
    """Move *end* back to where a cut splits no character; a heap of marks is cut all the same."""
    for i in range(end, max(end - _LONGEST_CHARACTER, 0), -1):
        if not _inside_character(text, i):
            return i
    return end


def _inside_character(text: str, i: int) -> bool:
    if i == len(text):
        return False
    if text[i] in _REGIONALS:
        before = text[:i]
        return (len(before) - len(before.rstrip(_REGIONALS))) % 2 == 1
    return text[i - 1] == "\u200d" or _continues(text[i])


def _continues(char: str) -> bool:
    return (
        unicodedata.category(char) in ("Mn", "Mc", "Me")
        or char in "\u200c\u200d"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
    )
