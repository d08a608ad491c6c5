"""A leaderboard as text, Markdown, CSV or JSON; the only place with percent signs."""

import csv
import io
import json
from collections.abc import Callable

from tabulate import tabulate

from .leaderboard import Cell, Leaderboard

CAPTION = (
    "{metric} in percent, mean ± half the 95 % Student interval over the seeds of a cell. The "
    "interval covers the draw of the labelled chips and of the head, for these pretrained encoders "
    "and these test images. No ±: one deterministic run. a/b: a of b runs are there; such a cell "
    "is not ranked. {marks}"
)


def render(board: Leaderboard, style: str) -> str:
    """Return the leaderboard in one of FORMATS.

    Raises:
        ValueError: An unknown format.
    """
    if style not in FORMATS:
        raise ValueError(f"unknown format {style!r}; allowed: {', '.join(FORMATS)}")
    return FORMATS[style](board)


def format_cell(cell: Cell | None) -> str:
    """Return a cell in percent: `81.6 ± 1.2`, `97.7`, `80.1 (4/6)`, `missing`, `failed`, `n/a`."""
    if cell is None:
        return "n/a"
    if cell.mean is None:
        return "failed" if cell.failed else "missing"
    text = f"{100 * cell.mean:.1f}"
    if cell.low is not None and cell.high is not None:
        text += f" ± {50 * (cell.high - cell.low):.1f}"
    if cell.n < cell.expected:
        text += f" ({cell.n}/{cell.expected}" + (f", {cell.failed} failed)" if cell.failed else ")")
    return text


def caption(board: Leaderboard) -> str:
    """Return what the numbers mean, and everything a reader has to know to judge them."""
    marks = "*: a control, not a method. " if board.controls else ""
    marks += "†: the paper leaves part of its definition open. " if board.unconfirmed else ""
    text = CAPTION.format(metric=board.metric.replace("_", " ").capitalize(), marks=marks)
    return "\n".join([text.strip(), *board.notes])


def _table(board: Leaderboard, style: str) -> str:
    header = ["method", *(f"{d}\n{p}\n{k}" for d, p, k in board.columns)]
    if style == "github":
        header = [title.replace("\n", "<br>") for title in header]
    body = [
        [_row_title(board, row), *(format_cell(board.cell(row, c)) for c in board.columns)]
        for row in board.rows
    ]
    table = tabulate(body, header, tablefmt=style, disable_numparse=True, stralign="right",
                     colalign=("left",))  # fmt: skip
    return f"{table}\n\n{caption(board)}\n"


def _row_title(board: Leaderboard, row: str) -> str:
    return (
        row + (" *" if row in board.controls else "") + (" †" if row in board.unconfirmed else "")
    )


def _csv(board: Leaderboard) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(board.to_json()[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(board.to_json())
    return file.getvalue()


FORMATS: dict[str, Callable[[Leaderboard], str]] = {
    "text": lambda board: _table(board, "simple"),
    "markdown": lambda board: _table(board, "github"),
    "csv": _csv,
    "json": lambda board: json.dumps(board.to_json(), indent=1) + "\n",
}
