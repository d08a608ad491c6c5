"""Scores over a number or a severity: a small panel for each method or family of conditions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .gains import Measured, error_bars
from .style import (
    COLOURS,
    SETTINGS,
    control_style,
    figure,
    limit_percent,
    method_style,
    panels,
    plain,
    value_axis,
    width_of,
    wrapped,
)

COLUMNS = 4
CHANCE: dict[str, Any] = {"color": "0", "linestyle": ":", "linewidth": 0.7}
PANEL_LETTERS = 28  # of a line of a panel's title
LONGEST_FLAT = 9  # letters of a tick that is not turned
SPREAD = 0.5  # between the first and the last row at a tick of unordered names


@dataclass(frozen=True)
class Family:
    """Scores of all rows under related conditions.

    Attributes:
        what: Name and unit of the conditions.
        ticks: Each condition, from mild to severe.
        scores: The scores; their values are numbers of ticks, from 0.
        ordered: False for names without an order, which no line joins.
        chance: Score without knowledge, a fraction; None if it is not known or differs.
    """

    what: str
    ticks: Sequence[str]
    scores: Sequence[Measured]
    ordered: bool = True
    chance: float | None = None


class _Line(NamedTuple):
    """A line of a panel; with `bars` it has intervals, and incomplete points are hollow."""

    points: Sequence[Measured]
    style: dict[str, Any]
    bars: bool = False


class _Panel(NamedTuple):
    title: str
    lines: list[_Line]
    ticks: Sequence[str] = ()
    chance: float | None = None


def swept_figure(
    scores: Sequence[Measured], what: str, score: str, title: str, controls: Sequence[str] = ()
) -> Figure:
    """Draw the score of each method over a number, one panel per method with shared axes.

    Solid: pretrained, with intervals; hollow: incomplete. Dashed: the untrained encoder of the same
    architecture. Grey, in every panel: the controls among the scores. The axis is logarithmic for
    values that are above 0 and span a factor of 8 or more.

    Args:
        scores: The scores, in the order of the panels; values are numbers.
        what: Name and unit of the values.
        score: Name of the metric.
        title: The column, without the swept value.
        controls: All controls of the report; their places give the style of each.
    """
    methods = _by_row([one for one in scores if not one.control])
    below = _by_row([one for one in scores if one.control])
    places = list(dict.fromkeys([*controls, *below]))
    greys = {row: control_style(places.index(row)) for row in below}
    pretrained: dict[str, Any] = {"color": COLOURS[0], "marker": "o"}
    untrained: dict[str, Any] = {"color": COLOURS[0], "linestyle": "--", "linewidth": 1.0}
    drawn = []
    for row, points in methods.items():
        known = [replace(p, mean=p.untrained) for p in points if p.untrained is not None]
        lines = [_Line(below[name], style) for name, style in greys.items()]
        lines += [_Line(known, untrained)] if known else []
        drawn.append(_Panel(wrapped(row, PANEL_LETTERS), [*lines, _Line(points, pretrained, True)]))
    legend = {"pretrained": pretrained}
    if any(one.untrained is not None for points in methods.values() for one in points):
        legend["untrained, same architecture"] = untrained
    legend |= greys
    values = sorted({float(one.value) for one in scores})
    return _figure(drawn, legend, score, title, what, lambda axes: value_axis(axes, values))


def severity_figure(
    families: Sequence[Family], score: str, title: str, controls: Sequence[str] = ()
) -> Figure:
    """Draw the score of every row over severity, one panel per family of conditions.

    Solid: methods, with intervals; hollow: incomplete. Dashed and grey: controls. Dotted: chance.

    Args:
        families: The families, in the order of the panels.
        score: Name of the metric.
        title: The column, without the condition.
        controls: All controls of the report; their places give the style of each.
    """
    rows = {one.row: one.control for family in families for one in family.scores}
    methods = [row for row in rows if not rows[row]]
    styles = {row: method_style(number) for number, row in enumerate(methods)}
    below = [row for row in rows if rows[row]]
    places = list(dict.fromkeys([*controls, *below]))
    styles |= {row: control_style(places.index(row)) for row in below}
    drawn = []
    for family in families:
        lines = []
        for number, (row, points) in enumerate(_by_row(family.scores).items()):
            style = styles[row]
            if not family.ordered:
                style = style | {"linestyle": "none"}
                aside = SPREAD * ((number + 0.5) / len(styles) - 0.5)
                points = [replace(one, value=float(one.value) + aside) for one in points]
            lines.append(_Line(points, style, bars=not rows[row]))
        what = wrapped(family.what, PANEL_LETTERS)
        drawn.append(_Panel(what, lines, family.ticks, family.chance))
    if any(family.chance is not None for family in families):
        styles["chance"] = CHANCE
    return _figure(drawn, styles, score, title)


def _figure(
    drawn: Sequence[_Panel],
    legend: dict[str, dict[str, Any]],
    score: str,
    title: str,
    what: str = "",
    scale: Callable[[Axes], None] | None = None,
) -> Figure:
    """Draw panels with one axis of scores.

    Args:
        drawn: The panels.
        legend: The style of each name in the legend.
        score: Name of the metric.
        title: Title of the legend.
        what: Name and unit of a shared axis of values; without it, panels have their own ticks.
        scale: Sets ticks and scale of the shared axis.
    """
    entries = [Line2D([], [], **_thin(style), label=plain(name)) for name, style in legend.items()]
    names = [str(entry.get_label()) for entry in entries]
    lines = max(panel.title.count("\n") for panel in drawn) + 1
    rows, across = -(-len(drawn) // COLUMNS), min(COLUMNS, len(drawn))
    letters = max((len(tick) for panel in drawn for tick in panel.ticks), default=0)
    below = 0.05 * letters if letters > LONGEST_FLAT else 0.0
    with mpl.rc_context(SETTINGS):
        room = max(1.65 * across + 0.5, width_of([plain(title), *names], 8) + 0.2)
        entries_across = max(1, int(room / (width_of(names, 8) + 0.5)))
        height = (
            (1.25 + 0.13 * lines + below) * rows + 0.16 * -(-len(names) // entries_across) + 0.6
        )
        made = figure(room, height)
        grid = panels(made, len(drawn), COLUMNS, sharex=bool(what), sharey=True)
        for number, (axes, panel) in enumerate(zip(grid, drawn, strict=True)):
            for line in panel.lines:
                _draw_line(axes, line)
            if panel.chance is not None:
                axes.axhline(100 * panel.chance, **CHANCE)
            axes.set_title(panel.title, fontsize=7)
            axes.tick_params(labelsize=6)
            if what:
                axes.tick_params(labelbottom=number + across >= len(grid))  # the lowest
            else:
                long = any(len(tick) > LONGEST_FLAT for tick in panel.ticks)
                turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if long else {}
                axes.set_xticks(range(len(panel.ticks)), list(panel.ticks), **turned)
        limit_percent(grid[0])
        if scale:
            scale(grid[0])
        made.supxlabel(plain(what), fontsize=8)
        made.supylabel(f"{score} (%)", fontsize=8)
        made.legend(
            handles=entries, title=plain(title), loc="outside upper center", ncols=entries_across
        )
    return made


def _by_row(scores: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Return the scores of each row, in the order of their values."""
    found: dict[str, list[Measured]] = {}
    for one in sorted(scores, key=lambda one: float(one.value)):
        found.setdefault(one.row, []).append(one)
    return {row: found[row] for row in dict.fromkeys(one.row for one in scores)}


def _draw_line(axes: Axes, line: _Line) -> None:
    """Draw one line of a panel."""
    x, y = ([float(p.value) for p in line.points], [100 * p.mean for p in line.points])
    if not line.bars:
        axes.plot(x, y, **_thin(line.style))
        return
    style = _thin(line.style)
    axes.errorbar(x, y, yerr=error_bars(line.points), capsize=2, elinewidth=0.8, **style)
    hollow = [one for one in line.points if not one.complete]
    axes.plot([float(one.value) for one in hollow], [100 * one.mean for one in hollow],
              style["marker"], color=style["color"], markerfacecolor="white", markersize=3,
              zorder=5)  # fmt: skip


def _thin(style: dict[str, Any]) -> dict[str, Any]:
    """Return a style with the sizes of small panels."""
    return {"linewidth": 1.2, "markersize": 3} | style
