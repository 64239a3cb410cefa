"""The readers of single fields work on any mapping and never raise."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone, tzinfo
from uuid import UUID

import pytest

from posthog_twilio import events

UTC = timezone.utc
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _far_from_utc(monkeypatch):
    """Let local time differ from UTC, so that taking one for the other shows."""
    if not hasattr(time, "tzset"):
        yield
        return
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("event", "uuid"),
    [
        ({"uuid": "u"}, "u"),
        ({"eventUuid": "u"}, "u"),
        ({"uuid": "", "eventUuid": "u"}, "u"),
        ({"id": "u", "elements_chain": ""}, "u"),
        ({"uuid": UUID(int=1)}, "00000000-0000-0000-0000-000000000001"),
        ({"id": "u"}, None),
        ({"id": 17, "elements_chain": ""}, None),
        ({"id": "u", "elements_chain": "", "uuid": ""}, None),
        ({"uuid": ""}, None),
        ({"uuid": " "}, None),
        ({"uuid": 3}, None),
        ({"uuid": None}, None),
        ({}, None),
    ],
)
def test_uuid(event, uuid):
    """Only text is an ID; an API item's ``id`` counts where there is no ``uuid``."""
    assert events.uuid(event) == uuid


@pytest.mark.parametrize(
    ("event", "distinct_id"),
    [
        ({"distinct_id": "a", "$distinct_id": "b"}, "a"),
        ({"$distinct_id": "b", "distinctId": "c"}, "b"),
        ({"distinctId": "c", "properties": {"distinct_id": "d"}}, "c"),
        ({"properties": {"distinct_id": "d"}}, "d"),
        ({"properties": '{"distinct_id": "d"}'}, "d"),
        ({"distinct_id": "", "$distinct_id": "b"}, "b"),
        ({"distinct_id": None, "properties": {"distinct_id": 4}}, "4"),
        ({"distinct_id": "  "}, None),
        ({"distinct_id": " a "}, " a "),
        ({"distinct_id": 5}, "5"),
        ({"distinct_id": 0}, "0"),
        ({"distinct_id": 5.0}, "5"),
        ({"distinct_id": 5.5}, "5.5"),
        ({"distinct_id": 1e22}, "1e+22"),
        ({"distinct_id": True}, "true"),
        ({"distinct_id": [1, "ä"]}, '[1,"ä"]'),
        ({"distinct_id": {"a": None}}, '{"a":null}'),
        ({"distinct_id": object()}, None),
        ({"properties": 3}, None),
        ({}, None),
    ],
)
def test_distinct_id(event, distinct_id):
    """The sources are asked in order; what is not text becomes JSON text, blank is nothing."""
    assert events.distinct_id(event) == distinct_id


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2024-05-01T12:00:00Z", NOON),
        ("2024-05-01t12:00:00z", NOON),
        ("2024-05-01T12:00:00.000Z", NOON),
        ("2024-05-01T12:00:00.1Z", NOON.replace(microsecond=100_000)),
        ("2024-05-01T12:00:00.12", NOON.replace(microsecond=120_000)),
        ("2024-05-01T12:00:00,12", NOON.replace(microsecond=120_000)),
        ("2024-05-01T12:00:00.123456789Z", NOON.replace(microsecond=123_456)),
        ("2024-05-01T14:00:00+02:00", NOON),
        ("2024-05-01T14:00:00+0200", NOON),
        ("2024-05-01T14:00:00.1+02", NOON.replace(microsecond=100_000)),
        ("2024-05-01 06:30:00.000-05:30", NOON),
        ("2024-05-01 12:00:00", NOON),
        ("2024-05-01 12:00:00.123456", NOON.replace(microsecond=123_456)),
        ("2024-05-01 12:00:00 Z", NOON),
        ("2024-05-01 12:00:00+00", NOON),
        ("2024-05-01T12:00", NOON),
        ("2024-05-01T12:00Z", NOON),
        (" 2024-05-01T12:00:00Z\n", NOON),
        ("2024-05-01", NOON.replace(hour=0)),
        (NOON, NOON),
        (NOON.replace(tzinfo=None), NOON),
        (NOON.astimezone(timezone(timedelta(hours=2))), NOON),
    ],
)
def test_as_timestamp(value, moment):
    """ISO 8601 and ClickHouse's form are read alike on every Python; no zone means UTC."""
    found = events.as_timestamp(value)

    assert found == moment
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2024-13-01T12:00:00Z",
        "2024-02-30",
        "2024-05-01T25:00:00Z",
        "2024-05-01T12:00.5Z",
        "2024-05-01T12:00:00+99:00",
        "2024-05-01T12:00:00+00:00Z",
        "2024-05-01_12:00:00",
        "2024-W18-3T12:00:00",
        "2024-W18-3",
        "20240501T120000Z",
        "20240501",
        "\uff12\uff10\uff12\uff14-05-01",
        "2024-05-01T12:00:00Z\n2024",
        "0001-01-01T00:00:00+02:00",
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))),
        1714564800,
        1714564800.5,
        True,
        None,
        [],
        b"2024-05-01",
        NOON.date(),
    ],
)
def test_what_is_no_timestamp_is_none(value):
    """Unreadable times are nothing, not an error, and numbers are not guessed at."""
    assert events.as_timestamp(value) is None


