"""Scores over a number, such as shots, a shift or epochs: one small panel per method."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .gains import Measured, error_bars
from .style import (
    COLOURS,
    GREY,
    SETTINGS,
    figure,
    limit_percent,
    panels,
    plain,
    value_axis,
    width_of,
    wrapped,
)

COLUMNS = 4
GREY_LINES = ("-", ":", "-.")
PANEL_LETTERS = 28  # of a line of a panel's title


def swept_figure(scores: Sequence[Measured], what: str, score: str, title: str) -> Figure:
    """Draw the score of each method over a number, one panel per method with shared axes.

    Solid: pretrained, with intervals; hollow: incomplete. Dashed: the untrained encoder of the same
    architecture. Grey, in every panel: the controls among the scores. The axis is logarithmic for
    values that are above 0 and span a factor of 8 or more.

    Args:
        scores: The scores, in the order of the panels; values are numbers.
        what: Name and unit of the values.
        score: Name of the metric.
        title: The column, without the swept value.
    """
    methods = _by_row([one for one in scores if not one.control])
    controls = _by_row([one for one in scores if one.control])
    titles = [wrapped(row, PANEL_LETTERS) for row in methods]
    lines = max(text.count("\n") for text in titles) + 1
    rows, across = -(-len(methods) // COLUMNS), min(COLUMNS, len(methods))
    with mpl.rc_context(SETTINGS):
        entries = _legend(list(controls))
        names = [str(entry.get_label()) for entry in entries]
        room = max(1.65 * across + 0.5, width_of([plain(title), *names], 8) + 0.2)
        beside = max(1, int(room / (width_of(names, 8) + 0.5)))
        drawn = figure(room, (1.25 + 0.13 * lines) * rows + 0.16 * -(-len(names) // beside) + 0.6)
        grid = panels(drawn, len(methods), COLUMNS, sharex=True, sharey=True)
        for axes, name, points in zip(grid, titles, methods.values(), strict=True):
            for number, of_control in enumerate(controls.values()):
                _line(axes, of_control, _grey(number))
            if any(one.untrained is not None for one in points):
                known = [one for one in points if one.untrained is not None]
                axes.plot([float(one.value) for one in known],
                          [100 * (one.untrained or 0.0) for one in known],
                          color=COLOURS[0], linestyle="--", linewidth=1.0)  # fmt: skip
            axes.errorbar([float(one.value) for one in points], [100 * one.mean for one in points],
                          yerr=error_bars(points), color=COLOURS[0], marker="o", markersize=3,
                          linewidth=1.2, capsize=2, elinewidth=0.8)  # fmt: skip
            hollow = [one for one in points if not one.complete]
            axes.plot([float(one.value) for one in hollow], [100 * one.mean for one in hollow],
                      "o", color=COLOURS[0], markerfacecolor="white", markersize=3,
                      zorder=5)  # fmt: skip
            axes.set_title(name, fontsize=7)
            axes.tick_params(labelsize=6)
        for number, axes in enumerate(grid):
            axes.tick_params(labelbottom=number + across >= len(grid))  # the lowest of its column
        limit_percent(grid[0])
        value_axis(grid[0], sorted({float(one.value) for one in scores}))
        drawn.supxlabel(plain(what), fontsize=8)
        drawn.supylabel(f"{score} (%)", fontsize=8)
        drawn.legend(handles=entries, title=plain(title), loc="outside upper center", ncols=beside)
    return drawn


def _by_row(scores: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Return the scores of each row, in the order of their values."""
    found: dict[str, list[Measured]] = {}
    for one in sorted(scores, key=lambda one: float(one.value)):
        found.setdefault(one.row, []).append(one)
    return {row: found[row] for row in dict.fromkeys(one.row for one in scores)}


def _line(axes: Axes, points: Sequence[Measured], style: dict[str, Any]) -> None:
    axes.plot([float(one.value) for one in points], [100 * one.mean for one in points], **style)


def _grey(number: int) -> dict[str, Any]:
    """Return the style of the n-th control."""
    return {"color": GREY, "linewidth": 0.8, "linestyle": GREY_LINES[number % len(GREY_LINES)]}


def _legend(controls: Sequence[str]) -> list[Line2D]:
    """Return an entry for each kind of line."""
    pretrained = Line2D([], [], color=COLOURS[0], marker="o", markersize=3, label="pretrained")
    untrained = Line2D([], [], color=COLOURS[0], linestyle="--", linewidth=1.0,
                       label="untrained, same architecture")  # fmt: skip
    greys = [
        Line2D([], [], **_grey(number), label=plain(row))
        for number, row in enumerate(controls)
    ]  # fmt: skip
    return [pretrained, untrained, *greys]
