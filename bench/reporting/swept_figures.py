"""Figures of columns that differ only in their shots, swept settings, or shift of test chips."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ...results.figures.gains import Measured, cut_intervals, gain_figure, has_several_values
from ...results.figures.swept import swept_figure
from ...results.leaderboard import Leaderboard
from ...results.scores import Column, labels_in_words
from ..augmentation.conditions import parse
from ..plan.plan import Plan
from .leaderboard import untrained_rows
from .named_figure import MOST_PANELS, NamedFigure, figure_name, left_out, shown_rows

SHOTS = "shots (labelled chips per class)"
PANELS = (
    "Mean and, for methods, 95% Student interval over the unit of each cell; hollow: incomplete; "
    "dashed: the untrained encoder of the same architecture; grey: controls without an encoder."
)
GAINS = (
    "From the untrained encoder of the same architecture to the pretrained one, with the 95% "
    "Student interval of its cell: the length of a line is the gain."
)
SHIFT = "shift of the test chips up to (pixels)"


class Group(NamedTuple):
    """Columns that differ only in one part.

    Attributes:
        name: Of the part: `shots`, `shift`, or the swept settings.
        what: The same in words.
        shared: The other parts.
    """

    name: str
    what: str
    shared: tuple[str, ...]


def swept_figures(plan: Plan, board: Leaderboard) -> list[NamedFigure]:
    """Return a figure for each group of columns: gains by name, or panels of scores over numbers.

    Panels are for all methods; each also shows the controls without an encoder.
    """
    untrained, metric, found = untrained_rows(plan), board.measure.title, []
    for group, columns in _groups(board.columns).items():
        numbers = all(isinstance(value, float) for value in columns)
        rows = _panel_rows(board) if numbers else shown_rows(board)
        scores = [
            one
            for row in rows
            for value, column in columns.items()
            if (one := measured(board, row, untrained.get(row, ""), value, column))
        ]
        title = ", ".join(group.shared)
        if numbers:
            draw = partial(swept_figure, scores, group.what, metric, title, board.controls)
            caption = PANELS
            has_lines = has_several_values([one for one in scores if not one.control])
        else:
            scores = [one for one in scores if one.untrained is not None]
            draw, caption = partial(gain_figure, scores, metric, title), GAINS
            has_lines = has_several_values(scores)
        if has_lines:
            name = figure_name(group.name, *group.shared)
            heading = f"{metric} by {group.what}, {title}"
            caption += cut_intervals(scores) + left_out(board, rows)
            found.append(NamedFigure(name, heading, caption, draw))
    return found


def _panel_rows(board: Leaderboard) -> list[str]:
    """Return the methods and the controls without an encoder."""
    bare = {cell.method for cell in board.cells if cell.encoder is None}
    rows = shown_rows(board, MOST_PANELS + len(board.controls))
    return [row for row in rows if row not in board.controls or row in bare]


def measured(
    board: Leaderboard, row: str, untrained: str, value: str | float, column: Column
) -> Measured | None:
    """Return a cell with that of its untrained control; None without a score."""
    cell, control = board.cell(row, column), board.cell(untrained, column)
    if cell is None or cell.mean is None:
        return None
    below = control.mean if control else None
    return Measured(
        row, value, cell.mean, cell.low, cell.high, below, cell.control, complete=cell.complete
    )


def _groups(columns: Sequence[Column]) -> dict[Group, dict[str | float, Column]]:
    """Return the columns that differ only in one part, by its value."""
    found: dict[Group, dict[str | float, Column]] = {}
    for column in columns:
        if isinstance(column.shots, int):
            group = Group("shots", SHOTS, other_parts(column, "shots"))
            found.setdefault(group, {})[float(column.shots)] = column
        if column.settings:
            parts = [part.split(" ", 1) for part in column.settings.split(", ")]
            names = ", ".join(name for name, _ in parts)
            value = parts[0][1] if len(parts) == 1 else column.settings
            group = Group(names, names, other_parts(column, "settings"))
            found.setdefault(group, {})[value] = column
        kind, px = parse(column.condition) if column.condition else ("shift", 0.0)
        if kind == "shift":
            found.setdefault(Group("shift", SHIFT, other_parts(column, "condition")), {})[px] = (
                column
            )
    return {group: _numbers(of) for group, of in found.items() if len(of) > 1}


def other_parts(column: Column, varied: str = "") -> tuple[str, ...]:
    """Return the parts of a column but one: `mstar_soc`, `knn`, `all labels`."""
    parts = column._asdict() | {"shots": labels_in_words(column.shots)}
    return tuple(value for name, value in parts.items() if name != varied and value)


def _numbers(columns: dict[str | float, Column]) -> dict[str | float, Column]:
    """Return the columns with values as numbers, if all of them are."""
    try:
        return {float(value): column for value, column in columns.items()}
    except ValueError:
        return columns
