"""Replays: recorded events on the recording's own clock."""

from __future__ import annotations

import json
import os
import threading
import tracemalloc
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import missing

from posthog_twilio import replay as module
from posthog_twilio.config import Config
from posthog_twilio.recordings import Fault
from posthog_twilio.replay import DryTransport, Reading, Report, replay
from posthog_twilio.transport import Answer, Message, Verdict

ONE, TWO = "+15550100001", "+15550100002"
NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)


def config(**more: Any) -> Config:
    """Make settings; a sign-up texts one number."""
    return Config.parse(
        {
            "accountSID": "AC" + "0" * 32,
            "authToken": "t",
            "triggeringEventsAndNumber": {"signup": ONE},
            "senderPhoneNumber": "+15550199000",
            "timeout": 60,
            **more,
        }
    )


def event(seconds: float | None, name: str = "signup", **more: Any) -> dict[str, Any]:
    """Make an event at some seconds after noon."""
    found = {"event": name, "distinct_id": "anna", "properties": {}, **more}
    if seconds is not None:
        found["timestamp"] = (NOON + timedelta(seconds=seconds)).isoformat()
    return found


@pytest.fixture
def record(tmp_path):
    """Write events, or lines as they are, into a recording."""

    def write(*lines: Any, name: str = "events.jsonl") -> str:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path = tmp_path / name
        path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
        return str(path)

    return write


def run(*paths: str, settings: Config | None = None, **more: Any) -> Report:
    """Replay recordings with one timeout."""
    [report] = replay(paths, [settings or config()], **more)
    return report


def seconds(report: Report) -> list[float]:
    """Return when messages would have gone out, in seconds since noon."""
    return [(text.time - NOON).total_seconds() for text in report.texts if text.time]


class TestClock:
    def test_the_timeout_runs_on_the_recordings_clock(self, record):
        """A message goes out again exactly when the timeout is over, not a millisecond before."""
        path = record(event(0.1), event(60.099), event(60.1), event(120.099), event(120.1))

        assert seconds(run(path)) == [0.1, 60.1, 120.1]

    @pytest.mark.parametrize("year", [1, 1969, 1970, 9998])
    def test_any_year_works(self, record, year):
        """The first event of a recording sends in whatever year it was."""
        stamps = [f"{year:04}-06-01T00:00:{second:02}Z" for second in (0, 30)]
        path = record(*({"event": "signup", "uuid": s, "timestamp": s} for s in stamps))

        assert run(path, settings=config(dailyLimit=5)).outcomes == {"sent": 1, "cooling_down": 1}

    def test_a_time_at_the_end_of_the_calendar_is_none(self, record):
        """The day after 9999-12-31 cannot be reckoned, so such a time counts as unreadable."""
        reading = Reading()
        path = record(event(0), event(None, timestamp="9999-12-31T23:59:59Z"))

        report = run(path, settings=config(dailyLimit=5), reading=reading)

        assert (report.outcomes, reading.untimed) == ({"sent": 1, "cooling_down": 1}, 1)

    def test_the_daily_limit_counts_the_recordings_days(self, record):
        """The limit is of the day on which the events happened."""
        days = [event(hour * 3600, uuid=str(hour)) for hour in (0, 1, 2, 12, 13)]

        report = run(record(*days), settings=config(dailyLimit=2))

        assert report.outcomes == {"sent": 4, "over_limit": 1}
        assert seconds(report) == [0, 3600, 12 * 3600, 13 * 3600]

    def test_an_event_recorded_twice_is_settled_once(self, record):
        """The same uuid is a duplicate when its timeout is over."""
        report = run(record(event(0, uuid="u"), event(61, uuid="u")))

        assert report.outcomes == {"sent": 1, "duplicate": 1}
        assert report.reasons == {("duplicate", "signup", None): 1}


