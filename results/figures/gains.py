"""Figures of gains from pretraining: scores next to those of untrained encoders."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import (
    COLOURS,
    GREY,
    MARKERS,
    SETTINGS,
    figure,
    limit_percent,
    plain,
    width_of,
    wrapped,
)


@dataclass(frozen=True)
class Measured:
    """The score of a row under one value of a setting or condition; scores are fractions.

    Attributes:
        row: The row of the table.
        value: A name such as `patch_max`, or a number such as the pixels of a shift.
        mean: Mean score.
        low: Lower limit of its 95% interval; None without one.
        high: Upper limit.
        untrained: Mean score of the untrained encoder of the same architecture; None without one.
        control: True for a row that learns nothing.
        complete: False if runs are missing.
    """

    row: str
    value: str | int | float
    mean: float
    low: float | None = None
    high: float | None = None
    untrained: float | None = None
    control: bool = False
    complete: bool = True


def has_several_values(scores: Sequence[Measured]) -> bool:
    """Return True if a row has scores under several values."""
    return len(scores) > len({one.row for one in scores})


def gain_figure(scores: Sequence[Measured], score: str, title: str) -> Figure:
    """Draw the gain of each row under each value as a line from the untrained to the trained score.

    Rows are from top to bottom in their order; each value has a colour and a marker. The untrained
    encoder is hollow.

    Args:
        scores: The scores; those without an untrained score are left out.
        score: Name of the metric.
        title: The column, without the compared setting.
    """
    shown = [one for one in scores if one.untrained is not None]
    rows = list(dict.fromkeys(one.row for one in shown))
    values = list(dict.fromkeys(one.value for one in shown))
    with mpl.rc_context(SETTINGS):
        names, entries = [wrapped(row) for row in rows], _legend(values)
        legend = width_of([str(entry.get_label()) for entry in entries], 8) + 0.5
        lines = max(0.14 * len(values), 0.13 * max(name.count("\n") + 1 for name in names))
        drawn = figure(3.2 + width_of(names, 8) + legend, 0.9 + len(rows) * (lines + 0.16))
        axes = drawn.subplots()
        step = 0.7 / len(values)
        for one in shown:
            number = values.index(one.value)
            y = rows.index(one.row) + step * (number - (len(values) - 1) / 2)
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            ends = 100 * (one.untrained or 0.0), 100 * one.mean
            axes.plot(ends, (y, y), color=colour, linewidth=1.6, alpha=0.6, zorder=2)
            axes.plot(ends[0], y, marker, color=colour, markerfacecolor="white", markersize=4)
            axes.errorbar(ends[1], y, xerr=error_bars([one]), fmt=marker, color=colour,
                          markersize=4, capsize=2, elinewidth=0.8, zorder=3)  # fmt: skip
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.hlines([n + 0.5 for n in range(len(rows) - 1)], 0, 1, color="0.9", linewidth=0.8,
                    transform=axes.get_yaxis_transform(), zorder=0)  # fmt: skip
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"{score} (%)")
        limit_percent(axes, "x")
        drawn.suptitle(plain(title), fontsize=8)
        drawn.legend(handles=entries, loc="outside right center")
    return drawn


def _legend(values: Sequence[str | int | float]) -> list[Line2D]:
    """Return an entry for each value, and the meaning of hollow and filled points."""
    entries = [
        Line2D([], [], color=COLOURS[n % len(COLOURS)], marker=MARKERS[n % len(MARKERS)],
               markersize=4, label=wrapped(f"{value}"))
        for n, value in enumerate(values)
    ]  # fmt: skip
    point: dict[str, Any] = {"color": GREY, "marker": "o", "markersize": 4, "linestyle": "none"}
    entries.append(Line2D([], [], **point, label="pretrained"))
    entries.append(Line2D([], [], **point, markerfacecolor="white", label="untrained"))
    return entries


def error_bars(scores: Sequence[Measured]) -> list[list[float]]:
    """Return the lengths of the error bars down and up in percent; 0 without an interval.

    A bar ends at 0 or 100%, if its interval is wider: a score is a share of the chips.
    """
    down = [100 * (one.mean - max(one.low, 0)) if one.low is not None else 0.0 for one in scores]
    up = [100 * (min(one.high, 1) - one.mean) if one.high is not None else 0.0 for one in scores]
    return [down, up]


def cut_intervals(scores: Iterable[Measured]) -> str:
    """Return a sentence for a caption if a drawn interval ends at 0 or 100% but is wider."""
    wide = any((one.low or 0) < 0 or (one.high or 0) > 1 for one in scores)
    return " Intervals are cut at 0 and 100%." if wide else ""
