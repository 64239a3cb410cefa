"""Property filters: every operator, the casts, and where the property comes from."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from posthog_twilio.actions import Action
from posthog_twilio.actions.values import as_number, as_text

MISSING = object()
PRO_TEAM = ["pro", "team"]


def decide(operator, value, actual, **more):
    """Tell whether a filter on an event property lets an event through."""
    definition = {"key": "k", "operator": operator, "value": value, **more}
    action = Action.parse({"name": "A", "steps": [{"event": "e", "properties": [definition]}]})
    assert action.warnings == ()
    return action.matches({"event": "e", "properties": {} if actual is MISSING else {"k": actual}})


EQUAL = [
    ("pro", "pro", True),
    ("pro", "Pro", False),
    ("pro", "professional", False),
    ("pro", " pro", False),
    (5, 5, True),
    ("5", 5, True),
    (5, "5", True),
    (5, 5.0, True),
    ("5.0", 5, True),
    ("5e0", 5, True),
    ("5", "5.0", False),
    (5, "five", False),
    (5, 6, False),
    ("0x5", 5, False),
    ("1_000", 1000, False),
    ("\u0665", 5, False),
    ("true", True, True),
    ("false", False, True),
    ("True", True, False),
    ("yes", True, False),
    ("1", True, False),
    ("maybe", False, False),
    ("", False, False),
    (True, "true", True),
    (True, "on", False),
    (1, True, True),
    (0, False, True),
    (2, True, False),
    (True, 1, True),
    ("", "", True),
    ("null", "x", False),
    (12345678901234567890, "12345678901234567890", True),
    (12345678901234567891, "12345678901234567890", False),
    ("9" * 500, 5, False),
    ("1e999", 5, False),
    (PRO_TEAM, "team", True),
    (PRO_TEAM, "free", False),
    (["pro"], "pro", True),
    ([5, "true"], True, True),
    (("pro", "x"), "x", True),
    ("2.5", Decimal("2.5"), True),
    ("018f3e6a-0000-7000-8000-000000000001", UUID("018f3e6a000070008000000000000001"), True),
]


@pytest.mark.parametrize(("value", "actual", "same"), EQUAL)
def test_exact_and_is_not(value, actual, same):
    """Equality is after casting, and is_not is its opposite, over lists as well."""
    assert decide("exact", value, actual) is same
    assert decide(None, value, actual) is same
    assert decide("is_not", value, actual) is not same
    if isinstance(value, (list, tuple)):
        assert decide("in", value, actual) is same
        assert decide("not_in", value, actual) is not same


@pytest.mark.parametrize(
    ("value", "actual"),
    [(0, ""), ("", 0), (5, " 5 "), (0, " "), ("a", ["a"]), ("a", []), ("{}", {}), ("a", {"a": 1}),
     (["x", 0], ""), ("a", object()), ("a", b"a"), ("a", ("a",))],
)  # fmt: skip
def test_unsettled_equality(value, actual):
    """Where PostHog's engines disagree about equality neither exact nor is_not fires."""
    assert not decide("exact", value, actual)
    assert not decide("is_not", value, actual)


POSITIVE = [
    ("exact", "a"), ("in", ["a"]), ("icontains", "a"), ("icontains", ["a", "b"]), ("regex", "."),
    ("icontains", "nul"), ("icontains_multi", ["nul", "a"]), ("regex", "null"), ("gt", -1),
    ("lt", 5), ("gte", 0), ("lte", 0), ("max", 5), ("min", -5), ("between", [-1, 5]),
    ("not_between", [3, 5]), ("is_date_exact", "1970-01-01"), ("is_date_before", "2999-01-01"),
    ("is_date_after", "1900-01-01"), ("is_set", None),
]  # fmt: skip
NEGATIVE = [
    ("is_not", "a"), ("not_in", ["a"]), ("not_icontains", "a"), ("not_icontains", ["a", "b"]),
    ("not_icontains_multi", ["a"]), ("not_regex", "a"), ("is_not_set", None), ("is_not", "null"),
    ("not_regex", "null"), ("not_icontains", "null"),
]  # fmt: skip


