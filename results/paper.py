"""A paper's numbers and ours: a verdict for each cell and for each statement about an order."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import scipy.stats

from .leaderboard import Cell, Leaderboard
from .paired import holm, sign_flip
from .published import Published, Value
from .scores import Column, Score, by_column, paired_differences, unit_values
from .ties import ALPHA

Verdict = Literal[
    "reproduced", "differs", "cannot tell", "not measured", "not published", "not ours"
]
LOOSE = 0.05  # a prediction interval wider than this (as a fraction, each way) proves nothing
ROUNDING = 0.0005  # of a published value with one decimal


@dataclass(frozen=True)
class CheckedCell:
    """One cell of the paper, or of ours where the paper has none that we know.

    Attributes:
        label: The paper's name of the row.
        row: Our row; None where the method is not ours or not in the grid.
        difference: Measured less published, as a fraction.
        half: Half the 95 % prediction interval for a mean of as many runs as are behind the
            published value.
    """

    table: str
    protocol: str
    label: str
    column: Column
    row: str | None
    published: Value | None
    cell: Cell | None
    verdict: Verdict
    reason: str
    difference: float | None = None
    half: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        value = self.published.model_dump() if self.published else None
        return {**asdict(self), "published": value}


@dataclass(frozen=True)
class CheckedOrder:
    """One case of a statement that a row is above another."""

    statement: str
    grade: str
    column: Column
    higher: str
    lower: str
    verdict: Literal[
        "holds", "in the mean only", "reversed in the mean only", "contradicted", "not measured"
    ]
    difference: float | None
    p_holm: float | None


def check_cells(
    paper: Published,
    board: Leaderboard,
    scores: Sequence[Score],
    rows_of: Mapping[str, Sequence[str]],
) -> list[CheckedCell]:
    """Return a verdict for every published value, and for every cell of ours in its tables.

    Args:
        paper: Published values.
        board: Our cells, in the paper's metric.
        scores: Of the same runs.
        rows_of: Our rows of each method.
    """
    grouped = by_column(scores)
    found: list[CheckedCell] = []
    for name, table in paper.tables.items():
        known = {(v.dataset, v.protocol, v.shots, v.row): v for v in paper.value if v.table == name}
        for protocol in table.protocols:
            for dataset in table.datasets:
                for shots in table.shots:
                    columns = _columns(paper, board, dataset, protocol, shots)
                    for key in table.rows:
                        value = known.get((dataset, protocol, shots, key))
                        row = paper.rows[key]
                        ours = rows_of.get(row.method or "", ())
                        for column in columns:
                            for mine in ours or (None,):
                                cell = board.cell(mine, column) if mine else None
                                if value is None and (cell is None or cell.mean is None):
                                    continue
                                runs = grouped.get(column, {}).get(mine or "", [])
                                found.append(CheckedCell(
                                    name, protocol, row.label, column, mine, value, cell,
                                    *_verdict(paper, value, cell, runs, row.not_ours),
                                ))  # fmt: skip
    return found


def _columns(
    paper: Published, board: Leaderboard, dataset: str, protocol: str, shots: int
) -> list[Column]:
    """Return our columns for one of the paper's; its own name where the grid has none."""
    ours, as_protocol = paper.datasets[dataset], paper.protocols[protocol]
    columns = [
        column
        for column in board.columns
        if column[0].split("/")[0] == ours and column[1:] == (as_protocol, shots)
    ]
    return columns or [(ours, as_protocol, shots)]


