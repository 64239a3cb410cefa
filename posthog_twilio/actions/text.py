"""How a text condition of a step compares: exact, contains (SQL's LIKE) or regex."""

from __future__ import annotations

from collections.abc import Callable

from posthog_twilio.actions._re2 import compile_search
from posthog_twilio.actions.undecidable import Undecidable

TextTest = Callable[[str], bool]


def compile_matching(pattern: str, matching: object, *, ignore_case: bool) -> TextTest:
    """
    Compile one of PostHog's ``*_matching`` words.

    Args:
        pattern: what the step asks for.
        matching: ``exact``, ``contains`` or ``regex``.
        ignore_case: whether ``contains`` ignores case; the others never do.

    Raises:
        Undecidable: the word is unknown, or the regular expression is refused.

    """
    if matching == "exact":
        return lambda text: text == pattern
    if matching == "contains":
        return compile_like(pattern, ignore_case=ignore_case)
    if matching == "regex":
        return compile_search(pattern)
    raise Undecidable(f"it compares in a way that is not known: {matching!r}")


def fold(text: str) -> str:
    """
    Drop the difference between cases, one character for one.

    ``str.casefold`` makes two characters of a few ("ß"), which ``_`` would
    count twice.
    """
    if text.isascii():
        return text.lower()
    folded = text.casefold()
    return folded if len(folded) == len(text) else "".join(map(_fold_one, text))


def _fold_one(character: str) -> str:
    for form in (character.casefold(), character.lower()):
        if len(form) == 1:
            return form
    return character


def compile_like(pattern: str, *, ignore_case: bool) -> TextTest:
    """
    Compile an unanchored SQL LIKE.

    ``_`` is any one character and ``%`` any run of them, neither of them a
    newline; nothing escapes them, and all else is literal.  The time is
    bounded by the lengths of text and pattern, without backtracking.
    """
    if ignore_case:
        like = compile_like(fold(pattern), ignore_case=False)
        return lambda text: like(fold(text))
    if "_" not in pattern and "%" not in pattern:
        return lambda text: pattern in text
    if "_" not in pattern and "\n" not in pattern:
        return _chunks_in_order([chunk for chunk in pattern.split("%") if chunk])
    return _bit_parallel(pattern)


def _chunks_in_order(chunks: list[str]) -> TextTest:
    """Find the *chunks* one after another on some line; the first place is always the best."""

    def on_line(line: str) -> bool:
        at = 0
        for chunk in chunks:
            found = line.find(chunk, at)
            if found < 0:
                return False
            at = found + len(chunk)
        return True

    return lambda text: any(map(on_line, text.split("\n"))) if "\n" in text else on_line(text)


def _bit_parallel(pattern: str) -> TextTest:
    """
    Run the pattern as a Shift-And automaton (Baeza-Yates and Gonnet, 1992).

    Bit *i* is set when the first *i* places of the pattern match a run of
    text that ends here; a ``%`` before a place keeps its bit alive.
    """
    places = pattern.replace("%", "")
    literal: dict[str, int] = {}
    anything = 0
    for i, place in enumerate(places):
        if place == "_":
            anything |= 2 << i
        else:
            literal[place] = literal.get(place, 0) | 2 << i
    loops = _loops(pattern)
    accepted = 1 << len(places)

    def like(text: str) -> bool:
        state = 1
        for character in text:
            if state & accepted:
                break
            wild, alive = (0, 0) if character == "\n" else (anything, state & loops)
            state = (state << 1) & (literal.get(character, 0) | wild) | alive | 1
        return bool(state & accepted)

    return like


def _loops(pattern: str) -> int:
    loops = place = 0
    for character in pattern:
        if character == "%":
            loops |= 1 << place
        else:
            place += 1
    return loops
