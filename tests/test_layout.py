"""The shape of the package: what it exports, who imports whom, what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import posthog_twilio
import posthog_twilio.actions
import posthog_twilio.caches
import posthog_twilio.testing

PACKAGE = Path(str(files("posthog_twilio")))
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}

FLOORS = [
    ["locks"],
    ["phone", "segments", "codes", "manifest", "grid", "_http", "caches"],
    ["outcome", "values", "fields", "transport", "claims", "fake", "cache_contract"],
    ["errors", "journal", "limit", "plugin_event"],
    ["bodies"],
    ["events"],
    ["paths", "recordings", "actions"],
    ["config", "message", "triggers", "testing"],
    ["doubt", "notices", "pytest_plugin"],
    ["plugin"],
    ["__init__", "hosts", "replay", "runner"],
    ["report"],
    ["plot"],
    ["cli"],
    ["__main__"],
]
"""From the bottom up; a module imports from lower floors only."""


def imports_of(path: Path) -> set[str]:
    """Return the modules of this package that *path* imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("posthog_twilio"):
            module = node.module.removeprefix("posthog_twilio").removeprefix(".")
            names = {f"{module}.{alias.name}".strip(".") for alias in node.names}
            found |= {name if name in MODULES else module or "__init__" for name in names}
    return found


def top(module: str) -> str:
    """Return the module or folder right below the package."""
    return module.partition(".")[0]


def outside_imports(path: Path) -> set[str]:
    """Return the other packages that *path* imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {top(alias.name) for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(top(node.module or ""))
    return found


NAMES = (
    "ConfigError InvalidEvent Meta Outcome RetryError Status manifest on_event "
    "setup_plugin teardown_plugin"
)


class TestPublicNames:
    @pytest.mark.parametrize(
        ("module", "names"),
        [
            (
                posthog_twilio,
                NAMES,
            ),
            (posthog_twilio.caches, "Cache Claim HostCache MemoryCache RedisCache SQLiteCache"),
            (posthog_twilio.testing, "CacheContract FakeTwilio recorded_events"),
        ],
        ids=lambda value: getattr(value, "__name__", ""),
    )
    def test_they_are_just_these(self, module, names):
        """The public surface is a list, sorted, and each name on it exists."""
        assert sorted(module.__all__) == names.split()
        assert all(getattr(module, name) for name in module.__all__)

    def test_each_has_a_docstring(self):
        """Whoever asks help() of a public name gets an answer."""
        for module in (posthog_twilio, posthog_twilio.caches, posthog_twilio.actions):
            for name in module.__all__:
                assert getattr(module, name).__doc__, name


class TestArrows:
    def test_every_module_has_a_floor(self):
        """A new module says where it stands."""
        assert {top(name) or "__init__" for name in MODULES} == {m for f in FLOORS for m in f}

    @pytest.mark.parametrize("module", sorted(MODULES))
    def test_they_only_go_down(self, module):
        """A module imports from lower floors, or from its own folder."""
        floor_of = {name: n for n, floor in enumerate(FLOORS) for name in floor}
        mine = top(module) or "__init__"
        for other in imports_of(MODULES[module]):
            assert top(other) == mine or floor_of[top(other)] < floor_of[mine], other

    @pytest.mark.parametrize("module", sorted(MODULES))
    def test_only_the_transport_and_the_fake_know_twilio(self, module):
        """One place to mend when the SDK changes."""
        if top(module) not in ("transport", "fake"):
            assert "twilio" not in outside_imports(MODULES[module])

    @pytest.mark.parametrize("folder", ["caches", "actions"])
    def test_caches_know_no_events_and_actions_no_sms(self, folder):
        """Each can be used, and read, without the other."""
        allowed = {folder, "events", "fields"} if folder == "actions" else {folder, "locks"}
        for module, path in MODULES.items():
            if top(module) == folder:
                assert {top(other) for other in imports_of(path)} <= allowed, module


class TestImports:
    def loaded_by(self, code: str) -> set[str]:
        program = f"import sys\n{code}\nprint(' '.join(sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        return set(done.stdout.split())

    @pytest.mark.parametrize(
        "code",
        [
            "import posthog_twilio",
            "import posthog_twilio.testing, posthog_twilio.pytest_plugin",
            "import posthog_twilio.cli",
            "from posthog_twilio.caches import *",
        ],
    )
    def test_nothing_heavy_is_imported_before_it_is_used(self, code):
        """Twilio's SDK comes with the first message; extras with what needs them."""
        heavy = {"twilio", "requests", "redis", "re2", "rich", "matplotlib", "pyarrow", "posthog"}

        assert not self.loaded_by(code) & (heavy | {"phonenumbers", "platformdirs"})

    def test_a_setup_and_a_miss_import_no_sdk(self):
        """Only a message needs it."""
        code = """
from posthog_twilio import on_event, setup_plugin
meta = setup_plugin({"accountSID": "AC" + "0" * 32, "authToken": "x",
    "triggeringEventsAndNumber": "a:+15550100", "senderPhoneNumber": "+15550199"})
assert on_event({"event": "b"}, meta) == ()
assert meta.matches({"event": "a"})
"""
        assert not self.loaded_by(code) & {"twilio", "requests"}
