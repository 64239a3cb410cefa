"""What a valid set-up should still tell a person, with real actions."""

from __future__ import annotations

import json
import logging

import pytest

from posthog_twilio import ConfigError, on_event, setup_plugin
from posthog_twilio.actions import Action
from posthog_twilio.caches import MemoryCache, SQLiteCache

CHECKOUT = {"name": "Checkout", "steps": [{"event": "order placed"}]}
OTHER = {"name": "Other", "steps": [{"event": "x"}]}
COHORT = {"type": "cohort", "key": "id", "value": 5}
UNDECIDABLE = {"name": "Checkout", "steps": [{"event": "order placed", "properties": [COHORT]}]}
NEVER = (
    "triggeringEventsAndNumber: 'Checkout' is an action that can never fire here; "
    "only an event of that name would"
)


@pytest.fixture
def setup(twilio_config):
    """Set a plugin up whose trigger may be an action."""

    def make(given=(), *, cache=None, **changes):
        config = {**twilio_config, "triggeringEventsAndNumber": "Checkout:+15550100001", **changes}
        return setup_plugin(config, actions=given, cache=cache)

    return make


class TestLoading:
    @pytest.mark.parametrize(
        "form",
        [CHECKOUT, [OTHER, CHECKOUT], {"results": [CHECKOUT]}, json.dumps([CHECKOUT])],
        ids=["one", "list", "page", "text"],
    )
    @pytest.mark.parametrize("where", ["argument", "setting"])
    def test_actions_come_from_python_and_from_the_settings(self, setup, form, where):
        """In every form that PostHog's API has, from either place, they fire their trigger."""
        meta = setup(form) if where == "argument" else setup(actions=form)

        assert meta.matches({"event": "order placed"})
        assert meta.matches({"event": "Checkout"})
        assert not meta.matches({"event": "x"})
        assert meta.warnings == ()

    def test_those_of_both_places_count(self, twilio_config):
        """What Python hands over stands beside the setting, compiled or not."""
        config = {
            **twilio_config,
            "triggeringEventsAndNumber": {"Checkout": "+15550100001", "Other": "+15550100001"},
            "actions": CHECKOUT,
        }
        meta = setup_plugin(config, actions=[Action.parse(OTHER)])

        assert meta.matches({"event": "order placed"})
        assert meta.matches({"event": "x"})

    def test_one_event_that_fires_two_triggers_sends_two_messages(self, twilio_config, fake_twilio):
        """Each trigger has a message of its own for the same event, and the same number."""
        names = dict.fromkeys(["order placed", "Checkout"], "+15550100001")
        config = {**twilio_config, "triggeringEventsAndNumber": names}
        meta = setup_plugin(config, actions=CHECKOUT, http_client=fake_twilio)

        outcomes = on_event({"event": "order placed", "uuid": "1"}, meta)

        assert [(o.trigger, o.status.value) for o in outcomes] == [
            ("order placed", "sent"),
            ("Checkout", "sent"),
        ]

    @pytest.mark.parametrize("nothing", ["", "  \n", "\ufeff", None, [], ()], ids=repr)
    def test_a_box_left_empty_is_no_action(self, setup, nothing):
        """Blank text is what an untouched form sends."""
        assert not setup(nothing).matches({"event": "order placed"})

        assert not setup(actions=nothing).matches({"event": "order placed"})

    @pytest.mark.parametrize("faulty", ["{", "7", 7, [{}], {"steps": []}], ids=repr)
    def test_faulty_ones_are_reported_with_all_else(self, twilio_config, faulty):
        """One look is enough to mend the actions and the timeout."""
        config = {**twilio_config, "timeout": "0", "actions": faulty}
        with pytest.raises(ConfigError) as caught:
            setup_plugin(config, actions=faulty)

        problems = [problem.partition(":")[0] for problem in caught.value.problems]
        assert problems == ["timeout", "actions", "actions"]

    def test_no_mapping_is_still_a_config_error(self):
        """Neither is it taken for a config that only lacks actions."""
        with pytest.raises(ConfigError, match="config: expected a mapping"):
            setup_plugin([])


