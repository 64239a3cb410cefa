"""Steps: OR between them, AND inside, and what counts as a condition."""

from __future__ import annotations

import pytest

from posthog_twilio.actions import Action


def action(*steps):
    """Compile an action of these steps."""
    return Action.parse({"id": 7, "name": "Alarm", "steps": list(steps)})


def event(name="e", **properties):
    """Make an event."""
    return {"event": name, "properties": properties}


CLICK = {
    "event": "$autocapture",
    "properties": {},
    "elements": [
        {"tag_name": "span", "text": "Pay", "href": "/a"},
        {"tag_name": "a", "text": "Help", "href": "/b"},
    ],
}


def test_steps_are_alternatives():
    """One matching step is enough, and two half-matching ones do not add up."""
    two = action({"event": "a", "url": "/x"}, {"event": "b", "url": "/y"})

    assert two.matches(event("b", **{"$current_url": "/y"}))
    assert not two.matches(event("a", **{"$current_url": "/y"}))
    assert two.event_names == {"a", "b"}


def test_conditions_all_hold():
    """Every condition and every filter of a step has to hold."""
    filters = [{"key": "plan", "value": "pro"}, {"key": "n", "operator": "gt", "value": 1}]
    step = action({"event": "e", "url": "/x", "properties": filters})

    assert step.matches(event(plan="pro", n=2, **{"$current_url": "/x"}))
    assert not step.matches(event(plan="pro", n=1, **{"$current_url": "/x"}))
    assert not step.matches(event(plan="no", n=2, **{"$current_url": "/x"}))
    assert not step.matches(event(plan="pro", n=2, **{"$current_url": "/z"}))
    assert not step.matches(event("f", plan="pro", n=2, **{"$current_url": "/x"}))


@pytest.mark.parametrize("steps", [[], None, ()])
def test_no_steps_never_fire(steps):
    """An action without steps fires on nothing and says so."""
    empty = Action.parse({"name": "Alarm", "steps": steps})

    assert not empty.matches(event())
    assert empty.event_names == frozenset()
    assert not empty.undecidable
    assert "no steps" in empty.warnings[0]


def test_absent_steps_never_fire():
    """A definition without the key fires on nothing either."""
    assert not Action.parse({"name": "Alarm"}).matches(event())


BLANK = dict.fromkeys(("event", "url", "text", "href", "tag_name", "selector"), "")


@pytest.mark.parametrize("step", [{}, BLANK, dict.fromkeys(BLANK), {"properties": []}, {"odd": 1}])
def test_step_without_condition(step):
    """A step with nothing set fires on every event, and says so loudly."""
    everything = action(step)

    assert everything.matches(event("whatever"))
    assert everything.matches({})
    assert everything.event_names is None
    (warning,) = everything.warnings
    assert "'Alarm', step 1" in warning
    assert "EVERY EVENT" in warning


def test_event_name_is_exact():
    """A name is compared with its case and its blanks, and a missing one is none."""
    named = action({"event": " Order placed"})

    assert named.matches(event(" Order placed"))
    for other in ("Order placed", " order placed", " Order placed ", None, 5, ["x"]):
        assert not named.matches(event(other))
    assert not named.matches({"properties": {}})
    assert named.event_names == {" Order placed"}


def test_any_event_by_url():
    """A step without a name takes any event whose url fits."""
    anywhere = action({"url": "/pricing"}, {"event": "x"})

    assert anywhere.matches(event("z", **{"$current_url": "https://a.test/pricing"}))
    assert anywhere.event_names is None
    assert anywhere.warnings == ()


@pytest.mark.parametrize("url", [None, "", 12, True, ["12"], {"12": 1}, b"12"])
def test_url_is_a_text(url):
    """A url that is missing or no text never matches, not even a pattern for anything."""
    assert not action({"url": "%"}).matches(event(**{"$current_url": url}))
    assert not action({"url": "12"}).matches(event(**{"$current_url": url}))
    assert not action({"url": "%"}).matches({"event": "e"})


