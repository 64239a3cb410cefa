"""The shop's back end: it reports to PostHog through the Python SDK, on the story's clock."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import frozen
from freezegun import freeze_time
from posthog import Posthog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Person = dict[str, Any]
FEES = {"free": 9, "pro": 19, "business": 79}
RETRY_EVERY = timedelta(minutes=4)
BATCH_GAP = timedelta(seconds=5)  # the SDK's own flush interval


@frozen
class Fact:
    """One thing that the back end reports, and when."""

    at: datetime
    event: str
    person: Person
    properties: dict[str, Any]


def moment(text: str) -> datetime:
    """Read the ISO 8601 times of the story and of the shop's journal."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def contact(person: Person) -> dict[str, Any]:
    """Return the person properties that the shop knows."""
    return {k: person[k] for k in ("email", "name", "plan", "phone") if person[k]}


def timeline(story: dict[str, Any], journal: Iterable[dict[str, Any]]) -> list[Fact]:
    """Return what the back end reports: what the visits caused, and what happened behind them."""
    people = {person["id"]: person for person in story["people"]}
    chance = random.Random(20261102)
    journal = list(journal)
    end = moment("2026-11-06T00:00:00Z")
    facts = [
        *imports(story, people),
        *(fact for entry in journal for fact in consequences(entry, people, chance)),
        *(fact for run in story["renewals"] for fact in renewals(run, people, chance)),
        *(refund(request, journal, people) for request in story["refunds"]),
    ]
    return sorted((fact for fact in facts if fact.at < end), key=lambda fact: fact.at)


def imports(story: dict[str, Any], people: dict[str, Person]) -> Iterator[Fact]:
    at = moment("2026-11-02T08:00:00Z")
    for number, key in enumerate(story["subscribers_from_before"]):
        yield Fact(at + timedelta(seconds=number), "$set", people[key], contact(people[key]))


def consequences(
    entry: dict[str, Any], people: dict[str, Person], chance: random.Random
) -> Iterator[Fact]:
    at, person = moment(entry["at"]), people[entry["customer"]]
    if entry["kind"] == "signup":
        properties = {"plan": person["plan"], "channel": "web", "$set": contact(person)}
        yield Fact(at, "user signed up", person, properties)
        return
    payment = {"amount": entry["amount"], "currency": "USD", "provider": "cardhouse"}
    if entry["kind"] == "declined":
        payment |= {"reason": "card declined", "attempt": 1}
        yield Fact(at, "payment failed", person, payment)
        return
    order = {"order_id": entry["order_id"]}
    yield Fact(at + timedelta(seconds=1), "payment received", person, order | payment)
    carrier = {"carrier": chance.choice(["UPS", "USPS"]), "parcels": 1}
    shipped_at = at + timedelta(hours=17, seconds=chance.randrange(3 * 3600))
    yield Fact(shipped_at, "order shipped", person, order | carrier | {"$set": contact(person)})


def renewals(
    run: dict[str, Any], people: dict[str, Person], chance: random.Random
) -> Iterator[Fact]:
    """Renew subscriptions; while the provider is down, each is tried again every few minutes."""
    for key in run.get("people", people):
        person = people[key]
        fee = {"amount": FEES[person["plan"]], "currency": "USD", "provider": "cardhouse"}
        for attempt in range(1, run["failed_attempts"] + 2):
            delay = RETRY_EVERY * (attempt - 1) + timedelta(seconds=chance.uniform(0, 200))
            tried = {"subscription": "tea club", "attempt": attempt} | fee
            if attempt <= run["failed_attempts"]:
                failed = tried | {"reason": run["reason"]}
                yield Fact(moment(run["at"]) + delay, "payment failed", person, failed)
            else:
                yield Fact(moment(run["at"]) + delay, "subscription renewed", person, tried)


def refund(
    request: dict[str, Any], journal: list[dict[str, Any]], people: dict[str, Person]
) -> Fact:
    """Ask back the money of the person's latest order."""
    of_person = [
        entry
        for entry in journal
        if (entry["kind"], entry["customer"]) == ("order", request["person"])
        and entry["at"] < request["at"]
    ]
    order = of_person[-1]
    properties = {
        "order_id": order["order_id"],
        "amount": order["amount"],
        "reason": request["reason"],
    }
    return Fact(moment(request["at"]), "refund requested", people[request["person"]], properties)


def report(facts: list[Fact], host: str, token: str, v1_from: datetime) -> None:
    """Send the facts as the SDK does, each batch at the time of its last fact."""
    clients = {
        mode: Posthog(token, host=host, capture_mode=mode, flush_interval=0.3)
        for mode in ("v0", "v1")
    }
    for number, fact in enumerate(facts):
        client = clients["v1" if fact.at >= v1_from else "v0"]
        following = facts[number + 1].at if number + 1 < len(facts) else None
        with freeze_time(fact.at):
            capture(client, fact)
        if following is None or following - fact.at > BATCH_GAP:
            with freeze_time(fact.at + timedelta(seconds=1)):
                client.flush()
    for client in clients.values():
        client.shutdown()


def capture(client: Posthog, fact: Fact) -> None:
    person = fact.person
    if fact.event == "$set":
        client.set(distinct_id=person["id"], properties=fact.properties, timestamp=fact.at)
        return
    company = person.get("company")
    groups = {"company": company["key"]} if company else None
    client.capture(
        fact.event,
        distinct_id=person["id"],
        properties=fact.properties,
        groups=groups,
        timestamp=fact.at,
    )