@pytest.mark.parametrize(
    "actual", [MISSING, None, float("nan"), float("inf")], ids=["missing", "null", "nan", "inf"]
)
def test_missing_and_null(actual):
    """A missing property and a null one say no to positive operators and yes to negative ones."""
    for operator, value in POSITIVE:
        assert decide(operator, value, actual) is False, operator
    for operator, value in NEGATIVE:
        assert decide(operator, value, actual) is True, operator


@pytest.mark.parametrize("actual", ["", 0, False, [], {}, "x", 0.0])
def test_is_set(actual):
    """Whatever is there and not null is set; the value beside the operator is ignored."""
    for value in (None, "is_set", [], {}, "false"):
        assert decide("is_set", value, actual)
        assert not decide("is_not_set", value, actual)
    assert decide("is_set", None, actual)


CONTAINS = [
    ("ACME", "jo@acme.test", True),
    ("globex", "jo@acme.test", False),
    ("23", 1234, True),
    ("5.0", 5.0, False),
    ("ru", True, True),
    ("jo%test", "jo@acme.test", True),
    ("jo_acme", "jo@acme.test", True),
    (["jo%test"], "jo@acme.test", True),
    (["jo%test", "zzz"], "jo@acme.test", False),
    (["zzz", "ACME"], "jo@acme.test", True),
    (["50%", "zzz"], "now 50% off", True),
    ("ÄRGER", "ärger", True),
    (5, 1.5, True),
    ("", "x", True),
]


@pytest.mark.parametrize(("value", "actual", "found"), CONTAINS)
def test_icontains(value, actual, found):
    """One text is a LIKE without case; several are plain texts of which any will do."""
    assert decide("icontains", value, actual) is found
    assert decide("not_icontains", value, actual) is not found


MULTI = [
    (["ACME", "x"], "acme", True),
    (["a%e"], "acme", False),
    ("ACME", "acme", True),
    (["y", "z"], "acme", False),
    ([1, 2], 42, True),
]


@pytest.mark.parametrize(("value", "actual", "found"), MULTI)
def test_icontains_multi(value, actual, found):
    """The multi operators have no wildcards, one text or many."""
    assert decide("icontains_multi", value, actual) is found
    assert decide("not_icontains_multi", value, actual) is not found


REGEX = [
    ("^SUMMER-[0-9]{2}", "SUMMER-26-X", True),
    ("^26", "SUMMER-26", False),
    (["^a", "^b"], "bc", True),
    (["^a", "^b"], "cab", False),
    (r"^\d+$", 5.0, True),
    ("^true$", True, True),
    (5, "152", True),
]


@pytest.mark.parametrize(("value", "actual", "found"), REGEX)
def test_regex(value, actual, found):
    """A regular expression is searched for in the text of the value; lists are any and none."""
    pytest.importorskip("re2")
    assert decide("regex", value, actual) is found
    assert decide("not_regex", value, actual) is not found


ORDER = [
    ("gt", 100, 100.01, True), ("gt", 100, 100, False), ("gt", "100", "25", False),
    ("gt", "9", "25", True), ("gt", 0, True, True), ("gt", 100, "lots", False),
    ("gt", 100, [101], False), ("gt", [100, 200], 150, True), ("gt", [100], 150, True),
    ("gte", 100, 100, True), ("gte", 100, 99.9, False), ("min", 100, 100, True),
    ("min", 100, 99, False), ("lt", 10, 9, True), ("lt", 10, 10, False), ("lt", 10, "", False),
    ("lte", 10, 10, True), ("lte", 10, 11, False), ("max", 10, 10, True), ("max", 10, 11, False),
    ("lt", 10, "-1e3", True), ("lt", 10, " 5", False), ("gt", 10, 10**400, True),
    ("between", [100, 200], 100, True), ("between", [100, 200], 200, True),
    ("between", [100, 200], 99.9, False), ("between", ["100", "200"], "150", True),
    ("between", [5, 5], 5, True), ("between", [1, 2], "x", False),
    ("not_between", [100, 200], 201, True), ("not_between", [100, 200], 200, False),
    ("not_between", [100, 200], "x", False), ("not_between", [100, 200], [], False),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "value", "actual", "holds"), ORDER)
