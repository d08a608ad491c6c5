"""Two methods side by side, with a reading in plain words for each column.

Pretraining seeds of two methods are not paired, so with several on both sides the test is Welch's
over their means. A control without an encoder (raw pixels) has no pretraining seeds to vary: the
other side is tested against it with Student's t. One checkpoint is not a method: where a side has
one, the test is about these checkpoints, over labelled chips where they are drawn and over test
chips where they are not.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
import scipy.stats
from jaxtyping import Float

from .paired import Effect, PairedTest, chip_test, effect, holm, sign_flip
from .reading import WORDS, Unit, read_result
from .scores import (
    ChipSource,
    Column,
    LeaderboardError,
    Score,
    by_column,
    column_name,
    refuse_mixtures,
    starts_of,
)
from .stats import Interval, single_score
from .two_way import FEWEST_SEEDS, TwoWay, two_way_mean

Cell = Sequence[Score]


@dataclass(frozen=True)
class Comparison:
    """A less B in one column; differences are fractions.

    Attributes:
        means: Of A and B, over the runs that each has.
        unit: What the test and the interval of the difference run over.
        effect: Size of the difference; None where nothing pairs.
        test: Over the units; None where it cannot be made.
        p_holm: Its p after Holm's correction over all columns compared.
        smallest_holm: The least that this could be, given the p of the other columns.
        new_chips: Interval of the difference in accuracy of two checkpoints for other draws of
            labelled chips and other test chips; None where draws or groups are too few.
        reading: What may be said.
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
    reading: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Tested:
    """A difference in one column and its test, before correction for other columns."""

    unit: Unit
    effect: Effect | None = None
    test: PairedTest | None = None
    new_chips: Interval | None = None


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
        rng: Draws signs where there are too many to try all.

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
    tested = {
        column: test_difference(column, cells[first], cells[second], metric, chips, rng)
        for column, cells in columns.items()
    }
    known = {column: one.test.p for column, one in tested.items() if one.test}
    adjusted = dict(zip(known, map(float, holm(list(known.values()))), strict=True))
    smallest = {column: _smallest(column, known, one.test) for column, one in tested.items()}
    return [
        _comparison(column, cells[first], cells[second], metric, tested[column],
                    adjusted.get(column), smallest[column], len(known))
        for column, cells in columns.items()
    ]  # fmt: skip


def _smallest(column: Column, known: dict[Column, float], test: PairedTest | None) -> float | None:
    """Return the least corrected p of a column, given the p of the others."""
    if test is None:
        return None
    p_values = known | {column: test.smallest_p}
    return float(holm(list(p_values.values()))[list(p_values).index(column)])


def test_difference(
    column: Column,
    a: Cell,
    b: Cell,
    metric: str,
    chips: ChipSource | None,
    rng: np.random.Generator,
) -> Tested:
    """Return the test of one column, over the units that this column has."""
    constant = _without_seeds(a), _without_seeds(b)
    methods = not all(constant) and all(
        starts_of(cell) > 1 or fixed for cell, fixed in zip((a, b), constant, strict=True)
    )
    draws = min(len({score.seed for score in cell}) for cell in (a, b))
    drawn = column[2] != "all" and draws > 1
    unit: Unit = "pretrain_seeds" if methods else "seeds" if drawn else "chips"
    sides = shared_values(a, b, lambda score: score.values.get(metric))
    if sides is None:
        return Tested(unit)
    over_chips, groups = None, chips.groups(column[0]) if chips else None
    correct = _correct(a, b, chips, sides) if metric == "accuracy" else None
    if correct is not None:  # S x M: A less B, in the mean over pretraining seeds
        over_chips = correct[0].mean(axis=0) - correct[1].mean(axis=0)
    if methods:
        of_chips = None
        if column[2] == "all" and over_chips is not None:
            of_chips = two_way_mean(over_chips.mean(axis=0, keepdims=True), groups)
        return _welch(sides[0].mean(axis=1), sides[1].mean(axis=1), constant, of_chips)
    differences = sides[0].mean(axis=0) - sides[1].mean(axis=0)
    if drawn:
        interval = two_way_mean(over_chips, groups).interval() if over_chips is not None else None
        known = interval if interval and interval.low is not None else None
        return Tested(unit, effect(differences), sign_flip(differences, rng), known)
    if over_chips is None:
        return Tested(unit, Effect(single_score(float(differences.mean())), None))
    if 1 < len(over_chips) < FEWEST_SEEDS:  # too few heads for a variance of their own
        over_chips = over_chips.mean(axis=0, keepdims=True)
    found = two_way_mean(over_chips, groups)
    if len(a) == len(b) == 1 and correct is not None:
        exact = chip_test(correct[0][0, 0] > 0.5, correct[1][0, 0] > 0.5, groups)
        return Tested(unit, Effect(found.interval(), None), exact)
    p = found.p()
    test = None if p is None else PairedTest(p, 0.0, found.groups, False)
    return Tested(unit, Effect(found.interval(), None), test)


