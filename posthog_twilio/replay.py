"""
Recorded events through the plugin's own flow, on the recording's own clock.

Nothing is sent: the last hop accepts every message and keeps none.  Everything
before it is the code that sends for real.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from attrs import Factory, define, frozen

from posthog_twilio import events, recordings
from posthog_twilio.caches import MemoryCache
from posthog_twilio.config import Config
from posthog_twilio.errors import RetryError
from posthog_twilio.message import count_segments
from posthog_twilio.outcome import Outcome, Status
from posthog_twilio.plugin import Meta, triggers_of
from posthog_twilio.recordings import Fault
from posthog_twilio.transport import Answer, Message, Verdict

LOOK_AHEAD = 1000
"""Matching events, of all files together, that wait for an earlier one to turn up."""
MOST_OPEN = 64
"""Recordings read side by side; more are read one after the other."""
_MOST_REASONS = 1000
_BEFORE_ALL = datetime.min.replace(tzinfo=timezone.utc)
_Placed = tuple[datetime, int, int, Mapping[str, Any]]


class Clock:
    """Shows the time of the event in hand, as the parts of the plugin ask for it."""

    def __init__(self) -> None:
        self.moment: datetime | None = None
        self._start: datetime | None = None

    def set(self, moment: datetime | None) -> None:
        """Go on to *moment*; None is an unknown time before all others."""
        self.moment = moment
        self._start = self._start or moment

    def now(self) -> float:
        """Return seconds since 1970."""
        return self.moment.timestamp() if self.moment else 0.0

    def elapsed(self) -> float:
        """Return seconds since one second before the first event: above 0 for any recording."""
        if self.moment is None or self._start is None:
            return 1.0
        return self.moment.timestamp() - self._start.timestamp() + 1.0


class DryTransport:
    """Accepts every message, and sends none."""

    def send(self, message: Message, until: float) -> Answer:  # noqa: ARG002
        """See :meth:`Transport.send`."""
        return Answer(Verdict.ACCEPTED)

    def find(
        self,
        message: Message,  # noqa: ARG002
        same: Callable[[str], bool],  # noqa: ARG002
        since: datetime,  # noqa: ARG002
    ) -> str | None:
        """See :meth:`Transport.find`."""
        return None

    def pause(self, seconds: float) -> None:
        """See :meth:`Transport.pause`; the recording's clock stands still meanwhile."""

    def close(self) -> None:
        """See :meth:`Transport.close`."""


@frozen(kw_only=True)
class Text:
    """
    A message that would have been sent.

    Attributes:
        time: of the event that it is about, UTC; None where no time is known.
        trigger: the trigger's name.
        event: the event's name.  Where it is not the trigger's, an action of the
            trigger's name fired.
        recipient: the address in full.
        body: the text.
        segments: what Twilio would bill.
        held_back: the events held back since the last message, which this one tells.

    """

    time: datetime | None
    trigger: str
    event: str
    recipient: str
    body: str
    segments: int
    held_back: int

    @property
    def by_action(self) -> bool:
        """Whether an action fired the trigger, not an event of its name."""
        return self.event != self.trigger


@define
class Tally:
    """
    What became of one trigger.

    Attributes:
        events: how many fired it.
        messages: how many would have been sent.
        segments: of these messages.
        held_back: events that the timeout held back, once for each recipient.
        silence: the longest time from a message to the next one to the same recipient while
            events were held back; to the end of the recording where there was no next.

    """

    events: int = 0
    messages: int = 0
    segments: int = 0
    held_back: int = 0
    silence: timedelta | None = None


@define
class Report:
    """
    What one timeout made of the recording.

    Attributes:
        timeout: seconds.
        tallies: of every trigger, in the order of the settings.
        outcomes: how many of each status.
        reasons: how many of each status, trigger and reason, of what was not sent.
        texts: in the order of their times.
        marks: times of what was not sent, by trigger; kept on demand.

    """

    timeout: int
    tallies: dict[str, Tally]
    outcomes: Counter[Status] = Factory(Counter)
    reasons: Counter[tuple[Status, str, str | None]] = Factory(Counter)
    texts: list[Text] = Factory(list)
    marks: dict[str, list[datetime]] = Factory(lambda: defaultdict(list))

    @property
    def segments(self) -> int:
        """Of all messages."""
        return sum(text.segments for text in self.texts)


@define
class Reading:
    """
    What was read so far; a progress bar may look on.

    Attributes:
        events: all that were read.
        matched: those that fired a trigger.
        untimed: matching ones without a time that can be read.
        faults: places that hold no event.
        end: the latest time seen.
        files: those that were opened.

    """

    events: int = 0
    matched: int = 0
    untimed: int = 0
    faults: int = 0
    end: datetime | None = None
    files: list[BinaryIO] = Factory(list)

    def restart(self) -> None:
        """Forget everything: nothing was read yet."""
        self.events = self.matched = self.untimed = self.faults = 0
        self.end, self.files = None, []

    @property
    def position(self) -> int:
        """The bytes that were read of all files, as they lie on the disk."""
        return sum(map(_position, self.files))


