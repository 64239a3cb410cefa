"""How texts compare: exact, LIKE, and regular expressions in RE2's dialect."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthog_twilio.actions import Action
from posthog_twilio.actions._re2 import INSTALL
from posthog_twilio.actions.text import compile_like, fold

re2 = pytest.importorskip("re2")


def url_step(pattern, url, matching=None):
    """Tell whether a step on the url matches."""
    action = Action.parse({"name": "A", "steps": [{"url": pattern, "url_matching": matching}]})
    return action.matches({"event": "e", "properties": {"$current_url": url}})


def text_step(pattern, text, matching=None):
    """Tell whether a step on the text matches."""
    action = Action.parse({"name": "A", "steps": [{"text": pattern, "text_matching": matching}]})
    return action.matches({"event": "e", "elements": [{"text": text}]})


LIKE = [
    ("b", "abc", True),
    ("_", "a", True),
    ("_", "\n", False),
    ("a_c", "abc", True),
    ("a_c", "ac", False),
    ("a__c", "abbc", True),
    ("a%c", "ac", True),
    ("a%c", "a--c", True),
    ("a%c", "a\nc", False),
    ("a%c", "a\na-c", True),
    ("a%", "a", True),
    ("%", "x", True),
    ("%%", "\n", True),
    ("a%b%c", "c-a-b-c", True),
    ("a%b%c", "a-c-b", False),
    ("a%ab", "ab", False),
    ("a%\nb", "a--\nb", True),
    ("a%\nb", "a\n\nb", False),
    ("_%_", "a", False),
    ("_%_", "ab", True),
    (r"a\%c", "a%c", False),
    (r"a\%c", r"a\zzc", True),
    (r"100\_", "100_", False),
    ("a.c", "abc", False),
    ("[ab]*", "a", False),
    ("日_語", "x日本語", True),
    ("a_", "a😀", True),
]


@pytest.mark.parametrize(("pattern", "text", "found"), LIKE)
def test_like(pattern, text, found):
    """In LIKE an underscore is one character, a percent any run, and nothing else is special."""
    assert compile_like(pattern, ignore_case=False)(text) is found
    assert compile_like(pattern, ignore_case=True)(text) is found


def _oracle(pattern, text):
    parts = {"%": ".*", "_": "."}
    return re.search("".join(parts.get(c, re.escape(c)) for c in pattern), text) is not None


@given(st.text("ab%_\n", max_size=8), st.text("ab\n", max_size=12))
def test_like_agrees_with_its_definition(pattern, text):
    """Both ways of matching LIKE decide as the regular expression that defines it."""
    assert compile_like(pattern, ignore_case=False)(text) is _oracle(pattern, text)


@given(st.text(max_size=20))
def test_fold_keeps_the_length(text):
    """Dropping the case keeps one character for one, so that an underscore still counts right."""
    assert len(fold(text)) == len(text)
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ÄÖ", "äö"), ("ΣΑΣ", "σας"), ("ẞ", "ß"), ("\u212a", "k"), ("A\u0130", "a\u0130")],
)
def test_fold_joins_cases(one, other):
    """Letters beyond ASCII are the same without their case, a final sigma too."""
    assert fold(one) == fold(other)


def test_url_contains_keeps_case():
    """A url compares case-sensitively, with wildcards or without."""
    assert url_step("/Pricing", "https://a.test/Pricing")
    assert not url_step("/Pricing", "https://a.test/pricing")
    assert not url_step("/Pri%g", "https://a.test/pricing")
    assert not url_step("/Pr_cing", "https://a.test/pricing", "contains")


def test_text_contains_ignores_case():
    """A text or href compares without case, with wildcards or without."""
    assert text_step("pay", "PAY NOW", "contains")
    assert text_step("p%W", "Pay now", "contains")
    assert text_step("STRA_E", "straße", "contains")
    assert not text_step("pay", "PA", "contains")


def test_defaults():
    """Without a word a url is searched for and a text has to be equal."""
    for blank in (None, ""):
        assert url_step("b", "abc", blank)
        assert not text_step("b", "abc", blank)
        assert text_step("abc", "abc", blank)
        assert not text_step("ABC", "abc", blank)


def test_exact_has_no_wildcards():
    """An exact url is equal to the last character, and a percent is a percent."""
    assert url_step("https://a.test/%", "https://a.test/%", "exact")
    assert not url_step("https://a.test/%", "https://a.test/x", "exact")
    assert not url_step("https://a.test", "https://a.test/", "exact")


@pytest.mark.parametrize(("matching"), ["equals", "Contains", "EXACT", 1, ["exact"]])
def test_unknown_matching_word(matching):
    """A way of comparing that is not known never matches and is told at load."""
    definition = {"name": "A", "steps": [{"url": "a", "url_matching": matching}]}

    action = Action.parse(definition)

    assert not action.matches({"event": "e", "properties": {"$current_url": "a"}})
    assert repr(matching) in action.warnings[0]


def test_matching_word_without_its_condition():
    """A leftover word beside an empty condition changes nothing."""
    definition = {"name": "A", "steps": [{"event": "e", "url": "", "url_matching": "odd"}]}

    assert Action.parse(definition).matches({"event": "e"})


RE2_ACCEPTS = [
    (r"/orders/\d+", "/eu/orders/55?x", True),
    (r"^/orders", "/eu/orders", False),
    (r"pricing$", "pricing\n", False),
    (r"pricing\z", "pricing", True),
    (r"(?i)ORDERS", "orders", True),
    (r"ORDERS", "orders", False),
    (r"a(?i)B", "ab", True),
    (r"(?<n>a)", "a", True),
    (r"(?P<n>a)", "a", True),
    (r"\Qa.b\E", "a.b", True),
    (r"\Qa.b\E", "axb", False),
    (r"\p{Greek}", "\u03b1", True),
    (r"\x{41}", "A", True),
    (r"\d", "٣", False),
    (r"\w", "é", False),
    (r"^\s$", "\v", False),
    (r"a.c", "a\nc", False),
    (r"(?U)a+", "aa", True),
    (r"^*", "x", True),
    (r"😀{2}", "😀😀", True),
]


@pytest.mark.parametrize(("pattern", "text", "found"), RE2_ACCEPTS)
def test_regex_is_re2(pattern, text, found):
    """A regular expression means what it means to RE2, wherever in the text."""
    assert url_step(pattern, text, "regex") is found
    assert text_step(pattern, text, "regex") is found


RE2_REFUSES = [
    "(", "(?=a)", "(?!a)", "(?<=a)", r"(a)\1", "a++", "(?>a)", "(?#c)", "a{2000}", r"\u0041", r"\Z",
    "[", "*a", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("pattern", RE2_REFUSES)
def test_refused_regex(pattern, capfd):
    """What RE2 refuses is undecidable, not_regex included, and nothing is printed."""
    filters = [{"key": "k", "operator": "not_regex", "value": pattern}]
    steps = [{"url": pattern, "url_matching": "regex"}, {"event": "e", "properties": filters}]

    action = Action.parse({"name": "A", "steps": steps})

    assert not action.matches({"event": "e", "properties": {"$current_url": "a", "k": "zzz"}})
    assert [w for w in action.warnings if "RE2 refuses" in w and "step 1" in w]
    assert [w for w in action.warnings if "RE2 refuses" in w and "step 2" in w]
    assert capfd.readouterr() == ("", "")


def test_lone_surrogate_in_the_text():
    """A text that cannot be encoded is searched all the same, the broken character replaced."""
    assert url_step("^a.b$", "a\ud800b", "regex")
    assert url_step("^a\ufffdb$", "a\ud800b", "regex")
    assert url_step("^😀$", "\ud83d\ude00", "regex")


@pytest.mark.parametrize("impostor", [None, sys])
def test_without_re2(monkeypatch, impostor):
    """Where RE2 is missing a regex step never matches and names the command; others work."""
    monkeypatch.setitem(sys.modules, "re2", impostor)
    steps = [{"event": "x", "url": ".", "url_matching": "regex"}, {"event": "y", "url": "a"}]

    action = Action.parse({"name": "A", "steps": steps})

    properties = {"$current_url": "abc"}
    assert not action.matches({"event": "x", "properties": properties})
    assert action.matches({"event": "y", "properties": properties})
    (warning,) = action.warnings
    assert INSTALL in warning
    assert "posthog-twilio[actions]" in INSTALL
    assert "'A', step 1" in warning
    assert action.event_names == {"y"}
