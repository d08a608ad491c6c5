"""A leaderboard laid out as sheets of text, the same for every format; scores are in percent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

from ..leaderboard import Cell, Leaderboard
from ..notes import Note
from ..scores import Column, LeaderboardError
from ..statistics.units import OVER
from .caption import caption, metric_name, notes


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
    """

    title: str
    heads: list[list[tuple[str, int]]]
    sections: list[list[list[Entry]]]
    caption: list[str]
    notes: list[Note] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """The header of each column, its lines joined by newlines."""
        lines = [[text for text, span in head for _ in range(span)] for head in self.heads]
        return ["\n".join(filter(None, parts)) for parts in zip(*lines, strict=True)]


def format_cell(cell: Cell | None) -> str:
    """Return a cell in percent: `81.6 ± 1.2`, `97.7`, `80.1 (4/6)`, or a word such as `missing`."""
    if cell is None:
        return "n/a"
    if cell.mean is None:
        return "failed" if cell.failed else "stale" if cell.stale else "missing"
    text = f"{100 * cell.mean:.1f}"
    if cell.low is not None and cell.high is not None:
        text += f" ± {50 * (cell.high - cell.low):.1f}"
    if cell.n < cell.expected:
        text += f" ({cell.n}/{cell.expected}" + (f", {cell.failed} failed)" if cell.failed else ")")
    return text


def format_gain(board: Leaderboard, row: str, column: Column) -> str:
    """Return ` (+19.1)`, the gain of a cell in points; empty for a cell without one."""
    found = board.gains.differences.get((row, column)) if board.gains else None
    return f" ({100 * found.mean:+z.1f})" if found else ""


def _leaderboard(board: Leaderboard) -> list[Sheet]:
    """Return one sheet with every column."""
    heads = [_head(board, board.columns, level) for level in range(4)]
    last = len(heads) - 1
    listed = notes(board)
    heads = [[*head, ("mean rank" if level == last else "", 1)] for level, head in enumerate(heads)]
    return [
        Sheet(
            f"Leaderboard{_of(board)}: {metric_name(board.metric)}",
            heads,
            _sections(board, board.columns, ranks=True),
            caption(board, listed),
            listed,
        )
    ]


def _paper(board: Leaderboard) -> list[Sheet]:
    """Return one sheet per protocol with the data sets side by side, as in papers."""
    sheets = []
    listed = notes(board)
    protocols = list(dict.fromkeys(protocol for _, protocol, _ in board.columns))
    for number, protocol in enumerate(protocols):
        columns = [column for column in board.columns if column[1] == protocol]
        heads = [_head(board, columns, level) for level in (0, 2, 3)]
        rows = [r for r in board.rows if any(board.cell(r, column) for column in columns)]
        sheets.append(
            Sheet(
                f"{protocol}{_of(board)}: {metric_name(board.metric)}",
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


def _head(board: Leaderboard, columns: list[Column], level: int) -> list[tuple[str, int]]:
    """Return one header line (data set, protocol, unit or shots); equal neighbours are merged."""
    lines = [(c[0], c[1], OVER[board.units[c]], _shots(c)) for c in columns]
    shared = groupby(lines, lambda line: line[: level + 1])
    return [(line[level], len(list(run))) for line, run in shared]


def _shots(column: tuple[object, ...]) -> str:
    return "all labels" if column[2] == "all" else f"{column[2]} shots"


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
            text = format_cell(cell) + format_gain(board, row, column)
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
