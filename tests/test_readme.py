"""What the README and the CHANGELOG say is so."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from posthog_twilio.config import keys
from posthog_twilio.outcome import Status

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Stand in a folder that looks like a clone, and may be written to."""
    for name in ("examples", "recordings"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestExamples:
    @pytest.fixture
    def said(self, checkout, capsys):
        """Run every Python block of the README in order, as one program."""
        names: dict[str, object] = {}
        said = []
        for language, code in BLOCKS:
            if language == "python" and ("import posthog\n" not in code or find_spec("posthog")):
                exec(compile(code, "README.md", "exec"), names)
                said.append(capsys.readouterr().out)
        self.names = names
        return said

    def test_they_print_what_the_readme_says(self, said):
        """A block of text right after a block of Python is what that prints."""
        pairs = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", README, re.M | re.S)

        assert [text for _, text in pairs] == said[: len(pairs)]

    def test_the_first_one_is_ten_lines_of_work(self):
        """What a stranger reads first is short."""
        first = next(code for language, code in BLOCKS if language == "python")

        assert len(first.splitlines()) <= 16

    def test_the_pytest_one_passes(self, said, fake_twilio, twilio_config, recorded_events):
        """The example of a test of one's own set-up is a test that passes."""
        self.names["test_our_alerts"](fake_twilio, twilio_config, recorded_events)

        assert len(fake_twilio.outbox) > 0


class TestReadme:
    def test_it_begins_with_two_commands(self):
        """A sentence, then one line of pip to see it work, and one to test it."""
        commands = [code for language, code in BLOCKS if language == "console"][:2]

        assert [command.count("\n") for command in commands] == [1, 1]
        assert commands[0].startswith("pip install ")
        assert "posthog-twilio replay recordings/" in commands[0]
        assert commands[1].startswith("pip install ")
        assert commands[1].endswith("&& pytest\n")
        assert README.index("```console") < 700

    def test_the_first_command_prints_a_replay(self, checkout):
        """What the first command runs after installing works, and fits 80 columns."""
        command = next(code for language, code in BLOCKS if language == "console")
        arguments = command.partition("&& posthog-twilio ")[2]
        run = f"{sys.executable} -m posthog_twilio {arguments}"
        done = subprocess.run(["bash", "-c", run], capture_output=True, text=True, check=True)

        assert "594 events, 97 matched, 41 messages" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert done.stderr == ""

    def test_its_table_has_every_parameter(self):
        """Each setting stands in the table, in plugin.json's order."""
        table = README.partition("## Parameters")[2].partition("## Messages")[0]

        assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.M)) == keys()

    def test_its_table_has_every_status(self):
        """Each status stands in the table of outcomes."""
        table = README.partition("## Outcomes")[2].partition("\n## ")[0]

        assert re.findall(r"^\| `([A-Z_]+)` \|", table, re.M) == [status.name for status in Status]

    def test_its_links_lead_somewhere(self):
        """Each file and each heading that is linked exists."""
        headings = {
            re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", README, re.M)
        }
        for target in re.findall(r"\]\(([^)]+)\)", README):
            if target.startswith("#"):
                assert target[1:] in headings
            elif not target.startswith("http"):
                assert (ROOT / target).exists(), target


class TestChangelog:
    def test_it_tells_of_this_version(self):
        """The newest entry is the version that is installed."""
        newest = re.search(r"^## \[([0-9.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)

        assert newest
        assert newest[1] == version("posthog-twilio")
