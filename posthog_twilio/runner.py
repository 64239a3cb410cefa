"""
Events from a stream of JSON lines into messages, until the stream or the process ends.

One thread reads, so that a signal or a retry that falls due never waits for a
line; everything else happens in the thread that calls :meth:`Runner.run`.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from attrs import define, field

from posthog_twilio import events
from posthog_twilio.errors import InvalidEvent, RetryError
from posthog_twilio.fields import shown_id
from posthog_twilio.outcome import Status
from posthog_twilio.plugin import Meta

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0)
"""Seconds before each new try; together longer than the lease of a worker that died."""
MOST_PENDING = 1000
"""Events that wait for a new try; what comes beyond goes to the dead letters at once."""
LAST_TRIES = 10.0
"""Seconds in which pending events get a last try when the stream has ended."""
_CHUNK = 65_536
_CHUNKS_AHEAD = 2
_STOP = object()


_Goal = tuple[str, "str | None"]


@define
class Totals:
    """
    What was done.

    Attributes:
        events: that were read.
        matched: those that fired a trigger.
        outcomes: what became of each message in the end.
        retried: tries of an event after its first.
        invalid: lines, or parts of them, that hold no event.
        undelivered: events given up, for now.
        unhandled: lines that were read when the stop came, and not handled.

    """

    events: int = 0
    matched: int = 0
    outcomes: Counter[Status] = field(factory=Counter)
    retried: int = 0
    invalid: int = 0
    undelivered: int = 0
    unhandled: int = 0

    @property
    def complete(self) -> bool:
        """Whether every message went out, or was held back on purpose."""
        failed = self.outcomes[Status.REFUSED] + self.outcomes[Status.UNCERTAIN]
        return not (failed or self.invalid or self.undelivered or self.unhandled)

    def __str__(self) -> str:
        outcomes = [
            f"{self.outcomes[status]:,} {status.value.replace('_', ' ')}"
            for status in Status
            if self.outcomes[status]
        ]
        rest = {
            "retried": self.retried,
            "unreadable": self.invalid,
            "given up": self.undelivered,
            "left over": self.unhandled,
        }
        outcomes += [f"{number:,} {name}" for name, number in rest.items() if number]
        events = f"{self.events:,} event{'' if self.events == 1 else 's'}"
        return f"{events}, {self.matched:,} matched: {', '.join(outcomes) or 'nothing to send'}."


class DeadLetters:
    """
    What could not be delivered or read, as JSON lines in a file that can be fed again.

    An event stands there as it is; anything else as ``{"line": ..., "error": ...}``.
    Where there is no file, *complain* is told, and each event by its uuid.

    Args:
        path: the file to append to; it is made readable for its owner only.
        complain: prints a line.

    Raises:
        OSError: the file cannot be written.

    """

    def __init__(self, path: str | None, complain: Callable[[str], object]) -> None:
        self._complain = complain
        self._file = None
        if path is not None:
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._file = os.fdopen(handle, "ab", buffering=0)  # on the disk, come what may

    def event(self, event: Mapping[str, Any], reason: str) -> None:
        """Keep an event."""
        if not self._write(dict(event)):
            self._complain(f"not delivered: event {shown_id(event)}: {reason}")

    def line(self, line: bytes, reason: str) -> None:
        """Keep a line that holds no event, or that there was no time for."""
        self._write({"line": line.decode(errors="replace"), "error": reason})

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _write(self, found: dict[str, Any]) -> bool:
        if self._file is None:
            return False
        try:
            self._file.write(json.dumps(found, default=datetime.isoformat).encode() + b"\n")
        except OSError as error:
            self._complain(f"the dead letter could not be written: {error.strerror or error}")
            return False
        return True


class Lines:
    """
    The lines of a file descriptor, read by a thread of its own.

    Args:
        source: the descriptor; it is read without a buffer, so that a line is
            there as soon as it was written, and left open.

    Attributes:
        fault: why reading ended, where it was not the end of the stream.

    """

    def __init__(self, source: int) -> None:
        self.fault: str | None = None
        self._source = source
        self._chunks: SimpleQueue[Any] = SimpleQueue()
        self._room = threading.Semaphore(_CHUNKS_AHEAD)
        self._begun: list[bytes] = []
        self._ready: Iterator[bytes] = iter(())
        threading.Thread(target=self._read, daemon=True).start()

    def stop(self) -> None:
        """Wake up whoever waits for a line; safe in a signal handler."""
        self._chunks.put(_STOP)

    def next(self, timeout: float | None) -> bytes | None:
        """
        Return the next line, without its end.

        Args:
            timeout: seconds to wait for it; None waits until there is one.

        Raises:
            Empty: none came in time, or :meth:`stop` was called meanwhile.

        Returns:
            The line; None at the end.

        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            for line in self._ready:
                return line
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            chunk = self._chunks.get(timeout=left)
            if chunk is _STOP:
                raise Empty
            if not chunk:
                self._chunks.put(chunk)  # the end stays the end
                return self._last()
            self._take(chunk)

    def rest(self) -> Iterator[bytes]:
        """Yield what was read and not asked for yet, a last line without end included."""
        yield from self._ready
        while True:
            try:
                chunk = self._chunks.get_nowait()
            except Empty:
                break
            if chunk and chunk is not _STOP:
                self._take(chunk)
                yield from self._ready
        if (last := self._last()) is not None:
            yield last

    def _read(self) -> None:
        while True:
            self._room.acquire()
            try:
                chunk = os.read(self._source, _CHUNK)
            except OSError as error:
                self.fault, chunk = error.strerror, b""
            self._chunks.put(chunk)
            if not chunk:
                return

    def _take(self, chunk: bytes) -> None:
        self._room.release()
        self._begun.append(chunk)
        if b"\n" in chunk:
            *lines, begun = b"".join(self._begun).split(b"\n")
            self._begun = [begun]
            self._ready = iter(lines)

    def _last(self) -> bytes | None:
        last, self._begun = b"".join(self._begun), []
        return last or None


