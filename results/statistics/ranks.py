"""Several methods over several blocks: mean ranks, Friedman's test, Nemenyi's critical difference.

A block is one cell of every method (data set, protocol, shots), after Demsar (2006). Blocks of one
data set share test chips, so they are fewer than they look: every use says so.
"""

from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float

FEWEST_BLOCKS = 5  # below, no difference of mean ranks could be told from chance


class TooFewBlocksError(ValueError):
    """Too few blocks, or too few methods, for a statement over blocks."""


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of methods over blocks; 1 is best.

    Attributes:
        names: The methods, best first.
        ranks: Their mean ranks.
        blocks: Number of blocks.
        friedman_p: Friedman's test that no method is better than another, corrected for ties.
        critical_difference: Nemenyi's: mean ranks that differ by less are not told apart.
        groups: Runs of methods, best first, within one critical difference; largest runs only.
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
        TooFewBlocksError: Fewer than 5 blocks or 3 methods.
    """
    blocks, methods = scores.shape
    if blocks < FEWEST_BLOCKS or methods < 3:
        raise TooFewBlocksError(
            f"mean ranks can be compared from {FEWEST_BLOCKS} blocks and 3 methods on, there are "
            f"{blocks} blocks (data set, protocol and shots with every method) and {methods} "
            "methods"
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