class TestNotices:
    def test_an_undecidable_action_says_so(self, setup):
        """Rule 7: it does not match, and its warning and the trigger's stand in meta.warnings."""
        meta = setup(UNDECIDABLE)

        assert not meta.matches({"event": "order placed"})
        assert len(meta.warnings) == 2
        assert meta.warnings[0].startswith("action 'Checkout', step 1: cannot be decided")
        assert meta.warnings[1] == NEVER

    def test_a_deleted_action_says_so(self, setup):
        """A trigger that names a deleted action is told of at set-up."""
        meta = setup({**CHECKOUT, "deleted": True})

        assert not meta.matches({"event": "order placed"})
        assert meta.warnings == ("action 'Checkout': deleted, so it never fires", NEVER)

    def test_one_of_two_that_can_fire_is_enough(self, setup):
        """Where another action of the name works, only the faulty one is told of."""
        meta = setup([UNDECIDABLE, CHECKOUT])

        assert meta.matches({"event": "order placed"})
        assert NEVER not in meta.warnings
        assert len(meta.warnings) == 1

    def test_actions_that_no_trigger_names_are_not_told_of(self, setup):
        """A page of the API may hold hundreds."""
        assert setup([CHECKOUT, {**UNDECIDABLE, "name": "Other"}]).warnings == ()

    def test_a_page_that_is_not_the_last_says_so(self, setup):
        """The action that a trigger means may be on the next one, whoever is first on this."""
        page = {"results": [OTHER, CHECKOUT], "next": "https://example.com/?page=2"}
        (warning,) = setup(page).warnings
        assert warning.startswith("actions: this is not PostHog's last page")

        (warning,) = setup({**page, "results": [CHECKOUT]}).warnings
        assert warning.startswith("actions: this is not PostHog's last page")

    @pytest.mark.parametrize(("timeout", "warned"), [(86_399, False), (86_400, True)])
    def test_a_day_in_memory_is_told_of(self, setup, timeout, warned):
        """A restart forgets a memory cache; a day is long enough for one."""
        assert bool(setup(timeout=timeout).warnings) is warned
        assert bool(setup(timeout=timeout, cache=MemoryCache()).warnings) is warned

    def test_another_cache_may_run_for_a_day(self, setup, tmp_path):
        """What survives a restart needs no warning."""
        with SQLiteCache(tmp_path / "cooldowns.db") as cache:
            assert setup(timeout=86_400, cache=cache).warnings == ()

    def test_a_character_that_makes_messages_dear_is_named(self, setup):
        """One character of the template halves what a part holds."""
        (warning,) = setup(messageTemplate="Hi ✓").warnings

        assert warning.startswith("messageTemplate: '✓' (U+2713 CHECK MARK) is not in SMS's own")

    def test_each_is_logged_once(self, setup, caplog):
        """meta.warnings and the log hold the same sentences, percent signs and all."""
        caplog.set_level(logging.DEBUG, "posthog_twilio")
        meta = setup(UNDECIDABLE, timeout=86_400, messageTemplate="100 %s ✓")

        assert tuple(record.getMessage() for record in caplog.records) == meta.warnings
        assert {record.levelname for record in caplog.records} == {"WARNING"}
        assert len(meta.warnings) == 4


PHONES = {
    "triggeringEventsAndNumber": "order shipped:{person.properties.phone}",
    "allowedCountryCodes": "+1",
}


class TestRecipients:
    def test_without_numbering_plans_it_says_so(self, setup, monkeypatch):
        """Whoever texts numbers from event data hears of the extra that knows premium ranges."""
        monkeypatch.setattr("posthog_twilio.notices.numbering_plans", lambda: None)

        (warning,) = setup(**PHONES).warnings
        assert "pip install 'posthog-twilio[phone]'" in warning
        assert setup().warnings == ()

    def test_with_them_there_is_nothing_to_say(self, setup, monkeypatch):
        """Where the extra is installed, it is used."""
        monkeypatch.setattr("posthog_twilio.notices.numbering_plans", object)

        assert setup(**PHONES).warnings == ()


class TestLiquid:
    def test_a_filter_is_said_to_stay_as_it_is(self, setup):
        """What looks like Liquid and is no path would be sent as it stands."""
        meta = setup(messageTemplate="Hi {{ person.properties.name | upcase }}")

        (warning,) = meta.warnings
        assert "{{ person.properties.name | upcase }} is no path" in warning
