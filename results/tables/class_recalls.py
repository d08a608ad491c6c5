"""The recall of each class, as one sheet for each column of a leaderboard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..leaderboard import Leaderboard
from ..notes import flags
from ..scores import Column, column_name
from .sheets import Entry, Sheet, row_title


@dataclass(frozen=True)
class ClassRecalls:
    """The recalls of one column.

    Attributes:
        classes: Names of the classes.
        chips: Test chips of each class.
        rows: Mean recall of each class over the finished runs of a row; NaN without test chips.
    """

    classes: Sequence[str]
    chips: Int[np.ndarray, " C"]
    rows: Mapping[str, Float[np.ndarray, " C"]]


def recall_sheets(board: Leaderboard, found: Mapping[Column, ClassRecalls]) -> list[Sheet]:
    """Return a sheet for each column, in the order of the rows of the leaderboard."""
    sheets = []
    for column, recalls in found.items():
        shown = np.flatnonzero(recalls.chips).tolist()
        heads = [[(recalls.classes[k], 1) for k in shown],
                 [(f"{recalls.chips[k]} chips", 1) for k in shown]]  # fmt: skip
        sections: list[list[list[Entry]]] = [[], []]
        for row in board.rows:
            if row in recalls.rows:
                values = [float(recalls.rows[row][k]) for k in shown]
                line = [Entry(f"{100 * value:.1f}", None, value) for value in values]
                title = Entry(row_title(board, row) + _runs(board, row, column))
                sections[row in board.controls].append([title, *line])
        where = column_name(column)
        text = f"{where}: recall of each class in percent, mean over the runs of a cell."
        marks = [mark for mark, rows in (("*: control.", board.controls),
                 ("†: not fully defined by its paper.", board.unconfirmed),
                 ("‡: fails its contract.", board.broken)) if rows]  # fmt: skip
        lines = [text, *([" ".join(marks)] if marks else []), *flags(board.notes)]
        filled = [section for section in sections if section]
        sheets.append(Sheet(f"Recall in {where}", heads, filled, lines, board.notes))
    return sheets


def _runs(board: Leaderboard, row: str, column: Column) -> str:
    """Return ` (4/6)` for a cell whose runs are not all finished."""
    cell = board.cell(row, column)
    return "" if cell is None or cell.complete else f" ({cell.n}/{cell.expected})"


def recall_lines(found: Mapping[Column, ClassRecalls]) -> list[dict[str, Any]]:
    """Return plain values, one entry for each column, row and class with test chips."""
    return [
        {"method": row, **column._asdict(), "class": name, "test_chips": int(chips),
         "recall": float(value)}
        for column, recalls in found.items()
        for row, values in recalls.rows.items()
        for name, chips, value in zip(recalls.classes, recalls.chips, values, strict=True)
        if chips
    ]  # fmt: skip
