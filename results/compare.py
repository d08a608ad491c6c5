"""Comparison of two rows in each column, with the result in words."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .conclusions import Conclusion, Corrected, Tested, conclude, units_of
from .difference import Cell, column_difference, count_runs
from .metric import Metric, metric_of
from .notes import MORE, Note, flags, text_notes
from .scores import (
    ChipSource,
    Column,
    LeaderboardError,
    Score,
    by_column,
    cell_mean,
    column_name,
    refuse_mixtures,
    starts_of,
)
from .statistics.intervals import Interval
from .statistics.paired import Effect, PairedTest, holm
from .statistics.units import Compares, Unit


@dataclass(frozen=True)
class Comparison:
    """A minus B in one column; differences are fractions.

    Attributes:
        means: Means of A and B, as in the table.
        runs: Finished runs of A and B, as `3/4`.
        unit: Unit of the test and of the interval of the difference.
        effect: Size of the difference; None without a pair of runs.
        test: Test over the units; None where the data do not allow one.
        p_holm: p-value after Holm's correction over all tested columns.
        smallest_holm: Smallest attainable `p_holm`, given the p-values of the other columns.
        new_chips: Interval of the difference of two checkpoints for other draws of labelled chips
            and other test chips; None with too few draws or groups.
        conclusion: The result in words.
        units: The units of the test in words; empty without a test.
        compares: Subject of the grid, methods or checkpoints.
        family: Number of columns in Holm's correction.
        grid_columns: Number of columns of the grid that both rows have, shown or not.
    """

    column: Column
    means: tuple[float | None, float | None]
    runs: tuple[str, str]
    unit: Unit
    effect: Effect | None
    test: PairedTest | None
    p_holm: float | None
    smallest_holm: float | None
    new_chips: Interval | None
    conclusion: Conclusion
    units: str
    compares: Compares
    family: int
    grid_columns: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values; the conclusion is one text, named `reading`."""
        plain = asdict(self)
        del plain["conclusion"]
        return {**plain, "reading": str(self.conclusion)}


def compare(
    scores: Sequence[Score],
    first: str,
    second: str,
    metric: Metric | str,
    chips: ChipSource | None,
    rng: np.random.Generator,
    *,
    compares: Compares = "methods",
    grid_columns: int | None = None,
) -> list[Comparison]:
    """Compare two rows in every column that has both.

    Args:
        scores: Runs of the grid, or of the shown part of it.
        first: Row A.
        second: Row B.
        metric: The metric, or the name of one of sarbench.
        chips: Predictions of test chips.
        rng: Draws signs for a test with too many units to try all signs.
        compares: As in the grid; `checkpoints` makes no claim about methods.
        grid_columns: Number of columns of the whole grid that both rows have; by default that of
            `scores`.

    Raises:
        LeaderboardError: A row is missing, both rows are the same, they share no column, or their
            scores must not be mixed.
    """
    measure = metric_of(metric)
    rows = list(dict.fromkeys(score.method for score in scores))
    for row in (first, second):
        if row not in rows:
            raise LeaderboardError(f"no row {row!r} in this grid. Rows: {'; '.join(rows)}")
    if first == second:
        raise LeaderboardError(f"{first} cannot be compared with itself; name two rows")
    chosen = [score for score in scores if score.method in (first, second)]
    refuse_mixtures(chosen, measure)
    columns = {c: cells for c, cells in by_column(chosen).items() if len(cells) == 2}
    if not columns:
        raise LeaderboardError(f"{first} and {second} share no column of this grid")
    tested = {
        column: column_difference(
            column, cells[first], cells[second], measure.name, chips, rng, compares=compares
        )
        for column, cells in columns.items()
    }
    known = {column: one.test.p for column, one in tested.items() if one.test}
    adjusted = dict(zip(known, map(float, holm(list(known.values()))), strict=True))
    found = []
    for column, cells in columns.items():
        corrected = Corrected(
            adjusted.get(column), _smallest(column, known, tested[column].test), len(known),
            max(grid_columns or 0, len(columns)),
        )  # fmt: skip
        found.append(_comparison(
            column, cells[first], cells[second], measure, tested[column], corrected, compares
        ))  # fmt: skip
    return found


