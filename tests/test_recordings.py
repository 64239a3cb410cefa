"""What the shipped recordings hold: real bodies of PostHog's SDKs, and no trace of a machine."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from posthog_twilio.actions import Action
from posthog_twilio.testing import recorded_events

ROOT = Path(__file__).parent.parent
WEB = ROOT / "recordings/shop-web.jsonl.gz"
BACKEND = ROOT / "recordings/shop-backend.jsonl"
CONFIG = ROOT / "examples/shop.json"
ACTIONS = ROOT / "examples/shop_actions.json"

Json = dict[str, Any]


def text_of(path: Path) -> str:
    """Return a recording's text, unpacked."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def bodies(path: Path) -> list[Json]:
    """Return the request bodies of a recording."""
    return [json.loads(line) for line in text_of(path).splitlines()]


def events(path: Path) -> list[Json]:
    """Return the raw events of a recording."""
    return [event for body in bodies(path) for event in body["batch"]]


def named(path: Path, name: str) -> list[Json]:
    """Return the events of one name."""
    return [event for event in events(path) if event["event"] == name]


def time_of(event: Json) -> datetime:
    """Return an event's time."""
    return datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00"))


def has_button(event: Json) -> bool:
    """Tell whether the checkout button is among a click's elements."""
    return 'attr__data-attr="checkout-button"' in event["properties"]["$elements_chain"]


def clicks_on(text: str) -> list[Json]:
    """Return the clicks on an element of this text."""
    return [e for e in named(WEB, "$autocapture") if e["properties"].get("$el_text") == text]


def test_web_holds_what_the_shops_visitors_did() -> None:
    """The web recording holds page views, autocaptured clicks, errors and the shop's own events."""
    counts = Counter(event["event"] for event in events(WEB))

    assert counts == {
        "$autocapture": 189,
        "$pageview": 103,
        "$pageleave": 103,
        "product viewed": 21,
        "checkout started": 17,
        "product added": 14,
        "order placed": 12,
        "$exception": 10,
        "$identify": 8,
        "$groupidentify": 2,
    }


def test_backend_holds_what_the_shop_reported() -> None:
    """The back end's recording holds sign-ups, payments, parcels, renewals and refunds."""
    counts = Counter(event["event"] for event in events(BACKEND))

    assert counts == {
        "payment failed": 63,
        "subscription renewed": 16,
        "payment received": 12,
        "order shipped": 9,
        "user signed up": 8,
        "$set": 4,
        "refund requested": 3,
    }


def test_web_bodies_are_batches_of_posthog_js() -> None:
    """Each web line is a batch as posthog-js posts it, with the person's ID in the properties."""
    lines, sent = bodies(WEB), events(WEB)

    assert {frozenset(body) for body in lines} == {frozenset({"api_key", "batch", "sent_at"})}
    assert max(len(body["batch"]) for body in lines) > 3
    assert {event["properties"]["$lib"] for event in sent} == {"web"}
    assert all("distinct_id" not in event for event in sent)
    assert all(event["properties"]["distinct_id"] for event in sent)


def test_backend_bodies_are_batches_of_both_protocols() -> None:
    """The back end's lines are legacy batches, and those of capture v1 from the last morning on."""
    legacy = [body for body in bodies(BACKEND) if "api_key" in body]
    v1 = [body for body in bodies(BACKEND) if "api_key" not in body]

    assert {e["properties"]["$lib"] for body in legacy for e in body["batch"]} == {"posthog-python"}
    assert {frozenset(body) for body in v1} == {frozenset({"created_at", "batch"})}
    assert sum(len(body["batch"]) for body in v1) == 8
    assert all("options" in e and "$lib" not in e["properties"] for b in v1 for e in b["batch"])


@pytest.mark.parametrize("path", [WEB, BACKEND])
def test_every_event_has_name_uuid_and_timestamp(path: Path) -> None:
    """Each event has a name, a zoned timestamp and a uuid that no other event has."""
    sent = events(path)

    assert all(event["event"] and time_of(event).tzinfo for event in sent)
    assert len({event["uuid"] for event in sent}) == len(sent)


@pytest.mark.parametrize("path", [WEB, BACKEND])
def test_four_days(path: Path) -> None:
    """The events spread over four simulated days."""
    days = {time_of(event).astimezone(timezone.utc).date().isoformat() for event in events(path)}

    assert days == {"2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"}


def test_people() -> None:
    """Eight people visit and are identified; the back end knows four subscribers besides."""
    identified = {e["properties"]["distinct_id"] for e in named(WEB, "$identify")}
    known = {event["distinct_id"] for event in events(BACKEND)}

    assert identified == {f"cust_{number}" for number in range(1001, 1009)}
    assert known == {f"cust_{number}" for number in range(1001, 1013)}


def test_identify_carries_person_properties() -> None:
    """An identified person has an e-mail, a plan and mostly a phone number."""
    people = [event["$set"] for event in named(WEB, "$identify")]

    assert all(person["email"].endswith("example.com") and person["plan"] for person in people)
    assert sum("phone" in person for person in people) == 7


