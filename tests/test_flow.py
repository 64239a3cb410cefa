"""The flow and its nine rules, against the real SDK over the fake."""

from __future__ import annotations

import json
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event

import pytest
from freezegun import freeze_time

from posthog_twilio import (
    InvalidEvent,
    RetryError,
    Status,
    on_event,
    setup_plugin,
    teardown_plugin,
)
from posthog_twilio.caches import MemoryCache, SQLiteCache
from posthog_twilio.claims import LEASE

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
NUMBER = "+15550100001"
NEVER_SENT = [("no connection", {}), ("connect timeout", {}), ("certificate", {}), (429, {})]
MAYBE_SENT = ["hang", "reset", "tls", 500, 502, 503, 504]


def signup(uuid: str | None = None, **more: object) -> dict[str, object]:
    """Make an event."""
    return {"event": "signup", "uuid": uuid, **more}


def statuses(outcomes) -> list[str]:
    """Say what became of each message."""
    return [outcome.status.value for outcome in outcomes]


def deliver(event, meta) -> list[str]:
    """Deliver an event, and say what became of it even where it is asked for again."""
    try:
        return statuses(on_event(event, meta))
    except RetryError as error:
        return statuses(error.outcomes)


class Failing:
    """A cache one of whose verbs fails."""

    def __init__(self, cache, *verbs: str, after: int = 0) -> None:
        self._cache, self._verbs, self._after = cache, verbs, after

    def __getattr__(self, verb):
        if verb in self._verbs:
            self._after -= 1
            if self._after < 0:
                return self._fail
        return getattr(self._cache, verb)

    def _fail(self, *_):
        raise ConnectionError("redis://:hunter2@cache is down")


class TestSending:
    def test_an_event_that_matches_nothing_gives_no_outcome(self, texting, fake_twilio):
        """What no trigger names is none of our business, the first time and the second."""
        meta = texting()

        assert on_event({"event": "other"}, meta) == on_event({"event": "other"}, meta) == ()
        assert fake_twilio.requests == []

    def test_the_outcome_tells_what_was_sent(self, texting, fake_twilio):
        """A sent message comes back with its trigger, recipient, body and SID."""
        (outcome,) = on_event(signup("1"), texting())

        (message,) = fake_twilio.outbox
        assert (message.to, message.from_) == (NUMBER, "+15005550006")
        assert (outcome.status, outcome.trigger, outcome.recipient, outcome.sid) == (
            Status.SENT,
            "signup",
            NUMBER,
            message.sid,
        )
        assert outcome.body == message.body == "Hi signup occurred - PostHog"
        assert (outcome.code, outcome.reason, outcome.held_back) == (None, None, 0)

    def test_every_number_of_a_name_is_texted_in_order(self, texting, fake_twilio):
        """A name with several numbers texts each of them."""
        meta = texting(triggeringEventsAndNumber=f"signup:{NUMBER},signup:+15550100002")

        outcomes = on_event(signup("1"), meta)

        assert [o.recipient for o in outcomes] == [NUMBER, "+15550100002"]
        assert [m.to for m in fake_twilio.outbox] == [NUMBER, "+15550100002"]

    @pytest.mark.parametrize(
        ("sender", "parameter"),
        [
            ("+15005550006", "From"),
            ("12345", "From"),
            ("ACME Shop", "From"),
            ("MG" + "0" * 32, "MessagingServiceSid"),
        ],
        ids=["number", "short code", "alphanumeric", "service"],
    )
    def test_every_kind_of_sender_reaches_twilio(self, texting, fake_twilio, sender, parameter):
        """A service goes out as such, everything else as From."""
        on_event(signup("1"), texting(senderPhoneNumber=sender))

        assert fake_twilio.requests[-1].value(parameter) == sender

    def test_a_channel_goes_through(self, texting, fake_twilio):
        """A WhatsApp address is texted on WhatsApp."""
        meta = texting(
            triggeringEventsAndNumber=f"signup:whatsapp:{NUMBER}",
            senderPhoneNumber="whatsapp:+15005550006",
        )

        assert deliver(signup("1"), meta) == ["sent"]
        assert fake_twilio.outbox[0].to == f"whatsapp:{NUMBER}"

    def test_an_api_key_signs_for_the_account(self, texting, fake_twilio, twilio_config):
        """With an API key the account still stands in the path."""
        key = "SK" + "1" * 32
        on_event(signup("1"), texting(apiKeySID=key))

        request = fake_twilio.requests[-1]
        assert (request.user, request.password) == (key, twilio_config["authToken"])
        assert f"/Accounts/{twilio_config['accountSID']}/" in request.path

    def test_another_base_url_is_called(self, texting, monkeypatch):
        """The API's address is the setting's, whatever the environment says of edges."""
        monkeypatch.setenv("TWILIO_EDGE", "dublin")
        monkeypatch.setenv("TWILIO_REGION", "ie1")
        answering = Answering(201, "{}")
        on_event(signup("1"), texting(http_client=answering, apiBaseURL="http://127.0.0.1:9/"))

        assert answering.url.startswith("http://127.0.0.1:9/2010-04-01/Accounts/")

    def test_a_config_can_be_mapping_typed(self, texting, fake_twilio):
        """Names with commas and colons work as keys of a mapping."""
        meta = texting(triggeringEventsAndNumber={"a,b": [NUMBER], "c:d": "+15550100002"})

        assert deliver({"event": "a,b"}, meta) == deliver({"event": "c:d"}, meta) == ["sent"]


