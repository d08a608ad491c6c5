"""Scores of runs -> a table of cells; shows what is missing or failed, mixes nothing.

A row is a method (with what the grid sweeps), a column is data set, protocol and shots. A cell is
the mean over its runs, with a Student interval over seeds; a deterministic cell has one run and no
interval. Where a row has several pretraining seeds, the interval is over those, each the mean of
its runs, because runs of one encoder are not independent of each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from .stats import mean_interval

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
    columns: list[tuple[str, str, int | Literal["all"]]]
    cells: list[Cell]
    notes: list[str]

    def cell(self, row: str, column: tuple[str, str, int | Literal["all"]]) -> Cell | None:
        """Return one cell, or None where the pair is not in the grid."""
        return self._index.get((row, *column))

    @property
    def _index(self) -> dict[tuple[Any, ...], Cell]:
        return {(c.method, c.dataset, c.protocol, c.shots): c for c in self.cells}

    def to_json(self) -> list[dict[str, Any]]:
        """Return the cells as plain values, as `table --format json` gives them."""
        return [vars(cell) for cell in self.cells]


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
    columns = list(dict.fromkeys((s.dataset, s.protocol, s.shots) for s in scores))
    _refuse_mixtures(scores)
    table = pd.DataFrame(
        {
            "method": [s.method for s in scores],
            "dataset": [s.dataset for s in scores],
            "protocol": [s.protocol for s in scores],
            "shots": [s.shots for s in scores],
            "pretrain_seed": [s.pretrain_seed for s in scores],
            "value": [s.values.get(metric, np.nan) for s in scores],
            "failed": [s.state == "failed" for s in scores],
            "control": [s.control for s in scores],
        }
    )
    cells = []
    for key, part in table.groupby(["method", "dataset", "protocol", "shots"], sort=False):
        method, dataset, protocol, shots = key
        done = part.dropna(subset="value")
        mean, low, high = _interval(done)
        cells.append(
            Cell(
                method=method, dataset=dataset, protocol=protocol, shots=shots, metric=metric,
                mean=mean, low=low, high=high, n=len(done), expected=len(part),
                failed=int(part["failed"].sum()), control=bool(part["control"].iloc[0]),
            )
        )  # fmt: skip
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


def _interval(done: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    if done.empty:
        return None, None, None
    values = done["value"].to_numpy()
    if done["pretrain_seed"].nunique() > 1:
        values = done.groupby("pretrain_seed")["value"].mean().to_numpy()
    if len(values) == 1:
        return float(values[0]), None, None
    interval = mean_interval(values)
    return interval.mean, interval.low, interval.high


def _ranked(cells: Sequence[Cell]) -> list[str]:
    """Return the methods by mean rank over the columns in which they are complete."""
    frame = pd.DataFrame([vars(cell) for cell in cells])
    complete = frame["mean"].where(frame["n"] == frame["expected"])
    ranks = complete.groupby([frame["dataset"], frame["protocol"], frame["shots"]], sort=False)
    frame["rank"] = ranks.rank(ascending=False)
    return list(frame.groupby("method", sort=False)["rank"].mean().sort_values().index)


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
