"""Methods over several blocks: mean ranks, Friedman's test, Nemenyi's critical difference.

A block is one column (data set, protocol, shots) with a score of every method (Demsar 2006). Blocks
of one data set share test chips and are not independent; every use must say so.
"""

from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float

FEWEST_BLOCKS = 5  # our choice; Nemenyi's difference can be significant from 3 blocks on


class TooFewBlocksError(ValueError):
    """Too few blocks or methods to compare mean ranks."""


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of methods over blocks; 1 is best.

    Attributes:
        names: Methods, best first.
        ranks: Mean ranks in the same order.
        blocks: Number of blocks.
        friedman_p: p-value of Friedman's test of equal methods, corrected for ties.
        critical_difference: Nemenyi's critical difference of mean ranks.
        groups: Largest groups of successive methods within one critical difference.
    """

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    blocks: int
    friedman_p: float
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]


def mean_ranks(scores: Float[np.ndarray, "blocks methods"]) -> Float[np.ndarray, " methods"]:
    """Return the mean rank of each method; 1 is the highest score, ties share their mean rank."""
    return scipy.stats.rankdata(-scores, axis=1).mean(axis=0)


def critical_difference(methods: int, blocks: int, alpha: float = 0.05) -> float:
    """Return Nemenyi's critical difference of mean ranks (Demsar 2006, section 3.2.2)."""
    quantile = scipy.stats.studentized_range.ppf(1 - alpha, methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * blocks)))


def rank_methods(
    names: list[str], scores: Float[np.ndarray, "blocks methods"], alpha: float = 0.05
) -> Ranking:
    """Rank methods over blocks.

    Raises:
        TooFewBlocksError: There are fewer than 5 blocks or fewer than 3 methods.
    """
    blocks, methods = scores.shape
    if blocks < FEWEST_BLOCKS or methods < 3:
        raise TooFewBlocksError(
            f"a comparison of mean ranks needs {FEWEST_BLOCKS} blocks (columns with every method) "
            f"and 3 methods or more; got {blocks} blocks and {methods} methods"
        )
    ranks = mean_ranks(scores)
    order = np.argsort(ranks, kind="stable")
    sorted_names = tuple(names[i] for i in order)
    sorted_ranks = ranks[order]
    difference = critical_difference(methods, blocks, alpha)
    ends = np.searchsorted(sorted_ranks, sorted_ranks + difference, side="right")
    groups = [
        sorted_names[start:end]
        for start, end in enumerate(ends)
        if end - start > 1 and (start == 0 or end > ends[start - 1])
    ]
    varied = not (scores == scores[:, :1]).all()
    p = float(scipy.stats.friedmanchisquare(*scores.T).pvalue) if varied else 1.0
    return Ranking(
        sorted_names, tuple(map(float, sorted_ranks)), blocks, p, difference, tuple(groups)
    )
