"""A leaderboard: cells of a table from the scores of runs, with places and mean ranks.

A row is a method with its swept values; a column is data set, protocol, shots, condition of the
test chips and swept settings. Each column has one unit for its intervals and tests
(`statistics/units.py`). Mean ranks are over the tested columns
that every ranked row completes. Missing and failed runs stay visible.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np

from .cells import Cell, Outcome, make_cell, outcomes_of
from .gain import Gains
from .metric import ACCURACY, OF_CLASSES, Metric, metric_of
from .notes import Note
from .places import Standing, place_checkpoints, place_methods
from .scores import (
    ChipSource,
    Column,
    LeaderboardError,
    Score,
    by_column,
    column_name,
    refuse_mixtures,
    start_means,
    starts_of,
)
from .statistics.units import Compares, Unit, unit_of

METRICS = tuple(OF_CLASSES)  # of every record, and on the page of a report
SORTS = ("rank", "name")


@dataclass(frozen=True)
class Leaderboard:
    """Cells of a table, with their order, ranks and notes.

    Attributes:
        rows: Names in display order.
        controls: Rows that learn nothing.
        unconfirmed: Rows that their paper does not define completely.
        notes: Notes that do not follow from the cells.
        compares: Subject of the claims, methods or checkpoints.
        broken: Rows whose method failed its contract.
        units: Unit of the intervals and tests of each column; controls may have another.
        draws: Number of draws of labelled chips in each column; 0 with all labels.
        rank_columns: Tested columns that every ranked row completes.
        mean_rank: Mean rank of each ranked row over `rank_columns`; 1 is best.
        seeds: Evaluation seeds and pretraining seeds.
        gains: Gains over the untrained controls; None in a table that does not show them.
        above_untrained: True for rows and columns whose gain has a 95% interval above 0, False for
            other gains with an interval; also in a table that does not show gains.
        measure: The metric.
    """

    metric: str
    rows: list[str]
    controls: list[str]
    unconfirmed: list[str]
    columns: list[Column]
    cells: list[Cell]
    notes: list[Note]
    compares: Compares = "methods"
    broken: list[str] = field(default_factory=list)
    units: dict[Column, Unit] = field(default_factory=dict)
    draws: dict[Column, int] = field(default_factory=dict)
    rank_columns: list[Column] = field(default_factory=list)
    mean_rank: dict[str, float] = field(default_factory=dict)
    seeds: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    gains: Gains | None = None
    above_untrained: Mapping[tuple[str, Column], bool] = field(default_factory=dict)
    measure: Metric = ACCURACY

    def cell(self, row: str, column: Column) -> Cell | None:
        """Return one cell, or None where the pair is not in the grid."""
        return self._index.get((row, column))

    @cached_property
    def _index(self) -> dict[tuple[str, Column], Cell]:
        return {(cell.method, cell.column): cell for cell in self.cells}

    def to_json(self) -> list[dict[str, Any]]:
        """Return the cells as plain values, as in `table --format json`."""
        gains = self.gains
        return [
            asdict(cell)
            | {"above_untrained": self.above_untrained.get((cell.method, cell.column))}
            | (gains.to_json(cell.method, cell.column) if gains else {})
            for cell in self.cells
        ]


def tabulate_scores(
    scores: Sequence[Score],
    metric: Metric | str = ACCURACY,
    notes: Sequence[Note] = (),
    *,
    sort: str = "rank",
    chips: ChipSource | None = None,
    compares: Compares = "methods",
) -> Leaderboard:
    """Return the leaderboard of scores, with controls after the methods.

    Args:
        scores: Every run of the grid, finished or not.
        metric: The metric, or the name of a built-in one or `recall:<class>`.
        notes: Notes that do not follow from the scores.
        sort: `rank` (best first), `name`, or a column such as `mstar_soc/linear/10`.
        chips: Predictions of test chips, for intervals and tests over test chips.
        compares: `methods`, or `checkpoints`, which makes no claim about methods.

    Raises:
        LeaderboardError: The metric or the sort is unknown, scores are missing, or scores must
            not be mixed.
    """
    measure = metric_of(metric)
    metric = measure.name
    if not scores:
        raise LeaderboardError("the filters leave no run of the grid; remove some of them")
    refuse_mixtures(scores, measure)
    grouped = by_column(scores)
    cells: list[Cell] = []
    units: dict[Column, Unit] = {}
    for column, rows in grouped.items():
        outcomes = outcomes_of(rows, compares, metric, chips)
        made = {row: make_cell(group, metric, compares, outcomes) for row, group in rows.items()}
        seeds = max(starts_of(group) for group in rows.values())
        units[column] = unit_of(compares, column.shots, seeds, stored=outcomes is not None)
        standing = _standings(rows, made, units[column], outcomes, measure.sign)
        cells += [_placed(cell, standing.get(row)) for row, cell in made.items()]
    first_of: dict[str, Score] = {}
    for score in scores:
        first_of.setdefault(score.method, score)
    every = list(first_of)
    controls = [row for row in every if first_of[row].control]
    sign = measure.sign
    rank_columns, mean_rank = _tested_ranks(cells, sign)
    complete = [cell for cell in cells if cell.complete]
    order = mean_rank or _mean_ranks([cell for cell in complete if not cell.control], sign)[1]
    order = order | _mean_ranks([cell for cell in complete if cell.control], sign)[1]
    rows = _sorted(every, cells, order, sort, grouped, sign)
    return Leaderboard(
        metric=metric,
        rows=[*(r for r in rows if r not in controls), *(r for r in rows if r in controls)],
        controls=controls,
        unconfirmed=[row for row in every if first_of[row].unconfirmed],
        columns=list(grouped),
        cells=cells,
        notes=list(notes),
        compares=compares,
        broken=[row for row in every if first_of[row].fails_contract],
        units=units,
        draws={column: _draws(column, rows) for column, rows in grouped.items()},
        rank_columns=rank_columns,
        mean_rank=mean_rank,
        seeds=(
            tuple(sorted({score.seed for score in scores})),
            tuple(sorted({score.pretrain_seed for score in scores})),
        ),
        measure=measure,
    )


def _standings(
    rows: Mapping[str, Sequence[Score]],
    cells: Mapping[str, Cell],
    unit: Unit,
    outcomes: Mapping[str, Outcome] | None,
    sign: int,
) -> dict[str, Standing]:
    """Return the standing of the cells of one column that can be ranked."""
    ranked = [row for row, cell in cells.items() if cell.rankable]
    if not ranked:
        return {}
    if cells[ranked[0]].compares == "methods":
        values = {row: sign * start_means(rows[row], cells[row].metric) for row in ranked}
        return place_methods(values, outcomes)
    if outcomes is None:
        return {}
    return place_checkpoints({row: cells[row].mean or 0.0 for row in ranked}, outcomes, unit)


def _placed(cell: Cell, standing: Standing | None) -> Cell:
    if standing is None:
        return cell
    return replace(
        cell,
        place=standing.place,
        p_best=standing.p_best,
        smallest_p=None if standing.p_best is None else 0.0,
        smallest_difference=standing.smallest_difference,
    )


def _draws(column: Column, rows: Mapping[str, Sequence[Score]]) -> int:
    """Return the number of draws of labelled chips in a column."""
    return len({s.seed for row in rows.values() for s in row}) if column.shots != "all" else 0


def _tested_ranks(cells: Sequence[Cell], sign: int) -> tuple[list[Column], dict[str, float]]:
    """Return the columns of the mean rank, and the mean rank of each row that can be ranked."""
    rankable = [cell for cell in cells if cell.rankable]
    tested = {cell.column for cell in rankable if cell.place is not None}
    rows = {cell.method for cell in rankable}
    columns, ranks = _mean_ranks([cell for cell in rankable if cell.column in tested], sign)
    return (columns, ranks) if ranks.keys() == rows else ([], {})


def _mean_ranks(complete: Sequence[Cell], sign: int) -> tuple[list[Column], dict[str, float]]:
    """Return the columns that all rows of these cells share, and mean ranks over them.

    Args:
        complete: Cells with all their runs.
        sign: -1 where lower means are better.
    """
    columns: dict[Column, list[Cell]] = {}
    for cell in complete:
        columns.setdefault(cell.column, []).append(cell)
    rows = {cell.method for cell in complete}
    shared = {column: cells for column, cells in columns.items() if len(cells) == len(rows)}
    ranks: dict[str, list[float]] = {}
    for cells in shared.values():
        means = [sign * (cell.mean or 0) for cell in cells]
        for cell, mean in zip(cells, means, strict=True):
            rank = sum(other > mean for other in means) + (means.count(mean) + 1) / 2
            ranks.setdefault(cell.method, []).append(rank)
    return list(shared), {row: fmean(of_row) for row, of_row in ranks.items()}


def _sorted(
    rows: list[str],
    cells: Sequence[Cell],
    order: Mapping[str, float],
    sort: str,
    grouped: dict[Column, dict[str, list[Score]]],
    sign: int,
) -> list[str]:
    if sort == "name":
        return sorted(rows, key=str.casefold)
    if sort == "rank":
        lacking = dict.fromkeys(rows, 0)
        means: dict[str, list[float]] = {row: [] for row in rows}
        for cell in cells:
            lacking[cell.method] += not cell.complete
            means[cell.method] += [sign * (cell.mean or 0.0)] if cell.complete else []
        average = {row: fmean(found) if found else -np.inf for row, found in means.items()}
        return sorted(rows, key=lambda r: (order.get(r, np.inf), lacking[r], -average[r]))
    names = {column_name(column): column for column in grouped}
    if sort not in names:
        raise LeaderboardError(
            f"cannot sort by {sort!r}; allowed: {', '.join(SORTS)}, or a column: {', '.join(names)}"
        )
    chosen = [cell for cell in cells if cell.column == names[sort]]
    value = {c.method: sign * c.mean for c in chosen if c.mean is not None and c.complete}
    return sorted(rows, key=lambda row: -value.get(row, -np.inf))
