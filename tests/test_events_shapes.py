"""Each shape in which PostHog delivers events is read into the same plugin event."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import logging
import pickle
from datetime import datetime, timezone
from types import MappingProxyType
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest

from posthog_twilio import events
from posthog_twilio.errors import InvalidEvent
from posthog_twilio.events import Event, iter_events, parse_events
from posthog_twilio.phone import mask

UUID_1 = "018f3e6a-0000-7000-8000-000000000001"
NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
EMAIL = {"email": "a@example.com"}

LEGACY = {
    "distinct_id": "user_1",
    "ip": None,
    "team_id": 2,
    "event": "order placed",
    "properties": {"total": 12},
    "timestamp": "2024-05-01T12:00:00.000Z",
    "uuid": UUID_1,
    "elements": [{"tag_name": "a"}],
    "person": {"uuid": "p1", "team_id": 2, "properties": EMAIL, "created_at": ""},
}
POSTHOG_EVENT = {**LEGACY, "timestamp": datetime(2024, 5, 1, 12)}
ROW = {
    "uuid": UUID_1,
    "event": "order placed",
    "properties": '{"total":12}',
    "timestamp": "2024-05-01 12:00:00.000000",
    "team_id": 2,
    "distinct_id": "user_1",
    "elements_chain": "a.buy",
    "person_id": "p1",
    "person_created_at": "2024-04-01 10:00:00",
    "person_properties": '{"email":"a@example.com"}',
    "person_mode": "full",
    "group0_properties": "{}",
}
CAPTURED = {
    "uuid": UUID_1,
    "distinct_id": "user_1",
    "ip": "203.0.113.7",
    "data": json.dumps(
        {"event": "order placed", "properties": {"total": 12}, "$set": EMAIL, "uuid": "posted"}
    ),
    "now": "2024-05-01T13:00:00Z",
    "sent_at": None,
    "token": "phc_x",
    "event": "order placed",
    "timestamp": "2024-05-01T12:00:00Z",
}
OLD_CAPTURED = {key: value for key, value in CAPTURED.items() if key != "event"}
INSIDE = {
    "uuid": UUID_1,
    "event": "order placed",
    "distinct_id": "user_1",
    "properties": {"total": 12},
    "elements_chain": "a.buy",
    "timestamp": "2024-05-01T12:00:00.000Z",
    "url": "http://localhost:8000/events/1",
}
PERSON = {"id": "p1", "name": "test", "properties": EMAIL}
GLOBALS = {
    "project": {"id": 1, "name": "shop", "url": "http://localhost:8000"},
    "event": INSIDE,
    "person": PERSON,
    "groups": {"company": {"id": "acme", "index": 0, "properties": {}}},
    "inputs": {},
}
OLD_GLOBALS = {
    "event": {**{k: v for k, v in INSIDE.items() if k != "event"}, "name": "order placed"},
    "person": {"uuid": "p1", "properties": EMAIL},
    "groups": None,
}
MIDDLE_GLOBALS = {"event": {**INSIDE, "name": "another name"}, "person": PERSON}
HOOK_DATA = {
    "eventUuid": UUID_1,
    "event": "order placed",
    "teamId": 2,
    "distinctId": "user_1",
    "properties": {"total": 12},
    "timestamp": "2024-05-01T12:00:00.000Z",
    "elementsList": [{"tag_name": "a"}],
    "person": {"uuid": "p1", "properties": EMAIL, "created_at": "2024-04-01T10:00:00.000Z"},
}
HOOK = {"hook": {"id": "h1", "event": "action_performed", "target": "-"}, "data": HOOK_DATA}
API_ITEM = {
    "id": UUID_1,
    "distinct_id": "user_1",
    "properties": {"total": 12},
    "event": "order placed",
    "timestamp": "2024-05-01T12:00:00.000000+00:00",
    "person": {"is_identified": True, "distinct_ids": ["user_1"], "properties": EMAIL},
    "elements": [],
    "elements_chain": "a.buy",
}
S3_LINE = {
    "uuid": UUID_1,
    "event": "order placed",
    "distinct_id": "user_1",
    "person_id": "p1",
    "properties": {"total": 12},
    "person_properties": EMAIL,
    "elements_chain": "a.buy",
    "timestamp": "2024-05-01T12:00:00.000000+00:00",
    "_inserted_at": "2024-05-01T12:00:05+00:00",
}
PARQUET_ROW = {
    **S3_LINE,
    "properties": '{"total": 12}',
    "person_properties": '{"email": "a@example.com"}',
    "timestamp": NOON,
}
POSTGRES = {
    "uuid": UUID(UUID_1),
    "event": "order placed",
    "properties": {"total": 12},
    "elements": json.dumps(json.dumps("a.buy")),
    "set": '{"email": "a@example.com"}',
    "set_once": None,
    "distinct_id": "user_1",
    "team_id": 2,
    "ip": None,
    "site_url": "",
    "timestamp": "2024-05-01 12:00:00+00:00",
}
SDK = {
    "properties": {"total": 12, "$set": EMAIL, "$lib": "posthog-python"},
    "timestamp": "2024-05-01T12:00:00+00:00",
    "distinct_id": "user_1",
    "event": "order placed",
    "uuid": UUID_1,
}
RAW = {
    "event": "order placed",
    "uuid": UUID_1,
    "properties": {"token": "phc_x", "distinct_id": "user_1", "total": 12},
    "timestamp": "2024-05-01T12:00:00.000Z",
    "$set": EMAIL,
}
BATCH = {"api_key": "phc_x", "batch": [RAW], "sent_at": "2024-05-01T12:00:00Z"}
BATCH_V1 = {"created_at": "2024-05-01T12:00:00Z", "batch": [{**SDK, "options": {}}]}

ONE_EVENT = {
    "a: plugin": LEGACY,
    "a: PostHogEvent": POSTHOG_EVENT,
    "b: row": ROW,
    "b: ingestion": CAPTURED,
    "b: ingestion, older": OLD_CAPTURED,
    "c: globals": GLOBALS,
    "c: older": OLD_GLOBALS,
    "c: middle": MIDDLE_GLOBALS,
    "d: hook": HOOK,
    "d: hook data": HOOK_DATA,
    "e: item": API_ITEM,
    "e: page": {"next": None, "results": [API_ITEM]},
    "f: S3": S3_LINE,
    "f: Parquet": PARQUET_ROW,
    "f: Postgres": POSTGRES,
    "g: before_send": SDK,
    "h: one": RAW,
    "h: array": [RAW],
    "h: batch": BATCH,
    "h: batch v1": BATCH_V1,
    "queue messages": (json.dumps(ROW).encode(),),
    "read before": Event(RAW, "order placed"),
    "no dict": MappingProxyType(ROW),
}


@pytest.mark.parametrize("pack", [lambda one: one, lambda one: [one]], ids=["bare", "in a list"])
@pytest.mark.parametrize("payload", ONE_EVENT.values(), ids=ONE_EVENT.keys())
def test_every_shape_gives_the_same_event(payload, pack):
    """Name, uuid, person, time and properties come out alike, wherever the shape keeps them."""
    [event] = parse_events(pack(payload))

    assert event["event"] == "order placed"
    assert event["uuid"] == UUID_1
    assert event["distinct_id"] == "user_1"
    assert event["timestamp"] == NOON
    assert event["timestamp"].tzinfo is timezone.utc
    assert type(event["properties"]) is dict
    assert event["properties"]["total"] == 12
    assert events.person_properties(event) == EMAIL


@pytest.mark.parametrize("payload", ONE_EVENT.values(), ids=ONE_EVENT.keys())
def test_the_payload_is_left_as_it_was(payload):
    """Reading everything of an event changes nothing in what was handed in."""
    before = payload if isinstance(payload, (Event, MappingProxyType)) else copy.deepcopy(payload)

    [dict(event) for event in parse_events(payload)]

    assert payload == before


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({"event": "x", "batch": [RAW]}, "order placed"),
        ({"event": "x", "batch": {}}, "x"),
        ({"event": "x", "results": [3]}, "x"),
        (MappingProxyType({"event": "x", "results": [3]}), "x"),
        ({"event": "x", "hook": {}, "data": HOOK_DATA}, "order placed"),
        ({"event": "x", "hook": "h", "data": HOOK_DATA}, "x"),
        ({"event": "x", "data": "{}"}, "x"),
        ({"event": "x", "data": "{}", "token": "t"}, "x"),
    ],
)
@pytest.mark.parametrize("pack", [lambda one: one, lambda one: [one]], ids=["bare", "in a list"])
def test_the_first_shape_that_fits_counts(payload, name, pack):
    """Keys that hint at a wrapper decide only where they hold what a wrapper holds."""
    [event] = parse_events(pack(payload))

    assert event["event"] == name


@pytest.mark.parametrize(
    ("payload", "person"),
    [
        (LEGACY, {"uuid": "p1", "team_id": 2, "properties": EMAIL, "created_at": ""}),
        (ROW, {"id": "p1", "created_at": "2024-04-01 10:00:00", "properties": EMAIL}),
        (PARQUET_ROW, {"id": "p1", "properties": EMAIL}),
        (GLOBALS, PERSON),
        ({"event": {"event": "x", "person": {"id": "other"}}, "person": PERSON}, PERSON),
        ({"event": "x", "person": {"id": "p1"}}, {"id": "p1", "properties": {}}),
        (
            {"event": "x", "person": {"id": "p1"}, "person_properties": EMAIL},
            {"id": "p1", "properties": EMAIL},
        ),
        ({"event": "x", "person": {"properties": "{}"}}, {"properties": {}}),
        ({"event": "x", "person_properties": EMAIL}, {"properties": EMAIL}),
    ],
)
def test_person(payload, person):
    """The person is what rides along, always with properties."""
    [event] = parse_events(payload)

    assert event["person"] == person


@pytest.mark.parametrize(
    "payload", [SDK, RAW, {"event": INSIDE, "person": None}, {"event": "x", "person": 3}]
)
def test_no_person(payload):
    """Where no person rides along there is no such key."""
    [event] = parse_events(payload)

    assert "person" not in event
    assert "person" not in dict(event)


@pytest.mark.parametrize(
    ("payload", "chain"),
    [
        (ROW, "a.buy"),
        (POSTGRES, "a.buy"),
        ({"event": "x", "elements": "a.buy"}, "a.buy"),
        ({"event": "x", "elements": '"broken'}, None),
        ({"event": "x", "elements_chain": 3}, None),
        (LEGACY, None),
    ],
)
def test_elements_chain(payload, chain):
    """The chain is text, also where a database export keeps it as JSON in ``elements``."""
    [event] = parse_events(payload)

    assert event.get("elements_chain") == chain


@pytest.mark.parametrize(
    ("payload", "elements"),
    [
        (LEGACY, [{"tag_name": "a"}]),
        (HOOK, [{"tag_name": "a"}]),
        ({"event": "x", "elements": '[{"tag_name": "a"}]'}, [{"tag_name": "a"}]),
        ({"event": "x", "elements": {}}, None),
        (SDK, None),
    ],
)
def test_elements(payload, elements):
    """A list of elements is found under each of its names."""
    [event] = parse_events(payload)

    assert event.get("elements") == elements


@pytest.mark.parametrize(
    ("raw", "team"),
    [({"team_id": 2}, 2), ({"teamId": 2}, 2), ({"team_id": True}, None), ({"team_id": "2"}, None)],
)
def test_team_id(raw, team):
    """The team is a whole number or not there."""
    [event] = parse_events({"event": "x", **raw})

    assert event.get("team_id") == team


def test_set_stands_where_the_source_has_it():
    """``$set`` and ``$set_once`` of the top level are fields; so are an export's columns."""
    [raw] = parse_events({**RAW, "$set_once": {"first": 1}})
    [exported] = parse_events({**POSTGRES, "set_once": {"first": 1}})
    [plain] = parse_events({"event": "x", "set": {"a": 1}})

    assert (raw["$set"], raw["$set_once"]) == (EMAIL, {"first": 1})
    assert (exported["$set"], exported["$set_once"]) == (EMAIL, {"first": 1})
    assert "$set" not in plain