class TestCooldown:
    def test_it_ends_exactly_after_its_seconds(self, texting, clock):
        """The timeout covers [message, message + timeout), and not a moment more."""
        meta = texting(timeout=60)
        assert deliver(signup("1"), meta) == ["sent"]

        clock.tick(59.999)
        assert deliver(signup("2"), meta) == ["cooling_down"]

        clock.tick(0.001)
        assert deliver(signup("3"), meta) == ["sent"]

    @pytest.mark.parametrize("timeout", [1, 31_536_000], ids=["second", "year"])
    def test_it_holds_from_a_second_to_a_year(self, texting, clock, timeout):
        """Both ends of the range work to the second."""
        meta = texting(timeout=str(timeout))
        assert deliver(signup("1"), meta) == ["sent"]

        clock.tick(timeout - 0.5)
        assert deliver(signup("2"), meta) == ["cooling_down"]

        clock.tick(0.5)
        assert deliver(signup("3"), meta) == ["sent"]

    def test_it_runs_on_the_real_clock_too(self, fake_twilio, twilio_config):
        """The default cache follows the process's clock, frozen or not."""
        meta = setup_plugin(twilio_config, http_client=fake_twilio)
        with freeze_time("2024-02-29") as frozen:
            assert deliver(signup("1"), meta) == ["sent"]

            frozen.tick(timedelta(seconds=59))
            assert deliver(signup("2"), meta) == ["cooling_down"]

            frozen.tick(timedelta(seconds=1))
            assert deliver(signup("3"), meta) == ["sent"]

    def test_each_trigger_and_number_has_its_own(self, texting):
        """One trigger's message silences no other trigger and no other number."""
        meta = texting(
            triggeringEventsAndNumber={"a": [NUMBER, "+15550100002"], "b": NUMBER, "b-c": NUMBER}
        )

        assert deliver({"event": "a"}, meta) == ["sent", "sent"]
        assert deliver({"event": "b"}, meta) == ["sent"]
        assert deliver({"event": "b-c"}, meta) == ["sent"]

    def test_what_was_held_back_is_told_once(self, texting, clock, fake_twilio):
        """The next message says how many events it stands for; the one after starts anew."""
        meta = texting()
        for uuid in range(38):
            deliver(signup(str(uuid)), meta)

        clock.tick(60)
        (outcome,) = on_event(signup("x"), meta)
        clock.tick(60)
        on_event(signup("y"), meta)

        assert outcome.held_back == 37
        assert [m.body for m in fake_twilio.outbox] == [
            "Hi signup occurred - PostHog",
            "Hi signup occurred (+37 more) - PostHog",
            "Hi signup occurred - PostHog",
        ]

    def test_a_failed_send_does_not_lose_the_count(self, texting, clock, fake_twilio):
        """Events held back are told by the message that goes out at last."""
        meta = texting()
        for uuid in "abc":
            deliver(signup(uuid), meta)
        clock.tick(60)
        fake_twilio.fail("no connection", times=4)

        assert deliver(signup("d"), meta) == ["retry"]
        assert on_event(signup("d"), meta)[0].held_back == 2

    @pytest.mark.parametrize("what", ["refused", "retry"])
    def test_only_a_message_starts_it(self, texting, fake_twilio, clock, what):
        """Rule 1: an attempt without a message uses up no timeout (here, of a day)."""
        meta = texting(timeout=86_400)
        if what == "refused":
            fake_twilio.fail(400, code=21211)
        else:
            fake_twilio.fail(429, times=4)
        assert deliver(signup("1"), meta) == [what]

        clock.tick(LEASE)
        assert deliver(signup("2"), meta) == ["sent"]

    def test_after_a_refusal_there_is_one_attempt_a_minute(self, texting, fake_twilio, clock):
        """A recipient that is refused is asked about once a lease, not with each event."""
        meta = texting(timeout=1)
        fake_twilio.fail(400, code=21610, times=9)
        assert deliver(signup("1"), meta) == ["refused"]

        clock.tick(LEASE - 1)
        assert deliver(signup("2"), meta) == ["cooling_down"]

        clock.tick(1)
        assert deliver(signup("3"), meta) == ["refused"]