@define(order=True)
class _Pending:
    """An event that waits for a new try: when, and for which messages still."""

    due: float
    order: int
    tries: int = field(order=False)
    event: Mapping[str, Any] = field(order=False)
    goals: frozenset[_Goal] = field(order=False)


class Runner:
    """
    Hands the events of *lines* to a plugin, and tries again what asks for it.

    Args:
        meta: the plugin.
        lines: where the events come from.
        dead: where what is left goes.
        complain: prints a line.
        timer: seconds, monotonic.

    """

    def __init__(
        self,
        meta: Meta,
        lines: Lines,
        dead: DeadLetters,
        complain: Callable[[str], object],
        *,
        timer: Callable[[], float] = lambda: time.monotonic(),
    ) -> None:
        self.totals = Totals()
        self._meta = meta
        self._lines = lines
        self._dead = dead
        self._complain = complain
        self._timer = timer
        self._stopped = False
        self._line = 0
        self._order = count()
        self._pending: list[_Pending] = []

    def stop(self) -> None:
        """Finish the event in hand, and no other; safe in a signal handler."""
        self._stopped = True
        self._lines.stop()

    def run(self) -> Totals:
        """Go on until the lines end, or :meth:`stop` is called."""
        while not self._stopped:
            try:
                line = self._lines.next(self._pause())
            except Empty:
                self._try_again()
                continue
            if line is None:
                self._end()
                break
            self._handle_line(line)
            self._try_again()
        self._leave()
        return self.totals

    def _pause(self) -> float | None:
        """Return the seconds until something falls due."""
        return max(0.0, self._pending[0].due - self._timer()) if self._pending else None

    def _handle_line(self, line: bytes) -> None:
        self._line += 1
        if not line.strip():
            return
        for item in events.iter_events(line):
            if isinstance(item, InvalidEvent):
                self._invalid(line, str(item))
            elif self._stopped:
                self._handle_late(item)
            else:
                self._handle_event(item)

    def _invalid(self, line: bytes, reason: str) -> None:
        self.totals.invalid += 1
        self._complain(f"line {self._line}: {reason}")
        self._dead.line(line, reason)

    def _handle_event(self, event: Mapping[str, Any]) -> None:
        self.totals.events += 1
        if not self._meta.matches(event):
            return
        self.totals.matched += 1
        if not events.uuid(event):
            # Without one, trying again could text those again who got their message.
            event = {**event, "uuid": str(uuid4())}
        self._try(event, 0, None)

    def _handle_late(self, event: Mapping[str, Any]) -> None:
        """Keep an event for later: a stop came before its turn."""
        self.totals.events += 1
        if self._meta.matches(event):
            self.totals.matched += 1
            self._give_up(event, "stopped before its turn")

    def _try(self, event: Mapping[str, Any], tries: int, goals: frozenset[_Goal] | None) -> None:
        """Text whom *event* concerns; *tries* were made before, and left *goals*."""
        try:
            outcomes, error = self._meta.handle(event), None
        except RetryError as retry:
            outcomes, error = retry.outcomes, retry
        left = set()
        for outcome in outcomes:
            goal = outcome.trigger, outcome.recipient
            if outcome.status is Status.RETRY:
                left.add(goal)
            elif goals is None or goal in goals:  # what was settled before was counted then
                self.totals.outcomes[outcome.status] += 1
        if error:
            self._put_off(event, tries, frozenset(left), str(error))

    def _put_off(
        self, event: Mapping[str, Any], tries: int, goals: frozenset[_Goal], why: str
    ) -> None:
        if tries >= len(PAUSES):
            self._give_up(event, why)
        elif len(self._pending) >= MOST_PENDING:
            self._give_up(event, f"{MOST_PENDING} others wait to be tried again; {why}")
        else:
            due = self._timer() + PAUSES[tries] * random.uniform(1, 1.1)  # noqa: S311 - no secret
            pending = _Pending(due, next(self._order), tries + 1, event, goals)
            heapq.heappush(self._pending, pending)

    def _try_again(self) -> None:
        """Try one event that has fallen due; between two of them, lines get their turn."""
        if self._pending and self._pending[0].due <= self._timer() and not self._stopped:
            pending = heapq.heappop(self._pending)
            self.totals.retried += 1
            self._try(pending.event, pending.tries, pending.goals)

    def _end(self) -> None:
        """Try what is pending a last time, for some seconds: no more lines will come."""
        if self._lines.fault:
            self.totals.invalid += 1
            self._complain(f"standard input: {self._lines.fault}")
        until = self._timer() + LAST_TRIES
        while self._pending and self._timer() <= until and not self._stopped:
            pending = heapq.heappop(self._pending)
            self.totals.retried += 1
            self._try(pending.event, len(PAUSES), pending.goals)

    def _give_up(self, event: Mapping[str, Any], reason: str) -> None:
        self.totals.undelivered += 1
        self._dead.event(event, reason)

    def _leave(self) -> None:
        """Give up what is still pending, and what was read and not handled."""
        for pending in sorted(self._pending):
            self._give_up(pending.event, "the run ended before it could be tried again")
        if self._stopped:
            for line in self._lines.rest():
                self._leave_line(line)

    def _leave_line(self, line: bytes) -> None:
        """Keep the events of a line, or the line itself where it is cut off."""
        if not line.strip():
            return
        for item in events.iter_events(line):
            if isinstance(item, InvalidEvent):
                self.totals.unhandled += 1
                self._dead.line(line, "stopped before its turn")
            else:
                self._handle_late(item)