def test_other_keys_ride_along():
    """Nothing that the source says is lost: templates and actions may ask for it."""
    [inside] = parse_events(GLOBALS)
    [row] = parse_events(ROW)
    [captured] = parse_events(CAPTURED)

    assert inside["url"] == "http://localhost:8000/events/1"
    assert inside["groups"] == GLOBALS["groups"]
    assert row["group0_properties"] == "{}"
    assert captured["ip"] == "203.0.113.7"
    assert "data" not in dict(captured)
    assert "data" not in captured


# --- the event as a mapping ---------------------------------------------------------------------


def test_event_equals_the_dict_of_it():
    """An event behaves as the dict it stands for, with each key once."""
    [event] = parse_events(ROW)

    assert event == dict(event)
    assert dict(event) == event
    assert len(event) == len(list(event)) == len(dict(event)) == len(set(event))
    assert not {"person_id", "person_properties", "person_created_at"} & dict(event).keys()
    assert "person_id" not in event
    assert event.get("nothing") is None


def test_event_of_ingestion_iterates_over_both_layers():
    """The wrapper's keys and those of the posted event come once each."""
    [event] = parse_events(CAPTURED)

    assert sorted(event) == sorted(dict(event))
    assert len(event) == len(dict(event))
    assert dict(event)["$set"] == EMAIL
    assert len(event._raw) == len(dict(event._raw))