class TestPersonScope:
    def test_each_person_has_a_cooldown(self, texting):
        """With scope person, one person's message does not silence another's."""
        meta = texting(timeoutScope="person")

        assert deliver(signup("1", distinct_id="ann"), meta) == ["sent"]
        assert deliver(signup("2", distinct_id="bob"), meta) == ["sent"]
        assert deliver(signup("3", distinct_id="ann"), meta) == ["cooling_down"]

    def test_by_default_people_share_it(self, texting):
        """With scope event, the person makes no difference."""
        meta = texting()

        assert deliver(signup("1", distinct_id="ann"), meta) == ["sent"]
        assert deliver(signup("2", distinct_id="bob"), meta) == ["cooling_down"]

    @pytest.mark.parametrize("nobody", [{}, {"distinct_id": None}, {"distinct_id": ""}], ids=str)
    def test_events_of_nobody_share_one(self, texting, nobody):
        """A missing or empty distinct_id never switches the protection off."""
        meta = texting(timeoutScope="person")

        assert deliver(signup("1", **nobody), meta) == ["sent"]
        assert deliver(signup("2"), meta) == ["cooling_down"]


class TestOneClaimOneMessage:
    @pytest.mark.usefixtures("eager_threads")
    def test_of_32_threads_one_sends(self, fake_twilio, twilio_config):
        """Rule 2: 32 threads that start together send one message a key, 200 times."""
        names = [f"event {n}" for n in range(200)]
        config = {**twilio_config, "triggeringEventsAndNumber": dict.fromkeys(names, NUMBER)}
        meta = setup_plugin(config, http_client=fake_twilio)
        together = Barrier(32, timeout=60)

        def run(_: int) -> list[str]:
            seen = []
            for name in names:
                together.wait()
                seen += deliver({"event": name}, meta)
            return seen

        with ThreadPoolExecutor(32) as pool:
            rounds = list(zip(*pool.map(run, range(32)), strict=True))

        assert all(sorted(seen) == ["cooling_down"] * 31 + ["sent"] for seen in rounds)
        assert len(fake_twilio.outbox) == 200

    def test_two_plugins_share_a_cache(self, texting, clock):
        """Whoever shares the cache shares the cooldown."""
        cache = MemoryCache(timer=clock)

        assert deliver(signup("1"), texting(cache)) == ["sent"]
        assert deliver(signup("2"), texting(cache)) == ["cooling_down"]

    def test_no_number_stands_in_a_key(self, texting, clock):
        """Keys of a shared store show neither number, name nor person."""
        keys: list[str] = []

        class Noting(MemoryCache):
            def claim(self, key, seconds):
                keys.append(key)
                return super().claim(key, seconds)

        meta = texting(Noting(timer=clock), dailyLimit=3, timeoutScope="person")
        deliver(signup("u-1", distinct_id="ann"), meta)

        assert len(keys) == 3
        assert not any(part in "".join(keys) for part in ("5550100", "signup", "ann", "u-1"))


class TestCrash:
    class Killed(BaseException):
        """Ends a worker in the middle, as a signal would."""

    def die(self, meta, fake_twilio, uuid="1", accepted=False):
        def kill(request):
            if request.method == "POST":
                raise self.Killed

        fake_twilio.on_request = kill
        with pytest.raises(self.Killed):
            on_event(signup(uuid), meta)
        fake_twilio.on_request = None

    def test_it_silences_for_the_lease_only(self, texting, fake_twilio, clock):
        """Rule 3: after a crash, other events wait for the lease, not for the timeout."""
        meta = texting(timeout=31_536_000)
        self.die(meta, fake_twilio)

        clock.tick(LEASE - 0.001)
        assert deliver(signup("2"), meta) == ["cooling_down"]

        clock.tick(0.001)
        assert deliver(signup("3"), meta) == ["sent"]

    def test_its_event_is_in_hand_until_the_lease_is_over(self, texting, fake_twilio, clock):
        """Rule 5: while the dead worker's claim runs, redelivery is RETRY, not COOLING_DOWN."""
        meta = texting()
        self.die(meta, fake_twilio)

        assert deliver(signup("1"), meta) == ["retry"]
        assert deliver(signup("2"), meta) == ["cooling_down"]

    def test_its_event_is_not_sent_again(self, texting, fake_twilio, clock):
        """Rule 4: what a dead worker may have sent is reported, and uses the timeout up."""
        meta = texting()
        self.die(meta, fake_twilio)
        clock.tick(LEASE)

        assert deliver(signup("1"), meta) == ["uncertain"]
        assert fake_twilio.outbox == []
        assert deliver(signup("2"), meta) == ["cooling_down"]
        clock.tick(60)
        assert deliver(signup("1"), meta) == ["duplicate"]

    def test_resend_sends_it(self, texting, fake_twilio, clock):
        """With whenInDoubt resend, a dead worker's event is sent."""
        meta = texting(whenInDoubt="resend")
        self.die(meta, fake_twilio)
        clock.tick(LEASE)

        assert deliver(signup("1"), meta) == ["sent"]

    def test_a_late_worker_changes_nothing(self, texting, fake_twilio, clock):
        """A worker that comes back after its lease takes nothing from its successor."""
        meta = texting(timeout=3600)

        def stall(_request):
            fake_twilio.on_request = None
            clock.tick(LEASE)
            assert deliver(signup("2"), meta) == ["sent"]

        fake_twilio.on_request = stall
        assert deliver(signup("1"), meta) == ["sent"]

        clock.tick(3599)
        assert deliver(signup("3"), meta) == ["cooling_down"]

    def test_no_send_starts_on_a_lease_that_is_nearly_over(self, texting, fake_twilio, clock):
        """Rule 3: waiting as Twilio asks must not outlast the time in which to start."""
        fake_twilio.fail(429, retry_after=30)

        assert deliver(signup("1"), texting()) == ["retry"]
        assert len(fake_twilio.requests) == 1

    def test_a_slow_cache_starts_no_send(self, texting, fake_twilio, clock):
        """Rule 3: where claiming alone took too long, nothing is sent."""

        class Slow(MemoryCache):
            def claim(self, key, seconds):
                granted = super().claim(key, seconds)
                clock.tick(LEASE / 2)
                return granted

        assert deliver(signup("1"), texting(Slow(timer=clock))) == ["retry"]
        assert fake_twilio.outbox == []

    def test_time_limits_add_up_to_less_than_the_lease(self):
        """Rule 3: whatever starts last, a send or a look at the list, ends before the lease."""
        from posthog_twilio import _http, doubt, plugin, transport

        body = 2 * _http.BODY  # its last piece may begin to come in late
        attempt = _http.CONNECT + _http.READ + body
        look = _http.CONNECT + transport.LOOK_UP + body

        assert plugin.PATIENCE + attempt < LEASE
        assert plugin.PATIENCE + 2 * transport.FOREIGN < LEASE
        assert plugin.PATIENCE + doubt.ASK_WITHIN + look < LEASE
        assert _http.READ + doubt.ASK_AGAIN < doubt.ASK_WITHIN + plugin.PATIENCE
        assert sum(transport.BACK_OFF) * 1.1 < plugin.PATIENCE


