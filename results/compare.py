"""Two methods side by side, with a reading in plain words for each column.

The seed-level test speaks of these checkpoints on these test images. Whether a difference would
be there on other test images of the same kind is a second question, answered by resampling seeds
and chips together.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from .bootstrap import two_way_difference
from .paired import Effect, PairedTest, chip_test, effect, holm, sign_flip
from .scores import (
    ChipSource,
    Column,
    LeaderboardError,
    Score,
    by_column,
    column_name,
    paired_differences,
    refuse_mixtures,
    starts_of,
)
from .stats import Interval
from .ties import ALPHA

FEWEST_SEEDS = 5  # of an interval over seeds and chips; from fewer it would be too narrow


@dataclass(frozen=True)
class Comparison:
    """A less B in one column; differences are fractions.

    Attributes:
        means: Of A and B, over the runs that each has.
        unit: What is paired: seeds, pretraining seeds, or test chips.
        effect: Size of the difference over paired seeds; None where nothing pairs.
        test: Over the units.
        p_holm: Its p after Holm's correction over all columns compared.
        smallest_holm: The least that this could be if every other column were as clear.
        new_chips: Interval of the difference in accuracy for other seeds and other test chips (of
            one run each: for other chips); None where predictions are missing, with 2 to 4 seeds,
            or with several pretraining seeds.
        reading: What may be said.
    """

    column: Column
    means: tuple[float | None, float | None]
    runs: tuple[str, str]
    unit: str
    effect: Effect | None
    test: PairedTest | None
    p_holm: float | None
    smallest_holm: float | None
    new_chips: Interval | None
    reading: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def compare(
    scores: Sequence[Score],
    first: str,
    second: str,
    metric: str,
    chips: ChipSource | None,
    rng: np.random.Generator,
) -> list[Comparison]:
    """Compare two rows in every column that has both.

    Args:
        scores: Of the whole grid.
        first: Row A.
        second: Row B.
        metric: What is compared; the interval over chips is of accuracy always.
        chips: Predictions.
        rng: Draws resamples and signs.

    Raises:
        LeaderboardError: A row is not there, both are the same, they share no column, or their
            scores must not be mixed.
    """
    rows = list(dict.fromkeys(score.method for score in scores))
    for row in (first, second):
        if row not in rows:
            raise LeaderboardError(f"no row {row!r} in this grid; rows: {', '.join(rows)}")
    if first == second:
        raise LeaderboardError(f"{first} cannot be compared with itself; name two rows")
    chosen = [score for score in scores if score.method in (first, second)]
    refuse_mixtures(chosen)
    columns = {c: cells for c, cells in by_column(chosen).items() if len(cells) == 2}
    if not columns:
        raise LeaderboardError(f"{first} and {second} share no column of this grid")
    tests = {
        column: _test(cells[first], cells[second], metric, chips, rng)
        for column, cells in columns.items()
    }
    known = {column: test for column, test in tests.items() if test}
    adjusted = dict(zip(known, holm([test.p for test in known.values()]), strict=True))
    return [
        _comparison(
            column, cells[first], cells[second], metric, tests[column],
            float(adjusted[column]) if column in adjusted else None, len(known), chips, rng,
        )
        for column, cells in columns.items()
    ]  # fmt: skip


def _test(
    a: Sequence[Score],
    b: Sequence[Score],
    metric: str,
    chips: ChipSource | None,
    rng: np.random.Generator,
) -> PairedTest | None:
    if len(a) == len(b) == 1:
        right = [chips.right(cell[0]) if chips else None for cell in (a, b)]
        if metric != "accuracy" or right[0] is None or right[1] is None or chips is None:
            return None
        return chip_test(right[0], right[1], chips.groups(a[0].dataset))
    differences = paired_differences(a, b, metric)
    return sign_flip(differences, rng) if differences.size else None


def _comparison(
    column: Column,
    a: Sequence[Score],
    b: Sequence[Score],
    metric: str,
    test: PairedTest | None,
    p_holm: float | None,
    family: int,
    chips: ChipSource | None,
    rng: np.random.Generator,
) -> Comparison:
    differences = paired_differences(a, b, metric)
    size = effect(differences) if differences.size else None
    single = starts_of(a) == starts_of(b) == 1
    new_chips = _over_chips(a, b, chips, rng) if single and chips else None
    unit = "test chips" if len(a) == len(b) == 1 else "seeds" if single else "pretraining seeds"
    values = [[s.values[metric] for s in cell if metric in s.values] for cell in (a, b)]
    means = [fmean(found) if found else None for found in values]
    runs = [f"{len(found)}/{len(cell)}" for found, cell in zip(values, (a, b), strict=True)]
    smallest = None if test is None else min(1.0, test.smallest_p * family)
    reading = _read(
        (a[0].method, b[0].method), runs, unit, size, test, p_holm, smallest, family, new_chips
    )
    return Comparison(
        column, (means[0], means[1]), (runs[0], runs[1]), unit, size, test, p_holm, smallest,
        new_chips, reading,
    )  # fmt: skip


def _over_chips(
    a: Sequence[Score], b: Sequence[Score], chips: ChipSource, rng: np.random.Generator
) -> Interval | None:
    """Return the two-way interval over the seeds that both have."""
    theirs = {score.seed: score for score in b if score.values}
    pairs = [(chips.right(s), chips.right(theirs[s.seed])) for s in a
             if s.values and s.seed in theirs]  # fmt: skip
    rights = [(mine, other) for mine, other in pairs if mine is not None and other is not None]
    if len(rights) < len(pairs) or (len(pairs) != 1 and len(pairs) < FEWEST_SEEDS):
        return None
    right_a, right_b = (np.stack(side) for side in zip(*rights, strict=True))
    return two_way_difference(right_a, right_b, rng, chips.groups(a[0].dataset))


def _read(
    names: tuple[str, str],
    runs: Sequence[str],
    unit: str,
    size: Effect | None,
    test: PairedTest | None,
    p_holm: float | None,
    smallest: float | None,
    family: int,
    new_chips: Interval | None,
) -> str:
    """Return what may be said, in words that cannot be taken for more."""
    if size is None:
        return (
            f"Cannot be compared: no pair of runs ({names[0]} has {runs[0]}, {names[1]} has "
            f"{runs[1]})."
        )
    if test is None or p_holm is None or smallest is None:
        return "Not tested: one run each, and the test over chips needs accuracy and predictions."
    gap = size.difference
    family_text = f" after Holm's correction over {family} columns" if family > 1 else ""
    if p_holm > ALPHA:
        text = f"No difference shown (p = {p_holm:.3g}{family_text})."
        if smallest > ALPHA:
            text += (
                f" With {test.n} {unit} p cannot go below {smallest:.3g}{family_text}: this "
                "comparison could not have shown a difference, however large."
            )
        elif gap.low is not None and gap.high is not None:
            text += (
                " That is not a proof that they are equal: taken alone, this column agrees with "
                f"differences from {100 * gap.low:+.1f} to {100 * gap.high:+.1f} points."
            )
        else:
            text += " That is not a proof that they are equal."
    else:
        higher, lower = names if gap.mean > 0 else names[::-1]
        text = f"{higher} is higher than {lower} by {100 * abs(gap.mean):.1f} points"
        if gap.low is not None and gap.high is not None:
            low, high = sorted((abs(gap.low), abs(gap.high)))
            if gap.low * gap.high > 0:
                text += f" (95 % interval {100 * low:.1f} to {100 * high:.1f})"
        text += f", p = {p_holm:.3g}{family_text}, over {test.n} {unit}."
        if unit == "seeds":
            text += " This is about these two checkpoints on these test images."
        elif unit == "test chips":
            text += " This is about these two runs."
    if new_chips and new_chips.low is not None and new_chips.high is not None:
        limits = f"{100 * new_chips.low:+.1f} to {100 * new_chips.high:+.1f} points of accuracy"
        where = "outside" if new_chips.low > 0 or new_chips.high < 0 else "inside"
        what = "For other" if unit == "test chips" else "For other seeds and other"
        text += f" {what} test images of this kind: {limits}; zero lies {where}."
    return text


def comparison_text(comparisons: Sequence[Comparison], first: str, second: str, metric: str) -> str:
    """Return all comparisons as text."""
    lines = [f"{first} less {second}, {metric.replace('_', ' ')}", ""]
    for one in comparisons:
        means = " and ".join("no score" if m is None else f"{100 * m:.1f}" for m in one.means)
        lines.append(f"{column_name(one.column)}: {means} (runs {one.runs[0]} and {one.runs[1]})")
        if one.effect:
            gap = one.effect.difference
            text = f"  difference {100 * gap.mean:+.1f}"
            if gap.low is not None and gap.high is not None:
                text += f", 95 % interval {100 * gap.low:+.1f} to {100 * gap.high:+.1f}"
            if one.effect.standardised:
                d = one.effect.standardised
                text += f"; d_z {d.mean:.2f} ({d.low:.2f} to {d.high:.2f})"
            lines.append(text)
        if one.test:
            exact = "exact" if one.test.exact else "Monte Carlo"
            lines.append(
                f"  p {one.test.p:.4g} ({exact}, {one.test.n} {one.unit}), smallest attainable "
                f"{one.test.smallest_p:.3g}"
            )
        lines += [f"  {one.reading}", ""]
    return "\n".join(lines)
