"""Tukey's range test of the methods of one column, over pretraining seeds.

The test holds for all pairs at once, so it is also valid against the best mean of the data. The
variance of a method is the pooled one of the column, or its own if that is larger. If its own is
more than three times the pooled one, it keeps its own degrees of freedom too.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import scipy.special
from jaxtyping import Float

from .intervals import Variance

WIDE = 3.0  # times the pooled variance: above, a method keeps its own degrees of freedom
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)
_WIDEST = 16.0  # standard deviations; wider ranges have probability 0 in float64
_STEPS = 3201


def spreads(values: Sequence[Float[np.ndarray, " P"]]) -> list[tuple[Variance, bool]]:
    """Return the variance of the mean of each method, and True for own degrees of freedom.

    Args:
        values: The scores of each method, one per pretraining seed, 2 or more each.
    """
    sizes = np.array([part.size for part in values])
    own = np.array([part.var(ddof=1) for part in values])
    df = float((sizes - 1).sum())
    pooled = float(((sizes - 1) * own).sum() / df)
    found = []
    for variance, size in zip(own, sizes, strict=True):
        wide = bool(variance > WIDE * pooled)
        taken = Variance(max(float(variance), pooled) / size, float(size - 1) if wide else df)
        found.append((taken, wide))
    return found


def pair_variance(first: tuple[Variance, bool], second: tuple[Variance, bool]) -> list[Variance]:
    """Return the independent parts of the variance of a difference of two means."""
    shared = [part for part, wide in (first, second) if not wide]
    parts = [part for part, wide in (first, second) if wide]
    if shared:  # both use the pooled estimate, so its degrees of freedom count once
        parts.append(Variance(sum(part.value for part in shared), shared[0].df))
    return parts


def range_p(
    q: Float[np.ndarray, " K"], methods: int, df: Float[np.ndarray, " _"]
) -> Float[np.ndarray, " K"]:
    """Return the probability that the studentized range of `methods` means exceeds q.

    This equals `scipy.stats.studentized_range.sf`, which takes 15 ms for a single value.
    """
    # quadrature over the estimated standard deviation, divided by the true one
    low, high = (
        np.sqrt(2 * of(df / 2, 1e-12) / df)
        for of in (scipy.special.gammaincinv, scipy.special.gammainccinv)
    )
    spread = low[:, None] + (high - low)[:, None] * (_NODES + 1) / 2
    density = (df[:, None] - 1) * np.log(spread) - df[:, None] * spread**2 / 2
    weights = np.exp(density - density.max(axis=1, keepdims=True)) * _WEIGHTS
    widths, inside = _known_range(methods)
    chance = np.interp(q[:, None] * spread, widths, inside)
    return np.clip(1 - (weights * chance).sum(axis=1) / weights.sum(axis=1), 0.0, 1.0)


def range_quantile(
    methods: int, df: Float[np.ndarray, " K"], alpha: float = 0.05
) -> Float[np.ndarray, " K"]:
    """Return the upper alpha quantile of the studentized range."""
    known, place = np.unique(df, return_inverse=True)
    each = np.arange(known.size)
    low, high = np.ones_like(known), np.full_like(known, 1e3)
    for _ in range(2):  # narrow the bracket to one of 40 steps, twice
        steps = np.geomspace(low, high, 41)
        p = range_p(steps.ravel(), methods, np.tile(known, 41)).reshape(steps.shape)
        at = np.clip((p > alpha).sum(axis=0) - 1, 0, 39)
        low, high = steps[at, each], steps[at + 1, each]
    above, below = (range_p(end, methods, known) for end in (low, high))
    return (low + (high - low) * (above - alpha) / (above - below))[place]


@cache
def _known_range(methods: int) -> tuple[Float[np.ndarray, " W"], Float[np.ndarray, " W"]]:
    """Return widths, and the probability that the range of standard normal values is below each."""
    widths = np.linspace(0, _WIDEST, _STEPS)
    value = 8.5 * _NODES
    weights = 8.5 * _WEIGHTS * (np.exp(-(value**2) / 2) / np.sqrt(2 * np.pi))
    below = scipy.special.ndtr(value)[None] - scipy.special.ndtr(value[None] - widths[:, None])
    return widths, methods * np.maximum(below, 0) ** (methods - 1) @ weights