class OutOfOrder(Exception):
    """Raised when an event is earlier than one that was taken already."""


def replay(
    paths: Sequence[str],
    configs: Sequence[Config],
    actions: Iterable[Any] = (),
    *,
    tell: Callable[[Fault], object] = lambda _: None,
    reading: Reading | None = None,
    keep_marks: bool = False,
) -> tuple[Report, ...]:
    """
    Show what *configs* would have made of recorded events, without sending.

    The events of all files are taken in the order of their timestamps.  A
    matching event without one keeps the place of its predecessor in the file.
    Where a file is in order, give or take :data:`LOOK_AHEAD` matching events, memory grows
    with the messages only; else all matching events are held at once, and the
    files are read twice.

    Args:
        paths: recordings, in any form that :func:`recordings.read` knows.
        configs: they differ in their timeout only.
        actions: compiled action definitions.
        tell: is given each place that holds no event, once.
        reading: is brought up to date meanwhile, and complete at the end.
        keep_marks: keep the times of what was not sent.

    Returns:
        A report for each of *configs*.

    Raises:
        OSError: a file cannot be read.
        ImportError: a file needs an extra that is missing.

    """
    rehearsal = Rehearsal(configs, actions, keep_marks)
    source = Source(paths, rehearsal.matches, tell, reading or Reading())
    if all(Path(path).is_file() for path in paths):  # a pipe can be read only once
        try:
            return rehearsal.play(source.lazily(), source.reading)
        except OutOfOrder:
            rehearsal = Rehearsal(configs, actions, keep_marks)
    return rehearsal.play(source.sorted(), source.reading)


class Source:
    """Reads recordings: counts everything, and passes on what matches, in order."""

    def __init__(
        self,
        paths: Sequence[str],
        matches: Callable[[Mapping[str, Any]], bool],
        tell: Callable[[Fault], object],
        reading: Reading,
    ) -> None:
        self.reading = reading
        self._paths = paths
        self._matches = matches
        self._tell = tell
        self._told = [0] * len(paths)

    def lazily(self) -> Iterator[_Placed]:
        """
        Yield matching events while all the files can be read in order.

        Raises:
            OutOfOrder: they cannot; start again with :meth:`sorted`.

        """
        streams = self._streams()
        if len(streams) > MOST_OPEN:
            streams = [chain.from_iterable(streams)]
        share = LOOK_AHEAD // len(streams)
        return heapq.merge(*(nearly_sorted(stream, share) for stream in streams))

    def sorted(self) -> Iterator[_Placed]:
        """Yield matching events in order; all are read before the first is yielded."""
        yield from sorted(chain.from_iterable(self._streams()))

    def _streams(self) -> list[Iterator[_Placed]]:
        self.reading.restart()
        return [self._matching(number, path) for number, path in enumerate(self._paths)]

    def _matching(self, number: int, path: str) -> Iterator[_Placed]:
        """Yield the matching events of one file in its order, each with its place in time."""
        reading, matches = self.reading, self._matches
        place, position, faults = _BEFORE_ALL, 0, 0
        before: Mapping[str, Any] = {}
        for item in recordings.read(path, reading.files.append):
            if isinstance(item, Fault):
                faults += 1
                self._note(number, item, faults)
                continue
            reading.events += 1
            if matches(item):
                position += 1
                place = self._place(item, before, place)
                yield place, number, position, item
            before = item
        self._look_at_clock(time_of(before))

    def _place(self, event: Any, before: Mapping[str, Any], place: datetime) -> datetime:
        """Read when *event* happened, else take the place of the one *before* it."""
        moment = time_of(event)
        if moment is None:
            self.reading.untimed += 1
            moment = time_of(before) or place
        self._look_at_clock(moment)
        return moment

    def _look_at_clock(self, moment: datetime | None) -> None:
        if moment and moment is not _BEFORE_ALL:
            self.reading.end = max(self.reading.end or moment, moment)

    def _note(self, number: int, fault: Fault, count: int) -> None:
        """Count a fault, and tell it, unless it was told when the file was first read."""
        self.reading.faults += 1
        if count > self._told[number]:
            self._told[number] = count
            self._tell(fault)


def _position(file: BinaryIO) -> int:
    try:
        return file.tell()
    except ValueError:  # closed: read to its end
        return os.stat(file.name).st_size
    except OSError:  # a pipe
        return 0


def time_of(event: Mapping[str, Any]) -> datetime | None:
    """Return when *event* happened, UTC; the calendar's last year is no time to reckon from."""
    moment = events.timestamp(event)
    return moment if moment and moment.year < datetime.max.year else None


