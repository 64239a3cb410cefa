"""What a replay found: for people as a table, for programs as JSON or CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from attrs import evolve, frozen

from posthog_twilio.grid import Column, Grid, one_line
from posthog_twilio.outcome import Status
from posthog_twilio.phone import mask
from posthog_twilio.replay import Reading, Report, Tally, Text

FIRST, LAST = 40, 10
"""Messages shown at the beginning and the end of a long list."""
_REASONS_SHOWN = 8
_WHY = {
    Status.COOLING_DOWN: "the timeout of {timeout} ran; the next message counts them",
    Status.DUPLICATE: "the same event was there before",
}
CSV_COLUMNS = ("timeout", "time", "trigger", "recipient", "body", "segments", "held_back")


@frozen
class Findings:
    """
    A replay, and how to look at it.

    Attributes:
        reports: one for each timeout, at least one.
        reading: what was read.
        price: of a segment, in whatever currency; None where it was not given.

    """

    reports: tuple[Report, ...]
    reading: Reading
    price: Decimal | None = None

    def cost(self, segments: int) -> Decimal | None:
        """Estimate what *segments* cost; None without a price."""
        return None if self.price is None else self.price * segments


def as_object(findings: Findings) -> dict[str, Any]:
    """
    Return a replay as one JSON object; numbers are in full.

    Keys: ``events, matched, outcomes, segments, messages``, and ``cost`` where a price was given.
    With several timeouts ``timeouts`` is a list of objects that hold what depends on the
    timeout: ``timeout, triggers, not_sent`` too.
    """
    reading = findings.reading
    counts = {"events": reading.events, "matched": reading.matched}
    if len(findings.reports) == 1:
        return {**counts, **_of_timeout(findings, findings.reports[0])}
    return {**counts, "timeouts": [_one_of_several(findings, each) for each in findings.reports]}


def _one_of_several(findings: Findings, report: Report) -> dict[str, Any]:
    return {
        "timeout": report.timeout,
        "triggers": [_of_trigger(name, tally) for name, tally in report.tallies.items()],
        "not_sent": [
            {"status": str(status), "trigger": trigger, "reason": reason, "count": count}
            for (status, trigger, reason), count in sorted(
                report.reasons.items(), key=lambda item: (-item[1], str(item[0]))
            )
        ],
        **_of_timeout(findings, report),
    }


def _of_timeout(findings: Findings, report: Report) -> dict[str, Any]:
    cost = findings.cost(report.segments)
    return {
        "outcomes": {
            str(status): report.outcomes[status] for status in Status if report.outcomes[status]
        },
        "segments": report.segments,
        **({} if cost is None else {"cost": float(cost)}),
        "messages": [_of_text(text) for text in report.texts],
    }


def _of_trigger(name: str, tally: Tally) -> dict[str, Any]:
    silence = tally.silence
    return {
        "trigger": name,
        "events": tally.events,
        "messages": tally.messages,
        "segments": tally.segments,
        "held_back": tally.held_back,
        "longest_silence": None if silence is None else silence.total_seconds(),
    }


def _of_text(text: Text) -> dict[str, Any]:
    return {
        "time": iso(text.time),
        "trigger": text.trigger,
        "recipient": text.recipient,
        "body": text.body,
        "segments": text.segments,
        "held_back": text.held_back,
    }


def as_csv(findings: Findings) -> str:
    """Return the messages as CSV with a header; numbers are in full."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for report in findings.reports:
        for text in report.texts:
            row = {"timeout": report.timeout, **_of_text(text)}
            writer.writerow(row[column] for column in CSV_COLUMNS)
    return file.getvalue()


def iso(moment: datetime | None) -> str | None:
    """Write a UTC time in ISO 8601 with ``Z``, no more of its fraction than there is."""
    if moment is None:
        return None
    precision = "milliseconds" if moment.microsecond % 1000 == 0 else "microseconds"
    text = moment.isoformat(timespec=precision if moment.microsecond else "seconds")
    return text.removesuffix("+00:00") + "Z"


# --- for people -----------------------------------------------------------------------------------


def as_text(findings: Findings, *, every: bool = False) -> Iterator[Grid | str]:
    """
    Yield lines and tables that tell a person what would have happened; recipients are masked.

    Args:
        findings: the replay.
        every: show all messages, however many.

    """
    if len(findings.reports) > 1:
        yield from _side_by_side(findings)
        return
    [report] = findings.reports
    yield from _messages(report, every)
    yield totals(findings, report)
    yield from _not_sent(report)
    yield ""
    yield from _by_trigger(findings)


def totals(findings: Findings, report: Report) -> str:
    """Sum a replay up in one line."""
    reading = findings.reading
    cost = findings.cost(report.segments)
    price = "" if cost is None else f", cost about {cost:.2f}"
    return (
        f"Total: {many(reading.events, 'event')}, {reading.matched:,} matched, "
        f"{many(len(report.texts), 'message')}, {many(report.segments, 'segment')}{price}."
    )


def _messages(report: Report, every: bool) -> Iterator[Grid | str]:
    if not report.texts:
        yield "No message would have been sent."
        yield ""
        return
    yield "What would have been sent (times are UTC; nothing was sent):"
    yield ""
    hidden = 0 if every else max(0, len(report.texts) - FIRST - LAST)
    first, last = report.texts, report.texts[:0]
    if hidden:
        first, last = report.texts[:FIRST], report.texts[-LAST:]
    rows = _by_day(first)
    if hidden:
        rows += [f"... {many(hidden, 'more message')}; --all shows them", *_by_day(last)]
    yield Grid(
        (
            Column("Time"),
            Column("Trigger", most=20),
            Column("To", most=22),
            Column("Message", flexible=True),
            Column("Segm", right=True),
            Column("Held", right=True),
        ),
        rows,
    )
    yield ""
    yield "Segm: SMS segments, as billed.  Held: events held back that the message counts."
    if any(text.by_action for text in report.texts):
        yield "*: a PostHog action of this name fired."
    yield ""


