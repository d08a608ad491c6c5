"""The gain from pretraining: a row minus the untrained encoder of the same architecture.

Differences and their intervals are those of `compare` (`difference.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .difference import column_difference
from .metric import Metric, metric_of
from .scores import ChipSource, Column, Score, by_column
from .statistics.intervals import Interval
from .statistics.units import Compares


@dataclass(frozen=True)
class Gains:
    """The gains of a table.

    Attributes:
        trained: Rows that can have a gain: methods with an encoder.
        controls: The untrained control of each of these rows that has one.
        differences: Row minus control, for each row and column in which both have a score; control
            minus row where lower values are better. The limits are None where the scores do not
            allow an interval.
    """

    trained: list[str]
    controls: Mapping[str, str]
    differences: Mapping[tuple[str, Column], Interval]

    def above(self) -> dict[tuple[str, Column], bool]:
        """Return True for gains whose 95% interval is above 0; those without one are left out."""
        return {at: one.low > 0 for at, one in self.differences.items() if one.low is not None}

    def to_json(self, row: str, column: Column) -> dict[str, Any]:
        """Return the gain of a cell as plain values, None where it has none."""
        found = self.differences.get((row, column))
        return {
            "gain": found.mean if found else None,
            "gain_low": found.low if found else None,
            "gain_high": found.high if found else None,
            "gain_over": self.controls[row] if found else None,
        }


def gains_of(
    scores: Sequence[Score],
    controls: Mapping[str, str],
    metric: Metric | str,
    chips: ChipSource | None,
    rng: np.random.Generator,
    compares: Compares,
) -> Gains:
    """Return the gain of every trained row in every column.

    Args:
        scores: Runs of the table; of a pair of rows only those with common evaluation seeds count.
        controls: Row of the untrained control of each row that has one.
        metric: A metric that is in the scores; where lower values are better, a fall is a gain.
        chips: Predictions of test chips, for intervals over test chips.
        rng: As in `compare`.
        compares: As in the grid.
    """
    measure = metric_of(metric)
    found: dict[tuple[str, Column], Interval] = {}
    for column, cells in by_column(scores).items():
        for row, cell in cells.items():
            untrained = cells.get(controls.get(row, ""))
            if untrained is None:
                continue
            tested = column_difference(
                column, cell, untrained, measure.name, chips, rng, compares=compares
            )
            if tested.effect is not None:
                gap = tested.effect.difference
                found[row, column] = gap if measure.sign > 0 else gap.negative()
    rows = {score.method: score for score in scores if not score.control and score.encoder}
    return Gains(list(rows), {row: controls[row] for row in rows if row in controls}, found)
