r"""
The grammar of ``elements_chain``, which PostHog writes at ingestion.

::

    chain   = [ element *( ";" element ) ]
    element = [tag] *( "." class ) [ ":" *( key '="' value '"' ) ]

Read as PostHog's own reader does (nodejs/src/common/utils/elements-chain.ts),
malformed text included, but in linear time.  Not reversible: a quote stays
``\"``.
"""

from __future__ import annotations

import re

from posthog_twilio.actions.element import Element, as_classes

_KEY = "[a-zA-Z_0-9-]*"
_QUOTED = r'"[^"\\]*(?:\\.[^"\\]*)*"'
# The last alternative of each takes all the rest, so that malformed text costs no more.
_WRITTEN = re.compile(r'(;?)([^\s;"=\\]+)="([^"\\]*)"|.+', re.DOTALL)
_PIECE = re.compile(rf'((?:[^\s;"]+|{_QUOTED})+)|"(.*)', re.DOTALL)
_PAIR = re.compile(
    r'([^"=\\]*(?:(?:\\.|=(?!"))[^"=\\]*)*)="([^"\\]*(?:\\.[^"\\]*)*)"|.+', re.DOTALL
)
_BARE_PIECE = re.compile(r'[^\s;"]+')
_FIRST_KEY = re.compile(_KEY)
_FIRST_PAIR = re.compile(f":(?={_KEY}=)")  # classes may hold ":" too

_Parts = tuple[str, dict[str, str]]
"""Tag and classes, and the pairs."""


def parse_chain(chain: str) -> list[Element]:
    """Return the elements of *chain*, innermost first."""
    chain = chain.replace("\\n", "")
    parts = _as_written(chain) or [_split_piece(piece) for piece in _pieces(chain)]
    return [_element(head, pairs) for head, pairs in parts]


def _as_written(chain: str) -> list[_Parts]:
    """Read a chain without escapes, as nearly all are, in half the time; else return nothing."""
    parts: list[_Parts] = []
    pairs: dict[str, str] = {}
    for separator, name, value in _WRITTEN.findall(chain):
        if separator or not parts:
            head, colon, key = name.rpartition(":")
            if not colon or not _FIRST_KEY.fullmatch(key):
                return []
            pairs = {key: value}
            parts.append((head, pairs))
        elif not name:
            return []
        else:
            pairs[name] = value
    return parts


def _pieces(chain: str) -> list[str]:
    """Split at ``;`` and blanks outside quotes; a quote that never ends is dropped."""
    found = _PIECE.findall(chain)
    rest = found.pop()[1] if found and not found[-1][0] else ""
    return [piece for piece, _ in found] + _BARE_PIECE.findall(rest)


def _split_piece(piece: str) -> _Parts:
    first = _FIRST_PAIR.search(piece)
    if first is None:
        return piece, {}
    return piece[: first.start()], dict(_PAIR.findall(piece, first.end()))


def _element(head: str, pairs: dict[str, str]) -> Element:
    tag, *classes = head.split(".")
    return Element(
        tag=tag or None,
        text=pairs.get("text"),
        href=pairs.get("href", pairs.get("attr__href")),
        id=pairs.get("attr_id", pairs.get("attr__id")),
        # The head cannot tell "w-1.5" from two classes, the attribute can.
        classes=as_classes(pairs.get("attr__class")) or tuple(filter(None, classes)),
        nth_child=pairs.get("nth-child"),
        nth_of_type=pairs.get("nth-of-type"),
        attributes=pairs,
    )
