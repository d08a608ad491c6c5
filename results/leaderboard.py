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

from .stats import mean_interval

Column = tuple[str, str, int | Literal["all"]]
METRICS = ("accuracy", "balanced_accuracy", "macro_f1")


class LeaderboardError(ValueError):
    """Scores that do not make a table."""


@dataclass(frozen=True)
class Score:
    """One run of the grid, done or not."""

    method: str  # label, with the swept values
    control: bool
    unconfirmed: bool
    dataset: str
    protocol: str
    shots: int | Literal["all"]
    pretrain_seed: int
    seed: int
    state: str
    values: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)  # what must agree within a column

    @property
    def column(self) -> Column:
        """Where the score stands."""
        return self.dataset, self.protocol, self.shots


@dataclass(frozen=True)
class Cell:
    """One entry of the table; scores are fractions."""

    method: str
    dataset: str
    protocol: str
    shots: int | Literal["all"]
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    n: int
    expected: int
    failed: int
    control: bool


@dataclass(frozen=True)
class Leaderboard:
    """The cells, in the order of rows and columns."""

    metric: str
    rows: list[str]
    controls: list[str]
    unconfirmed: list[str]
    columns: list[Column]
    cells: list[Cell]
    notes: list[str]

    def cell(self, row: str, column: Column) -> Cell | None:
        """Return one cell, or None where the pair is not in the grid."""
        return self._index.get((row, *column))

    @cached_property
    def _index(self) -> dict[tuple[Any, ...], Cell]:
        return {(c.method, c.dataset, c.protocol, c.shots): c for c in self.cells}

    def to_json(self) -> list[dict[str, Any]]:
        """Return the cells as plain values, as `table --format json` gives them."""
        return [asdict(cell) for cell in self.cells]


def tabulate_scores(
    scores: Sequence[Score], metric: str = "accuracy", notes: Sequence[str] = ()
) -> Leaderboard:
    """Gather scores into a leaderboard, best mean rank first, controls after the methods.

    Raises:
        LeaderboardError: An unknown metric, no scores at all, or a column that mixes versions.
    """
    if metric not in METRICS:
        raise LeaderboardError(f"unknown metric {metric!r}; allowed: {', '.join(METRICS)}")
    if not scores:
        raise LeaderboardError("no run of the grid is left to show; loosen the filters")
    columns = list(dict.fromkeys(score.column for score in scores))
    _refuse_mixtures(scores)
    groups: dict[tuple[Any, ...], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.method, *score.column), []).append(score)
    cells = [_cell(metric, group) for group in groups.values()]
    rows = _ranked(cells)
    controls = list(dict.fromkeys(s.method for s in scores if s.control))
    ordered = [row for row in rows if row not in controls]
    return Leaderboard(
        metric=metric,
        rows=[*ordered, *(row for row in rows if row in controls)],
        controls=controls,
        unconfirmed=list(dict.fromkeys(s.method for s in scores if s.unconfirmed)),
        columns=columns,
        cells=cells,
        notes=list(notes),
    )


def _cell(metric: str, group: Sequence[Score]) -> Cell:
    one = group[0]
    by_start: dict[int, list[float]] = {}
    for score in group:
        if metric in score.values:
            by_start.setdefault(score.pretrain_seed, []).append(score.values[metric])
    values = [value for part in by_start.values() for value in part]
    if len(by_start) > 1:
        values = [fmean(part) for part in by_start.values()]
    mean = fmean(values) if values else None
    interval = mean_interval(np.array(values)) if len(values) > 1 else None
    return Cell(
        method=one.method,
        dataset=one.dataset,
        protocol=one.protocol,
        shots=one.shots,
        metric=metric,
        mean=mean,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        n=sum(map(len, by_start.values())),
        expected=len(group),
        failed=sum(score.state == "failed" for score in group),
        control=one.control,
    )


def _ranked(cells: Sequence[Cell]) -> list[str]:
    """Return the methods by mean rank over the columns in which they are complete."""
    columns: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        if cell.mean is not None and cell.n == cell.expected:
            columns.setdefault((cell.dataset, cell.protocol, cell.shots), []).append(cell)
    ranks: dict[str, list[float]] = {cell.method: [] for cell in cells}
    for column in columns.values():
        for cell, rank in zip(column, rankdata([-(c.mean or 0) for c in column]), strict=True):
            ranks[cell.method].append(float(rank))
    return sorted(ranks, key=lambda row: fmean(ranks[row]) if ranks[row] else np.inf)


def _refuse_mixtures(scores: Sequence[Score]) -> None:
    """Refuse a column whose records disagree in split, data or protocol version."""
    seen: dict[tuple[Any, ...], tuple[str, str]] = {}
    problems = []
    for score in scores:
        for name, value in score.versions.items():
            column = (score.dataset, score.protocol, name)
            first = seen.setdefault(column, (value, score.method))
            if first[0] != value:
                problems.append(
                    f"{score.dataset}, {score.protocol}: {name} is {first[0]} for {first[1]} and "
                    f"{value} for {score.method}"
                )
    if problems:
        raise LeaderboardError("these records cannot stand in one column:\n" + "\n".join(problems))
