"""Elements in their five forms, and the grammar of the chain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthog_twilio.actions import Action, chain
from posthog_twilio.actions.chain import parse_chain

SDK = [
    {"tag_name": "button", "$el_text": "Pay", "attr__class": "btn  wide\tx", "attr__id": "pay",
     "attr__href": "/go", "attr__data-x": "A", "nth_child": 3, "nth_of_type": 2},
    {"tag_name": "form"},
]  # fmt: skip
STORED = [
    {"tag_name": "button", "text": "Pay", "attr_class": ["btn", "wide", "x"], "attr_id": "pay",
     "href": "/go", "attributes": {"attr__data-x": "A"}, "nth_child": 3, "nth_of_type": 2,
     "order": 0},
    {"tag_name": "form", "text": None, "attr_class": None, "attributes": {}},
]  # fmt: skip
CHAIN = (
    'button.btn.wide.x:attr__data-x="A"attr_id="pay"href="/go"nth-child="3"nth-of-type="2"'
    'text="Pay";form:nth-child="1"nth-of-type="1"'
)
FORMS = {
    "elements_chain": {"elements_chain": CHAIN},
    "$elements_chain": {"properties": {"$elements_chain": CHAIN}},
    "$elements": {"properties": {"$elements": SDK}},
    "elements": {"elements": STORED},
    "elementsList": {"elementsList": tuple(STORED)},
}


def fires(event, **step):
    """Tell whether one step matches the event."""
    action = Action.parse({"name": "A", "steps": [step]})
    assert action.warnings == ()
    return action.matches({"event": "$autocapture", **event})


@pytest.mark.parametrize("form", FORMS)
def test_five_forms(form):
    """All five forms hold the same elements, innermost first."""
    event = FORMS[form]

    assert fires(event, tag_name="button", text="Pay", href="/go")
    assert fires(event, selector='form > button.btn.wide.x#pay[data-x="A"][href="/go"]')
    assert fires(event, selector="form button:nth-child(3):nth-of-type(2)")
    assert not fires(event, selector="button form")


def test_first_form_that_holds_elements_wins():
    """The forms are tried in order, and an empty one is passed over."""
    event = {}
    properties = {}
    for key, form, tag in (
        ("elementsList", [{"tag_name": "five"}], "five"),
        ("elements", [{"tag_name": "four"}], "four"),
        ("$elements", [{"tag_name": "three"}], "three"),
        ("$elements_chain", "two", "two"),
        ("elements_chain", "one", "one"),
    ):
        (properties if key.startswith("$") else event)[key] = form
        assert fires({**event, "properties": properties}, tag_name=tag)
        assert not fires({**event, "properties": properties}, tag_name="zero")
    empty = {"elements_chain": " ;", "elements": [None], "elementsList": [{"tag_name": "five"}]}
    assert fires(empty, tag_name="five")


@pytest.mark.parametrize("key", ["elements_chain", "elements", "elementsList"])
@pytest.mark.parametrize("value", [None, 5, True, {"tag_name": "a"}, "", [], ["a", None, 5, [{}]]])
def test_odd_elements_are_none(key, value):
    """What holds no elements holds none, and nothing raises."""
    assert not fires({key: value}, tag_name="a")
    assert not fires({"properties": {"$" + key: value}}, tag_name="a")


MALFORMED = [
    None, 5, "a", [], {"tag_name": 5}, {"$el_text": 42}, {"text": 42}, {"attr__class": 42},
    {"attr_class": 42}, {"attr_class": [5]}, {"attr__class": [None]}, {"href": 5},
    {"attr__href": []},
    {"attr_class": {"a": 1}},
]  # fmt: skip


@pytest.mark.parametrize("odd", MALFORMED)
def test_malformed_element_is_left_out(odd):
    """A malformed element is left out, and the others still count."""
    both = {"elements": [odd, {"tag_name": "a", "text": "ok"}]}
    sdk = {"properties": {"$elements": [odd, {"tag_name": "a", "$el_text": "ok"}]}}

    for event in (both, sdk):
        assert fires(event, tag_name="a", text="ok")


def test_sdk_texts_are_cut():
    """What an SDK sends is cut as ingestion cuts it: text at 400, href at 2048 characters."""
    event = {"properties": {"$elements": [{"$el_text": "x" * 401, "attr__href": "y" * 2049}]}}

    assert fires(event, text="x" * 400, href="y" * 2048)
    assert fires(event, selector=f'[href="{"y" * 2048}"]')
    assert not fires(event, text="x" * 401)
    assert not fires(event, href="y" * 2049)
    assert fires({"elements": [{"text": "x" * 401}]}, text="x" * 401)


def test_classes_from_lists_and_attributes():
    """Classes are tokens: of a text, of a list, of the attribute where the list is missing."""
    for event in (
        {"properties": {"$elements": [{"attr__class": ["nav-link", "a b"]}]}},
        {"elements": [{"attr_class": ["nav-link", "a b"]}]},
        {"elements": [{"attributes": {"attr__class": "nav-link a b"}}]},
        {"elements_chain": '.nav-link.a.b:nth-child="1"'},
        {"elements_chain": ':attr__class="nav-link a b"nth-child="1"'},
    ):
        assert fires(event, selector=".nav-link.a.b")
        assert not fires(event, selector=".nav")


def test_fields_from_attributes():
    """The id and href of a stored element may stand among its attributes only."""
    attributes = {"attr__id": "pay", "attr__href": "/go"}
    for event in (
        {"elements": [{"attributes": attributes, "href": None, "attr_id": None}]},
        {"elements_chain": 'a:attr__href="/go"attr__id="pay"'},
    ):
        assert fires(event, href="/go", selector="#pay")
    assert fires({"elements": [{"attr_id": 5}]}, selector="[id='5']")
    assert not fires({"elements": [{"attributes": "x"}]}, selector="#pay")


@pytest.mark.parametrize("odd", [True, "x", None, [], "", "\u0661", 1.5, "1.5", 10**400])
def test_odd_positions(odd):
    """A position that is no whole number is none."""
    assert not fires({"elements": [{"nth_child": odd}]}, selector=":nth-child(1)")


@pytest.mark.parametrize("one", [1, 1.0, "1"])
def test_positions(one):
    """A position may be a number or its text."""
    assert fires({"elements": [{"nth_child": one}]}, selector=":nth-child(1)")


CHAINS = [
    ("", []),
    ("a", [("a", (), {})]),
    ("a;b", [("a", (), {}), ("b", (), {})]),
    ("a;;b;", [("a", (), {}), ("b", (), {})]),
    ("a b", [("a", (), {}), ("b", (), {})]),
    ("a:", [("a:", (), {})]),
    (".x.y", [(None, ("x", "y"), {})]),
    ("a..x...y", [("a", ("x", "y"), {})]),
    ('"a........small', [("a", ("small",), {})]),
    ('a.hover:ring.w-1/2:text="t"', [("a", ("hover:ring", "w-1/2"), {"text": "t"})]),
    ('a:href="/x"text="b; c"', [("a", (), {"href": "/x", "text": "b; c"})]),
    ('a:text="b c";p', [("a", (), {"text": "b c"}), ("p", (), {})]),
    (r'a:text="say \"hi; you\""', [("a", (), {"text": r"say \"hi; you\""})]),
    (r'a:text="one\ntwo"', [("a", (), {"text": "onetwo"})]),
    ('a:text="one\ntwo"href="/x"', [("a", (), {"text": "one\ntwo", "href": "/x"})]),
    ('a:attr__e=""text="t"', [("a", (), {"attr__e": "", "text": "t"})]),
    ('a:attr__q=":x=1"text="t"', [("a", (), {"attr__q": ":x=1", "text": "t"})]),
    (r'a:attr__\"q="1"text="t"', [(r'a:attr__\"q="1"text="t', (), {})]),
    ('a:x="1"attr__b=c="2"text="t"', [("a", (), {"x": "1", "attr__b=c": "2", "text": "t"})]),
    (r'a:x="1"attr__\"="2"text="t"', [("a", (), {"x": "1", r'attr__\"': "2"})]),
    ('a:x="1"attr__:on="2"', [("a", (), {"x": "1", "attr__:on": "2"})]),
    ('a:="1"text="t"', [("a", (), {"text": "t"})]),
    ('a:x="1"y', [("a", (), {"x": "1"})]),
    ('a:x="1";b:y="2', [("a", (), {"x": "1"}), ("b", (), {}), ("2", (), {})]),
    (r'a:x="1\"', [("a", (), {}), ("1\\", (), {})]),
    ('a:attr__class="w-1.5 b"', [("a", ("w-1.5", "b"), {"attr__class": "w-1.5 b"})]),
    ('a.w-1.5.b:attr__class="w-1.5 b"', [("a", ("w-1.5", "b"), {"attr__class": "w-1.5 b"})]),
    ('a.small:attr_class="xyz small\\""', [("a", ("small",), {"attr_class": 'xyz small\\"'})]),
    ("💻:text=\"ü\"", [("💻", (), {"text": "ü"})]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "elements"), CHAINS)
def test_chain(text, elements):
    """A chain is read as PostHog's own reader does, malformed ones included."""
    read = [(e.tag, e.classes, dict(e.attributes)) for e in parse_chain(text)]
    for _tag, _classes, pairs in read:
        pairs.pop("", None)

    assert read == elements


