r"""
The grammar of CSS selectors, as far as PostHog's actions use it.

Supported are tags, ``.class``, ``#id``, ``[attr="value"]``,
``:nth-child(2)``, ``:nth-of-type(2)``, descendants and ``>``; ``\`` escapes.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from posthog_twilio.actions.selectors import Compound, Selector
from posthog_twilio.actions.undecidable import Undecidable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAME = r"(?:\\(?:[0-9a-fA-F]{1,6}\s?|[^\n0-9a-fA-F])|[^\s\\.\#\[\]:>,+~()\"'*=^$|])+"
_TOKEN = re.compile(
    rf"""
      (?P<child> \s*>\s* ) | (?P<descendant> \s+ ) | (?P<star> \* )
    | (?P<tag> {_NAME} ) | \.(?P<class> {_NAME} ) | \#(?P<id> {_NAME} )
    | \[\s* (?P<attribute> (?:\\.|[^\s\\\[\]"'=~^$*|])+ ) \s*=\s*
        (?: "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>(?:[^'\\]|\\.)*)' ) \s*\]
    | :(?P<nth> nth-child | nth-of-type ) \(\s* (?P<n> [0-9]{{1,9}} ) \s*\)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)


def parse_selector(text: str) -> Selector:
    """
    Compile a selector.

    Raises:
        Undecidable: it uses a part of CSS that is not supported.

    """
    try:
        return Selector(tuple(_compounds(_without_stars(_words(text.strip())))))
    except ValueError:
        raise Undecidable(f"the selector {text!r:.200} is not supported") from None


_Token = tuple[str, str, str]
_Word = list[_Token]
_CHILD: _Word = [("child", "", "")]
_STAR: _Word = [("star", "", "")]


def _words(text: str) -> Iterator[_Word]:
    """Split into compounds and ``>``."""
    word: _Word = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(text)
        at = found.end()
        token = _token(found)
        if token[0] not in ("child", "descendant"):
            word.append(token)
            continue
        if word:
            yield word
        word = []
        if token in _CHILD:
            yield _CHILD
    if word:
        yield word


def _token(found: re.Match[str]) -> _Token:
    """Return kind, name and value, escapes taken out of the names."""
    if found["nth"]:
        return "position", found["nth"].replace("-", "_"), found["n"]
    if found["attribute"]:
        value = found["double"] if found["single"] is None else found["single"]
        return "attribute", _unescape(found["attribute"]).lower(), value
    kind = str(found.lastgroup)
    return kind, _unescape(found[kind]) if kind in ("tag", "class", "id") else "", ""


def _unescape(name: str) -> str:
    return _ESCAPE.sub(lambda m: _character(m[1]) if m[1] else m[2], name)


def _character(digits: str) -> str:
    code = int(digits, 16)
    return chr(code) if 0 < code <= sys.maxunicode else "\N{REPLACEMENT CHARACTER}"


def _without_stars(words: Iterable[_Word]) -> list[_Word]:
    """Make a blank of ``> * >`` and nothing of a last ``> *``, as every engine does."""
    kept: list[_Word] = []
    for word in words:
        kept.append(word)
        if kept[-3:] == [_CHILD, _STAR, _CHILD]:
            del kept[-3:]
    if kept[-2:] == [_CHILD, _STAR]:
        del kept[-2:]
    return kept


def _compounds(words: list[_Word]) -> Iterator[Compound]:
    before = _CHILD  # so that a ">" may neither begin, nor follow another, nor end
    for word in [*words, _CHILD]:
        if word != _CHILD:
            yield _compound(word, child=before == _CHILD)
        elif before == _CHILD:
            raise ValueError(words)
        before = word


def _compound(word: _Word, *, child: bool) -> Compound:
    kinds = [kind for kind, _, _ in word]
    if "star" in kinds or "tag" in kinds[1:]:
        raise ValueError(word)
    return Compound(
        child,
        tag=word[0][1] if kinds[0] == "tag" else None,
        ids=tuple(name for kind, name, _ in word if kind == "id"),
        classes=frozenset(name for kind, name, _ in word if kind == "class"),
        attributes=tuple((n, _spellings(v)) for kind, n, v in word if kind == "attribute"),
        positions=tuple((n, int(v)) for kind, n, v in word if kind == "position"),
    )


def _spellings(value: str) -> frozenset[str]:
    """Return a value as it stands, unescaped, and with its quotes as a chain keeps them."""
    bare = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
    return frozenset((value, bare, bare.replace('"', '\\"')))
