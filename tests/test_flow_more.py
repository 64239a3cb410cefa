"""Corners of the flow: keys, limits that meet redelivery, doubt with little time or no uuid."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
import requests

from posthog_twilio import InvalidEvent, RetryError, Status, on_event, setup_plugin
from posthog_twilio.caches import MemoryCache
from posthog_twilio.claims import LEASE
from posthog_twilio.doubt import ASK_WITHIN
from posthog_twilio.plugin import PATIENCE
from posthog_twilio.testing import FakeTwilio
from posthog_twilio.transport import LOOK_UP

NUMBER = "+15550100001"
HOUR = 3600


class Killed(BaseException):
    """Ends a worker in the middle, as a signal would."""


def signup(uuid: str | None = None, **more: object) -> dict[str, object]:
    """Make an event."""
    return {"event": "signup", "uuid": uuid, **more}


def at(clock) -> str:
    """Write down the time."""
    return datetime.fromtimestamp(clock.now, timezone.utc).isoformat()


def deliver(event, meta) -> list[str]:
    """Say what became of an event, also where it is asked for again."""
    try:
        outcomes = on_event(event, meta)
    except RetryError as error:
        outcomes = error.outcomes
    return [outcome.status.value for outcome in outcomes]


def posts(fake) -> int:
    """Count the attempts to send."""
    return sum(request.method == "POST" for request in fake.requests)


def die(meta, fake, event, *, accepted: bool = False) -> None:
    """Deliver *event* to a worker that dies while it sends."""

    def kill(request):
        fake.on_request = None
        if accepted:
            fake.answer(request)
        raise Killed

    fake.on_request = kill
    with pytest.raises(Killed):
        on_event(event, meta)


@pytest.fixture
def fake(clock):
    """Hand out a Twilio that dates its messages by the clock."""
    return FakeTwilio(clock=clock)


@pytest.fixture
def plugin(texting, fake):
    """Set a plugin up against that Twilio."""
    return lambda cache=None, **changes: texting(cache, http_client=fake, **changes)


class TestKeys:
    def test_accounts_that_share_a_cache_share_no_cooldown_and_no_event(self, plugin, clock):
        """Two plugins of two accounts, one cache: neither holds the other back."""
        cache = MemoryCache(timer=clock)
        metas = [plugin(cache, accountSID="AC" + digit * 32, timeout=1) for digit in "12"]

        assert [deliver(signup("1"), meta) for meta in metas] == [["sent"]] * 2
        clock.tick(1)
        assert [deliver(signup("1"), meta) for meta in metas] == [["duplicate"]] * 2

    def test_accounts_that_share_a_cache_share_no_limit(self, plugin, clock):
        """Each account has its own messages a day."""
        cache = MemoryCache(timer=clock)
        metas = [plugin(cache, accountSID="AC" + digit * 32, dailyLimit=1) for digit in "12"]

        assert [deliver(signup("1"), meta) for meta in metas] == [["sent"]] * 2

    def test_a_held_event_leaves_no_claim_behind(self, plugin, fake, clock):
        """Looking whether an event is in hand takes nothing: later it is sent, not in doubt."""
        meta = plugin()
        die(meta, fake, signup("1"))
        assert deliver(signup("2"), meta) == ["cooling_down"]

        clock.tick(LEASE)
        assert deliver(signup("2"), meta) == ["sent"]

    def test_an_event_that_was_held_is_no_duplicate(self, plugin, fake, clock):
        """Redelivered at once, it is in nobody's hand and settled by nobody."""
        meta = plugin()
        die(meta, fake, signup("1"))

        assert deliver(signup("2"), meta) == deliver(signup("2"), meta) == ["cooling_down"]


