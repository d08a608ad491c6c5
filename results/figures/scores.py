"""Figures of a leaderboard: score over shots, and score against cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from ..leaderboard import Cell, Leaderboard
from ..scores import Column
from ..tables.caption import metric_name
from .style import LONGEST, SETTINGS, figure, look, percent_axis, plain


def shots_figure(board: Leaderboard, rows: Sequence[str] | None = None) -> Figure | None:
    """Draw the score against the shots with intervals, one panel for columns alike but for them.

    Incomplete cells are hollow.

    Args:
        board: The scores.
        rows: Rows to draw; all by default.

    Returns:
        The figure, or None if no protocol has two numbers of shots.
    """
    every: dict[str, list[Column]] = {}
    for column in board.columns:
        if column.shots != "all":
            every.setdefault(_panel(column), []).append(column)
    panels = {title: sorted(of, key=_shots) for title, of in every.items() if len(of) > 1}
    drawn_rows = board.rows if rows is None else rows
    if not panels:
        return None
    with mpl.rc_context(SETTINGS):
        drawn = figure(3.3 * len(panels) + 1.4, 3.1)
        for axes, (title, columns) in zip(
            drawn.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            for number, row in enumerate(drawn_rows):
                cells = [board.cell(row, column) for column in columns]
                known = [c for c in cells if c is not None and c.mean is not None]
                if not known:
                    continue
                style = look(number, row in board.controls)
                # shifted, so that intervals of equal methods do not hide each other
                shift = 1 + 0.012 * (number - len(drawn_rows) / 2)
                x = [int(cell.shots) * shift for cell in known]
                axes.errorbar(
                    x, [100 * (c.mean or 0) for c in known], yerr=_bars(known), label=plain(row),
                    capsize=2, elinewidth=0.8, **style,
                )  # fmt: skip
                for place, cell in zip(x, known, strict=True):
                    if not cell.complete:
                        hollow = style | {"markerfacecolor": "white", "zorder": 5}
                        axes.plot(place, 100 * (cell.mean or 0), **hollow)
            axes.set_xscale("log")
            shots = [_shots(column) for column in columns]
            axes.xaxis.set_major_locator(FixedLocator(shots))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xticklabels([str(k) for k in shots])
            axes.set(
                xlabel="shots (labelled chips per class)",
                title=plain(title, LONGEST),
            )
            percent_axis(axes, metric_name(board.metric))
        handles, labels = drawn.axes[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside right upper")
    return drawn


def _panel(column: Column) -> str:
    parts = column.dataset, column.protocol, column.settings, column.condition
    return ", ".join(filter(None, parts))


def _shots(column: Column) -> int:
    return int(column.shots)


def _bars(cells: list[Cell]) -> list[list[float]]:
    """Return the lengths of the error bars down and up in percent; 0 without an interval."""
    down = [100 * ((c.mean or 0) - c.low) if c.low is not None else 0.0 for c in cells]
    up = [100 * (c.high - (c.mean or 0)) if c.high is not None else 0.0 for c in cells]
    return [down, up]


def cost_figure(
    board: Leaderboard, hours: Mapping[str, float], column: Column, rows: Sequence[str]
) -> Figure | None:
    """Draw the score of one column against the process-hours of the pretraining.

    Args:
        board: The scores.
        hours: Process-hours of one pretraining of each row; other rows are left out.
        column: The column.
        rows: Rows to draw; figures of the same rows share colours and markers.

    Returns:
        The figure, or None with fewer than two rows.
    """
    cells = [c for c in board.cells if c.column == column and c.mean is not None]
    cells = [c for c in cells if c.method in hours and c.method in rows]
    if len(cells) < 2:
        return None
    with mpl.rc_context(SETTINGS):
        drawn = figure(5.2, 3.1)
        axes = drawn.subplots()
        for cell in sorted(cells, key=lambda cell: rows.index(cell.method)):
            style: dict[str, Any] = look(rows.index(cell.method), cell.control)
            style["linestyle"] = "none"
            x = 60 * hours[cell.method]
            axes.errorbar(x, 100 * (cell.mean or 0), yerr=_bars([cell]), capsize=2,
                          elinewidth=0.8, label=plain(cell.method), **style)  # fmt: skip
        spent = [hours[cell.method] for cell in cells]
        if min(spent) > 0 and max(spent) > 10 * min(spent):
            axes.set_xscale("log")
        axes.set(
            xlabel="minutes of one process for one pretraining",
            title=plain(_where(column), LONGEST),
        )
        percent_axis(axes, metric_name(board.metric))
        drawn.legend(loc="outside right upper")
    return drawn


def _where(column: Column) -> str:
    return f"{_panel(column)}, {column.shots} shots".replace("all shots", "all labels")
