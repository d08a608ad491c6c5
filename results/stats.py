"""What a few seeds say of the mean over all seeds."""

from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float


class TooFewScoresError(ValueError):
    """Fewer scores than an interval can be computed from."""


@dataclass(frozen=True)
class Interval:
    """A mean over n seeds and where the true mean lies; no limits where n = 1."""

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(scores: Float[np.ndarray, " S"], level: float = 0.95) -> Interval:
    """Return the mean over S seeds and its two-sided Student interval.

    Raises:
        TooFewScoresError: Fewer than two scores; one alone is a `single_score`.
        ValueError: A score is not finite, or `level` is not within (0, 1).
    """
    if scores.size < 2:
        raise TooFewScoresError(
            f"an interval needs 2 scores or more, got {scores.size}; use single_score for one"
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {scores.size} scores are not finite")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    quantile = scipy.stats.t.ppf((1 + level) / 2, scores.size - 1)
    half = quantile * scores.std(ddof=1) / np.sqrt(scores.size)
    mean = scores.mean()
    return Interval(float(mean), float(mean - half), float(mean + half), scores.size)


def single_score(score: float) -> Interval:
    """Return one score as a mean without limits: a deterministic cell, or a single seed."""
    if not np.isfinite(score):
        raise ValueError(f"the score is {score}, not a number")
    return Interval(float(score), None, None, 1)
