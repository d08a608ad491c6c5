"""Which cells of a column share its first and second place, by paired tests.

The cells of one column are one family: each is tested against the best mean, and Holm's correction
is taken over these tests. A cell that is not separated from the best shares its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .paired import PairedTest, chip_test, holm, sign_flip
from .scores import ChipSource, Score, paired_differences, unit_values

ALPHA = 0.05


@dataclass(frozen=True)
class Standing:
    """What the tests say of one cell.

    Attributes:
        place: 1 for the best and what is not separated from it, 2 for the same among the rest;
            None where nothing could be told.
        p_best: Holm-adjusted p against the best of the column; None for the best itself.
        smallest_p: The least that the adjusted p of the cell that differs most could be.
        pairs: Units of the test against the best.
        over_chips: Whether the units are test chips (one run per cell) rather than seeds.
    """

    place: int | None
    p_best: float | None
    smallest_p: float
    pairs: int
    over_chips: bool


def standings(
    column: Mapping[str, Sequence[Score]],
    metric: str,
    chips: ChipSource | None,
    rng: np.random.Generator,
) -> dict[str, Standing]:
    """Return the standing of each complete cell of one column; empty where nothing is to compare.

    Args:
        column: Complete cells by row, controls left out.
        metric: What is compared.
        chips: For cells of one run each; without it such columns are not tested.
        rng: Draws signs where there are too many seeds to try all.
    """
    means = {row: float(unit_values(cell, metric).mean()) for row, cell in column.items()}
    left, result = dict(column), {}
    for place in (1, 2):
        if len(left) < 2 and (place == 1 or not left):
            return result
        best = max(left, key=means.__getitem__)
        others = [row for row in left if row != best]
        tests = [_test(left[best], left[row], metric, chips, rng) for row in others]
        if any(test is None for test in tests):
            return {}
        known: list[PairedTest] = [test for test in tests if test is not None]
        adjusted = holm([test.p for test in known])
        smallest = min(1.0, min((t.smallest_p for t in known), default=0.0) * len(known))
        if place == 1:
            tellable = smallest <= ALPHA
            over_chips = _single(column[best])
            for row, p, test in zip(others, adjusted, known, strict=True):
                result[row] = Standing(None, float(p), smallest, test.n, over_chips)
            pairs = max(test.n for test in known)
            result[best] = Standing(None, None, smallest, pairs, over_chips)
            if not tellable:
                return result
        together = [best, *(r for r, p in zip(others, adjusted, strict=True) if p > ALPHA)]
        for row in together:
            old = result[row]
            result[row] = Standing(place, old.p_best, old.smallest_p, old.pairs, old.over_chips)
            del left[row]
    return result


def _single(cell: Sequence[Score]) -> bool:
    return len(cell) == 1


def _test(
    first: Sequence[Score],
    second: Sequence[Score],
    metric: str,
    chips: ChipSource | None,
    rng: np.random.Generator,
) -> PairedTest | None:
    """Return the test of two complete cells; None where the chips it needs are not there."""
    if not (_single(first) and _single(second)):
        differences = paired_differences(first, second, metric)
        return sign_flip(differences, rng) if differences.size else None
    if chips is None or metric != "accuracy":
        return None
    right = [chips.right(cell[0]) for cell in (first, second)]
    if right[0] is None or right[1] is None:
        return None
    return chip_test(right[0], right[1], chips.groups(first[0].dataset))