def _correct(
    a: Cell, b: Cell, chips: ChipSource | None, sides: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return 1 for each test chip that a run of `sides` had right, else 0; None if one lacks it."""
    if chips is None:
        return None
    found = shared_values(a, b, lambda score: chips.right(score) if score.values else None)
    if found is None or any(
        right.shape[:2] != side.shape for right, side in zip(found, sides, strict=True)
    ):
        return None
    return found


def shared_values(
    a: Cell, b: Cell, value: Callable[[Score], Any]
) -> tuple[Float[np.ndarray, "A S *M"], Float[np.ndarray, "B S *M"]] | None:
    """Return the values of both sides, pretraining seed x evaluation seed; None without a pair.

    Only evaluation seeds that every pretraining seed of both sides has are taken: they share
    their labelled chips. A pretraining seed without any value is left out.
    """
    sides: list[list[dict[int, Any]]] = []
    for cell in (a, b):
        starts: dict[int, dict[int, Any]] = {}
        for score in cell:
            if (one := value(score)) is not None:
                starts.setdefault(score.pretrain_seed, {})[score.seed] = one
        sides.append([starts[start] for start in sorted(starts)])
    if not all(sides):
        return None
    seeds = sorted(set.intersection(*(set(start) for side in sides for start in side)))
    if not seeds:
        return None
    of_a, of_b = (
        np.array([[start[seed] for seed in seeds] for start in side], dtype=np.float64)
        for side in sides
    )
    return of_a, of_b


def _without_seeds(cell: Cell) -> bool:
    """Say whether no pretraining seed enters a row: a control without an encoder."""
    return all(score.control and score.encoder is None for score in cell)


def _welch(
    a: Float[np.ndarray, " A"],
    b: Float[np.ndarray, " B"],
    constant: tuple[bool, bool],
    of_chips: TwoWay | None,
) -> Tested:
    """Test two means with their own variances, and where given with that of the test chips.

    A side that is `constant` has no variance over pretraining seeds.
    """
    gap = float(a.mean() - b.mean())
    varied = [side for side, fixed in zip((a, b), constant, strict=True) if not fixed]
    count = sum(side.size for side in varied)
    if any(side.size < 2 for side in varied):
        return Tested("pretrain_seeds", Effect(single_score(gap), None))
    parts = [(float(side.var(ddof=1)) / side.size, side.size - 1.0) for side in varied]
    unit: Unit = "pretrain_seeds"
    if of_chips is not None and of_chips.se is not None and of_chips.df is not None:
        parts.append((of_chips.se**2, of_chips.df))
        unit = "pretrain_seeds+chips"
    variance = sum(part for part, _ in parts)
    if variance < 1e-18:  # equal but for rounding: no spread to test against
        return Tested(unit, Effect(single_score(gap), None))
    df = variance**2 / sum(part**2 / of_part for part, of_part in parts)
    half = float(scipy.stats.t.ppf(0.975, df) * np.sqrt(variance))
    p = float(2 * scipy.stats.t.sf(abs(gap) / np.sqrt(variance), df))
    interval = Interval(gap, gap - half, gap + half, count)
    return Tested(unit, Effect(interval, None), PairedTest(p, 0.0, count, False))


def _comparison(
    column: Column,
    a: Cell,
    b: Cell,
    metric: str,
    tested: Tested,
    p_holm: float | None,
    smallest: float | None,
    family: int,
) -> Comparison:
    values = [[s.values[metric] for s in cell if metric in s.values] for cell in (a, b)]
    means = [fmean(found) if found else None for found in values]
    runs = [f"{len(found)}/{len(cell)}" for found, cell in zip(values, (a, b), strict=True)]
    names = a[0].method, b[0].method
    if tested.effect is None:
        reading = (
            f"Cannot be compared: no pair of runs ({names[0]} has {runs[0]}, {names[1]} has "
            f"{runs[1]})."
        )
    else:
        single = starts_of(a) == 1, starts_of(b) == 1
        reading = read_result(names, tested.unit, tested.effect.difference, tested.test, p_holm,
                              smallest, family, tested.new_chips, single)  # fmt: skip
    return Comparison(
        column, (means[0], means[1]), (runs[0], runs[1]), tested.unit, tested.effect, tested.test,
        p_holm, smallest, tested.new_chips, reading,
    )  # fmt: skip


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
            kind = "exact" if one.test.exact else "Monte Carlo" if one.unit == "seeds" else "t"
            line = f"  p {one.test.p:.4g} ({kind}, {one.test.n} {WORDS[one.unit]})"
            least = one.test.smallest_p
            lines.append(line + (f", smallest attainable {least:.3g}" if least else ""))
        lines += [f"  {one.reading}", ""]
    return "\n".join(lines)
