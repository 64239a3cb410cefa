"""What the tests of the engines share."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from conftest import missing

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]


def need(*modules: str, programs: tuple[str, ...] = ()) -> None:
    """Skip on a laptop, and fail in CI, where something is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            missing(module)
    for program in programs:
        if shutil.which(program) is None:
            missing(program)


def load(path: str) -> ModuleType:
    """Import a script of this checkout by its path, once."""
    name = Path(path).stem
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]