class TestOrder:
    def test_events_are_taken_in_the_order_of_their_times(self, record):
        """The order of the file does not matter."""
        path = record(event(100), event(0), event(50))

        report = run(path)

        assert seconds(report) == [0, 100]
        assert report.outcomes == {"sent": 2, "cooling_down": 1}

    def test_however_far_they_are_from_their_place(self, record, monkeypatch):
        """Where looking ahead is not enough, everything is sorted, and counted and told once."""
        monkeypatch.setattr(module, "LOOK_AHEAD", 2)
        path = record("{", *(event(100 * n) for n in range(9)), "[", event(-100), "nonsense")
        reading, faults = Reading(), []

        report = run(path, reading=reading, tell=faults.append)

        assert seconds(report) == [-100, *range(0, 900, 100)]
        assert (reading.events, reading.matched, reading.faults) == (10, 10, 3)
        assert [fault.line for fault in faults] == [1, 11, 13]

    def test_looking_ahead_saves_sorting(self, record, monkeypatch):
        """Neighbours that changed places need no second reading."""
        monkeypatch.setattr(module.Source, "sorted", None)
        path = record(*(event(100 * (n ^ 1)) for n in range(500)))

        assert seconds(run(path)) == [100 * n for n in range(500)]

    def test_files_are_merged(self, record):
        """Events of all files are in one order, those of equal times in the order of the files."""
        names = {"triggeringEventsAndNumber": dict.fromkeys("abcd", ONE)}
        one = record(event(0, "a"), event(20, "c"), name="1")
        two = record(event(10, "b"), event(20, "d"), name="2")

        for paths, expected in (((one, two), "abcd"), ((two, one), "abdc")):
            report = run(*paths, settings=config(**names))
            assert "".join(text.trigger for text in report.texts) == expected

    def test_many_files_are_read_one_after_the_other(self, record, monkeypatch):
        """However many exports there are, few are open at once; disorder still is no matter."""
        monkeypatch.setattr(module, "LOOK_AHEAD", 2)
        times = [(300 * n, 300 * n + 100, 300 * n + 200) for n in range(70)]
        paths = [record(*map(event, t), name=f"{n:03}") for n, t in enumerate(times)]
        open_now = most = 0

        def counted(path, *more):
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            yield from read(path, *more)
            open_now -= 1

        read = module.recordings.read
        monkeypatch.setattr(module.recordings, "read", counted)

        assert seconds(run(*paths)) == [100 * n for n in range(210)]
        assert most == 1
        assert seconds(run(*reversed(paths))) == [100 * n for n in range(210)]

    def test_an_event_without_a_time_keeps_its_predecessors_place(self, record):
        """The predecessor need not match; its time is when the event is taken to have happened."""
        reading = Reading()
        path = record(
            event(0), event(90, "page"), event(None), event(95), event(None), event(200)
        )  # fmt: skip

        report = run(path, reading=reading)

        assert seconds(report) == [0, 90, 200]
        assert report.outcomes == {"sent": 3, "cooling_down": 2}
        assert reading.untimed == 2

    def test_without_any_time_events_come_first(self, record):
        """What has no predecessor comes before all others, and shares the first time's timeout."""
        report = run(record(event(None), event(None), event(10), event(70)))

        assert [text.time for text in report.texts] == [None, NOON + timedelta(seconds=70)]
        assert report.outcomes == {"sent": 2, "cooling_down": 2}

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are missing")
    def test_a_pipe_is_read_once(self, tmp_path, record, monkeypatch):
        """What cannot be read twice is sorted at once."""
        monkeypatch.setattr(module, "LOOK_AHEAD", 1)
        path = record(*(event(100 * n) for n in (3, 2, 1, 0)))
        pipe = str(tmp_path / "pipe")
        os.mkfifo(pipe)

        def write():
            with open(path, "rb") as source, open(pipe, "wb") as target:
                target.write(source.read())

        writer = threading.Thread(target=write)
        writer.start()
        report = run(pipe)
        writer.join()

        assert seconds(report) == [0, 100, 200, 300]


