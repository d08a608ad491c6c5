"""Intervals by resampling: over seeds and test chips at once, and of an interquartile mean.

The axes are named, because resampling the wrong one gives an interval that is far too narrow.
"""

from collections.abc import Sequence

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float, Int

from .paired import UnpairedError
from .stats import Interval

DRAWS = 2000


def two_way_difference(
    right_a: Bool[np.ndarray, "S M"],
    right_b: Bool[np.ndarray, "_ _"],
    rng: np.random.Generator,
    groups: Int[np.ndarray, " _"] | None = None,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
) -> Interval:
    """Return the difference in accuracy of two methods, for other seeds and other test chips.

    Seeds and chips are resampled independently of each other (Owen 2007, the pigeonhole
    bootstrap), one less than there are (Rao and Wu 1988), so that the spread of few is not
    underestimated; chips of one near-duplicate group stay together. With one seed only chips are
    resampled.

    Args:
        right_a: Whether method A was right, for each seed and test chip.
        right_b: The same for method B, on the same seeds and chips.
        rng: Draws the resamples.
        groups: Group of near-duplicates of each chip; None where each stands alone.
        level: Of the percentile interval.
        draws: Number of resamples.

    Raises:
        UnpairedError: The arrays do not fit each other.
    """
    seeds, chips = right_a.shape
    if right_b.shape != right_a.shape or (groups is not None and groups.size != chips):
        raise UnpairedError(f"{right_a.shape} and {right_b.shape} seeds and chips do not pair")
    difference = right_a.astype(np.float64) - right_b
    sizes = np.ones(chips)
    if groups is not None:
        _, place = np.unique(groups, return_inverse=True)
        sizes = np.bincount(place).astype(np.float64)
        difference = np.stack([np.bincount(place, row, sizes.size) for row in difference])
    means = []
    count = sizes.size
    for start in range(0, draws, 250):  # bounded memory
        part = min(250, draws - start)
        of_seeds, of_groups = (
            rng.multinomial(max(n - 1, 1), np.full(n, 1 / n), part).astype(np.float64)
            for n in (seeds, count)
        )
        total = ((of_seeds @ difference) * of_groups).sum(axis=1)
        means.append(total / (max(seeds - 1, 1) * (of_groups @ sizes)))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(difference.sum() / (seeds * chips)), float(low), float(high), seeds)


def interquartile_mean(
    scores: Sequence[Float[np.ndarray, " S"]],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
) -> Interval:
    """Return the mean of the middle half of all scores of a method, with a percentile interval.

    Runs are resampled within their stratum (a cell of the table), never across (Agarwal et al.
    2021), so the interval covers the seeds and not the choice of data sets.

    Args:
        scores: The runs of each stratum; two or more each.
        rng: Draws the resamples.
        level: Of the interval.
        draws: Number of resamples.

    Raises:
        ValueError: A stratum with fewer than two runs.
    """
    if not scores or min(part.size for part in scores) < 2:
        sizes = [part.size for part in scores]
        raise ValueError(f"an interquartile mean needs 2 runs or more in each cell, got {sizes}")
    resampled = np.concatenate(
        [part[rng.integers(0, part.size, (draws, part.size))] for part in scores], axis=1
    )
    means = scipy.stats.trim_mean(resampled, 0.25, axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    every = np.concatenate(scores)
    return Interval(float(scipy.stats.trim_mean(every, 0.25)), float(low), float(high), every.size)