@pytest.mark.parametrize("payload", [ROW, CAPTURED, GLOBALS])
def test_event_can_be_pickled_and_copied(payload):
    """Events travel between processes, whether or not their fields were read before."""
    [event] = parse_events(payload)

    fresh = pickle.loads(pickle.dumps(event))

    assert fresh == event == copy.deepcopy(event)


def test_event_is_true_and_its_repr_shows_no_data():
    """A repr may land in a log, so it names the event and holds neither numbers nor properties."""
    [event] = parse_events({**ROW, "event": "call +15550100001"})

    assert event
    assert repr(event) == f"<Event 'call {mask('+15550100001')}' uuid='{UUID_1}'>"


def test_the_repr_masks_an_id_that_is_no_uuid():
    """Whoever sends an event chooses its ID, so that may be a phone number, or endless."""
    shown = repr(Event({"uuid": "+15550100001" + "x" * 999}, "x"))

    assert "5550100001" not in shown
    assert len(shown) < 80


def test_properties_of_any_mapping_type_become_a_dict():
    """``properties`` is a dict even where the source has another mapping."""
    [event] = parse_events({"event": "x", "properties": MappingProxyType({"a": 1})})

    assert type(event["properties"]) is dict


def test_json_in_strings_waits_until_it_is_asked_for(caplog):
    """Asking for the name parses nothing; the broken JSON shows only when it is read."""
    [event] = parse_events({**ROW, "properties": "{broken", "person_properties": "{broken"})

    assert (event["event"], event["uuid"], event["distinct_id"]) == (
        "order placed",
        UUID_1,
        "user_1",
    )
    assert event["timestamp"] == NOON
    assert not caplog.records

    assert event["properties"] == {}
    assert caplog.messages == [
        f"properties of event '{UUID_1}' holds no JSON object and is read as empty"
    ]


