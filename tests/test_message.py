"""Templates, the bodies composed from them, and recognising a body again."""

# ruff: noqa: RUF001 - look-alikes are the point

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthog_twilio import message
from posthog_twilio.message import Template, compose, count_segments, same_message, ucs2_cause
from posthog_twilio.segments import units

EVENT = {
    "event": "order placed",
    "properties": {
        "total": 12.0,
        "order": {"id": "A1"},
        "plan": "pro",
        "evil": "{event.event}{{held_back}}",
    },
    "person": {"properties": {"email": "a@example.com"}},
}


def rendered(text, event=EVENT, held_back=0):
    """Parse and fill in."""
    return Template.parse(text).render(event, held_back)


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("Hi {event.event} occurred{and_more} - PostHog", "Hi order placed occurred - PostHog"),
        ("{event.properties.total}", "12"),
        ("{event.properties.order.id}/{ event.properties.plan }", "A1/pro"),
        ("{{ person.properties.email }}{{person.properties.email}}", "a@example.com" * 2),
        ("{event.properties.order}", '{"id":"A1"}'),
        ("[{event.properties.missing}]", "[]"),
        ("{event.properties.evil}", "{event.event}{{held_back}}"),
        ("{held_back}{{ held_back }}{and_more}", "00"),
        ("{} { 1 + 2 } {hello world} {{x | y}} {:)} {5} {$5}", None),
        ('{"a": 1, "b": {event.properties.plan}}', '{"a": 1, "b": pro}'),
        ('{"a":1}', None),
        ("{{{event.event}}}", "{order placed}"),
        ("{{event.event}", "{order placed"),
        ("{ {event.event} }", "{ order placed }"),
        ("100% {event!r} %s \\1 {0}", None),
        ("a\r\nb\rc\td\x00\x1b\ud800", "a\nb\nc d"),
        ("a\tb\x00{event.properties.plan}\r\n\x1b{held_back}", "a bpro\n0"),
        ("\u200fשלום", None),
    ],
)
def test_renders(text, body):
    """Paths in single or double braces are filled in; everything else stays as it is."""
    assert rendered(text) == (text if body is None else body)


def test_tells_the_count():
    """The number held back is told where the template says so."""
    assert (
        rendered("{event.event}{and_more} {held_back}", held_back=37)
        == "order placed (+37 more) 37"
    )


@pytest.mark.parametrize("text", ["", "  \n", None, 5, b"x"])
def test_refuses_no_text(text):
    """A template is text that is not blank."""
    with pytest.raises(ValueError, match="expected text that is not blank, got"):
        Template.parse(text)


@pytest.mark.parametrize(
    "text",
    ["{name}", "{foo.bar}", "{event}", "{{ person }}", "{event.}", "{event..x}", "{Event.event}",
     "{$current_url}", "{held_back.x}", "{properties.plan}", "ok {event.event}, not {größe}"],
)  # fmt: skip
def test_refuses_unknown_roots(text):
    """A lone word in braces must be a path from a known root, or a count."""
    with pytest.raises(ValueError, match=r"event\. or person\."):
        Template.parse(text)


def test_names_count():
    """A template knows whether it tells the count."""
    assert Template.parse("{and_more}").names_count
    assert Template.parse("x {{ held_back }}").names_count
    assert not Template.parse("{event.held_back} {event.event}").names_count


def test_keeps_its_text():
    """The text as given is kept, and templates of one text are equal."""
    template = Template.parse("{{ event.event }}\t")

    assert template.text == "{{ event.event }}\t"
    assert template == Template.parse(template.text)
    assert repr(template) == "Template(text='{{ event.event }}\\t')"


@given(st.text(max_size=200), st.integers(0, 10**6))
def test_data_is_never_expanded(text, held_back):
    """Whatever the data says, the parts around it are the template's alone."""
    name = text + "{event.event}{{ held_back }}{and_more}%s\\g<0>"
    body = rendered("<{event.event}>{and_more}", {"event": name}, held_back)

    ending = f" (+{held_back} more)" if held_back else ""
    inner = body.removeprefix("<").removesuffix(">" + ending)
    assert body == f"<{inner}>{ending}"
    assert message.shown(name) == inner


@pytest.mark.parametrize(
    ("max_segments", "length", "end"),
    [(1, 160, "..."), (2, 306, "..."), (None, 1600, "..."), (30, 1600, "...")],
)
def test_composes_within_limits(max_segments, length, end):
    """A long body is cut at the segments allowed, and at 1600 in any case."""
    body = compose(Template.parse("a" * 2000), EVENT, 0, max_segments)

    assert len(body) == length
    assert body.endswith("a" + end)


def test_cuts_in_its_encoding():
    """A UCS-2 body ends in one character, which costs it nothing more."""
    assert compose(Template.parse("ж" * 200), EVENT, 0, 1) == "ж" * 69 + "…"