class TestInDoubt:
    @pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "lost"])
    @pytest.mark.parametrize("what", MAYBE_SENT)
    def test_it_is_reported_and_not_sent_again(self, texting, fake_twilio, clock, what, accepted):
        """Rule 4: one request, UNCERTAIN, and the timeout is used up."""
        meta = texting(timeout=3600)
        fake_twilio.fail(what, accepted=accepted)

        (outcome,) = on_event(signup("1"), meta)

        assert outcome.status is Status.UNCERTAIN
        assert outcome.reason
        assert len(fake_twilio.requests) == 1
        clock.tick(3599)
        assert deliver(signup("1"), meta) == deliver(signup("2"), meta) == ["cooling_down"]
        clock.tick(1)
        assert deliver(signup("1"), meta) == ["duplicate"]

    @pytest.mark.parametrize("body", ["broken", "empty", "[]", "null", '{"sid": 7}'])
    def test_a_2xx_is_sent_whatever_its_body(self, texting, fake_twilio, body):
        """Rule 4: the status alone says that Twilio accepted."""
        if body in ("broken", "empty"):
            fake_twilio.fail(body)
            meta = texting()
        else:
            meta = texting(http_client=Answering(201, body))

        assert deliver(signup("1"), meta) == ["sent"]
        assert deliver(signup("1"), meta) == ["cooling_down"]

    def test_ask_finds_what_was_accepted(self, texting, fake_twilio, clock):
        """Found is SENT, with the SID of the message that went out."""
        meta = texting(whenInDoubt="ask")
        fake_twilio.fail("hang", accepted=True)

        (outcome,) = on_event(signup("1"), meta)

        assert outcome.status is Status.SENT
        assert [outcome.sid] == [message.sid for message in fake_twilio.outbox]

    def test_ask_sends_what_was_not(self, texting, fake_twilio):
        """Not found at the second look is sent."""
        meta = texting(whenInDoubt="ask")
        fake_twilio.fail("hang")

        assert deliver(signup("1"), meta) == ["sent"]
        assert len(fake_twilio.outbox) == 1
        assert [r.method for r in fake_twilio.requests] == ["POST", "GET", "GET", "POST"]

    def test_ask_waits_before_it_believes_an_empty_list(self, texting, twilio_config, clock):
        """A list that lags a second does not make a message go out twice."""
        from posthog_twilio.testing import FakeTwilio

        fake = FakeTwilio(clock=clock, list_delay=1.5)
        fake.fail("reset", accepted=True)

        assert deliver(signup("1"), texting(http_client=fake, whenInDoubt="ask")) == ["sent"]
        assert len(fake.outbox) == 1

    @pytest.mark.parametrize("what", [500, "hang", 429, 401, "broken"])
    def test_an_unreadable_list_is_uncertain(self, texting, fake_twilio, what):
        """Under ask, no list means no guess."""
        meta = texting(whenInDoubt="ask")
        fake_twilio.fail(503, accepted=True)
        fake_twilio.fail(what, on="list", times=9)

        (outcome,) = on_event(signup("1"), meta)

        assert outcome.status is Status.UNCERTAIN
        assert "list is unreadable" in outcome.reason
        assert len(fake_twilio.outbox) == 1

    @pytest.mark.parametrize(
        "other",
        [
            {"to": "+15550100009"},
            {"from_": "+15550100077"},
            {"body": "Hi signup occurred - PostHog!"},
            {"body": "Hi signup occurred (+x more) - PostHog"},
        ],
        ids=lambda other: "+".join(other),
    )
    def test_ask_takes_no_other_message_for_this_one(self, texting, fake_twilio, other):
        """Recipient, sender and body must all agree."""
        self.accepted_before(fake_twilio, **other)
        fake_twilio.fail("hang")

        assert deliver(signup("1"), texting(whenInDoubt="ask")) == ["sent"]
        assert len(fake_twilio.outbox) == 2

    def test_ask_takes_no_earlier_message_for_this_one(self, texting, clock):
        """The message that the last cooldown began with is not the one in doubt."""
        from posthog_twilio.testing import FakeTwilio

        fake = FakeTwilio(clock=clock)
        meta = texting(http_client=fake, whenInDoubt="ask", timeout=60)
        assert deliver(signup("1"), meta) == ["sent"]
        clock.tick(60)
        fake.fail("hang")

        assert deliver(signup("2"), meta) == ["sent"]
        assert len(fake.outbox) == 2

    def test_ask_knows_a_trial_accounts_prefix(self, texting, fake_twilio):
        """Twilio puts a sentence before a trial account's texts."""

        def accept(_request):
            fake_twilio.on_request = None
            prefix = "Sent from your Twilio trial account - "
            self.accepted_before(fake_twilio, body=prefix + "Hi signup occurred - PostHog")
            fake_twilio.fail("hang")

        fake_twilio.on_request = accept

        assert deliver(signup("1"), texting(whenInDoubt="ask")) == ["sent"]
        assert len(fake_twilio.outbox) == 1

    def accepted_before(self, fake_twilio, **other):
        from twilio.rest import Client

        client = Client(ACCOUNT, "token", http_client=fake_twilio)
        message = {"to": NUMBER, "from_": "+15005550006", "body": "Hi signup occurred - PostHog"}
        client.messages.create(**{**message, **other})

    def test_resend_sends_once_more(self, texting, fake_twilio):
        """With resend, a lost answer costs a second message rather than none."""
        meta = texting(whenInDoubt="resend")
        fake_twilio.fail("hang", accepted=True)

        assert deliver(signup("1"), meta) == ["sent"]
        assert len(fake_twilio.outbox) == 2

    @pytest.mark.parametrize("policy", ["ask", "resend"])
    def test_doubt_that_stays_is_for_the_next_delivery(self, texting, fake_twilio, clock, policy):
        """Two lost answers end in RETRY, and nothing is released as if it had not been tried."""
        meta = texting(whenInDoubt=policy)
        fake_twilio.fail(500, times=2)

        assert deliver(signup("1"), meta) == ["retry"]
        assert len([r for r in fake_twilio.requests if r.method == "POST"]) == 2
        assert deliver(signup("1"), meta) == ["retry"]
        assert deliver(signup("2"), meta) == ["cooling_down"]
        clock.tick(LEASE)
        assert deliver(signup("1"), meta) == ["sent"]

    def test_ask_after_a_crash_finds_the_message(self, texting, clock):
        """A dead worker's message is found, though more was held back meanwhile."""
        from posthog_twilio.testing import FakeTwilio

        fake = FakeTwilio(clock=clock)
        meta = texting(http_client=fake, whenInDoubt="ask")
        self.dies_after_acceptance(meta, fake)
        for uuid in "abc":
            assert deliver(signup(uuid), meta) == ["cooling_down"]
        clock.tick(LEASE)

        (outcome,) = on_event(signup("1"), meta)

        assert outcome.status is Status.SENT
        assert [outcome.sid] == [message.sid for message in fake.outbox]

    def dies_after_acceptance(self, meta, fake, uuid="1", **more):
        def kill(request):
            fake.on_request = None
            fake.answer(request)
            raise TestCrash.Killed

        fake.on_request = kill
        with pytest.raises(TestCrash.Killed):
            on_event(signup(uuid, **more), meta)

    def test_after_a_crash_the_events_time_bounds_the_search(self, texting, clock):
        """A message older than the event is not the event's, however alike."""
        from datetime import datetime, timezone

        from posthog_twilio.testing import FakeTwilio

        fake = FakeTwilio(clock=clock)
        meta = texting(http_client=fake, whenInDoubt="ask")
        assert deliver(signup("0"), meta) == ["sent"]
        clock.tick(120)
        stamp = datetime.fromtimestamp(clock.now, timezone.utc).isoformat()
        crash = TestCrash()
        crash.die(meta, fake)
        clock.tick(LEASE)

        assert deliver(signup("1", timestamp=stamp), meta) == ["sent"]
        assert len(fake.outbox) == 2

    def test_an_event_from_the_future_is_searched_for_in_the_past(self, texting, clock):
        """A wrong clock somewhere must not hide the message."""
        from posthog_twilio.testing import FakeTwilio

        fake = FakeTwilio(clock=clock)
        meta = texting(http_client=fake, whenInDoubt="ask")
        self.dies_after_acceptance(meta, fake, timestamp="2999-01-01T00:00:00Z")
        clock.tick(LEASE)

        assert deliver(signup("1", timestamp="2999-01-01T00:00:00Z"), meta) == ["sent"]
        assert len(fake.outbox) == 1


