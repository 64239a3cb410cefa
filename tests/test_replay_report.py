"""What a replay shows: JSON, CSV, tables."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from posthog_twilio.grid import Column, Grid, columns_of, cut, one_line
from posthog_twilio.outcome import Status
from posthog_twilio.replay import Reading, Report, Tally, Text
from posthog_twilio.report import Findings, as_csv, as_object, as_text, duration, iso

ONE = "+15550100001"
NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)


def text(seconds: float = 0, **more: Any) -> Text:
    """Make a message."""
    given = {
        "time": NOON + timedelta(seconds=seconds),
        "trigger": "signup",
        "event": "signup",
        "recipient": ONE,
        "body": "Hi signup occurred - PostHog",
        "segments": 1,
        "held_back": 0,
    }
    return Text(**{**given, **more})


def report(*texts: Text, timeout: int = 60, **more: Any) -> Report:
    """Make a report of a trigger with messages, and of one that never fired."""
    tally = Tally(events=9, messages=len(texts), segments=len(texts), held_back=3)
    tally.silence = timedelta(hours=5)
    return Report(
        timeout,
        {"signup": tally, "never": Tally()},
        outcomes=Counter({Status.COOLING_DOWN: 3, Status.SENT: len(texts)}),
        reasons=Counter({(Status.COOLING_DOWN, "signup", None): 3}),
        texts=list(texts),
        **more,
    )


def findings(*reports: Report, price: str | None = None) -> Findings:
    """Put reports together."""
    return Findings(
        reports, Reading(events=2000, matched=9, untimed=1, faults=2), price and Decimal(price)
    )


def shown(found: Findings, **more: Any) -> str:
    """Show findings as plain text, which must fit 80 columns."""
    lines: list[str] = []
    for part in as_text(found, **more):
        lines += [part] if isinstance(part, str) else part.lines(80)
    assert all(columns_of(line) <= 80 for line in lines), lines
    return "\n".join(lines)


class TestJson:
    def test_one_object_with_the_documented_keys(self):
        """Just the documented keys, which hold what they say, with numbers in full."""
        found = as_object(findings(report(text(held_back=2))))

        assert found == {
            "events": 2000,
            "matched": 9,
            "outcomes": {"sent": 1, "cooling_down": 3},
            "segments": 1,
            "messages": [
                {
                    "time": "2026-03-02T12:00:00Z",
                    "trigger": "signup",
                    "recipient": ONE,
                    "body": "Hi signup occurred - PostHog",
                    "segments": 1,
                    "held_back": 2,
                }
            ],
        }
        json.dumps(found)

    def test_and_the_cost_where_a_price_was_given(self):
        """The price is of one segment."""
        found = as_object(findings(report(text(), text()), price="0.0079"))

        assert found["cost"] == 0.0158

    def test_side_by_side_there_is_more(self):
        """Of several timeouts, triggers and reasons are told as well."""
        found = as_object(findings(report(text()), report(text())))["timeouts"][0]

        assert found["timeout"] == 60
        assert found["triggers"][0]["longest_silence"] == 18000
        assert found["triggers"][1]["longest_silence"] is None
        assert found["not_sent"] == [
            {"status": "cooling_down", "trigger": "signup", "reason": None, "count": 3}
        ]

    def test_of_several_timeouts_each_is_an_object(self):
        """What depends on the timeout stands in a list, in the order given."""
        found = as_object(findings(report(text()), report(timeout=3600)))

        assert (found["events"], found["matched"]) == (2000, 9)
        assert [part["timeout"] for part in found["timeouts"]] == [60, 3600]
        assert [len(part["messages"]) for part in found["timeouts"]] == [1, 0]

    @pytest.mark.parametrize(
        ("microseconds", "expected"),
        [
            (0, "2026-03-02T12:00:00Z"),
            (120_000, "2026-03-02T12:00:00.120Z"),
            (1, "2026-03-02T12:00:00.000001Z"),
        ],
    )
    def test_times_are_iso_8601_in_utc(self, microseconds, expected):
        """As much of the fraction as there is, and Z."""
        assert iso(NOON.replace(microsecond=microseconds)) == expected

    def test_a_time_that_nobody_knows_is_null(self):
        """No time is made up."""
        assert iso(None) is None


def test_csv_has_a_row_for_each_message():
    """Numbers are in full, and texts of several lines survive."""
    found = findings(report(text(body='a "b"\nc, d')), report(text(time=None), timeout=99))

    rows = list(csv.DictReader(io.StringIO(as_csv(found))))

    assert [row["timeout"] for row in rows] == ["60", "99"]
    assert (rows[0]["body"], rows[0]["recipient"]) == ('a "b"\nc, d', ONE)
    assert (rows[0]["time"], rows[1]["time"]) == ("2026-03-02T12:00:00Z", "")


class TestTable:
    def test_says_what_when_to_whom_and_why_not(self):
        """A stranger reads messages, totals and reasons in 80 columns; numbers are masked."""
        lines = shown(findings(report(text(), text(86_400, held_back=3)), price="0.0079"))

        assert ONE not in lines
        assert lines == (
            "What would have been sent (times are UTC; nothing was sent):\n"
            "\n"
            "Time      Trigger  To            Message                       Segm  Held\n"
            "--------  -------  ------------  ----------------------------  ----  ----\n"
            "2026-03-02\n"
            "12:00:00  signup   +1555•••0001  Hi signup occurred - PostHog     1     0\n"
            "2026-03-03\n"
            "12:00:00  signup   +1555•••0001  Hi signup occurred - PostHog     1     3\n"
            "\n"
            "Segm: SMS segments, as billed.  Held: events held back that the message counts.\n"
            "\n"
            "Total: 2,000 events, 9 matched, 2 messages, 2 segments, cost about 0.02.\n"
            "Not sent: 3.\n"
            "  3 cooling down: the timeout of 1 min ran; the next message counts them\n"
            "\n"
            "Trigger  Events  Messages  Segments  Held back  Longest silence\n"
            "-------  ------  --------  --------  ---------  ---------------\n"
            "signup        9         2         2          3              5 h\n"
            "never         0         0         0          0                -\n"
            "Longest silence: from a message to the next, while events were held back."
        )

    def test_marks_what_an_action_fired(self):
        """A star tells an action from an event, and a line explains it."""
        by_event, by_action = (
            shown(findings(report(text(event=name)))) for name in ("signup", "$autocapture")
        )

        assert "*" not in by_event
        assert "*signup" in by_action
        assert "*: a PostHog action of this name fired." in by_action

    def test_a_long_list_is_shortened(self):
        """The first 40 and the last 10 are shown, and how many more there are; --all shows them."""
        many = findings(report(*(text(n, body=f"text {n:02}") for n in range(60))))

        lines = shown(many)

        assert "... 10 more messages; --all shows them" in lines
        assert ("text 39" in lines, "text 40" in lines) == (True, False)
        assert ("text 49" in lines, "text 50" in lines) == (False, True)
        assert all(f"text {n:02}" in shown(many, every=True) for n in range(60))
        assert "more messages" not in shown(findings(report(*map(text, range(50)))))

    def test_nothing_to_send_is_said(self):
        """An empty table would leave people guessing."""
        found = Findings((Report(60, {"signup": Tally()}),), Reading(events=1))

        assert shown(found).startswith("No message would have been sent.")
        assert "Not sent" not in shown(found)
        assert "1 event, 0 matched" in shown(found)

    def test_a_time_that_nobody_knows_is_said(self):
        """A message without a time stands under a line that says so."""
        assert "no time known" in shown(findings(report(text(time=None))))

    def test_the_recipients_number_is_masked_in_the_text_too(self):
        """A template may tell the number that it texts."""
        assert ONE not in shown(findings(report(text(body=f"call {ONE}"))))

    def test_what_a_terminal_would_obey_is_left_out(self):
        """Line breaks and control characters of a text do not reach the screen."""
        lines = shown(findings(report(text(body="a\x1b[31m\nb\u202ec"))))

        assert "a [31m b c" in lines

    def test_many_reasons_are_shortened(self):
        """The most frequent are shown, each reason once for all triggers."""
        found = report(text())
        found.reasons = Counter(
            {(Status.REFUSED, f"t{n % 2}", f"reason {n // 2:02}"): 1 + n for n in range(24)}
        )

        lines = shown(findings(found))

        assert "  47 refused: reason 11\n" in lines
        assert "reason 03" not in lines
        assert "and 4 more reasons; --format json has all" in lines

    def test_timeouts_stand_side_by_side(self):
        """Each trigger has a line for each timeout, and so have all together; cost with a price."""
        found = (report(text(), text()), report(text(), timeout=86_400))

        lines = shown(findings(*found, price="0.5"))

        assert lines.splitlines()[2:] == [
            "  Timeout  Messages  Segments  Held back  Longest silence  Cost",
            "---------  --------  --------  ---------  ---------------  ----",
            "signup (9 events)",
            "  1 min           2         2          3              5 h  1.00",
            "  1 d             1         1          3              5 h  0.50",
            "never (0 events)",
            "  1 min           0         0          0                -  0.00",
            "  1 d             0         0          0                -  0.00",
            "all triggers",
            "  1 min           2         2          3              5 h  1.00",
            "  1 d             1         1          3              5 h  0.50",
            "Cost: estimated, at 0.5 a segment.",
            "Longest silence: from a message to the next, while events were held back.",
        ]
        assert "Cost" not in shown(findings(*found))

    def test_several_recipients_are_explained(self):
        """More messages than events would puzzle people."""
        found = report(text())
        assert "each recipient" not in shown(findings(found))

        found.tallies["signup"].events = 3
        assert "Messages and Held back: each recipient counts." in shown(findings(found))

    def test_no_silence_needs_no_legend(self):
        """What is not in the table is not explained."""
        quiet = [Report(timeout, {"signup": Tally()}) for timeout in (1, 2)]

        assert "while events" not in shown(findings(*quiet))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (3661, "1 h 1 min"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (31_536_000, "365 d"),
    ],
)
def test_durations_have_two_units(seconds, expected):
    """Nobody wants seconds on a span of days."""
    assert duration(timedelta(seconds=seconds)) == expected


class TestGrid:
    def test_the_flexible_column_takes_what_is_left(self):
        """A table fits its width by cutting that column."""
        grid = Grid((Column("A"), Column("B", flexible=True), Column("C", right=True)),
                    [("aa", "b" * 50, "1"), "a line"])  # fmt: skip

        lines = list(grid.lines(30))

        assert lines[2] == "aa  " + "b" * 22 + "…  1"
        assert lines[3] == "a line"
        assert list(grid.lines(5))[2] == "aa  " + "b" * 11 + "…  1"

    def test_a_column_may_have_a_limit(self):
        """Names of any length leave room for the rest."""
        grid = Grid((Column("A", most=4), Column("B")), [("abcdefgh", "x")])

        assert list(grid.lines(80))[2] == "abc…  x"

    def test_wide_characters_take_two_columns(self):
        """Asian texts and emoji stay aligned; marks take none."""
        assert [columns_of(char) for char in ("a", "é", "漢", "👍", "e\u0301", "👍\ufe0f")] == [
            1, 1, 2, 2, 1, 2,
        ]  # fmt: skip
        assert cut("漢字漢字", 5) == "漢字…"
        assert cut("漢字", 4) == "漢字"

    def test_one_line_is_one_line(self):
        """Blanks and breaks become one blank; joined emoji stay joined."""
        assert one_line(" a\r\n\tb ") == "a b"
        assert one_line("👩\u200d💻") == "👩\u200d💻"
