"""
A template and an event make a body.

What comes from an event is data, whatever it looks like: a template is split
once, when it is parsed, and nothing that is filled in is ever read as one.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from posthog_twilio.paths import PLACEHOLDER, Path
from posthog_twilio.segments import count_segments, is_gsm7, shorten
from posthog_twilio.values import shown, whole_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Template", "compose", "count_segments", "same_message", "ucs2_cause"]

_MAX_DIGITS = 12
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_VISIBLE = re.compile(r"[^\s\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff]")


class _Count(Enum):
    HELD_BACK = "held_back"
    AND_MORE = "and_more"

    def say(self, held_back: int) -> str:
        if self is _Count.HELD_BACK:
            return str(held_back)
        return f" (+{held_back} more)" if held_back else ""


_COUNTS = {count.value: count for count in _Count}


@frozen
class Template:
    """
    The text of a message, with places that are filled in from each event.

    ``{event.properties.plan}`` and ``{{ person.properties.email }}`` name a
    :class:`~posthog_twilio.paths.Path`; ``{held_back}`` is the number of events
    held back since the last message, ``{and_more}`` is empty at 0, else
    `` (+37 more)``.  Braces around anything but one word stay as they are.

    Attributes:
        text: the template as it was given.

    """

    text: str
    _parts: tuple[str | Path | _Count, ...] = field(repr=False, eq=False)

    @classmethod
    def parse(cls, text: str) -> Template:
        """
        Read a template.

        Raises:
            ValueError: it is no text or blank, or braces hold a word that is no
                path: an unknown root, or a root alone.

        """
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"expected text that is not blank, got {text!r}")
        return cls(text, tuple(_split(text)))

    @property
    def names_count(self) -> bool:
        """Whether it tells the number of events held back."""
        return any(isinstance(part, _Count) for part in self._parts)

    @property
    def literal(self) -> str:
        """What stands in every message, whatever is filled in."""
        return "".join(part for part in self._parts if isinstance(part, str))

    def render(self, event: Any, held_back: int) -> str:
        """
        Fill in *event* and *held_back*; the result may be longer than a message can be.

        A missing value is empty; :func:`~posthog_twilio.values.shown` says how
        the others are written.
        """
        return "".join(_fill(part, event, held_back) for part in self._parts)

    def before_count(self, event: Any) -> str:
        """Fill in *event* up to where the digits of the first count begin."""
        text = ""
        for part in self._parts:
            if isinstance(part, _Count):
                return text + part.say(1).partition("1")[0]
            text += _fill(part, event, 0)
        return text


def compose(template: Template, event: Any, held_back: int, max_segments: int | None) -> str:
    """
    Make the body of a message.

    Args:
        template: what to say.
        event: the plugin event it is about.
        held_back: the events held back since the last message, from 0.
        max_segments: where to cut, from 1 segment; ``None`` for no such limit.
            Twilio's own limit of 1600 characters holds in any case.

    Returns:
        The body, or ``""`` where nothing in it could be seen.

    """
    body = template.render(event, held_back)
    return shorten(body, max_segments) if _VISIBLE.search(body) else ""


def same_message(template: Template, event: Any, max_segments: int | None, body: str) -> bool:
    """
    Tell whether *body* is what :func:`compose` makes of *event*, for any number held back.

    It finds a message among those sent, when the count of an earlier try is not
    known any more, and may have been cut off.  Counts up to 12 digits are found.
    """
    body = body.rstrip()
    return body != "" and any(
        compose(template, event, held_back, max_segments).rstrip() == body
        for held_back in _possible_counts(template, event, body)
    )


def ucs2_cause(template: Template) -> str | None:
    """Name the first character of the template itself that makes every message UCS-2."""
    for char in template.literal:
        if not is_gsm7(char):
            return f"{char!r} (U+{ord(char):04X} {unicodedata.name(char, 'without a name')})"
    return None


def _split(text: str) -> Iterator[str | Path | _Count]:
    end = 0
    for found in PLACEHOLDER.finditer(text):
        yield _tidy(text[end : found.start()])
        yield _placeholder(found[1] or found[2])
        end = found.end()
    yield _tidy(text[end:])


def _placeholder(word: str) -> Path | _Count:
    return _COUNTS.get(word) or Path.parse(word)


def _tidy(literal: str) -> str:
    """Keep the operator's own line breaks and marks of direction; no other control character."""
    text = _LINE_ENDS.sub("\n", whole_pairs(literal)).replace("\t", " ")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) != "Cc")


def _fill(part: str | Path | _Count, event: Any, held_back: int) -> str:
    if isinstance(part, Path):
        return shown(part.get(event))
    return part.say(held_back) if isinstance(part, _Count) else part


def _possible_counts(template: Template, event: Any, body: str) -> Iterator[int]:
    """
    Yield every number that *body* may tell, or hide behind its cut.

    Of digits that were cut off, only how many there were decides what is left.
    """
    yield 0
    if not template.names_count:
        return
    yield from (10**zeros for zeros in range(_MAX_DIGITS))
    told = re.compile(r"[1-9][0-9]*").match(body, len(template.before_count(event)))
    digits = told[0][:_MAX_DIGITS] if told else ""
    # Digits of the template may follow those of the count.
    yield from (int(digits[:length]) for length in range(1, len(digits) + 1))
    if told:
        yield from (int(digits) * 10**more for more in range(1, _MAX_DIGITS + 1 - len(digits)))
