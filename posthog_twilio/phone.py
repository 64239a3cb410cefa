"""Addresses of people: what they look like, and how to show them to nobody."""

from __future__ import annotations

import re
from typing import overload

E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_NUMBER = re.compile(r"\+?[0-9]{7,}")


@overload
def mask(text: str) -> str: ...
@overload
def mask(text: None) -> None: ...
def mask(text: str | None) -> str | None:
    """Hide the middle of every phone number in *text*: ``+15550100001`` is ``+1555•••0001``."""
    return text and _NUMBER.sub(lambda found: f"{found[0][:5]}•••{found[0][-4:]}", text)
