"""A leaderboard laid out as sheets of text, the same for every format; scores are in percent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from textwrap import wrap

from ..leaderboard import Cell, Leaderboard
from ..metric import ACCURACY, Metric
from ..notes import Note
from ..scores import Column, LeaderboardError, labels_in_words
from ..statistics.units import OVER
from .caption import caption, notes, shared_unit

HEAD = 16  # most letters in a line of the header of a column, if its words are not longer


@dataclass(frozen=True)
class Entry:
    """One field of a sheet.

    Attributes:
        text: Shown text.
        place: 1 is set bold, 2 underlined.
        value: Sort value.
    """

    text: str
    place: int | None = None
    value: float | None = None


@dataclass(frozen=True)
class Sheet:
    """A table without a format.

    Attributes:
        title: Heading.
        heads: Header lines of the columns, each a list of (text, number of columns it spans).
        sections: Groups of lines, with a rule between them. The first entry of a line is its title.
        caption: Short lines below the table.
        notes: Everything else that a reader needs to judge the numbers.
        first_head: Header of the titles of the lines.
    """

    title: str
    heads: list[list[tuple[str, int]]]
    sections: list[list[list[Entry]]]
    caption: list[str]
    notes: list[Note] = field(default_factory=list)
    first_head: str = "method"

    @property
    def columns(self) -> list[str]:
        """The header of each column, its lines joined by newlines."""
        lines = [[text for text, span in head for _ in range(span)] for head in self.heads]
        return ["\n".join(filter(None, parts)) for parts in zip(*lines, strict=True)]


def wrapped(text: str, span: int = 1) -> list[str]:
    """Return a text of a header that spans some columns as lines."""
    return wrap(text, HEAD * span, break_long_words=False)


def format_cell(cell: Cell | None, metric: Metric = ACCURACY) -> str:
    """Return a cell: `81.6 ± 1.2` in percent, `97.7`, `80.1 (4/6)`, or a word such as `missing`."""
    if cell is None:
        return "n/a"
    if cell.mean is None:
        return "failed" if cell.failed else "stale" if cell.stale else "missing"
    text = metric.text(cell.mean)
    if cell.low is not None and cell.high is not None:
        text += f" ± {metric.text(cell.high - cell.low, 0.5)}"
    if cell.n < cell.expected:
        text += f" ({cell.n}/{cell.expected}" + (f", {cell.failed} failed)" if cell.failed else ")")
    return text


def format_gain(board: Leaderboard, row: str, column: Column) -> str:
    """Return ` (+19.1)`, the gain of a cell in points; empty for a cell without one."""
    found = board.gains.differences.get((row, column)) if board.gains else None
    return f" ({board.measure.signed(found.mean)})" if found else ""


def _leaderboard(board: Leaderboard) -> list[Sheet]:
    """Return one sheet with every column."""
    heads = _heads(board, board.columns)
    last = len(heads) - 1
    listed = notes(board)
    ranks = bool(board.mean_rank)
    if ranks:
        heads = [
            [*head, ("mean rank" if level == last else "", 1)] for level, head in enumerate(heads)
        ]
    return [
        Sheet(
            f"Leaderboard{_of(board)}: {board.measure.title}",
            heads,
            _sections(board, board.columns, ranks=ranks),
            caption(board, listed),
            listed,
        )
    ]


def _paper(board: Leaderboard) -> list[Sheet]:
    """Return one sheet per protocol with the data sets side by side, as in papers."""
    sheets = []
    listed = notes(board)
    protocols = list(dict.fromkeys(column.protocol for column in board.columns))
    for number, protocol in enumerate(protocols):
        columns = [column for column in board.columns if column.protocol == protocol]
        heads = _heads(board, columns)
        del heads[1]  # the protocol is the title
        rows = [r for r in board.rows if any(board.cell(r, column) for column in columns)]
        sheets.append(
            Sheet(
                f"{protocol}{_of(board)}: {board.measure.title}",
                heads,
                _sections(board, columns, rows=rows),
                caption(board, listed),
                listed if number == len(protocols) - 1 else [],
            )
        )
    return sheets


LAYOUTS: dict[str, Callable[[Leaderboard], list[Sheet]]] = {
    "leaderboard": _leaderboard,
    "paper": _paper,
}


def lay_out(board: Leaderboard, layout: str = "leaderboard") -> list[Sheet]:
    """Return the sheets of a leaderboard.

    Raises:
        LeaderboardError: An unknown layout.
    """
    if layout not in LAYOUTS:
        raise LeaderboardError(f"unknown layout {layout!r}; allowed: {', '.join(LAYOUTS)}")
    return LAYOUTS[layout](board)


def _of(board: Leaderboard) -> str:
    return " of checkpoints" if board.compares == "checkpoints" else ""


def merged_heads(columns: Sequence[Sequence[str]]) -> list[list[tuple[str, int]]]:
    """Return the lines above each column as header lines; equal neighbours are merged."""
    heads = []
    for level in range(len(columns[0])):
        shared = groupby(columns, itemgetter(slice(level + 1)))
        heads.append([(column[level], len(list(run))) for column, run in shared])
    return heads


def _heads(board: Leaderboard, columns: list[Column]) -> list[list[tuple[str, int]]]:
    """Return the header lines of some columns."""
    return merged_heads([column_head(column, board, columns) for column in columns])


def column_head(column: Column, board: Leaderboard, among: Sequence[Column]) -> list[str]:
    """Return the lines above a column: data set, protocol, settings, unit, shots, condition.

    Settings and condition are lines only if one of the columns `among` has some, and the unit only
    if the caption does not say it for all.
    """
    return [
        column.dataset,
        column.protocol,
        *([column.settings] if any(one.settings for one in among) else []),
        *([OVER[board.units[column]]] if shared_unit(board) is None else []),
        labels_in_words(column.shots),
        *([column.condition or "clean"] if any(one.condition for one in among) else []),
    ]


def _sections(
    board: Leaderboard,
    columns: list[Column],
    *,
    rows: list[str] | None = None,
    ranks: bool = False,
) -> list[list[list[Entry]]]:
    sections: list[list[list[Entry]]] = [[], []]
    for row in board.rows if rows is None else rows:
        line = [Entry(row_title(board, row))]
        for column in columns:
            cell = board.cell(row, column)
            mean = cell.mean if cell else None
            text = format_cell(cell, board.measure) + format_gain(board, row, column)
            line.append(Entry(text, cell.place if cell else None, mean))
        if ranks:
            rank = board.mean_rank.get(row)
            line.append(Entry("" if rank is None else f"{rank:.2f}", None, rank))
        sections[row in board.controls].append(line)
    return [section for section in sections if section]


def row_title(board: Leaderboard, row: str) -> str:
    """Return the name of a row with its marks, which the caption explains."""
    return (
        row
        + " *" * (row in board.controls)
        + " †" * (row in board.unconfirmed)
        + " ‡" * (row in board.broken)
    )