def test_a_broken_field_is_told_once(caplog):
    """Reading a field again neither parses nor warns again."""
    [event] = parse_events({**ROW, "properties": "[1]"})

    assert event["properties"] == event["properties"] == {}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_ingestion_text_is_parsed_once_and_late(monkeypatch):
    """The posted event inside a Kafka message is parsed at the first field that needs it."""
    parsed = []
    loads = json.loads
    monkeypatch.setattr(events.json, "loads", lambda text: parsed.append(1) or loads(text))
    [event] = parse_events(CAPTURED)

    assert (event["event"], event["uuid"], event["timestamp"]) == ("order placed", UUID_1, NOON)
    assert parsed == []
    assert (event["properties"], event["$set"]) == ({"total": 12}, EMAIL)
    assert parsed == [1]


@pytest.mark.parametrize("empty", ["", "  ", "null", None, [], 3, b"{}"])
def test_empty_properties_are_no_fault(empty, caplog):
    """What is absent, blank or of a wrong type is an empty dict, without a warning."""
    [event] = parse_events({"event": "x", "properties": empty})

    assert event["properties"] == {}
    assert not caplog.records


# --- bodies -------------------------------------------------------------------------------------

TEXT = json.dumps(BATCH)
BASE64 = base64.b64encode(TEXT.encode()).decode()
GZIPPED = gzip.compress(TEXT.encode())
LINES = f"{json.dumps(RAW)}\n\n{json.dumps(RAW)}\r\n"
BODIES = {
    "text": TEXT,
    "bytes": TEXT.encode(),
    "bytearray": bytearray(TEXT.encode()),
    "memoryview": memoryview(TEXT.encode()),
    "byte order mark": "\ufeff" + TEXT,
    "byte order mark, bytes": b"\xef\xbb\xbf" + TEXT.encode(),
    "indented": json.dumps(BATCH, indent=2),
    "gzipped": GZIPPED,
    "base64": BASE64,
    "base64, urlsafe, not padded": base64.urlsafe_b64encode(GZIPPED).decode().rstrip("="),
    "form": urlencode({"data": BASE64, "compression": "base64"}),
    "form, last": urlencode({"compression": "gzip", "data": base64.b64encode(GZIPPED)}).encode(),
    "form, plus signs not quoted": f"data={BASE64}",
    "form, JSON": f"data={quote(TEXT)}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_bodies(body):
    """A body is read as it travels: text, bytes, gzipped, in base64, in a form."""
    [event] = parse_events(body)

    assert event == parse_events(RAW)[0]


def test_plus_signs_of_base64_survive_a_form():
    """In a form that was not quoted, plus signs arrive as blanks."""
    encoded = base64.b64encode(json.dumps({"event": "x>>>>>>>"}).encode()).decode()
    assert "+" in encoded

    [event] = parse_events(f"data={encoded}")

    assert event["event"] == "x>>>>>>>"


def test_json_that_mentions_a_form_is_json():
    """An address with ``data=`` in it does not make a form of the text around it."""
    payload = {"event": "x", "properties": {"$current_url": "https://a.example/?b=1&data=2"}}

    [event] = parse_events(json.dumps(payload))

    assert event["properties"] == payload["properties"]


def test_json_lines():
    """Text of several lines is an event each; blank lines are skipped."""
    assert parse_events(LINES) == parse_events([RAW, RAW])


def test_line_separators_inside_text_do_not_end_a_line():
    """JSON lets U+2028 stand inside a string; only a line feed ends a line."""
    [event, _] = parse_events('{"event": "a\u2028b"}\n{"event": "c"}')

    assert event["event"] == "a\u2028b"


def test_json_in_json():
    """A message that was encoded twice is decoded twice."""
    [event] = parse_events(json.dumps(TEXT))

    assert event["event"] == "order placed"


@pytest.mark.parametrize("empty", [[], (), {"batch": []}, {"results": []}, "[]", b'{"batch": []}'])
def test_an_empty_batch_holds_no_events(empty):
    """Nothing delivered is no fault."""
    assert parse_events(empty) == []


# --- no events ----------------------------------------------------------------------------------

GOT = "expected a PostHog event, got "
REFUSED = {
    "Slack": (
        {"text": "order placed", "blocks": []},
        GOT + "an object with the keys 'text', 'blocks'",
    ),
    "engage": ({"token": "t", "$set": EMAIL}, GOT + "an object with the keys 'token', '$set'"),
    "empty object": ({}, GOT + "an empty object"),
    "number": (3, GOT + "a number"),
    "None": (None, GOT + "nothing"),
    "boolean": (True, GOT + "true or false"),
    "other type": (iter([RAW]), GOT + "a list_iterator"),
    "empty text": (" \n", GOT + "empty text"),
    "no bytes": (b"", GOT + "empty text"),
    "no name": ({"event": None, "uuid": "u"}, GOT + "an object with the keys 'event', 'uuid'"),
    "empty name": ({"event": ""}, GOT + "an event whose name is empty text"),
    "name is a number": ({"event": 5}, GOT + "an event whose name is a number"),
    "name is a list": ({"event": ["x"]}, GOT + "an event whose name is a list"),
    "name is bytes": ({"event": b"x"}, GOT + "an event whose name is bytes"),
    "globals without a name": ({"event": {"uuid": "u"}}, GOT + "an object with the keys 'event'"),
    "globals, empty name": ({"event": {"event": ""}}, GOT + "an object with the keys 'event'"),
    "globals in globals": (
        {"event": {"event": {"event": "x"}}},
        GOT + "an event whose name is an object with the keys 'event'",
    ),
    "hook without event": (
        {"hook": {}, "data": {}},
        GOT + "an object with the keys 'hook', 'data'",
    ),
    "hook without hook": ({"data": HOOK_DATA}, GOT + "an object with the keys 'data'"),
    "in a list": ([RAW, "hello"], "[1]: " + GOT + "text"),
    "bytes in a list": ([b"hello"], "[0]: " + GOT + "bytes"),
    "in a batch": ({"batch": [RAW, {}]}, "batch[1]: " + GOT + "an empty object"),
    "in a page": ({"results": [3]}, "results[0]: " + GOT + "a number"),
    "in a batch in a list": ([{"batch": [3]}], "[0]: batch[0]: " + GOT + "a number"),
    "in a line": (json.dumps(RAW) + "\n[3]\n", "line 2: [0]: " + GOT + "a number"),
    "broken line": (json.dumps(RAW) + "\nx\n", "line 2: not JSON: Expecting value (column 1)"),
    "garbage": ("hello", "not JSON: Expecting value (column 1)"),
    "cut": ('{"event":', "not JSON: cut short"),
    "cut document": ('{\n"event":\n', "line 2: not JSON: cut short"),
    "not UTF-8": (b'{"event": "\xff"}', "not UTF-8 text (byte 12)"),
    "too deep": ("[" * 100_000, "not JSON: nested too deep"),
    "huge number": ("1" * 5000, "not JSON: a number with too many digits"),
    "broken gzip": (GZIPPED[:-9], "expected gzipped JSON, got gzip data that is broken or cut"),
    "form without data": ("data=", GOT + "empty text"),
    "base64 of no JSON": ("aGVsbG8gd29ybGQ=", "not JSON: Expecting value (column 1)"),
    "no base64 after all": ("e" * 9, "not JSON: Expecting value (column 1)"),
}


@pytest.mark.parametrize(("payload", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_holds_no_event_is_refused(payload, message):
    """The error says where and what was seen there."""
    with pytest.raises(InvalidEvent) as caught:
        parse_events(payload)

    assert str(caught.value) == message


def test_batches_in_batches_end_somewhere():
    """Depth is bounded, so no payload exhausts the stack."""
    payload = RAW
    for _ in range(5000):
        payload = [payload]

    [fault] = iter_events(payload)

    assert "batches in batches" in str(fault)


def test_an_error_shows_no_data():
    """Keys that look like data, and all values, stay out of the message; it stays short."""
    payload = {
        "+15550100001": 1,
        "a@example.com": 1,
        "x" * 41: 1,
        5: 1,
        "k15550100001": "secret",
        **dict.fromkeys(map("key_{}".format, range(100)), "secret"),
    }

    with pytest.raises(InvalidEvent) as caught:
        parse_events(payload)

    keys = ", ".join([mask("'k15550100001'"), *[f"'key_{n}'" for n in range(7)], "97 more"])
    assert str(caught.value) == f"{GOT}an object with the keys {keys}"
    assert "5550100001" not in keys


def test_a_small_body_cannot_fill_the_memory(monkeypatch):
    """What a gzipped body may hold is bounded."""
    monkeypatch.setattr("posthog_twilio.bodies._MAX_UNZIPPED", 10)

    with pytest.raises(InvalidEvent, match="at most 10 bytes"):
        parse_events(GZIPPED)


def test_iter_events_goes_on_after_a_fault():
    """Whoever wants what is good in a batch gets it, and the faults in their places."""
    found = [*iter_events([RAW, 3, RAW])]

    assert [type(item) for item in found] == [Event, InvalidEvent, Event]
    assert str(found[1]) == "[1]: expected a PostHog event, got a number"


def test_iter_events_yields_what_is_wrong_with_a_body():
    """A body that cannot be unpacked is a fault like any other."""
    [fault] = iter_events(b"\x1f\x8b")

    assert isinstance(fault, InvalidEvent)
