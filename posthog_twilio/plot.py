"""A replay as a picture: what happened, and what would have been sent."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from posthog_twilio.grid import cut, one_line
from posthog_twilio.replay import Report
from posthog_twilio.report import duration, many

# Okabe and Ito's colours, which colour-blind people tell apart (https://jfly.uni-koeln.de/color/);
# marks differ in shape and size too.
EVENT = "#0072B2"
MESSAGE = "#D55E00"
INK = "#333333"
_TIME_FORMATS = ("%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%S.%f")
_LANE = 0.62
_HIGHEST = 100  # inches; a picture cannot be of any size
_DPI = 150


def plot(reports: Sequence[Report], path: str) -> None:
    """
    Draw each trigger on a time line of its own, one panel for each timeout.

    Args:
        reports: with their marks kept.
        path: ends in ``.png`` or ``.svg``.

    Raises:
        OSError: the file cannot be written.

    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lanes = len(reports[0].tallies)
    height = min(1.3 + len(reports) * (0.55 + _LANE * lanes), _HIGHEST)
    figure = Figure(figsize=(10, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(reports), 1, sharex=True, squeeze=False)[:, 0]
    for panel, report in zip(panels, reports, strict=True):
        _draw(panel, report)
    _label_times(panels[-1], reports)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(path)


def _draw(panel: Any, report: Report) -> None:
    """Draw one panel: a lane for each trigger, the first on top."""
    names = list(report.tallies)
    label_events, label_messages = "event", "message"
    for lane, name in enumerate(names):
        sent = [text.time for text in report.texts if text.trigger == name and text.time]
        seen = [*sent, *report.marks.get(name, [])]
        panel.axhline(lane, color="#DDDDDD", linewidth=0.8, zorder=1)
        # Side by side, so that no message hides the events around it.
        panel.plot(
            seen, [lane + 0.2] * len(seen), "|", color=EVENT, markersize=9, markeredgewidth=1.1,
            zorder=2, label=label_events,
        )  # fmt: skip
        panel.plot(
            sent, [lane - 0.06] * len(sent), "o", color=MESSAGE, markersize=8,
            markeredgecolor="white", markeredgewidth=0.8, zorder=3, label=label_messages,
        )  # fmt: skip
        label_events = label_messages = "_"  # the legend names each kind once
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_yticks(range(len(names)), [_lane_label(report, name) for name in names])
    panel.tick_params(axis="y", length=0, labelsize=9, labelcolor=INK)
    panel.set_title(_title(report), loc="left", fontsize=10, color=INK)
    for side in ("top", "left", "right"):
        panel.spines[side].set_visible(False)


def _title(report: Report) -> str:
    timeout = duration(timedelta(seconds=report.timeout))
    return f"timeout {timeout}: {many(len(report.texts), 'message')}"


def _lane_label(report: Report, name: str) -> str:
    tally = report.tallies[name]
    # A dollar sign would start a formula.
    shown = cut(one_line(name), 28).replace("$", r"\$")
    return f"{shown}\n{many(tally.events, 'event')}, {tally.messages:,} sent"


def _label_times(panel: Any, reports: Sequence[Report]) -> None:
    from matplotlib import dates

    # These have no types of their own.
    locators: Any = dates.AutoDateLocator
    formatters: Any = dates.ConciseDateFormatter

    times = [moment for report in reports for moment in _times(report)]
    panel.set_xlabel("time (UTC)", fontsize=9, color=INK)
    if not times:
        panel.set_xticks([])
        return
    first, last = min(times), max(times)
    margin = (last - first) * 0.02 or timedelta(minutes=30)
    panel.set_xlim(first - margin if first.year > 1 else first, last + margin)
    panel.xaxis.set_major_locator(locator := locators())
    panel.xaxis.set_major_formatter(formatters(locator, formats=[*_TIME_FORMATS]))
    panel.tick_params(axis="x", labelsize=9, labelcolor=INK)


def _times(report: Report) -> list[datetime]:
    sent = [text.time for text in report.texts if text.time]
    return sent + [moment for marks in report.marks.values() for moment in marks]
