"""The interquartile mean of a method over the columns of a table.

Pretraining seeds are what varies independently: one encoder serves every column, so its runs go
up and down together. Runs pooled over pretraining seeds give an interval that is far too narrow.
"""

from collections.abc import Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float

from .intervals import Interval, mean_interval, single_score


def interquartile_mean(scores: Sequence[Float[np.ndarray, " K"]]) -> Interval:
    """Return the mean over pretraining seeds of the mean of the middle half of their runs.

    The interval is Student's over pretraining seeds; one seed gives no limits.

    Args:
        scores: The runs of each pretraining seed in all columns together.

    Raises:
        ValueError: No pretraining seed, or different numbers of runs.
    """
    sizes = [runs.size for runs in scores]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise ValueError(
            f"an interquartile mean needs the same runs of every pretraining seed, got {sizes}"
        )
    means = np.array([scipy.stats.trim_mean(runs, 0.25) for runs in scores])
    return mean_interval(means) if means.size > 1 else single_score(float(means[0]))