def _by_day(texts: Sequence[Text]) -> list[Sequence[str] | str]:
    """Make the rows of messages, each day with a line above it."""
    rows: list[Sequence[str] | str] = []
    for day, of_day in groupby(texts, key=lambda text: text.time and text.time.date()):
        rows += [day.isoformat() if day else "no time known", *map(_row, of_day)]
    return rows


def _row(text: Text) -> tuple[str, ...]:
    # A person's own number may stand in the text to them.
    body = text.body.replace(text.recipient, mask(text.recipient))
    return (
        text.time.strftime("%H:%M:%S") if text.time else "",
        ("*" if text.by_action else "") + one_line(text.trigger),
        mask(text.recipient),
        one_line(body),
        str(text.segments),
        str(text.held_back),
    )


def _not_sent(report: Report) -> Iterator[str]:
    """Tell what was not sent and why, the most frequent reason first."""
    why: Counter[tuple[Status, str]] = Counter()
    for (status, _, reason), count in report.reasons.items():
        timeout = duration(timedelta(seconds=report.timeout))
        why[status, reason or _WHY[status].format(timeout=timeout)] += count
    if not why:
        return
    yield f"Not sent: {sum(why.values()):,}."
    for (status, reason), count in why.most_common(_REASONS_SHOWN):
        yield f"  {count:,} {status.value.replace('_', ' ')}: {one_line(reason)}"
    if len(why) > _REASONS_SHOWN:
        yield f"  and {many(len(why) - _REASONS_SHOWN, 'more reason')}; --format json has all"


def _by_trigger(findings: Findings) -> Iterator[Grid | str]:
    [report] = findings.reports
    yield Grid(
        (Column("Trigger", most=30), Column("Events", right=True), *_TALLY_COLUMNS),
        [
            (one_line(name), f"{tally.events:,}", *_tally(tally))
            for name, tally in report.tallies.items()
        ],
    )
    yield from _legend(findings.reports)


def _side_by_side(findings: Findings) -> Iterator[Grid | str]:
    """Compare timeouts: a block for each trigger, and one for all together."""
    reading = findings.reading
    yield (
        f"{many(reading.events, 'event')}, {reading.matched:,} matched; "
        "what each timeout would have sent (nothing was sent):"
    )
    yield ""
    priced = findings.price is not None
    rows: list[Sequence[str] | str] = []
    for name in findings.reports[0].tallies:
        tallies = [report.tallies[name] for report in findings.reports]
        rows += [f"{one_line(name)} ({many(tallies[0].events, 'event')})"]
        rows += [_compared(findings, r, t) for r, t in zip(findings.reports, tallies, strict=True)]
    rows += ["all triggers"]
    rows += [_compared(findings, report, together(report)) for report in findings.reports]
    yield Grid(
        (
            Column("  Timeout"),
            *_TALLY_COLUMNS,
            *([Column("Cost", right=True)] if priced else []),
        ),
        rows,
    )
    if priced:
        yield f"Cost: estimated, at {findings.price} a segment."
    yield from _legend(findings.reports)


def _compared(findings: Findings, report: Report, tally: Tally) -> tuple[str, ...]:
    cost = findings.cost(tally.segments)
    return (
        f"  {duration(timedelta(seconds=report.timeout))}",
        *_tally(tally),
        *([] if cost is None else [f"{cost:.2f}"]),
    )


_TALLY_COLUMNS = (
    Column("Messages", right=True),
    Column("Segments", right=True),
    Column("Held back", right=True),
    Column("Longest silence", right=True),
)


def _tally(tally: Tally) -> tuple[str, ...]:
    silence = "-" if tally.silence is None else duration(tally.silence)
    return f"{tally.messages:,}", f"{tally.segments:,}", f"{tally.held_back:,}", silence


def _legend(reports: Sequence[Report]) -> Iterator[str]:
    tallies = [tally for report in reports for tally in report.tallies.values()]
    if any(tally.messages + tally.held_back > tally.events for tally in tallies):
        yield "Messages and Held back: each recipient counts."
    if any(tally.silence is not None for tally in tallies):
        yield "Longest silence: from a message to the next, while events were held back."


def together(report: Report) -> Tally:
    """Sum the triggers of a report up."""
    total = Tally()
    for tally in report.tallies.values():
        silences = [s for s in (total.silence, tally.silence) if s is not None]
        total = evolve(
            total,
            events=total.events + tally.events,
            messages=total.messages + tally.messages,
            segments=total.segments + tally.segments,
            held_back=total.held_back + tally.held_back,
            silence=max(silences, default=None),
        )
    return total


def duration(span: timedelta) -> str:
    """Write a span in its two largest units: ``1 d 2 h``, ``90 s`` as ``1 min 30 s``."""
    seconds = round(span.total_seconds())
    sizes = {"d": 86_400, "h": 3600, "min": 60, "s": 1}
    largest = next((at for at, size in enumerate(sizes.values()) if seconds >= size), 3)
    parts = []
    for unit, size in list(sizes.items())[largest : largest + 2]:
        count, seconds = divmod(seconds, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts) or "0 s"


def many(count: int, noun: str) -> str:
    """Write ``1 event``, ``2,000 events``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