@pytest.mark.parametrize(
    "text", ["{event.missing}", " {event.missing}\n", "\u200b{event.invisible}"]
)
def test_nothing_to_see_is_empty(text):
    """A body of nothing but blanks and invisible characters is empty."""
    assert compose(Template.parse(text), {"invisible": "\u200d\ufe0f \u200c"}, 0, 1) == ""


def test_a_missing_value_is_just_empty():
    """What stands around it is sent as it is; only the comparison ignores blanks at the end."""
    template = Template.parse("Plan: {event.missing}")

    assert compose(template, EVENT, 0, None) == "Plan: "
    assert same_message(template, EVENT, None, "Plan:")


hostile = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(
    st.text().filter(str.strip),
    hostile,
    st.integers(0, 10**9),
    st.one_of(st.none(), st.integers(1, 12)),
)
def test_any_body_is_within_limits(text, value, held_back, max_segments):
    """Whatever template and event say, the body keeps the limits and can be encoded."""
    template = Template.parse(re.sub(r"[{}]", "", text) + "x {event.v}{and_more}")
    body = compose(template, {"v": value}, held_back, max_segments)

    assert count_segments(body) <= (max_segments or 24)
    assert units(body) <= 1600
    assert body.encode()


TEMPLATES = [
    "Hi {event.event} occurred{and_more} - PostHog",
    "{held_back} more {event.event}",
    "{event.event} {held_back}24h{and_more}",
    "{event.event}{and_more}{held_back}",
    "1{held_back}{held_back}",
    "😀 {event.event}{and_more} {event.event}",
    "{event.event}{and_more} then 😀",
    "{event.event}{event.event}{and_more}",
    "no count {event.event}",
]


@given(
    st.sampled_from(TEMPLATES),
    st.text(max_size=20)
    | st.integers(0, 200).map("x".__mul__)
    | st.integers(0, 90).map("ж".__mul__),
    st.one_of(st.integers(0, 200), st.integers(0, 10**11)),
    st.sampled_from([None, 1, 2]),
)
def test_recognises_its_own_message(text, name, held_back, max_segments):
    """A body is found again whatever number it told, cut or not."""
    template, event = Template.parse(text), {"event": name}
    body = compose(template, event, held_back, max_segments)

    assert same_message(template, event, max_segments, body + " \n") is bool(body)


@pytest.mark.parametrize("length", range(140, 162))
@pytest.mark.parametrize("held_back", [1, 9, 37, 370, 12345, 3456789])
@pytest.mark.parametrize("rest", ["{and_more} - PostHog", "{held_back}", "{held_back}{and_more}"])
def test_recognises_a_count_cut_anywhere(rest, length, held_back):
    """Wherever the cut goes through the count, the body is found again."""
    template, event = Template.parse("a" * length + rest), {}
    body = compose(template, event, held_back, 1)

    assert same_message(template, event, 1, body)


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "Hi sign-up occurred - PostHo",
        "Hi sign-up occurred - PostHog!",
        "Hi sign-up occurred (+0 more) - PostHog",
        "Hi sign-up occurred (+037 more) - PostHog",
        "Hi sign-up occurred (+37 more) - PostHog...",
        "Hi sign-up occurred (+3x more) - PostHog",
        "Hi log-in occurred - PostHog",
        " Hi sign-up occurred - PostHog",
    ],
)
def test_other_messages_are_others(body):
    """A body that this template cannot make of this event is another message."""
    template = Template.parse("Hi {event.event} occurred{and_more} - PostHog")

    assert not same_message(template, {"event": "sign-up"}, 1, body)


def test_without_a_count_the_body_is_exact():
    """Where the template tells no count, there is one body, and everything else is another."""
    template = Template.parse("{event.event} occurred")

    assert same_message(template, {"event": "sign-up"}, 1, "sign-up occurred")
    assert not same_message(template, {"event": "sign-up"}, 1, "sign-up occurred (+1 more)")
    assert template.before_count({"event": "sign-up"}) == "sign-up occurred"


def test_counts_must_agree():
    """A body that tells two different counts is no message of ours."""
    template = Template.parse("{held_back}{and_more}")

    assert same_message(template, {}, None, "7 (+7 more)")
    assert not same_message(template, {}, None, "7 (+8 more)")


def test_nothing_of_nothing_is_no_message():
    """An event that makes an empty body has no message to be found."""
    assert not same_message(Template.parse("{event.missing}"), {}, None, "")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("It’s {event.event}", "'’' (U+2019 RIGHT SINGLE QUOTATION MARK)"),
        ("a\u00a0b – c", "'\\xa0' (U+00A0 NO-BREAK SPACE)"),
        ("\U0001f600", "'😀' (U+1F600 GRINNING FACE)"),
        ("\ue000", "'\\ue000' (U+E000 without a name)"),
        ("It's {event.event} in [brackets] for 5 €\t\n", None),
        ("{event.properties.größe}", None),
    ],
)
def test_ucs2_cause(text, cause):
    """The first character of the template's own that costs every message its length is named."""
    assert ucs2_cause(Template.parse(text)) == cause
