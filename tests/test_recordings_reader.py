"""Recordings of every form are read event by event, and faults are told with their place."""

from __future__ import annotations

import builtins
import gzip
import itertools
import json
import os
import random
import re
import subprocess
import sys
import threading
import tracemalloc
from datetime import datetime, timezone

import pytest

from posthog_twilio.errors import InvalidEvent
from posthog_twilio.events import Event, parse_events, read_lines
from posthog_twilio.recordings import Fault, read, recorded_events

NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
EVENT = {
    "event": "order placed",
    "uuid": "018f3e6a-0000-7000-8000-000000000001",
    "distinct_id": "user_1",
    "timestamp": "2024-05-01T12:00:00Z",
    "properties": {"total": 12},
}
ROW = {**EVENT, "properties": '{"total": 12}', "timestamp": "2024-05-01 12:00:00.000000"}
LINE = json.dumps(EVENT) + "\n"


@pytest.fixture
def record(tmp_path):
    """Write a recording and return its path."""

    def write(content, name="events.jsonl"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def places(path):
    """Read a recording and return an event's name or a fault's line for each item."""
    return [item.line if isinstance(item, Fault) else item["event"] for item in read(path)]


FORMS = {
    "line": ("a.jsonl", LINE),
    "line without an end": ("a.ndjson", LINE.rstrip()),
    "Windows line ends": ("a.jsonl", LINE.replace("\n", "\r\n")),
    "byte order mark": ("a.jsonl", "\ufeff" + LINE),
    "blank lines": ("a.jsonl", f"\n  \n{LINE}\n\n"),
    "batch on a line": ("a.jsonl", json.dumps({"batch": [EVENT]})),
    "row": ("a.jsonl", json.dumps(ROW)),
    "lines in .json": ("a.json", LINE),
    "document": ("a.json", json.dumps([EVENT])),
    "indented document": ("a.json", json.dumps([EVENT], indent=2)),
    "indented object": ("a.json", json.dumps(EVENT, indent=1)),
    "indented page": ("a.json", "\ufeff\n" + json.dumps({"results": [EVENT]}, indent="\t")),
    "document in .jsonl": ("a.jsonl", json.dumps(EVENT, indent=2)),
    "gzipped lines": ("a.jsonl.gz", gzip.compress(LINE.encode())),
    "gzipped document": ("a.json.gz", gzip.compress(json.dumps([EVENT], indent=2).encode())),
    "gzipped in two parts": (
        "a.gz",
        gzip.compress(LINE[:9].encode()) + gzip.compress(LINE[9:].encode()),
    ),
    "gzipped, by content": ("a.json", gzip.compress(LINE.encode())),
}


@pytest.mark.parametrize(("name", "content"), FORMS.values(), ids=FORMS.keys())
def test_every_form_gives_the_same_event(record, name, content):
    """The content tells the form, whatever the name; the event is the same."""
    [event] = read(record(content, name))

    assert event == parse_events(EVENT)[0]


@pytest.mark.parametrize(
    "content", ["", "\n \n", "[]", '{\n"batch": []\n}', gzip.compress(b"", mtime=0)]
)
def test_nothing_recorded(record, content):
    """An empty recording holds no events and no faults."""
    assert [*read(record(content))] == []


def test_a_broken_line_is_a_fault_and_the_rest_goes_on(record):
    """Each fault names file, line and what was seen; what is good around it is read."""
    path = record(LINE + "\n{broken\n" + LINE + '{"text": "hi"}\n\xff\n' + '{"event":\n' + LINE)
    raw = path.read_bytes().replace("\xff".encode(), b"\xff")
    path.write_bytes(raw)

    assert [*read(path)] == [
        parse_events(EVENT)[0],
        Fault(
            str(path),
            3,
            "not JSON: Expecting property name enclosed in double quotes (column 2)",
        ),
        parse_events(EVENT)[0],
        Fault(str(path), 5, "expected a PostHog event, got an object with the keys 'text'"),
        Fault(str(path), 6, "not UTF-8 text (byte 1)"),
        Fault(str(path), 7, "not JSON: cut short"),
        parse_events(EVENT)[0],
    ]


@pytest.mark.parametrize("first", ["{broken", '{"event": "a",', "[", '{"event": "a'])
def test_a_broken_first_line_spoils_no_other(record, first):
    """A file whose beginning was cut off is still read line by line."""
    path = record(f"\n{first}\n{LINE}\n{LINE}")

    assert places(path) == [2, "order placed", "order placed"]


@pytest.mark.parametrize("start", [["{broken\n"], [LINE, '{"event":\n']])
def test_a_broken_line_does_not_make_the_reader_run_ahead(start):
    """Only a first line that may begin a document is a reason to read on at once."""
    lines = iter([*start, LINE, LINE])

    items = read_lines(lines)

    assert [type(next(items)[1]) for _ in start][-1] is InvalidEvent
    assert [*lines] == [LINE, LINE]


def test_a_fault_in_a_batch_names_the_item(record):
    """The rest of a batch is read, on one line as in a document."""
    batch = {"batch": [EVENT, {}, EVENT]}
    fault = "batch[1]: expected a PostHog event, got an empty object"

    on_a_line = [*read(record(LINE + json.dumps(batch)))]
    assert on_a_line[2] == Fault(on_a_line[2].path, 2, fault)
    assert len(on_a_line) == 4

    document = [*read(record("\n" + json.dumps(batch, indent=2)))]
    assert document[1] == Fault(document[1].path, 2, fault)
    assert len(document) == 3


def test_a_broken_document_is_one_fault(record):
    """It is told once, at the line where the JSON breaks, not once for each line."""
    path = record("\n" + json.dumps([EVENT], indent=2).replace('"uuid":', '"uuid"'))

    [fault] = read(path)

    assert fault.line == 5
    assert fault.reason.startswith("not JSON: Expecting ':' delimiter")


def test_a_cut_document_is_one_fault(record):
    """A document without its end is told at its last line."""
    [fault] = read(record(json.dumps(EVENT, indent=2)[:-1]))

    assert (fault.line, fault.reason) == (8, "not JSON: cut short")


def test_a_document_that_is_no_text_is_a_fault(record):
    """Bytes that are no UTF-8 do not stop the reader."""
    [fault, *_] = read(record(b'{\n"event": "\xff"\n}'))

    assert "not UTF-8" in fault.reason


@pytest.mark.parametrize(
    "damaged",
    [
        lambda data: data[:-9],
        lambda data: data + b"rubbish",
        lambda data: data[:-8] + b"\0" * 8,
        lambda data: data[: len(data) // 2] + b"\0" * 50 + data[len(data) // 2 :],
    ],
    ids=["cut", "rubbish after it", "wrong checksum", "damaged"],
)
def test_damaged_gzip_is_a_fault_where_it_breaks(record, damaged):
    """What came before the damage is read."""
    chance = random.Random(1)
    uuids = (f"{chance.getrandbits(128):032x}" for _ in range(5000))
    lines = "".join(json.dumps({**EVENT, "uuid": uuid}) + "\n" for uuid in uuids)

    found = places(record(damaged(gzip.compress(lines.encode()))))

    first_fault = next(line for line in found if line != "order placed")
    assert found.index(first_fault) == first_fault - 1 > 1000
    assert found[-1] >= first_fault


def test_a_fault_reads_as_people_jump_to_it():
    """``file:line: reason``, as editors and compilers have it."""
    assert str(Fault("a.jsonl", 3, "not JSON")) == "a.jsonl:3: not JSON"


@pytest.mark.parametrize("function", [read, recorded_events])
def test_a_missing_file_is_an_os_error_with_its_name(tmp_path, function):
    """It is raised when the first event is asked for."""
    items = function(tmp_path / "missing.jsonl")

    with pytest.raises(FileNotFoundError, match=re.escape("missing.jsonl")):
        next(items)


def test_an_os_error_while_reading_is_raised(record, monkeypatch):
    """A disk that fails is no fault of the recording."""

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(gzip.GzipFile, "readinto", fail, raising=False)

    with pytest.raises(OSError, match="Input/output"):
        next(read(record(gzip.compress(LINE.encode()))))


def test_paths_may_be_text(record):
    """A path is text or path-like, and a fault has it as text."""
    path = record("x")

    [fault] = read(str(path))

    assert fault == next(read(path))


def test_lines_are_read_as_they_come(tmp_path):
    """The first event is there before the second is written."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    told = threading.Event()

    def write():
        with open(pipe, "w") as file:
            file.write(LINE + " " * 200_000 + "\n")
            file.flush()
            assert told.wait(10)
            file.write(LINE)

    writer = threading.Thread(target=write)
    writer.start()
    items = read(pipe)

    assert next(items)["event"] == "order placed"
    told.set()
    assert next(items)["event"] == "order placed"
    writer.join()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_memory_does_not_grow_with_the_recording(record, pack):
    """JSON lines are held one at a time."""
    path = record(pack(json.dumps({**EVENT, "text": "x" * 1000}).encode() + b"\n") * 10_000)

    tracemalloc.start()
    try:
        count = sum(1 for _ in read(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == 10_000
    assert peak < 2_000_000


def test_the_file_is_closed_when_the_reader_goes(record):
    """Stopping early leaks no open file (a ResourceWarning would fail this test)."""
    items = read(record(LINE * 3))
    next(items)

    items.close()

    assert [*items] == []


def test_recorded_events_are_strict(record):
    """A recording for tests holds events only; the first fault names file and line."""
    path = record(LINE + "broken\n" + LINE)
    items = recorded_events(path)

    assert next(items)["event"] == "order placed"
    with pytest.raises(InvalidEvent, match=re.escape(f"{path}:2: not JSON")):
        next(items)


# --- Parquet ------------------------------------------------------------------------------------


@pytest.fixture
def export(tmp_path):
    """Write a Parquet batch export and return its path."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def write(rows, unit="us", **options):
        table = pyarrow.Table.from_pylist(rows)
        index = table.schema.get_field_index("timestamp")
        column = table.column("timestamp").cast(pyarrow.timestamp(unit, "UTC"))
        path = tmp_path / "events.parquet"
        parquet.write_table(table.set_column(index, "timestamp", column), path, **options)
        return path

    return write


PARQUET_ROW = {
    **ROW,
    "timestamp": NOON,
    "person_id": "p1",
    "person_properties": '{"email": "a@example.com"}',
    "elements_chain": None,
}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet(export, unit):
    """Times are real, and properties are parsed when they are asked for."""
    [event] = read(export([PARQUET_ROW], unit))

    assert isinstance(event, Event)
    assert event["timestamp"] == NOON
    assert event["timestamp"].tzinfo is timezone.utc
    assert event["properties"] == {"total": 12}
    assert event["person"] == {"id": "p1", "properties": {"email": "a@example.com"}}
    assert "elements_chain" not in event


def test_parquet_nanoseconds_are_cut(export):
    """Where a file is finer than datetime it is read all the same."""
    pyarrow = pytest.importorskip("pyarrow")
    nanoseconds = pyarrow.scalar(int(NOON.timestamp()) * 10**9 + 1, pyarrow.timestamp("ns", "UTC"))

    [event] = read(export([{**PARQUET_ROW, "timestamp": nanoseconds}], "ns"))

    assert event["timestamp"] == NOON


def test_parquet_rows_are_counted(export):
    """A row that holds no event is a fault with its number, and the rest goes on."""
    rows = [PARQUET_ROW, {**PARQUET_ROW, "event": None}, PARQUET_ROW]

    path = export(rows, row_group_size=1)

    assert places(path) == ["order placed", 2, "order placed"]


def test_parquet_is_read_in_batches(export, monkeypatch):
    """Rows come a batch at a time, so that memory is bounded."""
    monkeypatch.setattr("posthog_twilio.recordings._ROWS_AT_ONCE", 10)
    sizes = []
    as_rows = sys.modules["posthog_twilio.recordings"]._as_rows
    monkeypatch.setattr(
        "posthog_twilio.recordings._as_rows",
        lambda batch: sizes.append(batch.num_rows) or as_rows(batch),
    )

    items = read(export([PARQUET_ROW] * 25))

    assert len([*itertools.islice(items, 11)]) == 11
    assert sizes == [10, 10]
    assert len([*items]) == 14
    assert sizes == [10, 10, 5]


def test_damaged_parquet_is_a_fault(export):
    """A file that only begins like Parquet, or that is cut, is a fault."""
    path = export([PARQUET_ROW])
    path.write_bytes(path.read_bytes()[:-20])

    [fault] = read(path)

    assert fault.line == 1
    assert "Parquet" in fault.reason


def test_parquet_damaged_inside_is_a_fault(export):
    """Damage that shows only later is told at the row where it shows."""
    chance = random.Random(1)
    rows = [{**PARQUET_ROW, "uuid": f"{chance.getrandbits(128):x}"} for _ in range(3000)]
    path = export(rows, row_group_size=1500, compression="gzip", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[len(data) * 5 // 8 : len(data) * 6 // 8] = bytes(len(data) * 6 // 8 - len(data) * 5 // 8)
    path.write_bytes(data)

    *good, fault = read(path)

    assert 1000 <= len(good) == fault.line - 1
    assert "Parquet" in fault.reason


def test_an_os_error_while_reading_parquet_is_raised(export, monkeypatch):
    """A disk that fails is no fault of the recording."""
    path = export([PARQUET_ROW])

    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("posthog_twilio.recordings._as_rows", fail)

    with pytest.raises(OSError, match="Input/output"):
        next(read(path))


def test_parquet_without_pyarrow_names_the_extra(record, monkeypatch):
    """Whoever lacks the extra learns the command that installs it."""
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(ImportError, match=re.escape("pip install 'posthog-twilio[parquet]'")):
        next(read(record(b"PAR1")))


def test_reading_lines_imports_neither_gzip_nor_pyarrow(record):
    """What a plain recording does not need is not paid for."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from posthog_twilio.recordings import read\n"
        f"assert len([*read({str(record(LINE))!r})]) == 1\n"
        "assert not {'gzip', 'pyarrow'} & (set(sys.modules) - before)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
