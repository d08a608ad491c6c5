"""Units of intervals and tests: pretraining seeds, draws of labelled chips, test chips.

One checkpoint does not represent its method. A table of methods therefore has places from three
pretraining seeds on, and its intervals are over pretraining seeds. A table of checkpoints makes no
claim about methods. A column with all labels has no draws, so its intervals and tests are over test
chips.
"""

from collections.abc import Collection
from typing import Literal

Compares = Literal["methods", "checkpoints"]
Unit = Literal["seeds", "pretrain_seeds", "chips", "pretrain_seeds+chips", "seeds+chips"]
FEWEST_PRETRAINED = 3  # pretraining seeds of a method with places and ranks
# Draws of an interval over labelled chips and test chips. With 2, 3 and 5 draws its coverage is at
# least 88%, 92% and 93%: `test_the_two_way_interval_takes_five_draws`.
FEWEST_SEEDS = 5
FEWEST_GROUPS = 10  # groups of test chips of an interval over test chips

# Unit of an interval, for the head of a column and for a caption.
OVER: dict[Unit, str] = {
    "seeds": "over labelled chips",
    "pretrain_seeds": "over pretraining seeds",
    "chips": "over test chips",
    "pretrain_seeds+chips": "over pretraining seeds and test chips",
    "seeds+chips": "over labelled chips and test chips",
}
COVERS: dict[Unit, str] = {
    "seeds": (
        "over draws of labelled chips. It holds for one checkpoint and these test chips; another "
        "pretraining can change a score by more"
    ),
    "pretrain_seeds": (
        "over pretraining seeds. It holds for the method pretrained again, on these test chips"
    ),
    "chips": (
        "over test chips, with near-duplicates as one group. It holds for other test chips of this "
        "kind, for this checkpoint and the mean over its heads"
    ),
    "pretrain_seeds+chips": (
        "over pretraining seeds and test chips, with near-duplicates as one group. It holds for "
        "the method pretrained again, on other test chips of this kind"
    ),
    "seeds+chips": (
        "over draws of labelled chips and test chips, with near-duplicates as one group. It holds "
        "for this checkpoint with other labelled chips, on other test chips of this kind"
    ),
}


def unit_of(compares: Compares, shots: int | str, pretrain_seeds: int, *, stored: bool) -> Unit:
    """Return the unit of a cell.

    Args:
        compares: Subject of the table.
        shots: Labelled chips per class, or `all`.
        pretrain_seeds: Number of pretraining seeds in the grid.
        stored: Predictions of the test chips are stored for every row of the column.
    """
    if compares == "checkpoints":
        return "chips" if shots == "all" else "seeds+chips" if stored else "seeds"
    if pretrain_seeds > 1:
        return "pretrain_seeds+chips" if shots == "all" and stored else "pretrain_seeds"
    return "chips" if shots == "all" else "seeds"


def covers(unit: Unit, draws: Collection[int]) -> str:
    """Return the unit of an interval and its scope, to follow "interval".

    Args:
        unit: Unit of the interval.
        draws: Number of draws of labelled chips in each of its columns; 0 with all labels.
    """
    if unit != "pretrain_seeds":
        return COVERS[unit]
    return COVERS[unit] + labelled(draws)


def labelled(draws: Collection[int]) -> str:
    """Return the draws of labelled chips in words, to follow "these test chips".

    All methods share the draws, so an interval over pretraining seeds does not cover other draws.
    """
    counts = sorted({count for count in draws if count})
    if not counts:
        return ""
    listed = f"{' or '.join(map(str, counts))} draw{'s' * (counts != [1])}"
    where = "" if all(draws) else ", where any are drawn,"
    return f" and{where} these labelled chips ({listed}, the same for every row)"
