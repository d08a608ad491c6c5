"""Verdicts on published values and on published statements of order.

A value is reproduced if equivalence is shown. A difference that is not significant is not enough.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
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
from .schema import Ordering, Published, Value

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
    checked: list[CheckedCell] = []
    for name, table in paper.tables.items():
        values = {
            (v.dataset, v.protocol, v.shots, v.row): v for v in paper.value if v.table == name
        }
        for protocol, dataset, shots in product(table.protocols, table.datasets, table.shots):
            columns = _columns(paper, board, dataset, protocol, shots)
            for key, column in product(table.rows, columns):
                value, row = values.get((dataset, protocol, shots, key)), paper.rows[key]
                for ours in rows_of.get(row.method or "", ()) or (None,):
                    cell = board.cell(ours, column) if ours else None
                    if value is None and (cell is None or cell.mean is None):
                        continue
                    runs = grouped.get(column, {}).get(ours or "", [])
                    checked.append(CheckedCell(
                        name, protocol, row.label, column, ours, value, cell,
                        *_verdict(paper, value, cell, runs, row.not_ours),
                    ))  # fmt: skip
    return checked


def _columns(
    paper: Published, board: Leaderboard, dataset: str, protocol: str, shots: int
) -> list[Column]:
    """Return our columns for a column of the paper; without one, the column with our names.

    Columns with a condition or swept settings have no published value.
    """
    ours, as_protocol = paper.datasets[dataset], paper.protocols[protocol]
    columns = [
        column
        for column in board.columns
        if column.dataset.split("/")[0] == ours
        and column == Column(column.dataset, as_protocol, shots)
    ]
    return columns or [Column(ours, as_protocol, shots)]


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
    checked: list[CheckedOrder] = []
    for order in paper.ordering:
        cases = [
            (higher, lower, _test_case(paper, grouped, rows_of, higher, lower, rng))
            for higher, lower in _cases(paper, order, grouped)
        ]
        tests = [tested.test for *_, tested in cases if tested and tested.test]
        p_values = iter(holm([test.p for test in tests]))
        for higher, lower, tested in cases:
            p = float(next(p_values)) if tested and tested.test else None
            checked.append(_checked_order(order, higher, lower, tested, p))
    return checked


@dataclass(frozen=True)
class _Side:
    """One side of a case: a row of the paper in one of our columns."""

    column: Column
    key: str
    label: str


def _cases(
    paper: Published, order: Ordering, grouped: Iterable[Column]
) -> Iterator[tuple[_Side, _Side]]:
    """Yield the higher and the lower side of each case of a statement."""
    ours = list(dict.fromkeys(column.dataset for column in grouped))
    for dataset, protocol, shots in product(order.datasets, order.protocols, order.shots):
        other = order.lower_protocol or protocol
        base = paper.datasets[dataset]
        names = [name for name in ours if name.split("/")[0] == base] or [base]
        for name, key in product(names, order.lower):
            sides = (order.higher, protocol), (key, other)
            higher, lower = (
                _Side(
                    Column(name, paper.protocols[used], shots),
                    row,
                    paper.rows[row].label + (f", {used}" if order.lower_protocol else ""),
                )
                for row, used in sides
            )
            yield higher, lower


def _test_case(
    paper: Published,
    grouped: Mapping[Column, Mapping[str, Sequence[Score]]],
    rows_of: Mapping[str, Sequence[str]],
    higher: _Side,
    lower: _Side,
    rng: np.random.Generator,
) -> Tested | None:
    """Return the test of a case; None if a side does not have exactly one complete row."""
    cells = [
        _only_complete(paper, grouped.get(side.column, {}), rows_of, side.key)
        for side in (higher, lower)
    ]
    if not cells[0] or not cells[1]:
        return None
    return _order(higher.column, cells[0], cells[1], paper.metric, rng)


def _checked_order(
    order: Ordering, higher: _Side, lower: _Side, tested: Tested | None, p: float | None
) -> CheckedOrder:
    """Return the verdict on a case; `p` is Holm-corrected within the statement."""
    case = order.statement, order.grade, higher.column, higher.label, lower.label
    if tested is None or tested.effect is None:
        return CheckedOrder(*case, "not measured", None, None)
    mean = tested.effect.difference.mean
    if p is None or p > ALPHA:
        verdict = "in the mean only" if mean > 0 else "reversed in the mean only"
    elif tested.unit == "pretrain_seeds":
        verdict = "holds" if mean > 0 else "contradicted"
    elif mean > 0:
        verdict = "holds for these checkpoints"
    else:
        verdict = "contradicted by these checkpoints"
    return CheckedOrder(*case, verdict, mean, p, tested.unit)


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