def _smallest(column: Column, known: dict[Column, float], test: PairedTest | None) -> float | None:
    """Return the smallest attainable corrected p-value of a column, given the other columns."""
    if test is None:
        return None
    p_values = known | {column: test.smallest_p}
    return float(holm(list(p_values.values()))[list(p_values).index(column)])


def _comparison(
    column: Column,
    a: Cell,
    b: Cell,
    measure: Metric,
    tested: Tested,
    corrected: Corrected,
    compares: Compares,
) -> Comparison:
    metric = measure.name
    means = cell_mean(a, metric), cell_mean(b, metric)
    runs, names = (count_runs(a, metric), count_runs(b, metric)), (a[0].method, b[0].method)
    if tested.effect is None:
        conclusion = Conclusion(
            f"Cannot be compared: no pair of runs ({names[0]} has {runs[0]}, {names[1]} has "
            f"{runs[1]})."
        )
    else:
        single = starts_of(a) == 1, starts_of(b) == 1
        conclusion = conclude(names, tested, corrected, compares, single, measure)
    return Comparison(
        column, means, runs, tested.unit, tested.effect, tested.test, corrected.p,
        corrected.smallest, tested.new_chips, conclusion,
        units_of(tested, tested.test) if tested.test else "", compares, corrected.family,
        corrected.columns,
    )  # fmt: skip


def comparison_text(
    comparisons: Sequence[Comparison],
    first: str,
    second: str,
    metric: Metric | str,
    notes: Sequence[Note] = (),
    *,
    full: bool = False,
) -> str:
    """Return all comparisons as text.

    Args:
        comparisons: The columns.
        first: Row A.
        second: Row B.
        metric: The compared metric.
        notes: Notes of the grid.
        full: Print all notes, and the limits of the claim with every column. By default the flags
            of the notes and each limit are printed once.
    """
    measure = metric_of(metric)
    lines = [f"{measure.heading}, A minus B"]
    lines += [f"A: {first}", f"B: {second}"]
    one = comparisons[0]
    if len(comparisons) < one.grid_columns:
        lines.append(
            f"Part of the grid: {len(comparisons)} of {one.grid_columns} shared columns are shown; "
            f"Holm's correction is over the {one.family} tested ones."
        )
    lines.append("")
    for one in comparisons:
        means = " and ".join("no score" if m is None else measure.text(m) for m in one.means)
        lines.append(f"{column_name(one.column)}: {means} (runs {one.runs[0]} and {one.runs[1]})")
        if one.effect:
            gap = one.effect.difference
            text = f"  difference {measure.signed(gap.mean)}"
            if gap.low is not None and gap.high is not None:
                limits = measure.signed(gap.low), measure.signed(gap.high)
                text += f", 95% interval {limits[0]} to {limits[1]}"
            if one.effect.standardised:
                d = one.effect.standardised
                text += f"; d_z {d.mean:.2f} ({d.low:.2f} to {d.high:.2f})"
            lines.append(text)
        if one.test:
            lines.append(f"  {_test_line(one.test, one.unit, one.units)}")
        lines += [f"  {one.conclusion if full else one.conclusion.claim}", ""]
    if full:
        return "\n".join([*lines, text_notes(notes), ""])
    return "\n".join([*lines, *_scopes(comparisons), *flags(notes), MORE, ""])


def _test_line(test: PairedTest, unit: Unit, units: str) -> str:
    """Return the p-value before correction, with the test and its units."""
    kind = "exact test" if test.exact else "Monte Carlo test" if unit == "seeds" else "t-test"
    least = ""
    if test.smallest_p > 0.001:  # few units: the reader must know that p has a lower limit
        least = f"; p cannot be below {test.smallest_p:.3g}"
    return f"p = {test.p:.4g} ({kind} over {units}){least}"


def _scopes(comparisons: Sequence[Comparison]) -> list[str]:
    """Return each limit of the claims once, with its columns where it does not hold for all."""
    columns: dict[str, list[str]] = {}
    for one in comparisons:
        columns.setdefault(one.conclusion.scope, []).append(column_name(one.column))
    return [
        scope if len(columns) == 1 else f"{', '.join(where)}: {scope}"
        for scope, where in columns.items()
        if scope
    ]
