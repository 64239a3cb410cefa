"""plugin.json, wherever the package lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def manifest() -> dict[str, Any]:
    """Return plugin.json, which names the plugin's parameters for a host's form."""
    here = Path(__file__).parent
    # A wheel carries the file inside the package; a checkout has it beside the package.
    inside = here / "plugin.json"
    text = (inside if inside.exists() else here.parent / "plugin.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
