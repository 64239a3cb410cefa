"""Recorded events, read from files one at a time."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from posthog_twilio.bodies import GZIP_MAGIC
from posthog_twilio.errors import InvalidEvent
from posthog_twilio.events import Event, iter_events, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

_PARQUET_MAGIC = b"PAR1"
_BUFFER = 2**17
_ROWS_AT_ONCE = 1024
_Item = tuple[int, "Event | InvalidEvent"]


@frozen
class Fault:
    """
    A place in a recording that holds no plugin event.

    Attributes:
        path: the file.
        line: its line, 1 is the first; the row, for Parquet.  For a JSON document over several
            lines it is the line where the document begins, and ``reason`` names the item.
        reason: what was seen there: types and keys, never values.

    """

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


def read(
    path: str | os.PathLike[str], opened: Callable[[BinaryIO], object] = lambda _: None
) -> Iterator[Mapping[str, Any] | Fault]:
    """
    Yield the plugin events of a recording, in the order of the file.

    It may be one JSON document (an event, a list, a batch, a page of the API) or JSON lines, either
    gzipped, or a Parquet batch export; which of them is told by the content.  The events may be in
    any shape that :func:`~posthog_twilio.events.parse_events` knows.  JSON lines and Parquet are
    read in bounded memory.

    Args:
        path: the file.  It is opened when the first event is asked for.
        opened: is given the open file, whose position tells how far reading has come.

    Yields:
        An event, or a :class:`Fault` where there is none; reading goes on after it.

    Raises:
        OSError: if the file cannot be opened or read.
        ImportError: if the file is Parquet and pyarrow is not installed.

    """
    with open(path, "rb") as file:
        opened(file)
        for line, item in _items(file):
            if isinstance(item, InvalidEvent):
                yield Fault(os.fspath(path), line, str(item))
            else:
                yield item


def recorded_events(path: str | os.PathLike[str]) -> Iterator[Mapping[str, Any]]:
    """
    Yield the plugin events of a recording that must be free of faults, as in a test.

    Args:
        path: a recording in any form that :func:`read` knows.

    Raises:
        InvalidEvent: at the first place that holds no event; names file and line.

    """
    for item in read(path):
        if isinstance(item, Fault):
            raise InvalidEvent(str(item))
        yield item


def _items(file: io.BufferedReader) -> Iterator[_Item]:
    start = file.peek(len(_PARQUET_MAGIC))
    if start.startswith(_PARQUET_MAGIC):
        return _parquet_rows(file)
    if start.startswith(GZIP_MAGIC):
        return _gzipped_lines(file)
    return read_lines(file)


def _gzipped_lines(file: io.BufferedReader) -> Iterator[_Item]:
    import gzip
    import zlib

    # GzipFile's own readline is written in Python; a buffer over it reads lines in C.
    unzipped = io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=file)), _BUFFER)
    line = 0
    try:
        for line, item in read_lines(unzipped):
            yield line, item
    except (EOFError, gzip.BadGzipFile, zlib.error):
        yield line + 1, InvalidEvent("the gzip data is broken or cut off from here on")


def _parquet_rows(file: io.BufferedReader) -> Iterator[_Item]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ImportError(
            "a Parquet recording needs pyarrow: pip install 'posthog-twilio[parquet]'"
        ) from None
    row = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches(_ROWS_AT_ONCE):
            for values in _as_rows(batch):
                row += 1
                for item in iter_events(values):
                    yield row, item
    except pyarrow.ArrowException as error:
        yield row + 1, InvalidEvent(f"not readable as Parquet: {type(error).__name__}")
    except OSError as error:
        if error.errno is not None:
            raise
        yield row + 1, InvalidEvent("the Parquet data is broken or cut off from here on")


def _as_rows(batch: Any) -> list[dict[str, Any]]:
    """Turn columns into dicts, with times in microseconds: datetime holds no nanoseconds."""
    import pyarrow

    fields = [
        field.with_type(pyarrow.timestamp("us", field.type.tz))
        if field.type == pyarrow.timestamp("ns", getattr(field.type, "tz", None))
        else field
        for field in batch.schema
    ]
    table = pyarrow.Table.from_batches([batch]).cast(pyarrow.schema(fields), safe=False)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
