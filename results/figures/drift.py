"""Drift of features against scores: one panel for each condition of the test chips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from .style import (
    SETTINGS,
    control_style,
    figure,
    limit_percent,
    method_style,
    panels,
    plain,
    width_of,
    wrapped,
)

COLUMNS = 4


@dataclass(frozen=True)
class Drifted:
    """The drift of a row under a condition, and its score on clean chips, a fraction."""

    row: str
    drift: float
    score: float
    control: bool


def drift_figure(
    points: Mapping[str, Sequence[Drifted]], score: str, title: str, controls: Sequence[str]
) -> Figure:
    """Draw the score of each row over its drift, one panel per condition; controls are grey.

    The axis of drift is logarithmic if every drift is above 0: that of raw pixels may be a hundred
    times that of a network.

    Args:
        points: The points of each condition.
        score: Name of the metric.
        title: The column of the scores.
        controls: All controls of the report; their places give the marker of each.
    """
    rows = {one.row: one.control for of in points.values() for one in of}
    places = list(dict.fromkeys([*controls, *(row for row in rows if rows[row])]))
    of_row = {
        row: control_style(places.index(row)) if control else method_style(number)
        for number, (row, control) in enumerate(rows.items())
    }
    styles = {row: (style["color"], style["marker"]) for row, style in of_row.items()}
    logarithmic = all(one.drift > 0 for of in points.values() for one in of)
    down, across = -(-len(points) // COLUMNS), min(COLUMNS, len(points))
    with mpl.rc_context(SETTINGS):
        names = [wrapped(row) for row in rows]
        drawn = figure(
            1.9 * across + width_of([*names], 8) + 0.7, max(2.0 * down, 0.15 * len(rows)) + 0.5
        )
        for axes, (condition, pairs) in zip(
            panels(drawn, len(points), COLUMNS, sharey=True), points.items(), strict=True
        ):
            for one in pairs:
                colour, marker = styles[one.row]
                axes.plot(one.drift, 100 * one.score, marker, color=colour, markersize=4)
            if logarithmic:
                axes.set_xscale("log")
                axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_title(condition, fontsize=7)
            axes.tick_params(labelsize=6)
        limit_percent(drawn.axes[0])
        drawn.supxlabel("drift of features (1 minus mean cosine)", fontsize=8)
        drawn.supylabel(f"{score} on clean chips (%)", fontsize=8)
        drawn.suptitle(plain(title), fontsize=8)
        entries = [
            Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=4, label=name)
            for name, (colour, marker) in zip(names, styles.values(), strict=True)
        ]
        drawn.legend(handles=entries, loc="outside right center")
    return drawn
