"""The picture of a replay."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from conftest import missing

from posthog_twilio.replay import Report, Tally, Text

try:
    import matplotlib  # noqa: F401
except ImportError:  # pragma: no cover
    missing("matplotlib")

from posthog_twilio import plot as module
from posthog_twilio.plot import EVENT, MESSAGE, plot

NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)


def report(*, names=("signup",), sent=(0,), held=(10, 20), start=NOON):
    """Make a report whose first trigger has messages and events at some seconds."""
    texts = [
        Text(
            time=start + timedelta(seconds=at),
            trigger=names[0],
            event=names[0],
            recipient="+15550100001",
            body="x",
            segments=1,
            held_back=0,
        )
        for at in sent
    ]
    marks = {names[0]: [start + timedelta(seconds=at) for at in held]}
    return Report(60, {name: Tally() for name in names}, texts=texts, marks=marks)


def test_svg_holds_a_mark_for_each_event_and_message(tmp_path):
    """Every event is a mark, every message another, in colours that all people tell apart."""
    path = tmp_path / "p.svg"

    plot([report(sent=(0, 50), held=(10, 20, 30))], str(path))

    svg = path.read_text()
    assert svg.count(f"stroke: {EVENT.lower()}") >= 5
    assert svg.count(f"fill: {MESSAGE.lower()}") >= 2


def test_png_is_a_png(tmp_path):
    """The file's name decides the format."""
    path = tmp_path / "p.PNG"

    plot([report()], str(path))

    assert path.read_bytes().startswith(b"\x89PNG")


def test_each_timeout_has_a_panel_and_each_trigger_a_lane(tmp_path, monkeypatch):
    """Lanes and panels stand in the order given, and are labelled."""
    seen = []
    draw = module._draw
    monkeypatch.setattr(module, "_draw", lambda panel, r: seen.append((draw(panel, r), panel)))

    plot([report(names=("b", "a")), report(names=("b", "a"))], str(tmp_path / "p.png"))

    labels = [[label.get_text() for label in panel.get_yticklabels()] for _, panel in seen]
    assert labels == [["b\n0 events, 0 sent", "a\n0 events, 0 sent"]] * 2
    assert seen[0][1].get_title(loc="left") == "timeout 1 min: 1 message"


@pytest.mark.parametrize(
    "odd",
    [
        {"sent": (), "held": ()},
        {"sent": (0,), "held": ()},
        {"start": datetime(1, 1, 1, tzinfo=timezone.utc)},
        {"names": ("$pageview $x_1$", "漢字 👍", "x" * 99)},
        {"names": tuple(f"trigger {n}" for n in range(200))},
    ],
    ids=["nothing", "one moment", "year 1", "odd names", "many triggers"],
)
def test_odd_replays_give_a_picture_too(tmp_path, odd):
    """No replay is too empty, too old or too long, and no name breaks the picture or warns."""
    path = tmp_path / "p.png"

    plot([report(**odd)] * 2, str(path))

    assert path.stat().st_size > 1000
