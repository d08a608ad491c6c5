"""Figures of columns that differ only in swept settings, or in the shift of the test chips."""

from collections.abc import Sequence

from ...results.figures.gains import Measured, gain_figure, swept_figure
from ...results.leaderboard import Leaderboard
from ...results.scores import Column, column_name
from ...results.tables.caption import metric_name
from ..augmentation.conditions import shift_px
from ..plan.plan import Plan
from .figures import Drawn, shown_rows
from .leaderboard import untrained_rows

SHIFT = "shift of the test chips up to (pixels)"
Group = tuple[Column, str]  # the columns without their swept part, and the name of that part


def swept_figures(plan: Plan, board: Leaderboard) -> list[Drawn]:
    """Return a figure for each group of columns: gains by name, or scores over a number."""
    controls, rows = untrained_rows(plan), shown_rows(board)
    score, drawn = metric_name(board.metric), []
    for (shared, what), columns in _groups(board.columns).items():
        scores = [
            measured
            for row in rows
            for value, column in columns.items()
            if (measured := _measured(board, row, controls.get(row, ""), value, column))
        ]
        title = column_name(shared)
        if all(isinstance(value, float) for value in columns):
            figure = swept_figure(scores, what, score, title)
            caption = "Mean and 95% Student interval of each cell; dashed grey: controls."
        else:
            figure = gain_figure(scores, score, title)
            caption = (
                "From the untrained encoder of the same architecture to the pretrained one, with "
                "the 95% Student interval of its cell: the length of a line is the gain."
            )
        if figure:
            name = f"swept-{len(drawn)}"
            drawn.append(Drawn(name, f"{score} by {what}, {title}", caption, figure))
    return drawn


def _measured(
    board: Leaderboard, row: str, control: str, value: str | float, column: Column
) -> Measured | None:
    """Return a cell with that of its untrained control; None without a score."""
    cell, untrained = board.cell(row, column), board.cell(control, column)
    if cell is None or cell.mean is None:
        return None
    below = untrained.mean if untrained else None
    return Measured(row, value, cell.mean, cell.low, cell.high, below, cell.control)


def _groups(columns: Sequence[Column]) -> dict[Group, dict[str | float, Column]]:
    """Return the columns that differ only in settings, or only in the shift, by their value."""
    found: dict[Group, dict[str | float, Column]] = {}
    for column in columns:
        if column.settings:
            parts = [part.split(" ", 1) for part in column.settings.split(", ")]
            group = column._replace(settings=""), ", ".join(name for name, _ in parts)
            found.setdefault(group, {})[parts[0][1] if len(parts) == 1 else column.settings] = (
                column
            )
        px = float(shift_px(column.condition)) if column.condition else 0.0
        found.setdefault((column._replace(condition=""), SHIFT), {})[px] = column
    return {group: _numbers(of) for group, of in found.items() if len(of) > 1}


def _numbers(columns: dict[str | float, Column]) -> dict[str | float, Column]:
    """Return the columns with values as numbers, if all of them are."""
    try:
        return {float(value): column for value, column in columns.items()}
    except ValueError:
        return columns
