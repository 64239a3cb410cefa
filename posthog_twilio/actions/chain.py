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

from posthog_twilio.actions.element import Element, as_classes, as_position

_QUOTED = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_BALANCED = re.compile(rf'(?:[^"]+|{_QUOTED})*', re.DOTALL)
_PIECE = re.compile(rf'(?:[^\s;"]+|{_QUOTED})+', re.DOTALL)
_BARE_PIECE = re.compile(r'[^\s;"]+')
_FIRST_PAIR = re.compile(r":(?=[a-zA-Z_0-9-]*=)")  # classes may hold ":" too
_PAIR = re.compile(r'([^"=\\]*(?:(?:\\.|=(?!"))[^"=\\]*)*)="([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)


def parse_chain(chain: str) -> list[Element]:
    """Return the elements of *chain*, innermost first."""
    return [_element(piece) for piece in _pieces(chain.replace("\\n", ""))]


def _pieces(chain: str) -> list[str]:
    """Split at ``;`` and blanks outside quotes; a quote that never ends is dropped."""
    balanced = _BALANCED.match(chain)
    end = balanced.end() if balanced else 0
    return _PIECE.findall(chain[:end]) + _BARE_PIECE.findall(chain[end:])


def _element(piece: str) -> Element:
    found = _FIRST_PAIR.search(piece)
    head, start = (piece[: found.start()], found.end()) if found else (piece, len(piece))
    pairs = _pairs(piece, start)
    attributes = {k[6:].lower(): v for k, v in pairs.items() if k.startswith("attr__")}
    tag, *classes = head.split(".")
    return Element(
        tag=tag or None,
        text=pairs.get("text"),
        href=pairs.get("href") or attributes.get("href"),
        id=pairs.get("attr_id") or attributes.get("id"),
        # The head cannot tell "w-1.5" from two classes, the attribute can.
        classes=as_classes(attributes.get("class")) or tuple(filter(None, classes)),
        nth_child=as_position(pairs.get("nth-child")),
        nth_of_type=as_position(pairs.get("nth-of-type")),
        attributes=attributes,
    )


def _pairs(piece: str, at: int) -> dict[str, str]:
    pairs = {}
    while pair := _PAIR.match(piece, at):
        key, value = pair.groups()
        pairs[key] = value
        at = pair.end()
    return pairs