class TestOutcome:
    def test_a_number_from_an_event_is_told(self, plugin):
        """The outcome names the number that was texted, not where it stood."""
        meta = plugin(
            triggeringEventsAndNumber="signup:{event.properties.to}", allowedCountryCodes="+1"
        )
        (outcome,) = on_event(signup("1", properties={"to": "+1 555 010-0001"}), meta)

        assert outcome.recipient == NUMBER

    def test_a_body_is_cut_as_the_settings_say(self, plugin, fake):
        """The limit of segments holds for what goes out."""
        on_event(signup("1"), plugin(messageTemplate="x" * 500, maxSegments=1))

        assert len(fake.outbox[0].body) == 160

    def test_its_repr_and_its_log_line_show_no_text(self, plugin, caplog):
        """A body may hold what a person wrote; held_back is in the record."""
        caplog.set_level("DEBUG", "posthog_twilio")
        (outcome,) = on_event(signup("1"), plugin(messageTemplate="private {held_back}"))

        (record,) = caplog.records
        assert "private" not in repr(outcome) + record.getMessage()
        assert record.held_back == 0


class TestWords:
    @pytest.mark.parametrize(
        ("what", "level"),
        [("duplicate", "DEBUG"), ("cooling_down", "DEBUG"), ("retry", "WARNING")],
    )
    def test_what_is_no_message_has_a_level_too(self, plugin, fake, clock, caplog, what, level):
        """What is routine is for debugging; what the host must deliver again is a warning."""
        meta = plugin()
        if what == "retry":
            fake.fail("no connection", times=4)
        else:
            deliver(signup("1"), meta)
            clock.tick(60 if what == "duplicate" else 0)
        caplog.clear()
        caplog.set_level("DEBUG", "posthog_twilio")

        assert deliver(signup("1"), meta) == [what]
        (record,) = caplog.records
        assert record.levelname == level
        reason = ": no connection to Twilio: NewConnectionError" if what == "retry" else ""
        assert record.getMessage() == f"signup to +1555•••0001 {what}{reason}"

    def test_a_retry_error_names_what_is_to_be_retried(self, plugin, fake):
        """Not what became of the other numbers."""
        meta = plugin(triggeringEventsAndNumber={"signup": [NUMBER, "+15550100002"]})
        fake.fail(400, code=21610)
        fake.fail("no connection", times=4)

        with pytest.raises(RetryError) as caught:
            on_event(signup("1"), meta)

        assert str(caught.value) == (
            "deliver this event again: no connection to Twilio: NewConnectionError"
        )


class TestSetup:
    def test_a_cache_needs_all_three_verbs(self, twilio_config):
        """One that can only claim is refused before it is used."""

        class Half:
            def claim(self, key, seconds):
                raise AssertionError

        with pytest.raises(TypeError, match="expected claim, commit and release, got a Half"):
            setup_plugin(twilio_config, cache=Half())

    def test_what_only_looks_like_a_mapping_is_no_event(self, plugin):
        """An object with a get is no plugin event."""

        class Response:
            def get(self, key):
                return "signup"

        with pytest.raises(InvalidEvent, match="expected a mapping"):
            on_event(Response(), plugin())

    def test_no_more_names_are_kept_than_promised(self, plugin):
        """The bound holds at every moment."""
        meta = plugin()
        sizes = []
        for n in range(3000):
            meta.matches({"event": f"made up {n}"})
            sizes.append(len(meta.ignored))

        assert max(sizes) == 1024


