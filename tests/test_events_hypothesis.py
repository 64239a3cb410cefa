"""Whatever arrives, parse_events gives well-formed events or InvalidEvent, and nothing else."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from datetime import datetime, timezone

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthog_twilio import events
from posthog_twilio.errors import InvalidEvent
from posthog_twilio.events import as_timestamp, parse_events

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYS = st.sampled_from(
    [
        *["event", "name", "uuid", "eventUuid", "id", "team_id", "$time"],
        *["distinct_id", "$distinct_id", "timestamp", "now", "offset"],
        *["properties", "person", "person_properties", "set", "set_once", "$set", "$set_once"],
        *["batch", "results", "hook", "data", "token", "elements", "elements_chain"],
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["{}", '{"event": "x"}', "[", '"\\"a.b\\""', "2024-05-01T12:00:00Z", "\ud800"]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=6)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.builds(lambda value: {**value, "event": "x"}, st.dictionaries(KEYS, inner, max_size=6))
    ),
    max_leaves=12,
)


def assert_well_formed(event):
    """Check the promises about every field."""
    fields = dict(event)
    assert isinstance(fields["event"], str)
    assert fields["event"]
    assert fields["uuid"] is None or fields["uuid"].strip()
    assert fields["distinct_id"] is None or fields["distinct_id"].strip()
    assert fields["timestamp"] is None or fields["timestamp"].tzinfo is timezone.utc
    assert type(fields["properties"]) is dict
    assert isinstance(fields.get("person", {"properties": {}})["properties"], dict)
    assert isinstance(fields.get("elements_chain", ""), str)
    assert isinstance(fields.get("elements", []), list)
    assert isinstance(fields.get("team_id", 1), int)
    assert isinstance(fields.get("$set", {}), dict)
    assert isinstance(fields.get("$set_once", {}), dict)
    assert list(event) == list(fields)
    assert len(event) == len(fields)


@unhurried
@given(JSON)
def test_any_json_is_events_or_refused(payload):
    """Nothing but InvalidEvent is raised, and the payload is left as it was."""
    before = repr(copy.deepcopy(payload))
    try:
        found = parse_events(payload)
    except InvalidEvent:
        found = []

    for event in found:
        assert_well_formed(event)
    assert repr(payload) == before


@unhurried
@given(JSON)
def test_text_says_what_the_object_says(payload):
    """A payload and its JSON text are read alike."""
    text = json.dumps(payload)

    def seen(something):
        try:
            return [repr(dict(event)) for event in parse_events(something)]
        except InvalidEvent as error:
            return str(error)

    if isinstance(payload, (dict, list)):
        assert seen(text) == seen(json.loads(text))


@unhurried
@given(st.text() | st.binary() | st.binary().map(b"\x1f\x8b".__add__))
def test_any_body_is_events_or_refused(body):
    """Garbage is refused, whatever it is made of."""
    with suppress(InvalidEvent):
        assert parse_events(body) == []


@unhurried
@given(st.dictionaries(KEYS, JSON))
def test_the_readers_never_raise(event):
    """A field of a wrong type is an absent field."""
    before = repr(event)

    events.uuid(event)
    events.distinct_id(event)
    events.timestamp(event)
    events.person_properties(event)

    assert repr(event) == before


@unhurried
@given(st.datetimes(timezones=st.timezones()), st.sampled_from("T "))
def test_a_time_survives_its_text(moment, between):
    """What isoformat writes is read as the same moment."""
    try:
        in_utc = moment.astimezone(timezone.utc)
    except OverflowError:
        in_utc = None
    assert as_timestamp(moment.isoformat(between)) == in_utc


@unhurried
@given(st.text(st.sampled_from("0123456789-:.,TZ +W"), max_size=32))
def test_times_are_read_or_none(text):
    """No text makes the reader of times raise."""
    found = as_timestamp(text)

    assert found is None or isinstance(found, datetime)