class TestCost:
    def test_memory_does_not_grow_with_a_recording_in_order(self, record, monkeypatch):
        """Ten times as many matching events need no more memory."""
        monkeypatch.setattr(module, "LOOK_AHEAD", 50)
        padding = {"properties": {"text": "x" * 2000}}
        peaks = []
        for size in (300, 3000):
            path = record(*(event(n / 100, **padding) for n in range(size)), name=str(size))
            tracemalloc.start()
            report = run(path)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert report.outcomes == {"sent": 1, "cooling_down": size - 1}

        assert peaks[1] < peaks[0] + 1_000_000  # held at once, they would be 6 MB

    def test_files_share_the_looking_ahead(self, record, monkeypatch):
        """However many files are merged, no more events wait than for one."""
        shares = []
        nearly_sorted = module.nearly_sorted
        monkeypatch.setattr(
            module, "nearly_sorted", lambda s, n: shares.append(n) or nearly_sorted(s, n)
        )

        run(*(record(event(0), name=name) for name in "abcd"))

        assert shares == [module.LOOK_AHEAD / 4] * 4

    def test_events_that_do_not_match_are_not_looked_into(self, record, monkeypatch):
        """Only their name is read, and the time of the last: it ends the recording."""
        asked = []
        time_of = module.time_of
        monkeypatch.setattr(module, "time_of", lambda e: asked.append(e) or time_of(e))
        reading = Reading()

        run(record(*(event(n, "page") for n in range(50))), reading=reading)

        assert len(asked) == 1
        assert (reading.events, reading.matched) == (50, 0)
        assert reading.end == NOON + timedelta(seconds=49)


class TestReport:
    def test_a_message_tells_what_was_held_back(self, record):
        """Text, segments and count are those of the message that would have gone out."""
        report = run(record(event(0), event(10), event(20), event(60)))

        first, second = report.texts
        assert (first.body, first.held_back) == ("Hi signup occurred - PostHog", 0)
        assert (second.body, second.held_back) == ("Hi signup occurred (+2 more) - PostHog", 2)
        assert (second.recipient, second.segments, second.event) == (ONE, 1, "signup")
        assert report.segments == 2

    def test_every_recipient_counts(self, record):
        """An event is one event, and a message to each recipient."""
        settings = config(triggeringEventsAndNumber={"signup": [ONE, TWO], "never": ONE})

        report = run(record(event(0), event(1)), settings=settings)

        tally = report.tallies["signup"]
        assert (tally.events, tally.messages, tally.segments, tally.held_back) == (2, 2, 2, 2)
        assert report.tallies["never"].events == 0

    def test_an_action_is_told_from_an_event(self, record):
        """Where an action fired, the event's name differs from the trigger's."""

        class Clicked:
            name, event_names, warnings = "clicked", frozenset({"$autocapture"}), ()

            def matches(self, _event):
                return True

        settings = config(triggeringEventsAndNumber={"clicked": ONE}, timeout=1)

        report = run(
            record(event(0, "$autocapture"), event(9, "clicked")),
            settings=settings,
            actions=[Clicked()],
        )

        assert [(t.event, t.by_action) for t in report.texts] == [
            ("$autocapture", True),
            ("clicked", False),
        ]

    def test_silence_is_the_time_between_messages_while_events_were_held_back(self, record):
        """A gap without events is no silence; the end of the recording ends one."""
        page = event(1000, "page")

        assert run(record(event(0), event(500))).tallies["signup"].silence is None
        assert run(record(event(0), event(10), event(500), event(600))).tallies[
            "signup"
        ].silence == timedelta(seconds=500)
        assert run(record(event(0), event(10), page)).tallies["signup"].silence == timedelta(
            seconds=1000
        )

    def test_the_longest_silence_counts(self, record):
        """Of several silences, and of several recipients, the longest is told."""
        path = record(event(0), event(1), event(300), event(301), event(400), event(900))

        assert run(path).tallies["signup"].silence == timedelta(seconds=300)

    def test_with_a_scope_of_persons_each_has_a_silence(self, record):
        """One person's message does not end another's silence."""
        path = record(
            event(0), event(1), event(300, distinct_id="ben"), event(500), event(900, "page")
        )

        report = run(path, settings=config(timeoutScope="person"))

        assert report.tallies["signup"].silence == timedelta(seconds=500)
        assert len(report.texts) == 3

    def test_a_recipient_that_is_refused_has_a_reason(self, record):
        """What is not sent is counted by its reason."""
        settings = config(
            triggeringEventsAndNumber={"signup": "{person.properties.phone}"},
            allowedCountryCodes="+1",
        )

        report = run(record(event(0), event(1)), settings=settings)

        [((status, trigger, reason), count)] = report.reasons.items()
        assert (str(status), trigger, count) == ("refused", "signup", 2)
        assert "the event holds no phone number" in str(reason)

    def test_reasons_are_bounded(self, record, monkeypatch):
        """However many reasons hostile data makes up, few are kept; the rest is counted."""
        monkeypatch.setattr(module, "_MOST_REASONS", 2)
        settings = config(
            triggeringEventsAndNumber={"signup": "{event.properties.to}"}, allowedCountryCodes="+1"
        )
        numbers = [event(n, properties={"to": "x" * (n + 1)}) for n in range(6)]

        report = run(record(*numbers), settings=settings)

        assert sorted(report.reasons.values()) == [1, 1, 4]

    def test_marks_are_kept_on_demand(self, record):
        """The times of what was not sent are kept for a picture only."""
        path = record(event(0), event(10), event(None))

        assert run(path).marks == {}
        assert run(path, keep_marks=True).marks == {"signup": [NOON + timedelta(seconds=10)] * 2}

    def test_an_answer_that_asks_for_redelivery_is_an_outcome(self, record, monkeypatch):
        """Should anything ever ask for a retry, the replay counts it and goes on."""
        monkeypatch.setattr(
            DryTransport, "send", lambda *_: Answer(Verdict.NOT_PROCESSED, reason="no")
        )

        assert run(record(event(0), event(1))).outcomes == {"retry": 2}

    def test_timeouts_side_by_side_do_not_disturb_each_other(self, record):
        """Each timeout sees what it would see alone."""
        path = record(*(event(7 * n) for n in range(100)))
        settings = [config(timeout=timeout) for timeout in (10, 60, 300)]

        together = replay([path], settings)

        assert list(together) == [run(path, settings=one) for one in settings]
        assert [len(report.texts) for report in together] == [50, 12, 3]

    def test_nothing_is_asked_of_the_dry_transport_but_to_accept(self):
        """It finds nothing, waits for nothing and closes nothing."""
        dry = DryTransport()
        message = Message(sender=ONE, recipient=TWO, body="x")

        assert dry.send(message, 0) == Answer(Verdict.ACCEPTED)
        assert dry.find(message, bool, NOON) is None
        assert dry.pause(1) is None
        assert dry.close() is None

    def test_a_fault_is_told_where_nobody_listens_too(self, record):
        """Without a listener faults are counted."""
        reading = Reading()

        run(record("nonsense", event(0)), reading=reading)

        assert (reading.faults, reading.events) == (1, 1)
        assert isinstance(Fault("a", 1, "b"), Fault)


