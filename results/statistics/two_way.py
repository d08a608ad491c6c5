"""Weighted mean over seeds and test chips, with its variance as crossed random effects.

The values are outcomes of one classifier or differences of two. The variance is the
analysis-of-variance estimate: the part of seeds plus the part of groups of test chips minus their
interaction, which both contain. The part of groups includes one additional group with the value 1
(Agresti and Min 2005 add cells in the same way); without it the variance is too small for
classifiers that differ on few chips. Degrees of freedom follow Satterthwaite (1946). Those of the
groups come from the effective number of groups, so that a few large groups do not count as many.
"""

import numpy as np
from jaxtyping import Float, Int

from .intervals import Variance
from .units import FEWEST_GROUPS, FEWEST_SEEDS


def two_way_mean(
    gaps: Float[np.ndarray, "S M"],
    groups: Int[np.ndarray, " M"] | None = None,
    weights: Float[np.ndarray, " M"] | None = None,
) -> tuple[float, Variance | None]:
    """Return the mean of values in [-1, 1], with its variance over seeds and test chips.

    With one seed the variance is over test chips only. It is None with too few seeds or groups.

    Args:
        gaps: The value of each chip, for each seed.
        groups: Group of near-duplicates of each chip; None where each chip is its own group.
        weights: Weights of the chips, with mean 1; None for equal weights. They are constants.
    """
    seeds, chips = gaps.shape
    sizes = np.ones(chips)
    if weights is not None:
        gaps, sizes = gaps * weights, weights
    if groups is not None:
        _, place = np.unique(groups, return_inverse=True)
        sizes = np.bincount(place, sizes)
        gaps = np.stack([np.bincount(place, row, sizes.size) for row in gaps])
    mean = float(gaps.sum() / (seeds * chips))
    if sizes.size < FEWEST_GROUPS or 1 < seeds < FEWEST_SEEDS:
        return mean, None
    return mean, Variance(*_variance(gaps - mean * sizes, sizes))


def _variance(
    residuals: Float[np.ndarray, "S G"], sizes: Float[np.ndarray, " G"]
) -> tuple[float, float]:
    """Return the variance of the mean difference per chip, and its degrees of freedom.

    Args:
        residuals: Sum over the chips of each group, minus its share of the mean difference.
        sizes: Sum of the weights of the chips of each group.
    """
    seeds, chips = residuals.shape[0], sizes.sum()
    small = 1 / (1 - (sizes**2).sum() / chips**2)  # G / (G - 1) for groups of equal size
    of_groups = residuals.sum(axis=0)
    squares = of_groups**2
    carrying = squares.sum() ** 2 / (squares**2).sum() if squares.any() else 1.0
    df_groups = max(float(carrying) - 1, 2.0)
    by_groups = small * squares.sum() / (seeds * chips) ** 2 + (sizes**2).mean() / chips**2
    if seeds == 1:
        return float(by_groups), df_groups
    of_seeds = residuals.sum(axis=1)
    few = seeds / (seeds - 1)
    by_seeds = few * (of_seeds**2).sum() / (seeds * chips) ** 2
    rest = residuals - np.outer(of_seeds, sizes / chips) - of_groups / seeds
    by_both = few * small * (rest**2).sum() / (seeds * chips) ** 2
    variance = max(by_seeds + by_groups - by_both, by_seeds, by_groups)
    df = variance**2 / (
        by_seeds**2 / (seeds - 1)
        + by_groups**2 / df_groups
        + by_both**2 / ((seeds - 1) * df_groups)
    )
    return float(variance), max(float(df), 1.0)