def test_orders_carry_amounts_and_items() -> None:
    """An order holds a total that its items add up to, and the back end got paid the same."""
    orders = {e["properties"]["order_id"]: e["properties"] for e in named(WEB, "order placed")}
    paid = {
        event["properties"]["order_id"]: event["properties"]["amount"]
        for event in named(BACKEND, "payment received")
    }

    for order in orders.values():
        items = sum(item["price"] * item["quantity"] for item in order["items"])
        assert order["total"] == pytest.approx(items)
    assert {key: order["total"] for key, order in orders.items()} == paid


def test_checkout_button_is_captured_with_its_elements() -> None:
    """A click on the checkout button holds its elements as a chain, at first as a list too."""
    clicks = [e["properties"] for e in clicks_on("Checkout") if has_button(e)]
    lists = [click["$elements"] for click in clicks if "$elements" in click]

    assert len(clicks) == 16
    assert 0 < len(lists) < len(clicks)
    assert all(
        "checkout-button" in [e.get("attr__data-attr") for e in elements] for elements in lists
    )


def test_an_outage_of_twenty_minutes() -> None:
    """On the last morning sixty payments fail within twenty minutes, and all go through later."""
    outage = [e for e in named(BACKEND, "payment failed") if e["timestamp"] < "2026-11-05T07"]
    outage = [e for e in outage if e["timestamp"] > "2026-11-05T06"]
    renewed = [
        e for e in named(BACKEND, "subscription renewed") if e["timestamp"] > "2026-11-05T06"
    ]
    lasted = time_of(outage[-1]) - time_of(outage[0])

    assert len(outage) == 60
    assert lasted.total_seconds() <= 20 * 60
    assert Counter(e["properties"]["reason"] for e in outage) == {"provider timeout": 60}
    assert len(renewed) == 12


def test_a_broken_release() -> None:
    """All exceptions fall into the 55 minutes of release 42."""
    times = [event["timestamp"] for event in named(WEB, "$exception")]

    assert "2026-11-04T15:00" < min(times) < max(times) < "2026-11-04T15:55"
    assert {e["properties"]["release"] for e in named(WEB, "$exception")} == {"42"}


def test_shipped_orders_carry_the_phone_number() -> None:
    """A shipped order tells the customer's number: some spelt oddly, one foreign, one missing."""
    people = [event["properties"]["$set"] for event in named(BACKEND, "order shipped")]
    phones = Counter(person.get("phone") for person in people)

    assert {None, "+447700900115", "+1 (555) 010-0012", "+15550100011"} <= phones.keys()


@pytest.mark.parametrize("path", [WEB, BACKEND])
def test_no_trace_of_a_machine(path: Path) -> None:
    """No recording names a local address, a path, or an address outside example.com."""
    text = text_of(path)
    hosts = set(re.findall(r"https?://([^/\"\\?#]+)", text))
    mails = set(re.findall(r"[\w.]+@([\w.-]+)", text))

    assert not re.search(r"\b127\.\d|\b10\.0\.\d|\b192\.168\.|localhost|/home/|/root|/tmp/", text)
    assert all(host.endswith(".example.com") for host in hosts)
    assert all(mail.endswith("example.com") for mail in mails)
    assert set(re.findall(r"phc_\w+", text)) == {"phc_LeafAndKettleIsNoRealShop0000000000000000"}


def test_phone_numbers_are_fictional() -> None:
    """Every phone number is one of those kept for fiction."""
    phones = {
        re.sub(r"^00|\D", "", person["phone"])
        for event in events(BACKEND)
        if (person := event.get("$set") or event["properties"].get("$set")) and "phone" in person
    }

    assert phones
    assert all(re.fullmatch(r"1555010\d{4}|447700900\d{3}", phone) for phone in phones)


def test_recordings_are_small() -> None:
    """Both recordings together stay under 400 kB."""
    assert sum(path.stat().st_size for path in (ROOT / "recordings").iterdir()) < 400_000


def test_recorder_writes_these_files() -> None:
    """The recorder's story names exactly the recordings that are shipped."""
    story = json.loads((ROOT / "recorder/story.json").read_text(encoding="utf-8"))

    assert set(story["recordings"].values()) == {p.name for p in (ROOT / "recordings").iterdir()}


def test_lock_file_names_no_registry() -> None:
    """The recorder's lock file pins versions and hashes, and leaves the registry to the reader."""
    lock = json.loads((ROOT / "recorder/package-lock.json").read_text(encoding="utf-8"))
    packages = [package for name, package in lock["packages"].items() if name]

    assert all("integrity" in package and "resolved" not in package for package in packages)


def test_example_config_holds_the_example_actions() -> None:
    """The actions inside the example config are those of the example page, word for word."""
    page = json.loads(ACTIONS.read_text(encoding="utf-8"))
    config = json.loads(CONFIG.read_text(encoding="utf-8"))

    assert page["count"] == len(page["results"])
    assert config["actions"] == page["results"]


def test_action_is_made_of_a_recorded_click() -> None:
    """The action fires on each click on the cart's button, not on a footer link of that text."""
    page = json.loads(ACTIONS.read_text(encoding="utf-8"))
    checkout, _ = map(Action.parse, page["results"])

    fired = {event["uuid"] for event in recorded_events(WEB) if checkout.matches(event)}

    assert not checkout.warnings
    assert fired == {event["uuid"] for event in clicks_on("Checkout") if has_button(event)}
    assert len(clicks_on("Checkout")) == len(fired) + 1
