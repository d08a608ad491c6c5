"""Verdicts on published values and on published statements of order.

A value is reproduced if equivalence is shown. A difference that is not significant is not enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ..conclusions import Tested
from ..difference import column_difference, shared_values
from ..leaderboard import Cell, Leaderboard
from ..places import ALPHA
from ..scores import Column, Score, by_column, starts_of, unit_values
from ..statistics.paired import PairedTest, effect, holm
from ..statistics.student_t import t_quantile, two_sided_p
from ..statistics.units import FEWEST_PRETRAINED
from .schema import Published, Value

Verdict = Literal["reproduced", "differs", "undecided", "not measured", "not published", "not ours"]
MARGIN = 0.05  # values that differ by less, as fractions, are the same result
ROUNDING = 0.0005  # error of a published value with one decimal


@dataclass(frozen=True)
class CheckedCell:
    """One cell of the paper, or one of our cells without a known published value.

    Attributes:
        label: Name of the row in the paper.
        row: Our row; None if we do not have the method or the grid does not.
        difference: Measured minus published, as a fraction.
        half: Half-width of the 95% Student interval of the difference, with our spread for both
            sides. With one pretraining seed the units are evaluation seeds, and the published
            value is a mean of the seeds of the paper. With several the units are pretraining
            seeds, and the published value is one of them.
        margin: Limit of |`difference`| + `half` for `reproduced`.
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
    margin: float = MARGIN

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        value = self.published.model_dump() if self.published else None
        return {**asdict(self), "published": value}


@dataclass(frozen=True)
class CheckedOrder:
    """One case of a statement that one row is above another."""

    statement: str
    grade: str
    column: Column
    higher: str
    lower: str
    verdict: Literal[
        "holds",
        "holds for these checkpoints",
        "in the mean only",
        "reversed in the mean only",
        "contradicted",
        "contradicted by these checkpoints",
        "not measured",
    ]
    difference: float | None
    p_holm: float | None
    unit: str | None = None


def check_cells(
    paper: Published,
    board: Leaderboard,
    scores: Sequence[Score],
    rows_of: Mapping[str, Sequence[str]],
) -> list[CheckedCell]:
    """Return a verdict for every published value and for our cells in the same tables.

    Args:
        paper: Published values.
        board: Our cells in the metric of the paper.
        scores: Scores of the same runs.
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
    """Return our columns for a column of the paper; without one, the column with our names."""
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
        return "not published", "no published value is known", None, None
    difference = cell.mean - value.value / 100
    values = unit_values(runs, paper.metric)
    if values.size < 2:
        return "undecided", "one run, so the spread is unknown", difference, None
    theirs = 1 if starts_of(runs) > 1 else value.runs or paper.seeds  # the paper has one checkpoint
    spread = float(values.std(ddof=1)) * np.sqrt(1 / values.size + 1 / theirs)
    half = t_quantile(0.975, values.size - 1) * spread
    found = f"{100 * difference:+.1f} ± {100 * half:.1f}"
    if starts_of(runs) == 1:
        found += ", we have one checkpoint"
    if abs(difference) + half + ROUNDING <= MARGIN:
        return "reproduced", found, difference, half
    if abs(difference) > half + ROUNDING:
        return "differs", found, difference, half
    return "undecided", found, difference, half


def check_orders(
    paper: Published,
    scores: Sequence[Score],
    rows_of: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
) -> list[CheckedOrder]:
    """Test every case of every statement like `compare`, Holm-corrected within the statement.

    Two protocols with the same encoders are paired by pretraining seed.
    """
    grouped = by_column(scores)
    found: list[CheckedOrder] = []
    for order in paper.ordering:
        cases: list[tuple[Column, str, str, Tested | None]] = []
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
                            found_here = None
                            if cells[0] and cells[1]:
                                found_here = _order(sides[0][0], cells[0], cells[1],
                                                    paper.metric, rng)  # fmt: skip
                            labels = [paper.rows[row].label for _, row in sides]
                            if order.lower_protocol:
                                labels = [f"{labels[0]}, {protocol}",
                                          f"{labels[1]}, {order.lower_protocol}"]  # fmt: skip
                            cases.append((sides[0][0], labels[0], labels[1], found_here))
        tests = [case.test for *_, case in cases if case and case.test]
        p_values = iter(holm([test.p for test in tests]))
        for column, higher, lower, case in cases:
            if case is None or case.effect is None:
                found.append(CheckedOrder(
                    order.statement, order.grade, column, higher, lower, "not measured", None, None
                ))  # fmt: skip
                continue
            mean = case.effect.difference.mean
            p = float(next(p_values)) if case.test else None
            verdict = "in the mean only" if mean > 0 else "reversed in the mean only"
            if p is not None and p <= ALPHA and case.unit == "pretrain_seeds":
                verdict = "holds" if mean > 0 else "contradicted"
            elif p is not None and p <= ALPHA:
                verdict = ("holds for these checkpoints" if mean > 0
                           else "contradicted by these checkpoints")  # fmt: skip
            found.append(CheckedOrder(
                order.statement, order.grade, column, higher, lower, verdict, mean, p, case.unit
            ))  # fmt: skip
    return found


def _order(
    column: Column,
    higher: Sequence[Score],
    lower: Sequence[Score],
    metric: str,
    rng: np.random.Generator,
) -> Tested:
    """Return the test of one case; for the same encoders, Student's paired test over them."""
    starts = {score.pretrain_seed for score in higher}
    sides = shared_values(higher, lower, lambda score: score.values.get(metric))
    if higher[0].method != lower[0].method or len(starts) == 1 or sides is None:
        return column_difference(column, higher, lower, metric, None, rng)
    if sides[0].shape != sides[1].shape:
        return Tested("pretrain_seeds")
    gaps = (sides[0] - sides[1]).mean(axis=1)
    test = None
    if gaps.size >= FEWEST_PRETRAINED and np.ptp(gaps) > 1e-12:
        t = abs(gaps.mean()) / gaps.std(ddof=1) * np.sqrt(gaps.size)
        p = two_sided_p(t, gaps.size - 1)
        test = PairedTest(p, 0.0, gaps.size, False)
    return Tested("pretrain_seeds", effect(gaps), test)


def _only_complete(
    paper: Published,
    cells: Mapping[str, Sequence[Score]],
    rows_of: Mapping[str, Sequence[str]],
    key: str,
) -> Sequence[Score] | None:
    """Return the runs of the row of a method; None without exactly one complete row."""
    rows = [row for row in rows_of.get(paper.rows[key].method or "", ()) if row in cells]
    if len(rows) != 1 or not all(paper.metric in score.values for score in cells[rows[0]]):
        return None
    return cells[rows[0]]


def setup_differences(
    paper: Published, facts: Mapping[str, Any], datasets: Sequence[str]
) -> list[str]:
    """Return every known difference between our set-up and that of the paper."""
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
