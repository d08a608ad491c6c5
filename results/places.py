"""First and second places of a column, shared by cells without a significant difference.

Every cell is compared with the best of its column; a cell that does not differ significantly shares
its place. Methods are compared by Tukey's range test over pretraining seeds, with all labels over
test chips as well. Checkpoints are compared by Student's test over labelled chips and test chips,
Holm-corrected over the column.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .cells import Outcome
from .statistics.intervals import Variance, add, with_chips
from .statistics.paired import holm
from .statistics.student_t import t_quantile
from .statistics.tukey import pair_variance, range_p, range_quantile, spreads
from .statistics.units import Unit

ALPHA = 0.05


@dataclass(frozen=True)
class Standing:
    """The result of the tests of one cell.

    Attributes:
        place: 1 for the best and its ties, 2 for the same among the rest, else None.
        p_best: Corrected p-value against the best of the column; None for the best itself.
        smallest_difference: Smallest difference from the best that would be significant; for the
            best itself the minimum over the others. None if no pair could be tested.
    """

    place: int | None
    p_best: float | None
    smallest_difference: float | None


# (best, others) -> (p-value, smallest significant difference) of each of the others
Judge = Callable[[str, Sequence[str]], Sequence[tuple[float, float | None]]]


def place_methods(
    values: Mapping[str, Float[np.ndarray, " P"]], outcomes: Mapping[str, Outcome] | None
) -> dict[str, Standing]:
    """Return the standing of each method; empty for fewer than two methods.

    Args:
        values: Scores of each method, one per pretraining seed, 2 or more each.
        outcomes: Outcomes of the test chips, for a test over test chips as well.
    """
    means = {row: float(part.mean()) for row, part in values.items()}
    if len(means) < 2:
        return {}
    spread = dict(zip(values, spreads(list(values.values())), strict=True))

    def judge(best: str, others: Sequence[str]) -> list[tuple[float, float | None]]:
        variances = []
        for row in others:
            seeds = add(*pair_variance(spread[best], spread[row]))
            chips = outcomes[best].variance("chips", outcomes[row]) if outcomes else None
            variances.append(with_chips(seeds, chips) if chips else seeds)
        gaps = [means[best] - means[row] for row in others]
        p, smallest = _range_test(gaps, variances, len(means))
        if any(variance.part for variance in variances):  # as `Variance.p` and `Variance.half`
            parts = [variance.part or variance for variance in variances]
            p, smallest = np.maximum((p, smallest), _range_test(gaps, parts, len(means)))
        return list(zip(map(float, p), map(float, smallest), strict=True))

    return _place(means, judge)


def place_checkpoints(
    means: Mapping[str, float], outcomes: Mapping[str, Outcome], unit: Unit
) -> dict[str, Standing]:
    """Return the standing of each checkpoint; empty if no pair can be tested.

    Args:
        means: Score of each checkpoint.
        outcomes: Outcome of the test chips of each checkpoint.
        unit: `chips` or `seeds+chips`.
    """

    def judge(best: str, others: Sequence[str]) -> list[tuple[float, float | None]]:
        found = []
        for row in others:
            variance = outcomes[best].variance(unit, outcomes[row])
            if variance is None:
                found.append((1.0, None))
                continue
            error = float(np.sqrt(variance.value))
            first = -t_quantile(ALPHA / 2 / len(others), variance.df)
            found.append((variance.p(means[best] - means[row]), first * error))
        adjusted = holm([p for p, _ in found])
        return [(float(p), least) for p, (_, least) in zip(adjusted, found, strict=True)]

    placed = _place(means, judge) if len(means) > 1 else {}
    known = any(standing.smallest_difference is not None for standing in placed.values())
    return placed if known else {}


def _range_test(
    gaps: Sequence[float], variances: Sequence[Variance], methods: int
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Return the p-value of each difference, and the smallest significant one, by Tukey's test."""
    df = np.array([variance.df for variance in variances])
    ratios = [variance.ratio(gap) for gap, variance in zip(gaps, variances, strict=True)]
    errors = np.sqrt([variance.value / 2 for variance in variances])
    p = range_p(np.sqrt(2) * np.array(ratios), methods, df)
    return p, range_quantile(methods, df, ALPHA) * errors


def _place(means: Mapping[str, float], judge: Judge) -> dict[str, Standing]:
    left, result = list(means), dict[str, Standing]()
    for place in (1, 2):
        if not left:
            return result
        best = max(left, key=means.__getitem__)
        others = [row for row in left if row != best]
        judged = dict(zip(others, judge(best, others) if others else [], strict=True))
        if place == 1:
            limits = [least for _, least in judged.values() if least is not None]
            result = {row: Standing(None, p, least) for row, (p, least) in judged.items()}
            result[best] = Standing(None, None, min(limits, default=None))
        for row in [best, *(row for row in others if judged[row][0] > ALPHA)]:
            old = result[row]
            result[row] = Standing(place, old.p_best, old.smallest_difference)
            left.remove(row)
    return result
