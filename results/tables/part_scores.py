"""Scores on parts of the test chips, as one sheet for each column of a leaderboard.

A part is a class, of which the score is the recall, or chips with a fact in common.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..leaderboard import Leaderboard
from ..notes import flags
from ..scores import Column, column_name
from ..statistics.intervals import wilson_limits
from .sheets import Entry, Sheet, row_title

FEW_CHIPS = 20  # test chips of a part; fewer are marked
MEAN = (
    "mean over the runs of a cell (95% Wilson interval over its test chips, with near-duplicates "
    "as one; it holds for these runs)."
)


@dataclass(frozen=True)
class PartScores:
    """The scores of one column.

    Attributes:
        parts: Names of the parts.
        chips: Test chips of each part.
        groups: Groups of near duplicates of these chips; a chip without any is one.
        rows: Mean score of each part over the finished runs of a row; NaN without test chips.
    """

    parts: Sequence[str]
    chips: Int[np.ndarray, " P"]
    groups: Int[np.ndarray, " P"]
    rows: Mapping[str, Float[np.ndarray, " P"]]

    def limits(self, row: str) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P"]]:
        """Return the limits of the interval of each part over its groups of test chips."""
        return wilson_limits(self.rows[row], self.groups)


@dataclass(frozen=True)
class PartWords:
    """Words for a kind of parts.

    Attributes:
        score: Name of the score, and its key in plain values: `recall`.
        part: Key of the part in plain values: `class`.
        each: Description in a caption: `of each class`.
    """

    score: str
    part: str
    each: str


OF_CLASSES = PartWords("recall", "class", "of each class")


def part_sheets(
    board: Leaderboard, found: Mapping[Column, PartScores], words: PartWords
) -> list[Sheet]:
    """Return a sheet for each column, in the order of the rows of the leaderboard."""
    sheets = []
    for column, scores in found.items():
        shown = np.flatnonzero(scores.chips).tolist()
        few = {k for k in shown if scores.chips[k] < FEW_CHIPS}
        sizes = [f"{scores.chips[k]} chips{', few' * (k in few)}" for k in shown]
        heads = [[(scores.parts[k], 1) for k in shown], [(size, 1) for size in sizes]]
        sections: list[list[list[Entry]]] = [[], []]
        for row in board.rows:
            if row in scores.rows:
                low, high = scores.limits(row)
                line = [_entry(float(scores.rows[row][k]), low[k], high[k]) for k in shown]
                title = Entry(row_title(board, row) + _runs(board, row, column))
                sections[row in board.controls].append([title, *line])
        where = column_name(column)
        text = f"{where}: {words.score} {words.each} in percent, {MEAN}"
        marks = [mark for mark, rows in (("*: control.", board.controls),
                 ("†: not fully defined by its paper.", board.unconfirmed),
                 ("‡: fails its contract.", board.broken)) if rows]  # fmt: skip
        marks += [f"few: fewer than {FEW_CHIPS} test chips."] if few else []
        lines = [text, *([" ".join(marks)] if marks else []), *flags(board.notes)]
        filled = [section for section in sections if section]
        title = f"{words.score.capitalize()} in {where}"
        sheets.append(Sheet(title, heads, filled, lines, board.notes))
    return sheets


def _entry(value: float, low: float, high: float) -> Entry:
    """Return a score with its interval: `90.0 (60-98)`."""
    return Entry(f"{100 * value:.1f} ({100 * low:.0f}-{100 * high:.0f})", None, value)


def _runs(board: Leaderboard, row: str, column: Column) -> str:
    """Return ` (4/6)` for a cell whose runs are not all finished."""
    cell = board.cell(row, column)
    return "" if cell is None or cell.complete else f" ({cell.n}/{cell.expected})"


def part_lines(found: Mapping[Column, PartScores], words: PartWords) -> list[dict[str, Any]]:
    """Return plain values, one entry for each column, row and part with test chips."""
    return [
        {"method": row, **column._asdict(), words.part: name, "test_chips": int(chips),
         words.score: float(value), "low": float(low), "high": float(high)}
        for column, scores in found.items()
        for row, values in scores.rows.items()
        for name, chips, value, low, high in zip(
            scores.parts, scores.chips, values, *scores.limits(row), strict=True
        )
        if chips
    ]  # fmt: skip
