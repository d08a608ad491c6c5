"""Student intervals of a mean."""

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

from .student_t import t_quantile, two_sided_p

LEVEL = 0.95
SAME = 1e-12  # scores, or sums of them, that differ by less are equal up to rounding


class StatisticsError(ValueError):
    """Values that do not allow the interval or the test."""


@dataclass(frozen=True)
class Interval:
    """A mean over n units and its limits; no limits for n = 1."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def negative(self) -> "Interval":
        """Return the interval of the negative mean."""
        low, high = (None if limit is None else -limit for limit in (self.high, self.low))
        return Interval(-self.mean, low, high, self.n)


@dataclass(frozen=True)
class Variance:
    """The estimated variance of a mean, and the degrees of freedom of the estimate.

    Attributes:
        value: The estimate.
        df: Its degrees of freedom.
        part: A part of the variance with few degrees of freedom. The interval is never narrower,
            and a p-value never smaller, than by this part alone.
    """

    value: float
    df: float
    part: "Variance | None" = None

    def half(self) -> float:
        """Return the half-width of the two-sided 95% Student interval."""
        half = float(t_quantile((1 + LEVEL) / 2, self.df) * np.sqrt(self.value))
        return max(half, self.part.half()) if self.part else half

    def ratio(self, difference: float) -> float:
        """Return the size of a difference in standard errors, without regard to the part."""
        if abs(difference) <= SAME:
            return 0.0
        return float(abs(difference) / np.sqrt(self.value)) if self.value > 0 else np.inf

    def p(self, difference: float) -> float:
        """Return the p-value of Student's two-sided test that a difference is 0."""
        p = two_sided_p(self.ratio(difference), self.df)
        return max(p, self.part.p(difference)) if self.part else p


def add(*parts: Variance) -> Variance:
    """Return the sum of independent variances, with Satterthwaite's degrees of freedom."""
    total = sum(part.value for part in parts)
    if total == 0:
        return Variance(0.0, min(part.df for part in parts))
    return Variance(total, total**2 / sum(part.value**2 / part.df for part in parts))


def with_chips(seeds: Variance, chips: Variance) -> Variance:
    """Return the variance over pretraining seeds and test chips.

    Satterthwaite's degrees of freedom are far too many where a few seeds happen to agree, so that
    the sum alone gives an interval narrower than that over the seeds. The seeds are therefore kept
    as a part (`tests/benchmarks/coverage_over_chips.py`).
    """
    return replace(add(seeds, chips), part=seeds)


def mean_interval(scores: Float[np.ndarray, " S"]) -> Interval:
    """Return the mean over S seeds and its two-sided 95% Student interval.

    Raises:
        StatisticsError: There are fewer than two scores; use `single_score` for one.
        ValueError: A score is not finite.
    """
    if scores.size < 2:
        raise StatisticsError(
            f"an interval needs 2 scores or more, got {scores.size}; use single_score for one"
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {scores.size} scores are not finite")
    half = seed_variance(scores).half()
    mean = scores.mean()
    return Interval(float(mean), float(mean - half), float(mean + half), scores.size)


def single_score(score: float) -> Interval:
    """Return one score as a mean without limits."""
    if not np.isfinite(score):
        raise ValueError(f"the score is {score}, not a finite number")
    return Interval(float(score), None, None, 1)


def wilson_limits(
    shares: Float[np.ndarray, " P"], counts: Int[np.ndarray, " P"]
) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P"]]:
    """Return the limits of Wilson's score interval of each share (Wilson, JASA 22, 1927).

    They have a width even where every chip is right. Of a mean share over runs they are too wide
    rather than too narrow, because the variance of values in [0, 1] is at most p (1 - p).

    Args:
        shares: Share of right ones in each part; NaN where a part is empty.
        counts: Number of independent ones in each part.
    """
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    n = np.maximum(counts, 1)
    middle = (shares + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(shares * (1 - shares) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def seed_variance(scores: Float[np.ndarray, " S"]) -> Variance:
    """Return the variance of the mean of S independent scores; S is 2 or more."""
    return Variance(float(scores.var(ddof=1) / scores.size), float(scores.size - 1))