class TestLimitAndRedelivery:
    def test_what_was_sent_is_a_duplicate_though_the_day_is_full(self, plugin, clock):
        """Rule 5: the limit stops new messages; it does not change what became of old events."""
        meta = plugin(dailyLimit=1, timeout=1)
        deliver(signup("1"), meta)
        clock.tick(1)

        assert deliver(signup("2"), meta) == ["over_limit"]
        assert deliver(signup("1"), meta) == ["duplicate"]
        assert deliver(signup(), meta) == ["over_limit"]

    def test_what_the_limit_stopped_is_sent_the_next_day(self, plugin, clock):
        """Asking about the event left no claim behind."""
        meta = plugin(dailyLimit=1, timeout=1)
        deliver(signup("1"), meta)
        clock.tick(1)
        assert deliver(signup("2"), meta) == ["over_limit"]

        clock.tick(86_400)
        assert deliver(signup("2"), meta) == ["sent"]

    def test_a_dead_workers_event_is_reported_though_the_day_is_full(self, plugin, fake, clock):
        """Rule 4: doubt is told, and uses the timeout up, also where it took the last slot."""
        meta = plugin(dailyLimit=1, timeout=2 * 86_400)
        die(meta, fake, signup("1"), accepted=True)
        clock.tick(LEASE)

        assert deliver(signup("1"), meta) == ["uncertain"]
        clock.tick(86_400)
        assert deliver(signup("2"), meta) == ["cooling_down"]

    @pytest.mark.parametrize(("accepted", "status"), [(True, "sent"), (False, "over_limit")])
    def test_ask_looks_though_the_day_is_full(self, plugin, fake, clock, accepted, status):
        """Found is SENT; what was not found would be one message too many."""
        meta = plugin(dailyLimit=1, whenInDoubt="ask")
        event = signup("1", timestamp=at(clock))
        die(meta, fake, event, accepted=accepted)
        clock.tick(LEASE)

        assert deliver(event, meta) == [status]
        assert posts(fake) == accepted
        clock.tick(86_400 - LEASE)
        assert deliver(signup("1"), meta) == (["duplicate"] if accepted else ["sent"])

    def test_resend_stops_where_the_day_is_full(self, plugin, fake, clock):
        """A dead worker's slot counts, so there is none to send again."""
        meta = plugin(dailyLimit=1, whenInDoubt="resend")
        die(meta, fake, signup("1"), accepted=True)
        clock.tick(LEASE)

        assert deliver(signup("1"), meta) == ["over_limit"]
        assert len(fake.outbox) == 1

    @pytest.mark.parametrize("policy", ["ask", "resend"])
    def test_a_dead_workers_event_that_is_sent_counts_too(self, plugin, fake, clock, policy):
        """Its first worker's slot counts, and so does the one of the message that went out."""
        meta = plugin(dailyLimit=2, whenInDoubt=policy, timeout=1)
        die(meta, fake, signup("1"))
        clock.tick(LEASE)
        assert deliver(signup("1"), meta) == ["sent"]

        clock.tick(1)
        assert deliver(signup("2"), meta) == ["over_limit"]

    def test_a_slot_that_came_free_is_used(self, plugin, fake):
        """A slot seen pending is not remembered as used."""
        names = {"a": NUMBER, "b": NUMBER, "signup": NUMBER}
        meta = plugin(dailyLimit=1, triggeringEventsAndNumber=names)
        seen = []

        def hold(_request):
            fake.on_request = None
            seen.append(deliver({"event": "b"}, meta))

        fake.on_request = hold
        fake.fail(400, code=21211)

        assert deliver({"event": "a"}, meta) == ["refused"]
        assert seen == [["retry"]]
        assert deliver({"event": "b"}, meta) == ["sent"]

    def test_a_resend_without_time_takes_no_slot(self, plugin, fake, clock):
        """Where nothing can be sent any more, nothing is counted for it."""
        meta = plugin(dailyLimit=2, whenInDoubt="resend")
        fake.on_request = lambda _: clock.tick(30)
        fake.fail("hang")
        assert deliver(signup("1"), meta) == ["retry"]

        fake.on_request = None
        clock.tick(LEASE)
        assert deliver(signup("1"), meta) == ["sent"]


class TestDoubtWithoutUuid:
    """Its next delivery would not be known again, so nothing can be put off to it."""

    @pytest.mark.parametrize("policy", ["ask", "resend"])
    @pytest.mark.parametrize("then", [500, "no connection"])
    def test_doubt_that_stays_is_reported(self, plugin, fake, clock, policy, then):
        """Rule 4: UNCERTAIN, and the timeout runs, so that nothing goes out unasked."""
        meta = plugin(whenInDoubt=policy, timeout=HOUR)
        fake.fail(500)
        fake.fail(then, times=4)

        assert deliver(signup(), meta) == ["uncertain"]
        clock.tick(HOUR - 1)
        assert deliver(signup(), meta) == ["cooling_down"]

    def test_what_surely_did_not_go_out_is_not_looked_up(self, plugin, fake):
        """Only doubt is worth a look at the list."""
        fake.fail(500)
        fake.fail("no connection", times=4)

        assert deliver(signup("1"), plugin(whenInDoubt="ask")) == ["retry"]
        assert [request.method for request in fake.requests] == ["POST", "GET", "GET"] + [
            "POST"
        ] * 4

    def test_with_one_it_is_put_off(self, plugin, fake, clock):
        """The same failures, and the next delivery after the lease sends it."""
        meta = plugin(whenInDoubt="ask", timeout=HOUR)
        fake.fail(500)
        fake.fail("no connection", times=4)
        assert deliver(signup("1"), meta) == ["retry"]

        clock.tick(LEASE)
        assert deliver(signup("1"), meta) == ["sent"]
        assert len(fake.outbox) == 1


