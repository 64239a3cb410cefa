"""The index from event names to triggers."""

from __future__ import annotations

import pytest

from posthog_twilio.phone import mask
from posthog_twilio.triggers import Recipient, Trigger, Triggers


class Action:
    """An action that fires on events of some names, or on whatever it likes."""

    def __init__(self, name, *event_names, anywhere=False, likes=lambda _: True):
        self.name = name
        self.event_names = None if anywhere else frozenset(event_names)
        self._likes = likes

    def matches(self, event):
        return self._likes(event)


def triggers(*names, actions=()):
    """Index triggers that text nobody."""
    return Triggers([Trigger(name, ()) for name in names], actions)


def fired(index, name):
    """Name the triggers that an event of this name fires."""
    return [trigger.name for trigger in index.match({"event": name})]


class TestTriggers:
    def test_a_name_fires_on_its_event(self):
        """Exact and case-sensitive, blanks and all."""
        index = triggers("signup", "Sign Up ")

        assert fired(index, "signup") == ["signup"]
        assert fired(index, "Sign Up ") == ["Sign Up "]
        assert fired(index, "Signup") == fired(index, "Sign Up") == []

    @pytest.mark.parametrize("name", ["constructor", "__proto__", "toString", "get"])
    def test_names_of_the_language_match_nothing(self, name):
        """What every object has is no trigger."""
        assert fired(triggers("signup"), name) == []

    def test_a_name_fires_on_its_action(self):
        """An action of a trigger's name fires it, on the events that the action names."""
        index = triggers("Checkout", actions=[Action("Checkout", "$autocapture")])

        assert fired(index, "$autocapture") == ["Checkout"]
        assert fired(index, "$pageview") == []

    def test_event_and_action_at_once_fire_once(self):
        """An event of the name that also is the action texts once."""
        index = triggers(
            "signup", actions=[Action("signup", "signup"), Action("signup", anywhere=True)]
        )

        assert fired(index, "signup") == ["signup"]

    def test_an_action_has_the_last_word(self):
        """The index only preselects."""
        index = triggers("A", actions=[Action("A", "x", likes=lambda _: False)])

        assert fired(index, "x") == []
        assert not index.ignores("x")

    def test_two_actions_of_one_name_are_both_honoured(self):
        """Either of them fires the trigger."""
        index = triggers("A", actions=[Action("A", "x"), Action("A", "y")])

        assert fired(index, "x") == fired(index, "y") == ["A"]

        unwilling = Action("A", "x", likes=lambda _: False)
        assert fired(triggers("A", actions=[unwilling, Action("A", "x")]), "x") == ["A"]

    def test_an_action_that_names_no_event_is_asked_about_each(self):
        """Then no event can be ignored."""
        index = triggers("b", "A", actions=[Action("A", anywhere=True)])

        assert fired(index, "whatever") == ["A"]
        assert fired(index, "b") == ["b", "A"]
        assert not index.ignores("whatever")

    def test_an_action_no_trigger_names_counts_for_nothing(self):
        """A page of the API may hold hundreds."""
        index = triggers("a", actions=[Action("B", anywhere=True)])

        assert index.ignores("whatever")

    def test_its_own_name_needs_no_action(self):
        """An event of a trigger's name fires it, whatever an action of that name says."""
        index = triggers("A", actions=[Action("A", anywhere=True, likes=lambda _: False)])

        assert fired(index, "A") == ["A"]
        assert fired(index, "x") == []

    def test_the_order_is_the_settings(self):
        """Several triggers of one event fire in the order in which they were set up."""
        actions = [Action("B", "x"), Action("A", "x", anywhere=True), Action("C", "x")]

        assert fired(triggers("B", "x", "A", "C", actions=actions), "x") == ["B", "x", "A", "C"]


class TestRecipient:
    @pytest.mark.parametrize(
        ("text", "channel", "path"),
        [
            ("+15550100001", "", None),
            ("whatsapp:+15550100001", "", None),
            ("{person.properties.phone}", "", "person.properties.phone"),
            ("whatsapp:{event.properties.to}", "whatsapp:", "event.properties.to"),
        ],
    )
    def test_it_is_fixed_or_a_place_in_the_event(self, text, channel, path):
        """As the settings hold it."""
        recipient = Recipient.parse(text)

        assert recipient.channel == channel
        assert (recipient.path and recipient.path.text) == path
        assert mask(text) in repr(recipient)