class Answering:
    """An HTTP client that always gives the same answer."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self.status, self.text, self.headers = status, text, headers

    def request(self, _method, url, **_options):
        self.url = url
        from twilio.http.response import Response

        return Response(self.status, self.text, self.headers)


class TestRetry:
    @pytest.mark.parametrize(("what", "more"), NEVER_SENT, ids=str)
    def test_a_short_failure_is_ridden_out(self, texting, fake_twilio, what, more):
        """What surely was not processed is tried again a few times."""
        fake_twilio.fail(what, times=3, **more)

        assert deliver(signup("1"), texting()) == ["sent"]
        assert len(fake_twilio.outbox) == 1

    @pytest.mark.parametrize(("what", "more"), NEVER_SENT, ids=str)
    def test_a_long_one_is_for_the_host(self, texting, fake_twilio, what, more):
        """Then everything is released and the event asked for again; it comes out once."""
        meta = texting(timeout=3600)
        fake_twilio.fail(what, times=4, **more)

        with pytest.raises(RetryError) as caught:
            on_event(signup("1"), meta)

        assert statuses(caught.value.outcomes) == ["retry"]
        assert fake_twilio.outbox == []
        assert deliver(signup("1"), meta) == ["sent"]
        assert deliver(signup("1"), meta) == ["cooling_down"]
        assert len(fake_twilio.outbox) == 1

    def test_one_failing_number_keeps_no_other_from_its_message(self, texting, fake_twilio):
        """RetryError comes after all recipients were tried, with every outcome."""
        meta = texting(triggeringEventsAndNumber={"signup": [NUMBER, "+15550100002"]})
        fake_twilio.fail("no connection", times=4)

        with pytest.raises(RetryError) as caught:
            on_event(signup("1"), meta)

        assert statuses(caught.value.outcomes) == ["retry", "sent"]
        assert deliver(signup("1"), meta) == ["sent", "cooling_down"]

    def test_retry_after_is_honoured(self, texting, fake_twilio, clock):
        """Twilio's wish for a pause is granted, where it is short."""
        fake_twilio.fail(429, retry_after=5)
        began = clock.now

        assert deliver(signup("1"), texting()) == ["sent"]
        assert clock.now - began == 5

    def test_the_account_limit_is_hours_away(self, texting, fake_twilio):
        """63038 is no matter of seconds, so it is asked once."""
        fake_twilio.fail(429, code=63038)

        assert deliver(signup("1"), texting()) == ["retry"]
        assert len(fake_twilio.requests) == 1

    def test_a_retry_error_survives_a_queue(self, texting, fake_twilio):
        """Engines pickle exceptions; the outcomes come along."""
        fake_twilio.fail("no connection", times=4)
        with pytest.raises(RetryError) as caught:
            on_event(signup("1"), texting())

        again = pickle.loads(pickle.dumps(caught.value))

        assert again.outcomes == caught.value.outcomes
        assert str(again) == str(caught.value)


