"""Figures of a grid by name, each drawn only when it is needed."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from ...results.leaderboard import Leaderboard
from ...results.scores import Column, order_of_labels

MOST_ROWS = 24  # in one figure: the best methods and every control
MOST_PANELS = 60  # of small panels in one figure
PROTOCOLS = ("linear", "logistic")  # the last one is preferred
READOUT = "readout patch_mean"  # preferred among swept settings


@dataclass(frozen=True)
class NamedFigure:
    """A figure with its file name, title and caption.

    Attributes:
        name: The same for every state of a grid; letters, digits, `_`, `.` and `-`.
        draw: Draws it; raises `NotPreparedError` where pixels are missing.
        pixels: True for pictures of chips, which the page shows as PNG.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]
    pixels: bool = False


def figure_name(*parts: str) -> str:
    """Return a file name: `shift-mstar_soc-knn-all`."""
    return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "-", part).strip("-") for part in parts)


def shown_rows(board: Leaderboard, most: int = MOST_ROWS) -> list[str]:
    """Return at most `most` rows to draw, in the order of the board, but every control."""
    methods = [row for row in board.rows if row not in board.controls]
    return [*methods[: max(1, most - len(board.controls))], *board.controls]


def left_out(board: Leaderboard, rows: Sequence[str]) -> str:
    """Return a sentence for a caption if a figure of these rows lacks methods."""
    methods = set(board.rows) - set(board.controls)
    shown = methods & set(rows)
    if shown == methods:
        return ""
    return f" Drawn: {len(shown)} of {len(methods)} methods, those of best rank."


def main_column(columns: Sequence[Column]) -> Column:
    """Return the column for a figure of one column: clean, and with most labels.

    A share of the labels counts as more than a number of shots. Among equals, `logistic` comes
    before `linear` and others, and the readout `patch_mean` before other settings.
    """

    def order(column: Column) -> tuple[bool, tuple[float, float], int, bool]:
        count = order_of_labels(column.shots)
        place = PROTOCOLS.index(column.protocol) if column.protocol in PROTOCOLS else -1
        return not column.condition, count, place, READOUT in column.settings.split(", ")

    return max(columns, key=order)