def _verdict(
    paper: Published,
    value: Value | None,
    cell: Cell | None,
    runs: Sequence[Score],
    not_ours: str | None,
) -> tuple[Verdict, str, float | None, float | None]:
    if not_ours:
        return "not ours", not_ours, None, None
    if cell is None:
        return "not measured", "not in the grid", None, None
    if not cell.complete or cell.mean is None:
        state = f"{cell.n} of {cell.expected} runs"
        return "not measured", state + (f", {cell.failed} failed" * bool(cell.failed)), None, None
    if value is None:
        return "not published", "no published value is known to us", None, None
    difference = cell.mean - value.value / 100
    values = unit_values(runs, paper.metric)
    if values.size < 2:
        return "cannot tell", "one run: its spread is not known", difference, None
    spread = float(values.std(ddof=1)) * np.sqrt(1 / values.size + 1 / (value.runs or paper.seeds))
    half = float(scipy.stats.t.ppf(0.975, values.size - 1)) * spread
    if abs(difference) > half + ROUNDING:
        return "differs", f"by {100 * difference:+.1f} ± {100 * half:.1f}", difference, half
    if half > LOOSE:
        return "cannot tell", f"the interval is ± {100 * half:.1f} wide", difference, half
    return "reproduced", f"to {100 * difference:+.1f} ± {100 * half:.1f}", difference, half


def check_orders(
    paper: Published,
    scores: Sequence[Score],
    rows_of: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
) -> list[CheckedOrder]:
    """Test every case of every statement on paired seeds, Holm-corrected within the statement."""
    grouped = by_column(scores)
    found: list[CheckedOrder] = []
    for order in paper.ordering:
        cases: list[tuple[Column, str, str, np.ndarray | None]] = []
        for dataset in order.datasets:
            for protocol in order.protocols:
                for shots in order.shots:
                    base, upper = paper.datasets[dataset], paper.protocols[protocol]
                    lower = paper.protocols[order.lower_protocol or protocol]
                    names = [c[0] for c in grouped if c[0].split("/")[0] == base]
                    for name in dict.fromkeys(names) or [base]:
                        for key in order.lower:
                            sides = (((name, upper, shots), order.higher),
                                     ((name, lower, shots), key))  # fmt: skip
                            cells = [
                                _only_complete(paper, grouped.get(column, {}), rows_of, row)
                                for column, row in sides
                            ]
                            gaps = None
                            if cells[0] and cells[1]:
                                gaps = paired_differences(cells[0], cells[1], paper.metric)
                            labels = [paper.rows[row].label for _, row in sides]
                            if order.lower_protocol:
                                labels = [f"{labels[0]}, {protocol}",
                                          f"{labels[1]}, {order.lower_protocol}"]  # fmt: skip
                            usable = gaps if gaps is not None and gaps.size else None
                            cases.append((sides[0][0], labels[0], labels[1], usable))
        tested = [gaps for *_, gaps in cases if gaps is not None]
        p_values = iter(holm([sign_flip(gaps, rng).p for gaps in tested]))
        for column, higher, lower, gaps in cases:
            verdict, mean, p = "not measured", None, None
            if gaps is not None:
                mean, p = float(gaps.mean()), float(next(p_values))
                shown = p <= ALPHA
                verdict = "holds" if shown else "in the mean only"
                if mean <= 0:
                    verdict = "contradicted" if shown else "reversed in the mean only"
            found.append(
                CheckedOrder(order.statement, order.grade, column, higher, lower, verdict, mean, p)
            )
    return found


def _only_complete(
    paper: Published,
    cells: Mapping[str, Sequence[Score]],
    rows_of: Mapping[str, Sequence[str]],
    key: str,
) -> Sequence[Score] | None:
    """Return the runs of the one row of a method, if there is one and it is whole."""
    rows = [row for row in rows_of.get(paper.rows[key].method or "", ()) if row in cells]
    if len(rows) != 1 or not all(paper.metric in score.values for score in cells[rows[0]]):
        return None
    return cells[rows[0]]


def setup_differences(
    paper: Published, facts: Mapping[str, Any], datasets: Sequence[str]
) -> list[str]:
    """Return every known way in which our set-up is not the paper's."""
    lines = [
        f"{name.replace('_', ' ')}: paper {_plain(value)}, here {_plain(facts[name])}"
        for name, value in paper.setup.items()
        if name in facts and facts[name] != value
    ]
    ours = {name.split("/")[0] for name in datasets}
    lines += [
        f"{one.text} (grade {one.grade})"
        for one in paper.difference
        if one.dataset is None or paper.datasets[one.dataset] in ours
    ]
    return lines


def _plain(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