class TestRedelivery:
    def test_while_another_thread_sends_it_is_retry(self, texting, fake_twilio):
        """Rule 5: the same event at the same time is asked for again, another is held back."""
        meta = texting()
        sending, go_on = Event(), Event()

        def hold(_request):
            sending.set()
            assert go_on.wait(10)

        fake_twilio.on_request = hold
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(deliver, signup("1"), meta)
            assert sending.wait(10)
            same, other = deliver(signup("1"), meta), deliver(signup("2"), meta)
            go_on.set()

        assert (first.result(), same, other) == (["sent"], ["retry"], ["cooling_down"])
        assert deliver(signup("1"), meta) == ["cooling_down"]

    def test_a_uuid_is_remembered_for_a_day(self, texting, clock):
        """Rule 5: after the cooldown it is a DUPLICATE, for 24 h, and holds nobody up."""
        meta = texting()
        deliver(signup("1"), meta)

        clock.tick(86_399)
        assert deliver(signup("1"), meta) == ["duplicate"]
        assert deliver(signup("2"), meta) == ["sent"]

        clock.tick(60)
        assert deliver(signup("1"), meta) == ["sent"]

    def test_it_is_remembered_for_each_recipient(self, texting, clock, fake_twilio):
        """Rule 5: what failed is tried again, what was sent is not."""
        meta = texting(triggeringEventsAndNumber={"signup": [NUMBER, "+15550100002"]}, timeout=1)
        fake_twilio.fail("no connection", times=4)
        assert deliver(signup("1"), meta) == ["retry", "sent"]

        clock.tick(1)
        assert deliver(signup("1"), meta) == ["sent", "duplicate"]

    def test_a_refused_event_was_settled(self, texting, fake_twilio, clock):
        """What Twilio refused comes back as DUPLICATE, at once and later."""
        meta = texting()
        fake_twilio.fail(400, code=21610)
        assert deliver(signup("1"), meta) == ["refused"]

        assert deliver(signup("1"), meta) == ["duplicate"]
        clock.tick(LEASE)
        assert deliver(signup("1"), meta) == ["duplicate"]

    def test_a_duplicate_uses_no_cooldown_up(self, texting, clock):
        """The cooldown that a duplicate claimed is released, its ask with it."""
        meta = texting(timeout=60)
        deliver(signup("1"), meta)
        clock.tick(60)
        assert deliver(signup("1"), meta) == ["duplicate"]

        (outcome,) = on_event(signup("2"), meta)
        assert (outcome.status, outcome.held_back) == (Status.SENT, 0)


