"""Student's t distribution from `scipy.special`; importing `scipy.stats` takes half a second."""

from scipy.special import stdtr, stdtrit


def t_quantile(share: float, df: float | int) -> float:
    """Return the value that a t variable is below with probability `share`."""
    return float(stdtrit(df, share))


def two_sided_p(t: float, df: float | int) -> float:
    """Return the probability of a t variable at least as far from zero as `t`, which is >= 0."""
    return float(2 * stdtr(df, -t))
