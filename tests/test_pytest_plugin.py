"""The pytest plugin, tested by running pytest on small test files."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import pytest

import posthog_twilio.pytest_plugin
import posthog_twilio.testing
from posthog_twilio.config import Config

pytest_plugins = ["pytester"]

OFF = ("-p", "no:posthog_twilio")
"""Switches off what an installed package's entry point loads."""
ON = (*OFF, "-p", "posthog_twilio.pytest_plugin")


@pytest.fixture
def run(pytester):
    """Hand out a function that runs a test file's text in a pytest of its own process."""

    def run(code, *options):
        pytester.makepyfile(code)
        return pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", *options)

    return run


def test_found_by_itself(run):
    """Where the package is installed, the fixtures are there without a word."""
    result = run(
        """
        def test_it(fake_twilio, twilio_config, recorded_events):
            assert fake_twilio.outbox == []
            assert callable(recorded_events)
        """
    )

    result.assert_outcomes(passed=1)


def test_sends_through_the_real_sdk(run):
    """A message sent with the fixtures' credentials ends in the outbox, and only there."""
    result = run(
        """
        from twilio.rest import Client

        def test_one(fake_twilio, twilio_config):
            sid, token = twilio_config["accountSID"], twilio_config["authToken"]
            sender = twilio_config["senderPhoneNumber"]
            client = Client(sid, token, http_client=fake_twilio)
            client.messages.create(to="+15550100001", from_=sender, body="Hi")
            assert [message.body for message in fake_twilio.outbox] == ["Hi"]

        def test_two(fake_twilio):
            assert fake_twilio.outbox == []
        """,
        *ON,
    )

    result.assert_outcomes(passed=2)


def test_example_of_the_documentation(run):
    """The example in the plugin's docstring is a test that passes."""
    example = re.search(r"::\n\n((?:    .*\n|\n)+)", posthog_twilio.pytest_plugin.__doc__)[1]
    result = run(textwrap.dedent(example), *ON)

    result.assert_outcomes(passed=1)


def test_config_is_fresh_each_time(run):
    """What one test changes in the parameters, the next does not see."""
    result = run(
        """
        import pytest

        @pytest.mark.parametrize("turn", [1, 2])
        def test_it(twilio_config, turn):
            assert twilio_config["timeout"] == "60"
            twilio_config["timeout"] = "3600"
        """,
        *ON,
    )

    result.assert_outcomes(passed=2)


def test_config_is_valid(twilio_config):
    """The parameters are accepted as they are."""
    config = Config.parse(twilio_config)

    assert config.triggers


def test_fixtures_are_the_kits_own(fake_twilio, recorded_events):
    """The fixtures hand out what the kit exports."""
    kit = posthog_twilio.testing

    assert (type(fake_twilio), recorded_events) == (kit.FakeTwilio, kit.recorded_events)


def test_switched_off(run):
    """With -p no:posthog_twilio the fixtures are gone."""
    result = run("def test_it(fake_twilio): ...", *OFF)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'fake_twilio' not found*"])


def test_fixtures_are_documented(run):
    """``pytest --fixtures`` says what each fixture is for."""
    result = run("", "--fixtures", *ON)

    for name in ("fake_twilio", "twilio_config", "recorded_events"):
        result.stdout.re_match_lines([rf"{name}.* -- .*pytest_plugin\.py:\d+", r"    Hand out .+"])


@pytest.mark.parametrize("heavy", ["twilio", "requests"])
def test_imports_nothing_heavy(run, heavy):
    """Neither loading the plugin nor asking for the parameters imports the SDK."""
    result = run(
        f"""
        import sys

        def test_without(twilio_config):
            import posthog_twilio.testing
            assert "{heavy}" not in sys.modules

        def test_with(fake_twilio):
            assert "{heavy}" in sys.modules
        """,
        *ON,
    )

    result.assert_outcomes(passed=2)


def test_kit_is_imported_on_demand():
    """Importing the kit loads neither the SDK nor pytest until a name is asked for."""
    code = (
        "import sys, posthog_twilio.testing as kit\n"
        "assert not {'twilio', 'requests', 'pytest'} & set(sys.modules)\n"
        "assert {*kit.__all__} <= {*dir(kit)}\n"
        "assert kit.FakeTwilio and 'twilio' in sys.modules\n"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kit_has_its_three_names():
    """Each public name of the kit exists; any other is an AttributeError."""
    kit = posthog_twilio.testing

    assert {*kit.__all__} <= {*dir(kit)}
    assert [getattr(kit, name).__name__ for name in kit.__all__] == kit.__all__
    with pytest.raises(AttributeError, match=r"'posthog_twilio\.testing' has no attribute 'Fake'"):
        kit.Fake  # noqa: B018