class TestCacheFailure:
    @pytest.mark.parametrize("after", [0, 1, 2], ids=["cooldown", "slot", "event"])
    def test_nothing_is_sent(self, texting, fake_twilio, clock, after):
        """Rule 6: whichever claim fails, nothing is sent, nothing lost, no secret told."""
        cache = MemoryCache(timer=clock)
        with pytest.raises(RetryError) as caught:
            on_event(signup("1"), texting(Failing(cache, "claim", after=after), dailyLimit=5))

        assert fake_twilio.requests == []
        assert "hunter2" not in str(caught.value)
        assert deliver(signup("1"), texting(cache, dailyLimit=5)) == ["sent"]

    def test_a_failing_commit_asks_for_nothing(self, texting, fake_twilio, clock, caplog):
        """Once a message is out, asking for the event again would send twice."""
        meta = texting(Failing(MemoryCache(timer=clock), "commit"))

        assert deliver(signup("1"), meta) == ["sent"]
        assert [r.levelname for r in caplog.records if "did not take note" in r.message] == [
            "ERROR",
            "ERROR",
        ]
        assert "hunter2" not in caplog.records[0].getMessage()

    def test_a_failing_release_lapses(self, texting, fake_twilio, clock, caplog):
        """What cannot be released runs out by itself; then the event is in doubt."""
        meta = texting(Failing(MemoryCache(timer=clock), "release"))
        fake_twilio.fail("no connection", times=4)

        assert deliver(signup("1"), meta) == ["retry"]
        assert any("lapses by itself" in record.message for record in caplog.records)
        clock.tick(LEASE)
        assert deliver(signup("2"), meta) == ["sent"]

    def test_a_cache_without_the_verbs_is_refused(self, twilio_config):
        """A host's own cache is refused with the name of its adapter."""
        with pytest.raises(TypeError, match="HostCache"):
            setup_plugin(twilio_config, cache={})


class TestEventData:
    PHONES = "order shipped:{person.properties.phone}"

    def shipped(self, phone):
        return {"event": "order shipped", "person": {"properties": {"phone": phone}}}

    def meta(self, texting, **more):
        more = {"allowedCountryCodes": "+1", "triggeringEventsAndNumber": self.PHONES, **more}
        return texting(**more)

    def test_a_number_is_normalised(self, texting, fake_twilio):
        """Blanks, dashes, dots and brackets go, 00 becomes +."""
        assert deliver(self.shipped("00 1 (555) 010-00.01"), self.meta(texting)) == ["sent"]
        assert fake_twilio.outbox[0].to == NUMBER

    @pytest.mark.parametrize("phone", [None, "", "+44 20 7946 0958", "911", "whatsapp:" + NUMBER])
    def test_no_guess_sends_anything(self, texting, fake_twilio, phone, clock):
        """Rule 7: what is no number in an allowed country gets nothing, and claims nothing."""
        claimed: list[str] = []

        class Noting(MemoryCache):
            def claim(self, key, seconds):
                claimed.append(key)
                return super().claim(key, seconds)

        meta = self.meta(texting, cache=Noting(timer=clock))
        (outcome,) = on_event(self.shipped(phone), meta)

        assert outcome.status is Status.REFUSED
        assert outcome.reason.startswith("{person.properties.phone}: ")
        assert (fake_twilio.requests, claimed) == ([], [])

    def test_a_channel_of_the_settings_is_kept(self, texting, fake_twilio):
        """The channel comes from the settings, the number from the event."""
        meta = self.meta(
            texting,
            triggeringEventsAndNumber="order shipped:whatsapp:{person.properties.phone}",
            senderPhoneNumber="whatsapp:+15005550006",
        )

        assert deliver(self.shipped(NUMBER), meta) == ["sent"]
        assert fake_twilio.outbox[0].to == f"whatsapp:{NUMBER}"

    def test_an_empty_body_is_refused(self, texting, fake_twilio):
        """A template that gives no text sends nothing, and holds nothing back."""
        meta = texting(messageTemplate="{event.properties.text}")

        assert deliver(signup("1"), meta) == ["refused"]
        assert deliver(signup("1", properties={"text": "Hi"}), meta) == ["sent"]
        assert fake_twilio.outbox[0].body == "Hi"


