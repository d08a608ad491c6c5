"""Cells of a leaderboard: the mean of some runs, with an interval and its unit."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float, Int

from .scores import (
    ChipSource,
    Column,
    Score,
    Shots,
    cell_mean,
    start_means,
    starts_of,
    unit_values,
)
from .statistics.intervals import Variance, seed_variance, with_chips
from .statistics.two_way import two_way_mean
from .statistics.units import (
    FEWEST_GROUPS,
    FEWEST_PRETRAINED,
    FEWEST_SEEDS,
    Compares,
    Unit,
    unit_of,
)

CHIP_METRICS = ("accuracy", "balanced_accuracy")  # weighted means over test chips


class NoInterval(StrEnum):
    """The reason for a mean without an interval, as captions and JSON give it."""

    FEW_DRAWS = "too few draws of labelled chips (2 or more are needed)"
    FEW_DRAWS_FOR_CHIPS = f"too few draws of labelled chips ({FEWEST_SEEDS} or more are needed)"
    FEW_PRETRAINED = "too few finished pretraining seeds (2 or more are needed)"
    FEW_GROUPS = f"too few groups of test chips ({FEWEST_GROUPS} or more are needed)"
    METRIC = "this metric has no interval over test chips"
    NO_PREDICTIONS = "predictions of test chips, or their labels, are missing"


@dataclass(frozen=True)
class Cell:
    """One row in one column; scores are fractions.

    Attributes:
        method: Label with the swept values.
        mean: Mean score; None without a finished run.
        low: Lower limit of the 95% interval.
        high: Upper limit of the 95% interval.
        n: Number of finished runs.
        expected: Number of runs in the grid.
        failed: Number of failed runs.
        unit: Unit of the interval and the test.
        place: 1 for the best of the column and its ties, 2 for the next; None without a claim.
        p_best: p-value of the difference from the best, corrected for the whole column.
        smallest_p: 0 where `p_best` is given, because it has no lower limit.
        smallest_difference: Smallest difference from the best that would be significant.
        name: Name of the method in the registry.
        encoder: Name of the encoder size; None for a method without an encoder.
        pretrain_seeds: Number of pretraining seeds with a finished run.
        compares: Subject of the claims, methods or checkpoints.
        stale: Number of runs stored with another version or digest.
        fails_contract: True if the method failed its contract.
        no_interval: Reason for a mean without an interval.
        condition: As in `Column`.
        settings: As in `Column`.
    """

    method: str
    dataset: str
    protocol: str
    shots: Shots
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    n: int
    expected: int
    failed: int
    control: bool
    unit: Unit
    place: int | None = None
    p_best: float | None = None
    smallest_p: float | None = None
    smallest_difference: float | None = None
    name: str = ""
    encoder: str | None = None
    pretrain_seeds: int = 0
    compares: Compares = "methods"
    stale: int = 0
    fails_contract: bool = False
    no_interval: NoInterval | None = None
    condition: str = ""
    settings: str = ""

    @property
    def column(self) -> Column:
        """The column of the cell."""
        return Column(self.dataset, self.protocol, self.shots, self.condition, self.settings)

    @property
    def complete(self) -> bool:
        """True if every run of the grid is in the mean."""
        return self.mean is not None and self.n == self.expected

    @property
    def rankable(self) -> bool:
        """True if the cell can have a place and a rank."""
        enough = self.compares == "checkpoints" or self.pretrain_seeds >= FEWEST_PRETRAINED
        return self.complete and not self.control and not self.fails_contract and enough


@dataclass(frozen=True)
class Outcome:
    """The test chips of the runs of one cell.

    Attributes:
        shares: Share of the runs that are right on each chip; pretraining seeds have equal weight.
        by_seed: The same for each evaluation seed that all pretraining seeds share; empty with all
            labels.
        groups: Near-duplicate group of each chip; None where each chip is its own group.
        weights: Weights of the chips in the metric, with mean 1; None for equal weights.
    """

    shares: Float[np.ndarray, " M"]
    by_seed: Float[np.ndarray, "S M"]
    groups: Int[np.ndarray, " M"] | None
    weights: Float[np.ndarray, " M"] | None = None

    @property
    def group_count(self) -> int:
        """Number of groups of test chips."""
        return self.shares.size if self.groups is None else np.unique(self.groups).size

    def variance(self, unit: Unit, other: "Outcome | None" = None) -> Variance | None:
        """Return the variance of the metric, or of the difference from another cell.

        Args:
            unit: `chips` or `seeds+chips`.
            other: Outcome of the other cell on the same chips and seeds.

        Returns:
            The variance, or None with too few seeds or groups.
        """
        gaps = self.by_seed if unit == "seeds+chips" else self.shares[None]
        if other is not None:
            theirs = other.by_seed if unit == "seeds+chips" else other.shares[None]
            if theirs.shape != gaps.shape:
                return None
            gaps = gaps - theirs
        if unit == "seeds+chips" and gaps.shape[0] < 2:
            return None
        return two_way_mean(gaps, self.groups, self.weights)[1]


def outcomes_of(
    rows: Mapping[str, Sequence[Score]], compares: Compares, metric: str, chips: ChipSource | None
) -> dict[str, Outcome] | None:
    """Return the outcome of each cell of a column with a finished run.

    Returns:
        None if the unit of the column has no test chips, or if predictions are missing.
    """
    one = next(iter(rows.values()))[0]
    drawn = one.shots != "all"
    if chips is None or metric not in CHIP_METRICS or (drawn and compares == "methods"):
        return None
    weights = None
    if metric == "balanced_accuracy":
        labels = chips.classes(one.dataset)
        if labels is None:
            return None
        weights = class_weights(labels)
    found: dict[str, Outcome] = {}
    for row, cell in rows.items():
        by_start: dict[int, dict[int, Bool[np.ndarray, " M"]]] = defaultdict(dict)
        for score in cell:
            if metric not in score.values:
                continue
            right = chips.right(score)
            if right is None:
                return None
            by_start[score.pretrain_seed][score.seed] = right
        if by_start:
            found[row] = _outcome(
                list(by_start.values()), drawn, chips.groups(one.dataset), weights
            )
    return found


def class_weights(labels: Int[np.ndarray, " M"]) -> Float[np.ndarray, " M"]:
    """Return the weight of each chip in balanced accuracy: M / (C n) in a class of n chips.

    The weighted mean over M chips is the mean recall of the C classes with test chips.
    """
    counts = np.bincount(labels)
    return labels.size / (np.count_nonzero(counts) * counts[labels])


def _outcome(
    starts: Sequence[Mapping[int, Bool[np.ndarray, " M"]]],
    drawn: bool,
    groups: Int[np.ndarray, " M"] | None,
    weights: Float[np.ndarray, " M"] | None,
) -> Outcome:
    shares = np.mean([np.mean(list(of_seeds.values()), axis=0) for of_seeds in starts], axis=0)
    if not drawn:
        return Outcome(shares, np.empty((0, shares.size)), groups, weights)
    common = sorted(set.intersection(*(set(of_seeds) for of_seeds in starts)))
    by_seed = [np.mean([of_seeds[s] for of_seeds in starts], axis=0) for s in common]
    return Outcome(shares, np.array(by_seed).reshape(-1, shares.size), groups, weights)


def make_cell(
    group: Sequence[Score],
    metric: str,
    compares: Compares,
    outcomes: Mapping[str, Outcome] | None,
) -> Cell:
    """Return the cell of some runs, without its place."""
    one, values = group[0], start_means(group, metric)
    unit = unit_of(compares, one.shots, starts_of(group), stored=outcomes is not None)
    mean = cell_mean(group, metric)
    outcome = (outcomes or {}).get(one.method)
    variance = _variance(group, metric, unit, outcome) if values.size else None
    half = variance.half() if variance else None
    return Cell(
        method=one.method,
        dataset=one.dataset,
        protocol=one.protocol,
        shots=one.shots,
        metric=metric,
        mean=mean,
        low=None if mean is None or half is None else mean - half,
        high=None if mean is None or half is None else mean + half,
        n=sum(metric in score.values for score in group),
        expected=len(group),
        failed=sum(score.state == "failed" for score in group),
        control=one.control,
        unit=unit,
        name=one.name,
        encoder=one.encoder,
        pretrain_seeds=values.size,
        compares=compares,
        stale=sum(score.state == "stale" for score in group),
        fails_contract=one.fails_contract,
        no_interval=None
        if mean is None or half is not None
        else _missing(unit, metric, values, outcome),
        condition=one.condition,
        settings=one.settings,
    )


def _variance(
    group: Sequence[Score], metric: str, unit: Unit, outcome: Outcome | None
) -> Variance | None:
    """Return the variance of the mean of a cell; None if the data do not allow one."""
    if unit in ("seeds", "pretrain_seeds"):
        values = unit_values(group, metric) if unit == "seeds" else start_means(group, metric)
        return seed_variance(values) if values.size > 1 else None
    if outcome is None:
        return None
    of_chips = outcome.variance("seeds+chips" if unit == "seeds+chips" else "chips")
    if of_chips is None:
        return None
    if unit == "pretrain_seeds+chips":
        means = start_means(group, metric)
        return with_chips(seed_variance(means), of_chips) if means.size > 1 else None
    return of_chips


def _missing(
    unit: Unit, metric: str, starts: Float[np.ndarray, " P"], outcome: Outcome | None
) -> NoInterval:
    """Return the reason for a mean without an interval.

    Args:
        unit: Unit of the cell.
        metric: Metric of the cell.
        starts: Mean of each pretraining seed with a finished run.
        outcome: Outcome of the test chips, if it is stored.
    """
    if unit == "seeds":
        return NoInterval.FEW_DRAWS
    if unit.startswith("pretrain_seeds") and starts.size < 2:
        return NoInterval.FEW_PRETRAINED
    if metric not in CHIP_METRICS:
        return NoInterval.METRIC
    if outcome is None:
        return NoInterval.NO_PREDICTIONS
    if outcome.group_count < FEWEST_GROUPS:
        return NoInterval.FEW_GROUPS
    return NoInterval.FEW_DRAWS_FOR_CHIPS