class TestAsk:
    def test_the_second_look_is_at_the_second_message(self, plugin, fake):
        """A message that was sent again, and again got lost, is found."""
        fake.fail(500)
        fake.fail(500, accepted=True)

        assert deliver(signup("1"), plugin(whenInDoubt="ask")) == ["sent"]
        assert (posts(fake), len(fake.outbox)) == (2, 1)

    def test_no_look_takes_an_earlier_message_for_this_one(self, plugin, fake, clock):
        """What began the last cooldown is found neither at the first message nor the second."""
        meta = plugin(whenInDoubt="ask", timeout=60)
        assert deliver(signup("1"), meta) == ["sent"]
        clock.tick(60)
        fake.fail(500, times=2)

        assert deliver(signup("2"), meta) == ["retry"]
        assert len(fake.outbox) == 1

    def test_a_second_try_that_is_refused_is_refused(self, plugin, fake):
        """Twilio's plain word ends the doubt."""
        fake.fail(500)
        fake.fail(400, code=21610)

        assert deliver(signup("1"), plugin(whenInDoubt="ask")) == ["refused"]

    @pytest.mark.parametrize("timeout", [1, 2, 10, 61])
    @pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9])
    def test_the_last_cooldowns_message_is_not_found(self, plugin, fake, clock, timeout, fraction):
        """However short the timeout and wherever in a second it began."""
        meta = plugin(whenInDoubt="ask", timeout=timeout)
        clock.tick(fraction)
        assert deliver(signup("1"), meta) == ["sent"]
        clock.tick(timeout)
        fake.fail("hang")

        assert deliver(signup("2"), meta) == ["sent"]
        assert len(fake.outbox) == 2

    @pytest.mark.parametrize("timeout", [1, 2, 10, 61])
    @pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9])
    def test_its_own_message_is(self, plugin, fake, clock, timeout, fraction):
        """Twilio dates in whole seconds, which hides no message of the second that began."""
        clock.tick(fraction)
        fake.fail("hang", accepted=True)

        assert deliver(signup("1"), plugin(whenInDoubt="ask", timeout=timeout)) == ["sent"]
        assert len(fake.outbox) == 1

    def test_it_counts_from_the_start_of_the_send(self, plugin, fake, clock):
        """However long the answer took to get lost."""

        def lose(request):
            fake.on_request = None
            fake.answer(request)
            clock.tick(30)
            raise requests.ReadTimeout

        fake.on_request = lose

        assert deliver(signup("1"), plugin(whenInDoubt="ask", timeout=10)) == ["sent"]
        assert len(fake.outbox) == 1

    def test_clocks_that_differ_are_no_excuse_for_a_far_look(self, plugin, fake, clock):
        """A message alike, half a minute and more ago, is somebody else's."""
        other = {"triggeringEventsAndNumber": {"signup": NUMBER, "b": NUMBER}, "timeout": HOUR}
        meta = plugin(whenInDoubt="ask", messageTemplate="Hi", **other)
        assert deliver({"event": "b"}, meta) == ["sent"]
        clock.tick(31)
        fake.fail("hang")

        assert deliver(signup("1"), meta) == ["sent"]
        assert len(fake.outbox) == 2

    def test_a_cut_body_is_known_again(self, plugin, fake):
        """What maxSegments left of it is compared."""
        meta = plugin(whenInDoubt="ask", messageTemplate="x" * 500, maxSegments=1)
        fake.fail("hang", accepted=True)

        assert deliver(signup("1"), meta) == ["sent"]
        assert len(fake.outbox) == 1

    def test_newer_messages_hide_none(self, plugin, fake):
        """Others to the same number stand before it in the list."""

        def lose(request):
            fake.on_request = None
            fake.answer(request)
            for name in "abc":
                assert deliver({"event": name}, meta) == ["sent"]
            raise requests.ReadTimeout

        names = dict.fromkeys(["a", "b", "c", "signup"], NUMBER)
        meta = plugin(whenInDoubt="ask", triggeringEventsAndNumber=names)
        fake.on_request = lose

        assert deliver(signup("1"), meta) == ["sent"]
        assert len(fake.outbox) == 4

    @pytest.mark.parametrize("late", [False, True])
    def test_no_look_starts_on_a_lease_that_is_nearly_over(self, plugin, fake, clock, late):
        """Rule 3: a verdict after the lease could not be kept, so the next delivery looks."""
        meta = plugin(whenInDoubt="ask")
        took = PATIENCE + ASK_WITHIN + (0.1 if late else 0)

        def lose(request):
            fake.on_request = None
            fake.answer(request)
            clock.tick(took)
            raise requests.ReadTimeout

        fake.on_request = lose

        assert deliver(signup("1"), meta) == ["retry" if late else "sent"]
        clock.tick(LEASE)
        assert deliver(signup("1"), meta) == ["sent" if late else "duplicate"]
        assert len(fake.outbox) == 1

    def test_no_second_look_starts_then_either(self, plugin, fake, clock):
        """There is one look where the second would come too late."""
        fake.on_request = lambda request: clock.tick(
            PATIENCE + ASK_WITHIN - 1 if request.method == "POST" else 0
        )
        fake.fail("hang")

        assert deliver(signup("1"), plugin(whenInDoubt="ask")) == ["retry"]
        assert [request.method for request in fake.requests] == ["POST", "GET"]


