"""
asyncio: texts about the events that come by in a pipeline of one's own.

    pip install posthog-twilio
    python examples/asyncio_pipeline.py < events.jsonl > undelivered.jsonl

It reads events as JSON lines and the parameters of plugin.json from the file that
``POSTHOG_TWILIO_CONFIG`` names (``config.json``); ``COOLDOWNS`` names the SQLite file.  Many events
are in hand at once, and no more are read while too many are.  What is to be delivered again is,
after ever longer pauses.  SIGINT or SIGTERM ends the reading and the pauses, not a message in hand.
What could not be delivered goes to standard output: feed it in again, that is always safe.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from posthog_twilio import InvalidEvent, Meta, RetryError, on_event, setup_plugin, teardown_plugin
from posthog_twilio.caches import SQLiteCache
from posthog_twilio.events import parse_events

AT_ONCE = 50
PAUSES = (1.0, 5.0, 15.0, 60.0)  # in all longer than the minute for which a crash holds an event up
Event = Mapping[str, Any]
log = logging.getLogger("asyncio_pipeline")


async def pipeline(
    lines: AsyncIterator[bytes], meta: Meta, ending: asyncio.Event, left: Callable[[Event], object]
) -> None:
    """Text about the events in *lines*; call *left* with each that could not be delivered."""
    tasks: set[asyncio.Task[None]] = set()
    try:
        async for line in lines:
            for event in events_of(line):
                if meta.matches(event):
                    tasks.add(asyncio.create_task(deliver(event, meta, ending, left)))
            while len(tasks) >= AT_ONCE:
                _, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks:
            await asyncio.wait(tasks)
    finally:  # cancelled, perhaps: nobody waits for a further try, what is in hand is finished
        ending.set()
        await asyncio.gather(*tasks)


async def deliver(
    event: Event, meta: Meta, ending: asyncio.Event, left: Callable[[Event], object]
) -> None:
    """Text about one event, several times if need be; the pauses between leave no thread idle."""
    for pause in (*PAUSES, 0):
        try:
            await asyncio.to_thread(on_event, event, meta)
            return
        except RetryError as error:
            log.warning("event %s: %s", event.get("uuid"), error)
        await asyncio.wait([asyncio.ensure_future(ending.wait())], timeout=pause)
        if ending.is_set():
            break
    left(event)


def events_of(line: bytes) -> list[Event]:
    try:
        return list(parse_events(line)) if line.strip() else []
    except InvalidEvent as error:
        log.error("skipped a line: %s", error)
        return []


async def lines_of(file: BinaryIO, ending: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the lines of a file or pipe until the end; what was read of a pipe comes in full."""
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        for line in file:
            if ending.is_set():
                return
            yield line
        return
    reader = asyncio.StreamReader(limit=1 << 20)
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), file
    )
    closing = asyncio.ensure_future(ending.wait())
    closing.add_done_callback(lambda _: pipe.close())
    async for line in reader:
        yield line
    closing.cancel()


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    config = json.loads(Path(os.environ.get("POSTHOG_TWILIO_CONFIG", "config.json")).read_bytes())
    with SQLiteCache(os.environ.get("COOLDOWNS", "cooldowns.sqlite")) as cache:
        meta = setup_plugin(config, cache=cache)
        ending = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ending.set)
        lines = lines_of(sys.stdin.buffer, ending)
        await pipeline(lines, meta, ending, lambda e: print(json.dumps(dict(e), default=str)))
        teardown_plugin(meta)


if __name__ == "__main__":
    asyncio.run(main())