def test_a_zone_that_does_not_know_its_offset_is_none():
    """Such a datetime is naive by Python's own definition, so UTC, never local time."""

    class Vague(tzinfo):
        def utcoffset(self, when):
            return None

    assert events.as_timestamp(NOON.replace(tzinfo=Vague())) == NOON


@pytest.mark.parametrize(
    ("event", "moment"),
    [
        ({"timestamp": "2024-05-01T12:00:00Z", "now": "2024-05-01T13:00:00Z"}, NOON),
        ({"timestamp": "soon", "now": "2024-05-01T12:00:00Z"}, NOON),
        ({"now": "2024-05-01T12:00:01Z", "offset": 1000}, NOON),
        ({"now": "2024-05-01T12:00:00Z", "offset": "1000"}, NOON),
        ({"now": "2024-05-01T12:00:00Z", "offset": 1e300}, None),
        ({"now": "2024-05-01T12:00:00Z", "offset": float("nan")}, None),
        ({"properties": {"$time": 1714564800}}, NOON),
        ({"properties": {"$time": 1714564800.5}, "offset": 3}, NOON.replace(microsecond=500_000)),
        ({"properties": {"$time": 1e300}}, None),
        ({"properties": {"$time": float("nan")}}, None),
        ({"properties": {"$time": True}}, None),
        ({"properties": {"$time": "1714564800"}}, None),
        ({"timestamp": 1714564800}, None),
        ({}, None),
    ],
)
def test_timestamp(event, moment):
    """Without a timestamp it is the time of receipt less the offset, then posthog-js's own."""
    assert events.timestamp(event) == moment


@pytest.mark.parametrize(
    ("event", "properties"),
    [
        ({"person": {"properties": {"a": 1}}, "person_properties": {"b": 1}}, {"a": 1}),
        ({"person": {"properties": '{"a": 1}'}}, {"a": 1}),
        ({"person": {}, "person_properties": {"b": 1}}, {"b": 1}),
        ({"person": None, "person_properties": '{"b": 1}'}, {"b": 1}),
        ({"person": 3, "person_properties": []}, {}),
        ({"$set": {"a": 1}}, {"a": 1}),
        ({"$set": {"a": 1}, "properties": {"$set": {"a": 2, "b": 2}}}, {"a": 1, "b": 2}),
        ({"$set": {"a": 1}, "person": {"properties": {"a": 3, "c": 3}}}, {"a": 1, "c": 3}),
        ({"$set_once": {"a": 1, "b": 1}, "person_properties": {"a": 3}}, {"a": 3, "b": 1}),
        ({"$set_once": {"a": 1}, "properties": {"$set_once": {"a": 2, "b": 2}}}, {"a": 1, "b": 2}),
        ({"$set_once": {"a": 1}, "$set": {"a": 2}}, {"a": 2}),
        ({"properties": '{"$set": {"a": 1}}'}, {"a": 1}),
        ({"properties": 3, "$set": 3, "$set_once": []}, {}),
        ({}, {}),
    ],
)
def test_person_properties(event, properties):
    """``$set`` lies over what rides along, ``$set_once`` under it; the top level wins."""
    before = repr(event)

    assert events.person_properties(event) == properties
    assert repr(event) == before
