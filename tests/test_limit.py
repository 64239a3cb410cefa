"""The daily limit: exact, of messages, across processes."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from threading import Barrier

import pytest

from posthog_twilio import RetryError, on_event, setup_plugin
from posthog_twilio.caches import MemoryCache
from posthog_twilio.claims import LEASE, Claims
from posthog_twilio.limit import DailyLimit

NAMES = [f"event {n}" for n in range(20)]
MANY = dict.fromkeys(NAMES, "+15550100001")


def deliver(meta, name="signup", uuid=None):
    """Say what became of an event, also where it is asked for again."""
    try:
        outcomes = on_event({"event": name, "uuid": uuid}, meta)
    except RetryError as error:
        outcomes = error.outcomes
    return [outcome.status.value for outcome in outcomes]


@pytest.fixture
def limited(texting):
    """Set up a plugin of twenty triggers and a limit of three messages a day."""

    def make(cache=None, **more):
        return texting(cache, **{"triggeringEventsAndNumber": MANY, "dailyLimit": 3, **more})

    return make


class TestDailyLimit:
    def test_it_counts_all_triggers_together(self, limited, fake_twilio):
        """The fourth message of the day is OVER_LIMIT, and says so."""
        meta = limited()

        assert [deliver(meta, name) for name in NAMES[:3]] == [["sent"]] * 3
        (outcome,) = on_event({"event": NAMES[3]}, meta)

        assert outcome.status.value == "over_limit"
        assert outcome.reason.startswith("dailyLimit: 3 messages went out on ")
        assert len(fake_twilio.outbox) == 3

    def test_the_day_is_utc(self, limited, clock):
        """A new UTC day has all its messages again; the old events are sent then."""
        clock.now = datetime(2024, 2, 28, 23, 59, 59, tzinfo=timezone.utc).timestamp()
        meta = limited()
        for name in NAMES[:3]:
            deliver(meta, name)
        assert deliver(meta, NAMES[3], "u") == ["over_limit"]

        clock.tick(1)
        assert deliver(meta, NAMES[3], "u") == ["sent"]

    def test_a_slot_is_held_until_the_day_is_over(self, limited, clock):
        """A morning's messages still count in the evening."""
        clock.now = datetime(2024, 2, 28, 0, 0, 1, tzinfo=timezone.utc).timestamp()
        cache = MemoryCache(timer=clock)
        for name in NAMES[:3]:
            deliver(limited(cache), name)

        clock.now = datetime(2024, 2, 28, 23, 59, 59, tzinfo=timezone.utc).timestamp()
        assert deliver(limited(cache), NAMES[3]) == ["over_limit"]

    @pytest.mark.parametrize("fail", [(400, 21211, 1), (429, None, 4)], ids=["refused", "retry"])
    def test_it_counts_messages_not_attempts(self, limited, fake_twilio, fail):
        """What was not sent leaves its slot free."""
        meta = limited()
        status, code, times = fail
        fake_twilio.fail(status, code=code, times=times)
        deliver(meta, NAMES[0])

        assert [deliver(meta, name) for name in NAMES[1:5]] == [["sent"]] * 3 + [["over_limit"]]

    def test_doubt_counts(self, limited, fake_twilio):
        """What may be on the bill is counted."""
        meta = limited()
        fake_twilio.fail(500)

        assert deliver(meta, NAMES[0]) == ["uncertain"]
        assert [deliver(meta, name) for name in NAMES[1:4]] == [["sent"]] * 2 + [["over_limit"]]

    def test_a_resent_message_counts_twice(self, limited, fake_twilio):
        """Under resend, both may be on the bill."""
        meta = limited(whenInDoubt="resend")
        fake_twilio.fail("hang", accepted=True)

        assert deliver(meta, NAMES[0]) == ["sent"]
        assert [deliver(meta, name) for name in NAMES[1:3]] == [["sent"], ["over_limit"]]
        assert len(fake_twilio.outbox) == 3

    def test_no_resend_goes_over_it(self, limited, fake_twilio):
        """Where the first was the last of the day, it stays in doubt."""
        meta = limited(whenInDoubt="resend", dailyLimit=1)
        fake_twilio.fail("hang", accepted=True)

        assert deliver(meta, NAMES[0]) == ["uncertain"]
        assert len(fake_twilio.outbox) == 1

    def test_a_duplicate_costs_nothing(self, limited, clock):
        """An event that was settled before takes no slot."""
        meta = limited(timeout=1)
        deliver(meta, NAMES[0], "u")
        clock.tick(1)
        assert deliver(meta, NAMES[0], "u") == ["duplicate"]

        assert [deliver(meta, name) for name in NAMES[1:4]] == [["sent"]] * 2 + [["over_limit"]]

    def test_over_the_limit_no_timeout_runs(self, limited, clock):
        """What the limit stops is not cooling down: it says OVER_LIMIT each time."""
        meta = limited()
        for name in NAMES[:3]:
            deliver(meta, name)

        assert deliver(meta, NAMES[3]) == deliver(meta, NAMES[3]) == ["over_limit"]

    def test_while_the_last_slots_are_pending_it_is_retry(self, limited, fake_twilio):
        """A slot that may come free again is worth another delivery."""
        meta = limited(dailyLimit=1)
        seen = []

        def hold(_request):
            fake_twilio.on_request = None
            seen.append(deliver(meta, NAMES[1]))

        fake_twilio.on_request = hold

        assert deliver(meta, NAMES[0]) == ["sent"]
        assert seen == [["retry"]]
        assert deliver(meta, NAMES[1]) == ["over_limit"]

    def test_a_dead_workers_slot_counts(self, limited, fake_twilio, clock):
        """Its message may have gone out; better one too few than one too many."""

        class Killed(BaseException):
            pass

        def kill(_request):
            raise Killed

        meta = limited()
        fake_twilio.on_request = kill
        with pytest.raises(Killed):
            deliver(meta, NAMES[0], "u")
        fake_twilio.on_request = None
        clock.tick(LEASE)

        assert deliver(meta, NAMES[0], "u") == ["uncertain"]
        assert [deliver(meta, name) for name in NAMES[1:4]] == [["sent"]] * 2 + [["over_limit"]]

    def test_it_warns_once_a_day(self, limited, clock, caplog):
        """One line when it trips, however many events it stops."""
        caplog.set_level(logging.WARNING)
        clock.now = datetime(2024, 2, 28, 12, tzinfo=timezone.utc).timestamp()
        meta = limited()
        for name in NAMES:
            deliver(meta, name)
        assert [r.getMessage() for r in caplog.records] == [
            "dailyLimit of 3 messages is used up for 2024-02-28 (UTC)"
        ]

        clock.tick(86_400)
        for name in NAMES:
            deliver(meta, name)
        assert len(caplog.records) == 2

    def test_used_slots_are_asked_for_once(self, limited, clock):
        """A day that is far on costs no claim for each message of its morning."""
        asked = []

        class Noting(MemoryCache):
            def claim(self, key, seconds):
                asked.append(key)
                return super().claim(key, seconds)

        meta = limited(Noting(timer=clock), dailyLimit=10)
        for name in NAMES[:10]:
            deliver(meta, name)
        asked.clear()
        deliver(meta, NAMES[10])
        deliver(meta, NAMES[11])

        assert sum(key.startswith("day:") for key in asked) <= 1

    def test_the_last_moment_of_a_day_marks_no_slot_of_the_next(self, clock):
        """A thread that asked before midnight and was answered after it changes nothing."""
        limit = DailyLimit(1, "account", clock)
        claims = Claims(MemoryCache(timer=clock))
        yesterday, _ = limit._today()
        clock.tick(86_400)
        limit._today()

        limit._mark(yesterday, 0)

        assert limit.take(claims).granted

    @pytest.mark.usefixtures("eager_threads")
    def test_threads_and_plugins_share_it(self, twilio_config, fake_twilio, clock):
        """Sixteen threads, two plugins, one cache: as many messages as the limit says."""
        cache = MemoryCache(timer=clock)
        config = {**twilio_config, "triggeringEventsAndNumber": MANY, "dailyLimit": 7}
        metas = [setup_plugin(config, cache=cache, http_client=fake_twilio) for _ in range(2)]
        together = Barrier(16, timeout=10)

        def run(n):
            together.wait()
            return deliver(metas[n % 2], NAMES[n])[0]

        with ThreadPoolExecutor(16) as pool:
            seen = list(pool.map(run, range(16)))

        assert seen.count("sent") == len(fake_twilio.outbox) <= 7
        assert set(seen) <= {"sent", "over_limit", "retry"}
        for name in NAMES:
            deliver(metas[0], name)
        assert len(fake_twilio.outbox) == 7
