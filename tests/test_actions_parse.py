"""From definitions to actions: one, a list, PostHog's page, JSON text."""

from __future__ import annotations

import json

import pytest

from posthog_twilio.actions import Action, parse_actions

ONE = {"id": 1, "name": "One", "steps": [{"event": "a"}]}
TWO = {"id": 2, "name": "Two", "deleted": False, "steps": [{"event": "b"}]}
PAGE = {"count": 2, "next": None, "previous": None, "results": [ONE, TWO]}


@pytest.mark.parametrize("source", [[ONE, TWO], (ONE, TWO), PAGE], ids=["list", "tuple", "page"])
def test_many(source):
    """A list and a page give their actions in order, from JSON text too."""
    for form in (source, json.dumps(source), json.dumps(source).encode()):
        assert [action.name for action in parse_actions(form)] == ["One", "Two"]


def test_one():
    """One definition gives one action, and a compiled one passes through."""
    (action,) = parse_actions(ONE)

    assert action.name == "One"
    assert action.matches({"event": "a"})
    assert parse_actions(json.dumps(ONE))[0].event_names == {"a"}
    assert parse_actions(action) == (action,)
    assert parse_actions([action, TWO])[0] is action
    assert parse_actions([]) == ()


def test_not_the_last_page():
    """A page with a next one warns that actions are missing."""
    first, second = parse_actions({**PAGE, "next": "https://a.test/?offset=2"})

    assert "not PostHog's last page" in first.warnings[-1]
    assert first.matches({"event": "a"})
    assert first.event_names == {"a"}
    assert second.warnings == ()
    assert parse_actions({"results": [], "next": "x"}) == ()


@pytest.mark.parametrize("deleted", [True, 1, "true"])
def test_deleted(deleted):
    """A deleted action is kept, marked, and matches nothing."""
    action = Action.parse({**ONE, "deleted": deleted})

    assert action.deleted
    assert not action.matches({"event": "a"})
    assert action.event_names == frozenset()
    assert action.warnings == ("action 'One': deleted, so it never fires",)


@pytest.mark.parametrize("deleted", [False, None])
def test_not_deleted(deleted):
    """Only a true mark deletes."""
    assert Action.parse({**ONE, "deleted": deleted}).matches({"event": "a"})


@pytest.mark.parametrize("name", [None, "", "  "])
def test_without_a_name(name):
    """A nameless action does not spoil the page: it is kept, and no trigger can name it."""
    nameless, _two = parse_actions([{**ONE, "name": name}, TWO])

    assert nameless.name == ""
    assert nameless.warnings == ("action 1, which has no name: no trigger can name it",)
    assert nameless.matches({"event": "a"})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "got nothing"),
        (5, "got int"),
        ({"results": {}}, "got dict"),
        ({"results": None}, "got nothing"),
        ("{", "expected JSON"),
        (b"\xff", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("5", "got int"),
        ([[ONE]], "number 1 of the list: expected the definition of an action"),
        ([ONE, None], "number 2 of the list"),
        ({"steps": []}, r"no name in \['steps'\]"),
        ({"name": 5}, "name of an action as text, got 5"),
        ({"name": "A", "steps": {}}, "steps of action 'A': expected a list, got dict"),
        ({"name": "A", "steps": "e"}, "steps of action 'A': expected a list, got str"),
        ({"name": "A", "steps": [{}, None]}, "step 2 of action 'A': expected a mapping"),
    ],
)
def test_no_definition(source, words):
    """What is no definition is refused with what was expected and what was got."""
    with pytest.raises(ValueError, match=words):
        parse_actions(source)


def test_repr_is_short():
    """An action shows its name and the events it listens to."""
    assert repr(Action.parse(ONE)) == (
        "Action(name='One', deleted=False, undecidable=False, event_names=frozenset({'a'}))"
    )
