"""Paired comparisons: sign-flip tests, effect sizes, and Holm's correction.

A unit is a seed (`sign_flip`) or a group of near-duplicate test chips (`chip_test`). Under the null
hypothesis the sign of the difference of each unit is random, with equal probabilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Bool, Float, Int

from .intervals import LEVEL, SAME, Interval, StatisticsError, mean_interval, single_score

MOST_EXACT_PAIRS = 20  # 2**19 sign vectors; with more pairs signs are drawn
DRAWS = 20_000


@dataclass(frozen=True)
class PairedTest:
    """A two-sided test over paired units.

    Attributes:
        p: Probability of a difference at least as large under the null hypothesis.
        smallest_p: Smallest attainable `p` for this number of units.
        n: Number of units: pairs of scores, or groups of chips with a difference.
        exact: False if the signs were drawn.
    """

    p: float
    smallest_p: float
    n: int
    exact: bool


def sign_flip(differences: Float[np.ndarray, " S"], rng: np.random.Generator) -> PairedTest:
    """Test paired differences by flipping their signs: all sign vectors up to 20 pairs.

    Args:
        differences: One per pair; finite.
        rng: Draws the signs for more than 20 pairs.

    Raises:
        StatisticsError: The array is empty, or a difference is not finite.
    """
    n = differences.size
    if n == 0 or not np.isfinite(differences).all():
        raise StatisticsError(f"{n} paired differences, all must be finite: {differences.tolist()}")
    reached = abs(differences.sum()) - SAME
    if n <= MOST_EXACT_PAIRS:
        sums = differences[:1]  # the first sign is fixed: opposite vectors give the same |sum|
        for value in differences[1:]:
            sums = np.concatenate((sums + value, sums - value))
        return PairedTest(float(np.mean(np.abs(sums) >= reached)), 2.0 ** (1 - n), n, True)
    hits = 0
    for start in range(0, DRAWS, 1000):  # bounded memory
        signs = rng.integers(0, 2, (min(1000, DRAWS - start), n)) * 2 - 1
        hits += int((np.abs(signs @ differences) >= reached).sum())
    return PairedTest((hits + 1) / (DRAWS + 1), 1 / (DRAWS + 1), n, False)


def chip_test(
    right_a: Bool[np.ndarray, " M"],
    right_b: Bool[np.ndarray, " _"],
    groups: Int[np.ndarray, " _"] | None = None,
) -> PairedTest:
    """Test exactly which of two classifiers is right more often on the same M test chips.

    Without groups this is McNemar's exact test. With groups the sign of a whole group is flipped,
    because near-duplicate chips are right or wrong together.

    Raises:
        StatisticsError: The arrays differ in length.
    """
    if right_a.shape != right_b.shape or (groups is not None and groups.shape != right_a.shape):
        raise StatisticsError(
            f"predictions of {right_a.size} and {right_b.size} chips cannot be paired"
        )
    difference = right_a.astype(np.int64) - right_b
    if groups is not None:
        _, place = np.unique(groups, return_inverse=True)
        difference = np.bincount(place, difference).round().astype(np.int64)
    from scipy.stats import binom  # takes half a second

    steps = np.abs(difference[difference != 0])
    reach = int(steps.sum())
    chance = np.ones(1)  # probability of each sum of signed steps, in ascending order
    for step, count in zip(*np.unique(steps, return_counts=True), strict=True):
        of_these = np.zeros(2 * count * step + 1)
        of_these[:: 2 * step] = binom.pmf(np.arange(count + 1), count, 0.5)
        chance = np.convolve(chance, of_these)
    sums = np.abs(np.arange(-reach, reach + 1))
    p = float(chance[sums >= abs(int(difference.sum()))].sum())
    return PairedTest(min(p, 1.0), 2.0 ** min(0, 1 - steps.size), steps.size, True)


def holm(p_values: Sequence[float]) -> Float[np.ndarray, " K"]:
    """Return the Holm-adjusted p-values of one family of tests, in the given order."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = p[order] * np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


@dataclass(frozen=True)
class Effect:
    """Size of a paired difference.

    Attributes:
        difference: Mean difference and its Student interval; no limits for one pair.
        standardised: Mean divided by the standard deviation over pairs (Cohen's d_z), with the
            interval from the non-central t distribution; None if the pairs do not vary.
    """

    difference: Interval
    standardised: Interval | None


def effect(differences: Float[np.ndarray, " S"]) -> Effect:
    """Return the mean of paired differences and the standardised mean, with 95% intervals."""
    if differences.size == 1:
        return Effect(single_score(float(differences[0])), None)
    mean = mean_interval(differences)
    spread = float(differences.std(ddof=1))
    if spread <= SAME:
        return Effect(mean, None)
    root = np.sqrt(differences.size)
    t = mean.mean / spread * root
    low, high = (
        scipy.special.nctdtrinc(differences.size - 1, tail, t) / root
        for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2)
    )
    return Effect(mean, Interval(mean.mean / spread, float(low), float(high), differences.size))