class TestSecrets:
    def everything_said(self, caplog, *things) -> str:
        said = [record.getMessage() + (record.exc_text or "") for record in caplog.records]
        said += [json.dumps(record.__dict__, default=str) for record in caplog.records]
        return " ".join(said) + " ".join(f"{thing!r} {thing}" for thing in things)

    def test_they_stay_out_of_logs_errors_and_reprs(
        self, texting, fake_twilio, twilio_config, caplog, clock
    ):
        """Rule 8: neither token nor number shows, whatever happens."""
        caplog.set_level(logging.DEBUG)
        meta = texting()
        things: list[object] = [meta, meta.config, fake_twilio]
        for what in ["no connection", "hang", 500, 429, 401]:
            fake_twilio.fail(what, times=4 if what in ("no connection", 429) else 1)
            try:
                things += on_event(signup(str(what)), meta)
            except RetryError as error:
                things += [error, *error.outcomes]
            clock.tick(LEASE)

        said = self.everything_said(caplog, *things)

        assert "+1555•••0001" in said
        assert NUMBER not in said
        assert NUMBER[1:] not in said
        assert twilio_config["authToken"] not in said

    def test_the_sdks_loggers_are_silent_through_us(self, texting, caplog):
        """The SDK's own client logs numbers and SIDs; not when it is called through us."""
        from twilio.http.http_client import TwilioHttpClient

        caplog.set_level(logging.DEBUG)
        meta = texting(http_client=TwilioHttpClient(timeout=1), apiBaseURL="http://127.0.0.1:9")

        assert deliver(signup("1"), meta) == ["retry"]
        assert {record.name for record in caplog.records} == {"posthog_twilio"}

        logging.getLogger("twilio.http_client").info("outside of it they speak")
        assert caplog.records[-1].name == "twilio.http_client"


class TestLogging:
    @pytest.mark.parametrize(
        ("fail", "level"),
        [
            (None, "INFO"),
            ((400, 21610), "WARNING"),
            ((401, 20003), "ERROR"),
            ((404, 20404), "ERROR"),
            ((500, 20500), "WARNING"),
            ((503, 20003), "WARNING"),
        ],
        ids=str,
    )
    def test_each_outcome_has_a_level_and_its_facts(
        self, texting, fake_twilio, caplog, fail, level
    ):
        """One line an outcome, with its facts as attributes of the record."""
        caplog.set_level(logging.DEBUG, "posthog_twilio")
        if fail:
            fake_twilio.fail(fail[0], code=fail[1])

        (outcome,) = on_event(signup("1"), texting())

        (record,) = caplog.records
        assert (record.levelname, record.outcome, record.code) == (
            level,
            outcome.status.value,
            outcome.code,
        )
        assert (record.trigger, record.recipient, record.sid) == (
            "signup",
            "+1555•••0001",
            outcome.sid,
        )

    def test_what_is_held_back_is_for_debugging(self, texting, caplog):
        """A storm of events makes no storm of log lines."""
        caplog.set_level(logging.INFO, "posthog_twilio")
        meta = texting()
        for uuid in "abc":
            deliver(signup(uuid), meta)

        assert len(caplog.records) == 1


class TestInvalidEvents:
    @pytest.mark.parametrize(
        "event",
        [
            None,
            3,
            "signup",
            ["signup"],
            {},
            {"event": None},
            {"event": ""},
            {"event": 7},
            {"event": ["signup"]},
            {"event": {"event": "signup"}},
        ],
        ids=repr,
    )
    def test_they_are_refused_before_anything_is_claimed(self, texting, fake_twilio, event):
        """Rule 9: what is no plugin event raises InvalidEvent, and matches nothing."""
        meta = texting(Failing(MemoryCache(), "claim"))

        for _ in range(2):
            with pytest.raises(InvalidEvent, match="expected"):
                on_event(event, meta)
        assert meta.matches(event) is False


class TestMatches:
    def test_it_tells_without_io(self, texting, fake_twilio):
        """It neither claims nor sends, and says the same each time."""
        meta = texting(Failing(MemoryCache(), "claim"))

        assert [meta.matches({"event": name}) for name in ("signup", "x", "signup", "x")] == [
            True,
            False,
            True,
            False,
        ]

    def test_what_is_ignored_stays_bounded(self, texting):
        """Names that strangers make up do not fill the memory."""
        meta = texting()
        for n in range(5000):
            meta.matches({"event": f"made up {n}"})

        assert 0 < len(meta.ignored) <= 1024
        assert meta.matches({"event": "signup"})


class TestTeardown:
    def test_it_is_safe_twice_and_in_the_middle(self, texting):
        """A host may tear down at any time, and again; a late event still goes out."""
        meta = texting()
        deliver(signup("1"), meta)

        teardown_plugin(meta)
        teardown_plugin(meta)

        assert deliver(signup("2"), meta) == ["cooling_down"]

    def test_the_cache_is_its_makers(self, texting, tmp_path):
        """Tearing a plugin down closes no cache that others may use."""
        with SQLiteCache(tmp_path / "cooldowns.db") as cache:
            teardown_plugin(texting(cache))

            assert cache.claim("k", 60).granted