def test_chain_fields():
    """The keys of a chain become the fields of the element."""
    (element,) = parse_chain('a:attr_id="i"href="/h"nth-child="2"nth-of-type="3"text="t"')

    assert (element.id, element.href, element.text) == ("i", "/h", "t")
    assert (element.position("nth_child"), element.position("nth_of_type")) == (2, 3)


def test_escaped_quotes_stay():
    """A quote in a chain stays escaped in texts, and a selector finds it either way."""
    event = {"elements_chain": r'a:attr__title="say \"hi\""text="say \"hi\""'}

    assert fires(event, text=r"say \"hi\"")
    assert not fires(event, text='say "hi"')
    assert fires(event, selector=r'[title="say \"hi\""]')
    assert fires(event, selector="[title='say \"hi\"']")


@given(st.text('ab.;:=" \\n-', max_size=25))
def test_fast_reader_agrees(text):
    """The short way for well-formed chains reads what the long way reads."""
    quick = chain._as_written(text)

    assert not quick or quick == [chain._split_piece(piece) for piece in chain._pieces(text)]


HEADS = st.sampled_from(["a", ".b", "a.c:d", "a:b.c", ""])
VALUES = st.text("a;:= .", max_size=5)
PAIRS = st.fixed_dictionaries({"text": VALUES}, optional={"attr__x": VALUES, "attr__:y": VALUES})


