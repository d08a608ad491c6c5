"""The interquartile mean of a method over the columns of a table.

Only pretraining seeds vary independently: one encoder serves every column, so its runs are
correlated. An interval over the pooled runs would be far too narrow.
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
        scores: The runs of each pretraining seed in all columns.

    Raises:
        ValueError: The list is empty, or the numbers of runs differ.
    """
    sizes = [runs.size for runs in scores]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise ValueError(
            f"an interquartile mean needs equally many runs of every pretraining seed, got {sizes}"
        )
    means = np.array([scipy.stats.trim_mean(runs, 0.25) for runs in scores])
    return mean_interval(means) if means.size > 1 else single_score(float(means[0]))
