"""Figures of gains from pretraining: scores next to those of untrained encoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from .style import COLOURS, GREY, LONGEST, MARKERS, SETTINGS, figure, look, percent_axis, plain

WIDE_RATIO = 8  # of the largest to the smallest value of a logarithmic axis


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
    """

    row: str
    value: str | int | float
    mean: float
    low: float | None = None
    high: float | None = None
    untrained: float | None = None
    control: bool = False


def gain_figure(scores: Sequence[Measured], score: str, title: str) -> Figure | None:
    """Draw the gain of each row under each value as a line from the untrained to the trained score.

    Rows are from top to bottom in their order; each value has a colour and a marker. The untrained
    encoder is hollow.

    Args:
        scores: The scores; those without an untrained score are left out.
        score: Name of the metric.
        title: The column, without the compared setting.

    Returns:
        The figure, or None if no row has two values.
    """
    shown = [one for one in scores if one.untrained is not None]
    rows = list(dict.fromkeys(one.row for one in shown))
    values = list(dict.fromkeys(one.value for one in shown))
    if len(shown) == len(rows):
        return None
    with mpl.rc_context(SETTINGS):
        drawn = figure(5.4, 0.9 + len(rows) * (0.14 * len(values) + 0.16))
        axes = drawn.subplots()
        step = 0.7 / len(values)
        for one in shown:
            number = values.index(one.value)
            y = rows.index(one.row) + step * (number - (len(values) - 1) / 2)
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            ends = 100 * (one.untrained or 0.0), 100 * one.mean
            axes.plot(ends, (y, y), color=colour, linewidth=1.6, alpha=0.6, zorder=2)
            axes.plot(ends[0], y, marker, color=colour, markerfacecolor="white", markersize=4)
            axes.errorbar(ends[1], y, xerr=_bars([one]), fmt=marker, color=colour, markersize=4,
                          capsize=2, elinewidth=0.8, zorder=3)  # fmt: skip
        axes.set_yticks(range(len(rows)), [plain(row) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.hlines([n + 0.5 for n in range(len(rows) - 1)], 0, 1, color="0.9", linewidth=0.8,
                    transform=axes.get_yaxis_transform(), zorder=0)  # fmt: skip
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"{score} (%)")
        drawn.suptitle(plain(title, LONGEST), fontsize=8)
        drawn.legend(handles=_legend(values), loc="outside right center")
    return drawn


def _legend(values: Sequence[str | int | float]) -> list[Line2D]:
    """Return an entry for each value, and the meaning of hollow and filled points."""
    entries = [
        Line2D([], [], color=COLOURS[n % len(COLOURS)], marker=MARKERS[n % len(MARKERS)],
               markersize=4, label=plain(f"{value}"))
        for n, value in enumerate(values)
    ]  # fmt: skip
    point: dict[str, Any] = {"color": GREY, "marker": "o", "markersize": 4, "linestyle": "none"}
    entries.append(Line2D([], [], **point, label="pretrained"))
    entries.append(Line2D([], [], **point, markerfacecolor="white", label="untrained"))
    return entries


def swept_figure(scores: Sequence[Measured], what: str, score: str, title: str) -> Figure | None:
    """Draw the score of each row over a number, such as a shift in pixels or a count of epochs.

    Controls are grey with broken lines. The axis is logarithmic for values that are above 0 and
    span a factor of 8 or more.

    Args:
        scores: The scores; values are numbers.
        what: Name and unit of the values.
        score: Name of the metric.
        title: The column, without the swept value.

    Returns:
        The figure, or None if no row has two values.
    """
    lines: dict[str, list[Measured]] = {}
    for one in scores:
        lines.setdefault(one.row, []).append(one)
    values = sorted({float(one.value) for one in scores})
    if all(len(points) < 2 for points in lines.values()):
        return None
    with mpl.rc_context(SETTINGS):
        drawn = figure(5.2, 3.1)
        axes = drawn.subplots()
        for number, (row, points) in enumerate(lines.items()):
            ordered = sorted(points, key=lambda one: float(one.value))
            axes.errorbar(
                [float(one.value) for one in ordered], [100 * one.mean for one in ordered],
                yerr=_bars(ordered), label=plain(row), capsize=2, elinewidth=0.8,
                **look(number, ordered[0].control),
            )  # fmt: skip
        _value_axis(axes, values)
        axes.set_xlabel(plain(what, LONGEST))
        drawn.suptitle(plain(title, LONGEST), fontsize=8)
        percent_axis(axes, score)
        drawn.legend(loc="outside right center")
    return drawn


def _value_axis(axes: Axes, values: Sequence[float]) -> None:
    """Put a tick at each value."""
    if values[0] > 0 and values[-1] >= WIDE_RATIO * values[0]:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{value:g}" for value in values])


def _bars(scores: Sequence[Measured]) -> list[list[float]]:
    """Return the lengths of the error bars down and up in percent; 0 without an interval."""
    down = [100 * (one.mean - one.low) if one.low is not None else 0.0 for one in scores]
    up = [100 * (one.high - one.mean) if one.high is not None else 0.0 for one in scores]
    return [down, up]