@given(st.lists(st.tuples(HEADS, PAIRS), min_size=1, max_size=4))
def test_fast_reader_reads_what_posthog_writes(elements):
    """Chains as PostHog writes them, without escapes, are read back by both ways."""
    written = (
        head
        + ":"
        + "".join(f'{key}="{value}"' for key, value in sorted(pairs.items(), reverse=True))
        for head, pairs in elements
    )
    text = ";".join(written)

    assert chain._as_written(text) == elements
    assert [chain._split_piece(piece) for piece in chain._pieces(text)] == elements


CLICK = {
    "elements": [{"tag_name": "b", "text": "Pay", "href": "/5"}, {"tag_name": "a", "text": "Help"}]
}
NO_TEXT = {"elements": [{"tag_name": "a"}]}
ELEMENT_FILTERS = [
    ("tag_name", "exact", "a", True, True),
    ("tag_name", "exact", ["x", "a"], True, True),
    ("tag_name", "is_not", "a", False, False),
    ("tag_name", "is_not", ["x", "b"], False, True),
    ("selector", "exact", "a > b", True, False),
    ("selector", None, ["x", "b"], True, False),
    ("selector", "is_not", ["x", "b"], False, True),
    ("selector", "is_not", "x", True, True),
    ("text", "exact", "Help", True, False),
    ("text", "exact", ["x", "Help"], True, False),
    ("text", "is_not", "Help", False, True),
    ("text", "is_not", "other", True, True),
    ("text", "icontains", "PA%", True, False),
    ("text", "not_icontains", "pay", False, True),
    ("text", "not_icontains", ["x", "pay"], False, True),
    ("text", "is_set", None, True, False),
    ("text", "is_not_set", None, False, True),
    ("text", "regex", "^H", True, False),
    ("text", "not_regex", "^H", False, True),
    ("text", "gt", 3, False, False),
    ("text", "not_between", [1, 2], False, False),
    ("href", "exact", "/5", True, False),
    ("href", "in", ["/5"], True, False),
    ("href", "is_not", "/5", False, True),
    ("href", "is_not", "/6", True, True),
]


@pytest.mark.parametrize(("key", "operator", "value", "click", "without_text"), ELEMENT_FILTERS)
def test_element_filters(key, operator, value, click, without_text):
    """A filter on elements asks for one that fits, a negative one that none does."""
    definition = {"key": key, "type": "element", "operator": operator, "value": value}

    assert fires(CLICK, properties=[definition]) is click
    assert fires(NO_TEXT, properties=[definition]) is without_text
    assert not fires({}, properties=[definition])