def as_batch(events):
    """Write events as posthog-js posts them."""
    return [json.dumps({"api_key": "k", "batch": events})]


def as_rows(events):
    """Write events as rows of PostHog's ClickHouse table."""
    rows = []
    for one in events:
        stamp = datetime.fromisoformat(one["timestamp"]).strftime("%Y-%m-%d %H:%M:%S.%f")
        row = {**one, "timestamp": stamp, "properties": json.dumps(one["properties"])}
        rows.append(json.dumps({**row, "team_id": 1, "elements_chain": ""}))
    return rows


def test_every_shape_gives_the_same_replay(record, tmp_path):
    """Batches of posthog-js, rows of ClickHouse, JSON lines and Parquet hold the same events."""
    names = ["signup", "page", "order"]
    events = [
        event(37.25 * n, names[n % 3], uuid=f"u{n}", properties={"plan": f"p{n}"})
        for n in range(200)
    ]
    settings = config(
        triggeringEventsAndNumber={"signup": ONE, "order": [ONE, TWO]},
        messageTemplate="{event.event} {event.properties.plan}{and_more}",
    )
    shapes = {
        "lines": record(*events, name="lines"),
        "batch": record(*as_batch(events), name="batch"),
        "rows": record(*as_rows(events), name="rows"),
    }
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:  # pragma: no cover
        missing("pyarrow")
    table = pa.table(
        {
            "event": [e["event"] for e in events],
            "uuid": [e["uuid"] for e in events],
            "distinct_id": [e["distinct_id"] for e in events],
            "timestamp": pa.array(
                [datetime.fromisoformat(e["timestamp"]) for e in events], pa.timestamp("us", "UTC")
            ),
            "properties": [json.dumps(e["properties"]) for e in events],
        }
    )
    shapes["parquet"] = str(tmp_path / "events.parquet")
    parquet.write_table(table, shapes["parquet"])

    reports = {name: run(path, settings=settings) for name, path in shapes.items()}

    assert len(reports["lines"].texts) > 100
    for name, report in reports.items():
        assert report == reports["lines"], name
