"""Spearman's rank correlation with a bootstrap interval."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float

FEWEST_PAIRS = 4  # with fewer, rho has almost no values
DRAWS = 10_000
LEVEL = 0.95


class Correlation(NamedTuple):
    """Rho, and the limits of its 95% interval; they are None if the values do not differ."""

    rho: float
    low: float | None
    high: float | None


def spearman(x: Sequence[float], y: Sequence[float], rng: np.random.Generator) -> Correlation:
    """Return Spearman's rho of pairs, with the percentile interval of resampled pairs.

    Draws in which all values of one side are equal have no rho and are left out. With few pairs the
    interval is only a rough one, and often too short.

    Raises:
        ValueError: There are fewer than 4 pairs.
    """
    pairs = np.array([x, y], dtype=np.float64)
    if pairs.shape[1] < FEWEST_PAIRS:
        raise ValueError(
            f"there are {pairs.shape[1]} pairs; a rank correlation needs {FEWEST_PAIRS} or more"
        )
    rho = float(_rho(pairs[:, None])[0])
    chosen = rng.integers(pairs.shape[1], size=(DRAWS, pairs.shape[1]))
    drawn = _rho(pairs[:, chosen])
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(rho) or not drawn.size:
        return Correlation(rho, None, None)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Correlation(rho, float(low), float(high))


def _rho(pairs: Float[np.ndarray, "2 R N"]) -> Float[np.ndarray, " R"]:
    """Return the correlation of the ranks of R samples; ties share their mean rank."""
    ranks = scipy.stats.rankdata(pairs, axis=-1)
    x, y = ranks - ranks.mean(axis=-1, keepdims=True)
    length = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    products = (x * y).sum(-1)
    return np.divide(products, length, out=np.full_like(length, np.nan), where=length > 0)