def test_order(operator, value, actual, holds):
    """Order is between numbers after casting; what is no number never fits."""
    assert decide(operator, value, actual) is holds


NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
DATES = [
    ("is_date_after", "2026-03-01", "2026-03-02T08:00:00Z", True),
    ("is_date_after", "2026-03-01", "2026-03-01", False),
    ("is_date_after", "2026-03-01", "2026-03-01T00:00:00.001Z", True),
    ("is_date_before", "2026-03-01", "2026-02-28 23:59:59", True),
    ("is_date_before", "2026-03-01", "2026-03-01T00:30:00+01:00", True),
    ("is_date_before", "2026-03-01T12:00:00-01:00", "2026-03-01 12:30:00", True),
    ("is_date_exact", "2026-03-01", "2026-03-01T00:00:00Z", True),
    ("is_date_exact", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", True),
    ("is_date_exact", "2026-03-01T12:00", NOON, True),
    ("is_date_exact", "2026-03-01T12:00:00", NOON.astimezone(timezone(timedelta(hours=5))), True),
    ("is_date_exact", "2026-03-01", date(2026, 3, 1), True),
    ("is_date_exact", ["2026-03-01", "2026-03-02"], "2026-03-02", True),
    ("is_date_exact", NOON, "2026-03-01T12:00:00Z", True),
    ("is_date_after", "2026-03-01", "soon", False),
    ("is_date_after", "2026-03-01", "2026-13-45", False),
    ("is_date_after", "2026-03-01", 1800000000, False),
    ("is_date_before", "2026-03-01", 5, False),
    ("is_date_before", "2026-03-01", [], False),
]


@pytest.mark.parametrize(("operator", "value", "actual", "holds"), DATES)
def test_dates(operator, value, actual, holds):
    """Dates compare as instants: no zone is UTC, a date alone is its midnight."""
    assert decide(operator, value, actual) is holds


UNDECIDABLE = [
    {"key": "k", "operator": "sounds_like", "value": "x"},
    {"key": "k", "operator": "semver_gt", "value": "1.2.3"},
    {"key": "k", "operator": "is_cleaned_path_exact", "value": "/x"},
    {"key": "k", "operator": ["exact"], "value": "x"},
    {"key": "k", "operator": 5, "value": "x"},
    {"key": "k", "value": None},
    {"key": "k"},
    {"key": "k", "value": []},
    {"key": "k", "value": [None, "x"]},
    {"key": "k", "value": {"a": 1}},
    {"key": "k", "value": [["x"]]},
    {"key": "k", "value": float("nan")},
    {"key": "k", "operator": "icontains", "value": 10**400},
    {"key": "k", "operator": "is_not", "value": None},
    {"key": "k", "operator": "not_icontains", "value": []},
    {"key": "", "value": "x"},
    {"key": None, "value": "x"},
    {"key": 5, "value": "x"},
    {"value": "x"},
    {},
    None,
    "k",
    ["k", "x"],
    {"key": "k", "operator": "gt", "value": "lots"},
    {"key": "k", "operator": "lt", "value": ""},
    {"key": "k", "operator": "between", "value": [2, 1]},
    {"key": "k", "operator": "between", "value": [1, 2, 3]},
    {"key": "k", "operator": "between", "value": 1},
    {"key": "k", "operator": "not_between", "value": ["a", "b"]},
    {"key": "k", "operator": "in", "value": "x"},
    {"key": "k", "operator": "not_in", "value": "x"},
    {"key": "k", "operator": "not_in", "value": None},
    {"key": "k", "operator": "is_date_after", "value": "-7d"},
    {"key": "k", "operator": "is_date_before", "value": "2026-99-99"},
    {"key": "k", "operator": "is_date_before", "value": 5},
    {"key": "id", "type": "cohort", "value": 1},
    {"key": "x", "type": "hogql"},
    *({"key": "k", "type": t, "value": "x", "operator": "is_not"} for t in (
        "session", "recording", "behavioral", "flag", "data_warehouse", "novel", 5, ["event"])),
    {"key": "k", "type": "group", "value": "x", "operator": "is_not"},
    {"key": "k", "type": "group", "value": "x", "group_type_index": "0"},
    {"key": "k", "type": "group", "value": "x", "group_type_index": True},
    {"key": "selector", "type": "element", "operator": "icontains", "value": "a"},
    {"key": "tag_name", "type": "element", "operator": "regex", "value": "a"},
    {"key": "selector", "type": "element", "operator": "exact", "value": "a, b"},
    {"key": "selector", "type": "element", "operator": "is_not", "value": ["a", "a, b"]},
    {"key": "selector", "type": "element", "operator": "is_not", "value": []},
    {"key": "selector", "type": "element", "value": None},
    {"key": "selector", "type": "element", "value": [5]},
    {"key": "selector", "type": "element", "value": ""},
    {"key": "id", "type": "element", "value": "x"},
    {"key": "text", "type": "element", "operator": "near", "value": "x"},
]  # fmt: skip


@pytest.mark.parametrize("definition", UNDECIDABLE, ids=lambda d: str(d)[:60])
def test_undecidable_filters(definition):
    """What cannot be decided blocks its step, negative or not, and warns once."""
    elements = [{"tag_name": "a", "text": "x", "href": "y"}]
    event = {"event": "e", "properties": {"k": "zzz"}, "elements": elements}
    steps = [{"event": "e", "properties": [definition]}, {"event": "ok"}]

    action = Action.parse({"name": "Alarm", "steps": steps})

    for properties in ({}, {"k": None}, {"k": "zzz"}, {"k": "x"}, {"k": 7}):
        assert not action.matches({**event, "properties": properties})
    assert action.matches({"event": "ok"})
    (warning,) = action.warnings
    assert warning.startswith("action 'Alarm', step 1: cannot be decided, so it never fires: ")


def test_warning_keeps_values_to_itself():
    """A filter's value may be personal, so the warning names key and operator only."""
    definition = {"key": "email", "operator": "between", "value": ["jo@acme.test", 1]}

    action = Action.parse({"name": "A", "steps": [{"properties": [definition]}]})

    assert "filter on 'email': operator between" in action.warnings[0]
    assert "acme" not in action.warnings[0]


@pytest.mark.parametrize("properties", ["x", 5, {"k": "x"}, {"type": "AND", "values": []}])
def test_filters_of_a_wrong_type(properties):
    """Filters that are no list cannot be decided, rather than be skipped."""
    action = Action.parse({"name": "A", "steps": [{"event": "e", "properties": properties}]})

    assert not action.matches({"event": "e", "properties": {"k": "x"}})
    assert action.undecidable


def test_keys_are_flat():
    """A dotted key is one key."""
    definition = {"key": "a.b", "value": "1"}
    action = Action.parse({"name": "A", "steps": [{"properties": [definition]}]})

    assert action.matches({"event": "e", "properties": {"a.b": "1"}})
    assert not action.matches({"event": "e", "properties": {"a": {"b": "1"}}})


def test_type_and_operator_have_defaults():
    """A filter of only key and value asks an event property for equality."""
    assert decide(None, "x", "x", type=None)
    assert decide("exact", "x", "x", type="feature")
    action = Action.parse({"name": "A", "steps": [{"properties": [{"key": "k", "value": "x"}]}]})
    assert action.matches({"event": "e", "properties": {"k": "x"}})


def typed(event, operator="exact", value="FI", **more):
    """Tell whether a filter of another type lets *event* through."""
    definition = {"key": "country", "operator": operator, "value": value, **more}
    action = Action.parse({"name": "A", "steps": [{"properties": [definition]}]})
    assert action.warnings == ()
    return action.matches({"event": "e", **event})


PERSONS = [
    {"person": {"properties": {"country": "FI"}}},
    {"person_properties": {"country": "FI"}},
    {"person_properties": '{"country": "FI"}'},
    {"person": {"properties": {"country": "SE"}}, "$set": {"country": "FI"}},
    {"person": {"properties": {"country": "SE"}}, "properties": {"$set": {"country": "FI"}}},
    {"properties": {"$set_once": {"country": "FI"}}},
]


@pytest.mark.parametrize("event", PERSONS)
def test_person(event):
    """Person properties come from wherever they ride along, as the event leaves them."""
    assert typed(event, type="person")
    assert not typed(event, "is_not", type="person")


@pytest.mark.parametrize("person", [None, {}, {"properties": None}, "x", 5, {"properties": "x"}])
def test_no_person(person):
    """Without person data every person property is missing; the event's own are no stand-in."""
    event = {"person": person, "properties": {"country": "FI"}}

    assert not typed(event, type="person")
    assert typed(event, "is_not", type="person")
    assert typed(event, "is_not_set", type="person")


def test_person_distinct_id():
    """The person's distinct_id is the event's."""
    person = {"properties": {"distinct_id": "other"}}
    event = {"distinct_id": "u1", "person": person}

    assert typed(event, value="u1", key="distinct_id", type="person")
    assert not typed(event, value="other", key="distinct_id", type="person")
    assert typed({"person": person}, "is_not_set", key="distinct_id", type="person")


FI = {"country": "FI"}
GROUPS = [
    {"groups": {"site": {"index": 0, "properties": {}}, "company": {"index": 1, "properties": FI}}},
    {"groups": {"odd": 5, "company": {"index": 1, "properties": FI, "id": "acme"}}},
    {"group1_properties": FI},
    {"group1_properties": json.dumps(FI)},
]


@pytest.mark.parametrize("event", GROUPS)
def test_group(event):
    """A group's properties decide where they ride along, by the index of its type."""
    assert typed(event, type="group", group_type_index=1)
    assert not typed(event, "is_not", type="group", group_type_index=1)
    assert typed(event, "is_not", type="group", group_type_index=1, key="other")


NO_GROUPS = [
    {}, {"groups": None}, {"groups": {}},
    {"groups": {"company": {"key": "acme", "properties": FI}}},
    {"groups": {"company": {"index": 0, "properties": FI}}}, {"group0_properties": FI},
    {"groups": {"company": {"index": 1}}}, {"group1_properties": ""}, {"group1_properties": "[]"},
    {"group1_properties": "[" * 100_000}, {"group1_properties": 5},
]  # fmt: skip


@pytest.mark.parametrize("event", NO_GROUPS, ids=lambda e: str(e)[:60])
def test_no_group_data(event, caplog):
    """Without the group's data nothing is decided, negative operators included."""
    for operator in ("exact", "is_not", "is_not_set"):
        assert not typed(event, operator, type="group", group_type_index=1)
    assert caplog.records == []


def test_texts_of_numbers():
    """Numbers turn into text as JavaScript prints them."""
    texts = {
        5.0: "5", -0.0: "0", 1.5: "1.5", 1e16: "10000000000000000", 1e21: "1e+21",
        123456789012345680000.0: "123456789012345680000", 1.5e300: "1.5e+300", 1e-7: "1e-7",
        0.000001: "0.000001", 0.00001234: "0.00001234", 10**20: "1" + "0" * 20, 10**21: "1e+21",
        2**53 + 1: "9007199254740993",
    }  # fmt: skip
    assert {number: as_text(number) for number in texts} == texts
    assert as_text(10**400) is None
    assert as_text(True) == "true"
    assert as_text(False) == "false"
    assert as_text(NOON) == "2026-03-01T12:00:00+00:00"


@pytest.mark.parametrize(
    "text", ["", " ", "5 ", "+", ".", "1e", "1,5", "0x1", "nan", "inf", "1e999"]
)
def test_no_numbers(text):
    """Text is a number only if all of it is one, in plain ASCII digits."""
    assert as_number(text) is None


def test_numbers():
    """Text in any common notation of a number is that number."""
    assert [as_number(t) for t in ("5", "-5", "+.5", "5.", "1e3", "0")] == [5, -5, 0.5, 5, 1000, 0]