class TestAskAfterADeath:
    def test_without_a_time_a_whole_day_is_searched(self, plugin, fake, clock):
        """As long as the event is remembered, its message may be found."""
        meta = plugin(whenInDoubt="ask")
        die(meta, fake, signup("1"), accepted=True)
        clock.tick(86_400)

        assert deliver(signup("1"), meta) == ["sent"]
        assert len(fake.outbox) == 1

    @pytest.mark.parametrize("stamp", [None, "2020-01-01T00:00:00Z"], ids=["none", "old"])
    def test_no_more_than_a_day_is(self, plugin, fake, clock, stamp):
        """What went out before that was about another event."""
        meta = plugin(whenInDoubt="ask")
        assert deliver(signup("0"), meta) == ["sent"]
        clock.tick(86_400 + 2 * LEASE)
        die(meta, fake, signup("1", timestamp=stamp))
        clock.tick(LEASE)

        assert deliver(signup("1", timestamp=stamp), meta) == ["sent"]
        assert len(fake.outbox) == 2

    def test_what_was_found_is_settled(self, plugin, fake, clock):
        """The timeout runs from then, and the event is a duplicate after it."""
        meta = plugin(whenInDoubt="ask", timeout=HOUR)
        die(meta, fake, signup("1"), accepted=True)
        clock.tick(LEASE)
        (outcome,) = on_event(signup("1"), meta)
        assert outcome.status is Status.SENT

        clock.tick(HOUR - 1)
        assert deliver(signup("2"), meta) == ["cooling_down"]
        clock.tick(1)
        assert deliver(signup("1"), meta) == ["duplicate"]

    def test_an_unreadable_list_is_uncertain(self, plugin, fake, clock):
        """No list, no guess: nothing is sent."""
        meta = plugin(whenInDoubt="ask")
        die(meta, fake, signup("1"))
        clock.tick(LEASE)
        fake.fail(500, on="list")

        assert deliver(signup("1"), meta) == ["uncertain"]
        assert fake.outbox == []


def test_a_slow_list_does_not_keep_a_dead_workers_message_back(texting, clock):
    """Two looks that each take nearly as long as they may leave time to send."""
    fake = FakeTwilio(clock=clock)
    meta = texting(http_client=fake, whenInDoubt="ask")

    def kill(_request):
        raise Killed

    fake.on_request = kill
    with pytest.raises(Killed):
        on_event(signup("1"), meta)
    clock.tick(LEASE)
    fake.on_request = lambda request: request.method == "GET" and clock.tick(LOOK_UP)

    (outcome,) = on_event(signup("1"), meta)

    assert outcome.status is Status.SENT
    assert len(fake.outbox) == 1