def test_screen_has_no_url():
    """A mobile screen's name is no url."""
    screen = event("$screen", **{"$screen_name": "Checkout"})

    assert not action({"event": "$screen", "url": "Checkout"}).matches(screen)


@pytest.mark.parametrize("properties", [None, [], "x", 5, [("$current_url", "/x")]])
def test_odd_properties_are_none(properties):
    """Properties that are no mapping count as no properties."""
    odd = {"event": "e", "properties": properties}

    assert action({"event": "e"}).matches(odd)
    assert not action({"event": "e", "url": "/x"}).matches(odd)


def test_element_conditions_search_each_for_itself():
    """Tag, text, href and selector may hold on different elements."""
    step = {"tag_name": "a", "text": "Pay", "href": "/a", "selector": "a"}

    assert action(step).matches(CLICK)
    for key in step:
        assert not action({**step, key: "zzz"}).matches(CLICK)


@pytest.mark.parametrize("key", ["tag_name", "text", "href", "selector"])
def test_element_conditions_without_elements(key):
    """Without elements a condition on them does not hold, whatever the event is called."""
    for name in ("$autocapture", "order placed"):
        step = action({"event": name, key: "a"})
        assert not step.matches(event(name))
        assert not step.matches({"event": name, "elements": []})


def test_element_conditions_on_other_events():
    """They are asked of every event, not only of autocaptured ones."""
    step = action({"event": "order placed", "text": "Pay"})

    assert step.matches({**CLICK, "event": "order placed"})
    assert not step.matches(event("order placed"))


def test_tag_and_texts_are_whole():
    """Tag, text and href compare whole, with case, and untrimmed."""
    for step in ({"tag_name": "A"}, {"tag_name": "spa"}, {"text": "pay"}, {"text": "Pay "},
                 {"href": "/"}, {"href": "/A"}):  # fmt: skip
        assert not action(step).matches(CLICK)


def test_text_patterns_need_a_text():
    """A pattern that matches the empty text does not match an element without text."""
    pytest.importorskip("re2")
    step = action({"text": ".*", "text_matching": "regex"})

    assert not step.matches({"event": "e", "elements": [{"tag_name": "a"}]})
    assert step.matches({"event": "e", "elements": [{"text": ""}]})


@pytest.mark.parametrize("key", ["event", "url", "text", "href", "tag_name", "selector"])
@pytest.mark.parametrize("value", [5, True, ["a"], {"a": 1}])
def test_condition_of_a_wrong_type(key, value):
    """A condition that is no text makes its step undecidable."""
    odd = action({"event": "$autocapture", key: value}, {"event": "ok"})

    assert not odd.matches({**CLICK, "event": value})
    assert odd.matches(event("ok"))
    assert odd.event_names == {"ok"}
    assert f"step 1: cannot be decided, so it never fires: {key}: expected text" in odd.warnings[0]


def test_undecidable_step_fails_closed():
    """What cannot be decided stops its own step only, with one warning that has every reason."""
    steps = action(
        {"event": "e", "properties": [{"key": "id", "type": "cohort", "value": 1}]},
        {"event": "f"},
        {"event": "e", "selector": "a, b", "properties": [{"key": "k", "operator": "near"}]},
    )

    assert not steps.matches(event("e"))
    assert steps.matches(event("f"))
    first, third = steps.warnings
    assert "'Alarm', step 1" in first
    assert "'cohort'" in first
    assert "'Alarm', step 3" in third
    assert "'near'" in third
    assert "'a, b'" in third
    assert steps.event_names == {"f"}
    assert not steps.undecidable


def test_undecidable_altogether():
    """If no step can be decided the action says so."""
    hopeless = action({"event": "e", "selector": "a, b"})

    assert hopeless.undecidable
    assert hopeless.event_names == frozenset()
    assert not hopeless.matches(event("e"))


def test_old_and_foreign_keys_are_ignored():
    """Rows of other years have other keys, and the selector's compiled form is PostHog's own."""
    old = {"id": 1, "name": "", "action_id": 7, "event": "e", "selector_regex": "zzz"}

    assert action(old).matches(event("e"))
    assert action(old).warnings == ()
