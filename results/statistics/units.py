"""Units of intervals and tests: pretraining seeds, labelled chips, test chips.

One checkpoint is not a method. A board of methods therefore ranks from three pretraining seeds on
and takes its intervals over those. A board of checkpoints claims nothing of the methods. A column
with all labels draws no chip, so its intervals and tests run over the test chips.
"""

from collections.abc import Collection
from typing import Literal

Compares = Literal["methods", "checkpoints"]
Unit = Literal["seeds", "pretrain_seeds", "chips", "pretrain_seeds+chips", "seeds+chips"]
FEWEST_PRETRAINED = 3  # pretraining seeds of a method that takes part in places and ranks
# Draws of labelled chips of an interval over labelled chips and test chips. With 2, 3 and 5 draws
# it covers 88%, 92% and 94% at worst: `test_the_two_way_interval_takes_five_draws`.
FEWEST_SEEDS = 5
FEWEST_GROUPS = 10  # groups of test chips of an interval over test chips

# What an interval runs over, for the head of a column and for a caption.
OVER: dict[Unit, str] = {
    "seeds": "over labelled chips",
    "pretrain_seeds": "over pretraining seeds",
    "chips": "over test chips",
    "pretrain_seeds+chips": "over pretraining seeds and test chips",
    "seeds+chips": "over labelled chips and test chips",
}
COVERS: dict[Unit, str] = {
    "seeds": (
        "over labelled chips and heads of one checkpoint, on these test chips; another "
        "pretraining may move a number by more"
    ),
    "pretrain_seeds": "over pretraining seeds: the method pretrained again, on these test chips",
    "chips": (
        "over test chips, near-duplicates together: other test chips of this kind, for this "
        "checkpoint and the mean over its heads"
    ),
    "pretrain_seeds+chips": (
        "over pretraining seeds and test chips, near-duplicates together: the method pretrained "
        "again, on other test chips of this kind"
    ),
    "seeds+chips": (
        "over labelled chips and test chips, near-duplicates together: this checkpoint with other "
        "labelled chips, on other test chips of this kind"
    ),
}


def unit_of(
    compares: Compares, shots: int | str, pretrain_seeds: int, *, stored: bool = True
) -> Unit:
    """Return the unit of a cell.

    Args:
        compares: Whether the board compares methods or checkpoints.
        shots: Labelled chips per class, or `all`, where none is drawn.
        pretrain_seeds: How many the grid asks for.
        stored: Whether the outcome of each test chip is known, for every row of the column.
    """
    if compares == "checkpoints":
        return "chips" if shots == "all" else "seeds+chips" if stored else "seeds"
    if pretrain_seeds > 1:
        return "pretrain_seeds+chips" if shots == "all" and stored else "pretrain_seeds"
    return "chips" if shots == "all" else "seeds"


def covers(unit: Unit, draws: Collection[int]) -> str:
    """Return the statement of an interval.

    Args:
        unit: Of the interval.
        draws: Numbers of draws of labelled chips in the columns that it is about; 0 for a column
            with all labels.
    """
    if unit != "pretrain_seeds":
        return COVERS[unit]
    return COVERS[unit] + labelled(draws)


def labelled(draws: Collection[int]) -> str:
    """Return the words that add fixed draws of labelled chips to "on these test chips".

    Methods are compared on the same draws, so that nothing is known of other draws.
    """
    counts = sorted({count for count in draws if count})
    if not counts:
        return ""
    listed = f"{' or '.join(map(str, counts))} draw{'s' * (counts != [1])}"
    where = "" if all(draws) else ", where any are drawn,"
    return f" and{where} these labelled chips ({listed}, the same for every row)"