def nearly_sorted(placed: Iterable[_Placed], look_ahead: int) -> Iterator[_Placed]:
    """
    Put events in order that are at most *look_ahead* places away from it.

    Raises:
        OutOfOrder: one is further away.

    """
    waiting: list[_Placed] = []
    last = _BEFORE_ALL
    for item in placed:
        if item[0] < last:
            raise OutOfOrder
        if len(waiting) < look_ahead:
            heapq.heappush(waiting, item)
        else:
            first = heapq.heappushpop(waiting, item)
            last = first[0]
            yield first
    waiting.sort()
    yield from waiting


class Rehearsal:
    """Plays events to one plugin for each timeout, side by side."""

    def __init__(self, configs: Sequence[Config], actions: Iterable[Any], keep_marks: bool) -> None:
        self._clock = Clock()
        triggers = triggers_of(configs[0], actions)
        self._scribes = [
            Scribe(
                Meta(
                    config,
                    MemoryCache(self._clock.elapsed),
                    DryTransport(),
                    triggers,
                    now=self._clock.now,
                    timer=self._clock.elapsed,
                ),
                keep_marks,
            )
            for config in configs
        ]
        self.matches = self._scribes[0].meta.matches

    def play(self, placed: Iterable[_Placed], reading: Reading) -> tuple[Report, ...]:
        """Play all events, and return what became of them."""
        for place, _, _, event in placed:
            moment = None if place is _BEFORE_ALL else place
            self._clock.set(moment)
            reading.matched += 1
            for scribe in self._scribes:
                scribe.handle(event, moment)
        return tuple(scribe.close(reading.end) for scribe in self._scribes)


@define
class _Quiet:
    """The time since the last message on one cooldown."""

    since: datetime
    untold: bool = False


class Scribe:
    """Writes the report of one plugin."""

    def __init__(self, meta: Meta, keep_marks: bool) -> None:
        self.meta = meta
        self._by_person = meta.config.scope == "person"
        self._keep_marks = keep_marks
        self._quiets: dict[tuple[str | None, ...], _Quiet] = {}
        self._report = Report(
            meta.config.cooldown, {name: Tally() for name in meta.config.triggers}
        )

    def handle(self, event: Mapping[str, Any], moment: datetime | None) -> None:
        """Let the plugin handle *event*, and note the outcomes."""
        try:
            outcomes = self.meta.handle(event)
        except RetryError as error:
            outcomes = error.outcomes
        for name in dict.fromkeys(outcome.trigger for outcome in outcomes):
            self._report.tallies[name].events += 1
        for outcome in outcomes:
            self._report.outcomes[outcome.status] += 1
            if outcome.status is Status.SENT:
                self._sent(event, moment, outcome)
            else:
                self._not_sent(event, moment, outcome)

    def close(self, end: datetime | None) -> Report:
        """Return the report of a recording that ended at *end*."""
        for key, quiet in self._quiets.items():
            self._break_silence(key, quiet, end)
        return self._report

    def _sent(self, event: Mapping[str, Any], moment: datetime | None, outcome: Outcome) -> None:
        text = Text(
            time=moment,
            trigger=outcome.trigger,
            event=event["event"],
            recipient=outcome.recipient or "",
            body=outcome.body or "",
            segments=count_segments(outcome.body or ""),
            held_back=outcome.held_back or 0,
        )
        self._report.texts.append(text)
        tally = self._report.tallies[outcome.trigger]
        tally.messages += 1
        tally.segments += text.segments
        key = self._key(event, outcome)
        if quiet := self._quiets.pop(key, None):
            self._break_silence(key, quiet, moment)
        if moment:
            self._quiets[key] = _Quiet(moment)

    def _not_sent(
        self, event: Mapping[str, Any], moment: datetime | None, outcome: Outcome
    ) -> None:
        reason = (outcome.status, outcome.trigger, outcome.reason)
        if len(self._report.reasons) >= _MOST_REASONS and reason not in self._report.reasons:
            reason = (outcome.status, outcome.trigger, "other reasons")
        self._report.reasons[reason] += 1
        if moment and self._keep_marks:
            self._report.marks[outcome.trigger].append(moment)
        if outcome.status is Status.COOLING_DOWN:
            self._report.tallies[outcome.trigger].held_back += 1
            if quiet := self._quiets.get(self._key(event, outcome)):
                quiet.untold = True

    def _key(self, event: Mapping[str, Any], outcome: Outcome) -> tuple[str | None, ...]:
        person = events.distinct_id(event) if self._by_person else None
        return outcome.trigger, outcome.recipient, person

    def _break_silence(
        self, key: tuple[str | None, ...], quiet: _Quiet, end: datetime | None
    ) -> None:
        if quiet.untold and end:
            tally = self._report.tallies[str(key[0])]
            tally.silence = max(tally.silence or timedelta(), end - quiet.since)
