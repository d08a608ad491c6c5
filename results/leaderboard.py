"""Scores of runs -> a table of cells; shows what is missing or failed, mixes nothing.

A row is a method (with what the grid sweeps), a column is data set, protocol and shots. A cell is
the mean over its runs, with a Student interval over seeds; a deterministic cell has one run and no
interval. Where a row has several pretraining seeds, the interval is over those, each the mean of
its runs, because runs of one encoder are not independent of each other.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata

from .scores import (
    ChipSource,
    Column,
    LeaderboardError,
    Score,
    Shots,
    by_column,
    column_name,
    refuse_mixtures,
    starts_of,
    unit_values,
)
from .stats import mean_interval
from .ties import Standing, standings

__all__ = ["METRICS", "Cell", "Leaderboard", "LeaderboardError", "Score", "tabulate_scores"]

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
RECALL = "recall:"  # followed by a class
SORTS = ("rank", "name")


@dataclass(frozen=True)
class Cell:
    """One entry of the table; scores are fractions.

    Attributes:
        n: Runs that the mean rests on, of the `expected`.
        unit: What the interval is over.
        place: 1 for the column's best and its ties, 2 for the next; None where nothing is told.
        p_best: Holm-adjusted p of the difference from the column's best.
        smallest_p: The least that this p could be with so many seeds and methods.
    """

    method: str
    dataset: str
    protocol: str
    shots: Shots
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    n: int
    expected: int
    failed: int
    control: bool
    unit: Literal["seeds", "pretraining seeds", "one run"] = "seeds"
    place: int | None = None
    p_best: float | None = None
    smallest_p: float | None = None

    @property
    def column(self) -> Column:
        """Where the cell stands."""
        return self.dataset, self.protocol, self.shots

    @property
    def complete(self) -> bool:
        """Whether every run that the grid asks for is in the mean."""
        return self.mean is not None and self.n == self.expected


@dataclass(frozen=True)
class Leaderboard:
    """The cells, in the order of rows and columns.

    Attributes:
        mean_rank: Over the columns in which a row is complete, controls left out; 1 is best.
        standing: What the tests say, for each column and row.
        seeds: Seeds of the evaluation, of the pretraining.
        notes: Sentences for the caption.
    """

    metric: str
    rows: list[str]
    controls: list[str]
    unconfirmed: list[str]
    columns: list[Column]
    cells: list[Cell]
    notes: list[str]
    mean_rank: dict[str, float] = field(default_factory=dict)
    standing: dict[Column, dict[str, Standing]] = field(default_factory=dict)
    seeds: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())

    def cell(self, row: str, column: Column) -> Cell | None:
        """Return one cell, or None where the pair is not in the grid."""
        return self._index.get((row, *column))

    @cached_property
    def _index(self) -> dict[tuple[Any, ...], Cell]:
        return {(c.method, c.dataset, c.protocol, c.shots): c for c in self.cells}

    def to_json(self) -> list[dict[str, Any]]:
        """Return the cells as plain values, as `table --format json` gives them."""
        return [asdict(cell) for cell in self.cells]


def check_metric(metric: str) -> None:
    """Refuse an unknown metric.

    Raises:
        LeaderboardError: With the allowed ones.
    """
    if metric not in METRICS:
        raise LeaderboardError(
            f"unknown metric {metric!r}; allowed: {', '.join(METRICS)}, in tables {RECALL}<class>"
        )


def tabulate_scores(
    scores: Sequence[Score],
    metric: str = "accuracy",
    notes: Sequence[str] = (),
    *,
    sort: str = "rank",
    chips: ChipSource | None = None,
    rng: np.random.Generator | None = None,
) -> Leaderboard:
    """Gather scores into a leaderboard, controls after the methods.

    Args:
        scores: Every run that the grid asks for.
        metric: What the cells show: accuracy, balanced_accuracy, macro_f1 or `recall:<class>`.
        notes: For the caption.
        sort: `rank` (best mean rank first), `name`, or a column such as `mstar_soc/linear/10`.
        chips: For tests in columns of one run per cell.
        rng: Draws signs of more than 20 pairs; a fixed one by default.

    Raises:
        LeaderboardError: An unknown metric or sort, no scores at all, or scores that must not be
            mixed.
    """
    if not metric.startswith(RECALL):
        check_metric(metric)
    if not scores:
        raise LeaderboardError("no run of the grid is left to show; loosen the filters")
    refuse_mixtures(scores)
    grouped = by_column(scores)
    if metric.startswith(RECALL):
        grouped = _with_class(grouped, metric)
    rng = rng or np.random.default_rng(0)
    cells: list[Cell] = []
    standing: dict[Column, dict[str, Standing]] = {}
    for column, rows in grouped.items():
        made = [_cell(metric, group) for group in rows.values()]
        ranked = {c.method: rows[c.method] for c in made if c.complete and not c.control}
        standing[column] = standings(ranked, metric, chips, rng)
        cells += [_placed(cell, standing[column].get(cell.method)) for cell in made]
    first_of = {score.method: score for score in reversed(scores)}
    controls = [row for row, score in reversed(first_of.items()) if score.control]
    mean_rank = _mean_ranks([cell for cell in cells if not cell.control])
    mean_rank |= _mean_ranks([cell for cell in cells if cell.control])
    rows = _sorted(list(reversed(first_of)), cells, mean_rank, sort, grouped)
    return Leaderboard(
        metric=metric,
        rows=[*(r for r in rows if r not in controls), *(r for r in rows if r in controls)],
        controls=controls,
        unconfirmed=[row for row, score in reversed(first_of.items()) if score.unconfirmed],
        columns=list(grouped),
        cells=cells,
        notes=list(notes),
        mean_rank={row: rank for row, rank in mean_rank.items() if row not in controls},
        standing=standing,
        seeds=(
            tuple(sorted({score.seed for score in scores})),
            tuple(sorted({score.pretrain_seed for score in scores})),
        ),
    )


def _with_class(
    grouped: dict[Column, dict[str, list[Score]]], metric: str
) -> dict[Column, dict[str, list[Score]]]:
    """Return the columns whose data set has the class of `recall:<class>`."""
    found = {
        column: rows
        for column, rows in grouped.items()
        if any(metric in score.values for cell in rows.values() for score in cell)
    }
    if not found:
        raise LeaderboardError(
            f"no finished run of this grid has a test chip of class {metric[len(RECALL) :]!r}"
        )
    return found


def _cell(metric: str, group: Sequence[Score]) -> Cell:
    one = group[0]
    values = unit_values(group, metric)
    interval = mean_interval(values) if values.size > 1 else None
    unit = "pretraining seeds" if starts_of(group) > 1 else "seeds"
    return Cell(
        method=one.method,
        dataset=one.dataset,
        protocol=one.protocol,
        shots=one.shots,
        metric=metric,
        mean=float(values.mean()) if values.size else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        n=sum(metric in score.values for score in group),
        expected=len(group),
        failed=sum(score.state == "failed" for score in group),
        control=one.control,
        unit="one run" if len(group) == 1 else unit,
    )


def _placed(cell: Cell, standing: Standing | None) -> Cell:
    if standing is None:
        return cell
    told = (standing.place, standing.p_best, standing.smallest_p)
    names = ("place", "p_best", "smallest_p")
    return Cell(**{**asdict(cell), **dict(zip(names, told, strict=True))})


def _mean_ranks(cells: Sequence[Cell]) -> dict[str, float]:
    """Return the mean rank over the columns in which a row is complete."""
    columns: dict[Column, list[Cell]] = {}
    for cell in cells:
        if cell.complete:
            columns.setdefault(cell.column, []).append(cell)
    ranks: dict[str, list[float]] = {}
    for column in columns.values():
        for cell, rank in zip(column, rankdata([-(c.mean or 0) for c in column]), strict=True):
            ranks.setdefault(cell.method, []).append(float(rank))
    return {row: fmean(of_row) for row, of_row in ranks.items()}


def _sorted(
    rows: list[str],
    cells: Sequence[Cell],
    mean_rank: dict[str, float],
    sort: str,
    grouped: dict[Column, dict[str, list[Score]]],
) -> list[str]:
    if sort == "name":
        return sorted(rows, key=str.casefold)
    if sort == "rank":
        return sorted(rows, key=lambda row: mean_rank.get(row, np.inf))
    names = {column_name(column): column for column in grouped}
    if sort not in names:
        raise LeaderboardError(
            f"cannot sort by {sort!r}; allowed: {', '.join(SORTS)}, or a column: {', '.join(names)}"
        )
    value = {c.method: c.mean for c in cells if c.column == names[sort] and c.complete}
    return sorted(rows, key=lambda row: -(value.get(row) or -1))
