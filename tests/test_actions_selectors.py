"""CSS selectors over the chain of elements."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthog_twilio.actions import Action
from posthog_twilio.actions.css import parse_selector
from posthog_twilio.actions.element import Element

BUTTON = {
    "tag_name": "button", "nth_child": 3, "nth_of_type": 2, "attr_class": ["btn", "btn-primary"],
    "attr_id": "pay", "href": "/go",
    "attributes": {"attr__data-attr": "pay now", "attr__Data-X": "A", "attr__empty": "",
                   "attr__title": 'say "hi"', "attr__path": r"C:\temp", 5: "odd", "attr__n": 7},
}  # fmt: skip
CHAIN = [
    {"tag_name": "span", "nth_child": 1, "nth_of_type": 1},
    BUTTON,
    {"tag_name": "form", "attr_id": "checkout", "attr_class": ["card", "md:flex", "w-1.5"]},
    {"tag_name": "main", "attr_class": ["1st", "a/b", "x@y"]},
    {"tag_name": "body"},
]


def matches(selector, elements=CHAIN):
    """Tell whether a step with this selector matches, and that it was understood."""
    action = Action.parse({"name": "A", "steps": [{"selector": selector}]})
    assert action.warnings == ()
    return action.matches({"event": "$autocapture", "elements": elements})


TRUE = [
    "span", "button", "body", "  button  ", "\tbutton\n", ".btn", ".btn-primary.btn", "button.btn",
    "#pay", "button#pay.btn", ".btn#pay", '[id="pay"]', "[ID='pay']", '[href="/go"]',
    '[data-attr="pay now"]', "[data-attr='pay now']", '[DATA-ATTR="pay now"]', '[data-x="A"]',
    'button[data-attr="pay now"][data-x="A"].btn', '[ data-x = "A" ]', '[empty=""]', '[n="7"]',
    r'[title="say \"hi\""]', "[title='say \"hi\"']", r'[path="C:\temp"]', r'[path="C:\\temp"]',
    "button:nth-child(3)", ":nth-of-type(2)", "button:nth-child( 3 ):nth-of-type(2)",
    "form button", "body span", "main form button span", "form > button", "form>button",
    "main > form > button > span", "body > main span", "main > * > button", "form > *",
    "main > * > button > *",
    "main > * > span", "form  >\n button", r".md\:flex", r".w-1\.5", r".\31 st", r".\31st",
    ".a/b", r".a\/b", r".x\@y", ".x@y", r"#p\61 y", r"#p\000061y",
]  # fmt: skip
FALSE = [
    "BUTTON", "butto", ".bt", ".btn-", ".Btn", ".w-1", "#Pay", "#pa", "#refund", '[id="refund"]',
    '[data-attr="pay"]', '[data-attr="Pay now"]', '[data-x="a"]', '[missing=""]', '[text="Pay"]',
    '[nth-child="3"]', '[attr__data-x="A"]', "button:nth-child(2)", "form:nth-child(0)",
    "button form", "span button", "main > button", "form > span", "body > form", "a button",
    "span > * > main",
    "button.btn.other", "button#pay#other", 'button[data-x="A"][data-x="B"]',
    "span:nth-child(1):nth-of-type(2)", r".\110000 x", r".btn\ x",
]  # fmt: skip


@pytest.mark.parametrize("selector", TRUE)
def test_selector_matches(selector):
    """The last part may be any element, the earlier ones are its ancestors."""
    assert matches(selector)


@pytest.mark.parametrize("selector", FALSE)
def test_selector_does_not_match(selector):
    """Names are whole and case-sensitive, and all parts are of one element."""
    assert not matches(selector)


UNSUPPORTED = [
    "a, b", "a + b", "a ~ b", "a+b", "[data-attr]", '[a^="b"]', '[a$="b"]', '[a*="b"]', '[a~="b"]',
    '[a|="b"]', "[a=b]", '[a="b" i]', "a:hover", "a::before", ":not(.b)", "a:nth-child(2n+1)",
    "a:nth-child(odd)", "a:nth-child(-1)", "a:nth-child()", "a:first-child", "*", "* a", "a *",
    "*.b", ".b*", "> a", "a >", "a > > b", "> *", "a > * b", "a > * > * > b", " ", "  ", "a..b",
    ".", "#", "a#", "[", "[]", '[="b"]', '[a="b]', '["a"="b"]', '[a="b"]c', "svg|a", "a\\", "a(b)",
    '"a"', ".shadow-[0_4px]", "a:nth-child(9999999999)", ":md", ".hover:ring",
]  # fmt: skip


@pytest.mark.parametrize("selector", UNSUPPORTED)
def test_unsupported_selector(selector):
    """What is not supported never matches and is told, instead of being dropped."""
    everything = [{"tag_name": t, "attr_class": ["b"]} for t in ("a", "b", "c", "*", "svg")]

    action = Action.parse({"name": "A", "steps": [{"event": "e", "selector": selector}]})

    assert not action.matches({"event": "e", "elements": everything})
    (warning,) = action.warnings
    assert repr(selector) in warning


def path(text):
    """Make elements from classes written outermost first."""
    return [{"attr_class": [c]} for c in reversed(text.split())]


BACKTRACKING = [
    (".a > .b .c", "a b x b c", True),
    (".a > .b .c", "a x b b c", False),
    (".a .b > .c", "a b c b x", True),
    (".a .b > .c", "a b x b c", True),
    (".a > .b > .c", "a b a b c", True),
    (".a > .b > .c .d", "a b c x a b x d", True),
    (".a > .b > .c > .d", "a b c a b c d", True),
    (".a .a .a", "a a", False),
    (".a .a .a", "a x a x a", True),
    (".a > .a > .a", "a x a a", False),
    (".x > .a .a > .b", "x a y a b", True),
    (".x > .a .a > .b", "x a b", False),
]


@pytest.mark.parametrize(("selector", "elements", "found"), BACKTRACKING)
def test_backtracking(selector, elements, found):
    """Where the nearest ancestor leads nowhere, another one is tried."""
    assert matches(selector, path(elements)) is found


def _search(compounds, elements, at, k):
    """Search as a browser does, by trying everything."""
    if not compounds[k].matches(elements[at]):
        return False
    if k == 0:
        return True
    ancestors = range(at + 1, len(elements))
    reach = itertools.islice(ancestors, 1) if compounds[k].child else ancestors
    return any(_search(compounds, elements, other, k - 1) for other in reach)


@given(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
    st.lists(st.sampled_from([" ", ">"]), min_size=3, max_size=3),
    st.lists(st.sampled_from([(), ("a",), ("b",), ("a", "b")]), max_size=7),
)
def test_search_agrees_with_trying_everything(names, combinators, classes):
    """Keeping all ends at once finds what plain backtracking finds, and nothing else."""
    text = "".join(f"{c}.{n}" for c, n in zip(["", *combinators], names, strict=False))
    elements = [Element(classes=c) for c in classes]

    selector = parse_selector(text)

    compounds = selector.compounds
    expected = any(
        _search(compounds, elements, at, len(compounds) - 1) for at in range(len(elements))
    )
    assert selector.matches(elements) is expected
