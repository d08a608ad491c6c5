"""Scores of the runs of a grid, and the check that they can be compared."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from .metric import Metric

Shots = int | str  # labelled chips per class, `all`, or a share of them such as `30%`
MOST_PROBLEMS = 20  # named in one error


class LeaderboardError(ValueError):
    """Scores or names that do not give a table."""


def labels_in_words(shots: Shots) -> str:
    """Return shots in words: `10 shots`, `30% of labels`, `all labels`."""
    if isinstance(shots, int):
        return f"{shots} shot{'s' * (shots > 1)}"
    return "all labels" if shots == "all" else f"{shots} of labels"


def order_of_labels(shots: Shots) -> tuple[float, float]:
    """Return a value that sorts numbers of shots before shares of the labels before `all`."""
    if isinstance(shots, int):
        return 0.0, shots
    return (2.0, 0.0) if shots == "all" else (1.0, float(shots.rstrip("%")))


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        dataset: The data set.
        protocol: The protocol.
        shots: Labelled chips per class, or `all`.
        condition: Condition of the test chips, such as `shift:4`; empty for chips as they are.
        settings: Swept settings of the protocol, such as `readout patch_max`; empty without any.
    """

    dataset: str
    protocol: str
    shots: Shots
    condition: str = ""
    settings: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """One run of the grid, finished or not.

    Attributes:
        method: Label with the swept values: a row of the table.
        control: True if the method learns nothing.
        unconfirmed: True if the paper does not define the method completely.
        state: State in the plan: done, failed, new, ...
        values: Value of each metric, a fraction unless the metric is not; empty for an unfinished
            run.
        versions: Values that must agree within a column, such as digests and protocol version.
        weights: Digest of the encoder; one per row and pretraining seed.
        support: Digest of the labelled chips; one per data set, shots and seed.
        key: Key of the run; None until its data are prepared.
        start: Key of its pretraining.
        name: Name of the method in the registry.
        encoder: Name of the encoder size; None for a method without an encoder.
        fails_contract: True if the method failed its contract.
        condition: As in `Column`.
        settings: As in `Column`.
    """

    method: str
    control: bool
    unconfirmed: bool
    dataset: str
    protocol: str
    shots: Shots
    pretrain_seed: int
    seed: int
    state: str
    values: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    weights: str = ""
    support: str = ""
    key: str | None = None
    start: str | None = None
    name: str = ""
    encoder: str | None = None
    fails_contract: bool = False
    condition: str = ""
    settings: str = ""

    @property
    def column(self) -> Column:
        """The column of the run."""
        return Column(self.dataset, self.protocol, self.shots, self.condition, self.settings)


@runtime_checkable
class ChipSource(Protocol):
    """Predictions of single test chips, for tests over chips."""

    def right(self, score: Score) -> Bool[np.ndarray, " M"] | None:
        """Return a bool for each test chip, True where the run was right; None if not stored."""
        ...

    def groups(self, dataset: str) -> Int[np.ndarray, " M"] | None:
        """Return the near-duplicate group of each test chip; None where each chip is its own."""
        ...

    def classes(self, dataset: str) -> Int[np.ndarray, " M"] | None:
        """Return the class of each test chip; None if it is not known."""
        ...


def column_name(column: Column) -> str:
    """Return `mstar_soc/linear/10`, `mstar_soc/knn/all/shift:4/readout=patch_max`."""
    dataset, protocol, shots, condition, settings = column
    swept = settings.replace(", ", ",").replace(" ", "=")
    return "/".join(filter(None, (dataset, protocol, str(shots), condition, swept)))


def by_column(scores: Iterable[Score]) -> dict[Column, dict[str, list[Score]]]:
    """Return the scores by column and row, in their order."""
    found: dict[Column, dict[str, list[Score]]] = {}
    for score in scores:
        found.setdefault(score.column, {}).setdefault(score.method, []).append(score)
    return found


def starts_of(cell: Sequence[Score]) -> int:
    """Return the number of pretraining seeds of a cell, finished or not."""
    return len({score.pretrain_seed for score in cell})


def start_means(cell: Sequence[Score], metric: str) -> Float[np.ndarray, " P"]:
    """Return the mean of each pretraining seed with a finished run, over its evaluation seeds."""
    parts: dict[int, list[float]] = defaultdict(list)
    for score in cell:
        if metric in score.values:
            parts[score.pretrain_seed].append(score.values[metric])
    return np.array([fmean(part) for part in parts.values()], dtype=np.float64)


def cell_mean(cell: Sequence[Score], metric: str) -> float | None:
    """Return the mean over pretraining seeds of their means; None without a finished run."""
    means = start_means(cell, metric)
    return float(means.mean()) if means.size else None


def unit_values(cell: Sequence[Score], metric: str) -> Float[np.ndarray, " S"]:
    """Return the mean of each pretraining seed; for a single seed, the value of each run."""
    means = start_means(cell, metric)
    if means.size > 1:
        return means
    return np.array([s.values[metric] for s in cell if metric in s.values], dtype=np.float64)


def refuse_mixtures(scores: Sequence[Score], shown: Metric) -> None:
    """Refuse scores that cannot be compared, and list every disagreement.

    Args:
        scores: The scores.
        shown: The metric of the table; its values need not be fractions.

    Raises:
        LeaderboardError: A run occurs twice; a value is not a fraction; a column mixes splits,
            data, protocol versions or settings; a row has two encoders of one pretraining seed;
            labelled chips differ between methods.
    """
    problems: dict[str, None] = {}
    runs: dict[tuple[object, ...], Score] = {}
    seen: dict[tuple[object, ...], tuple[str, str]] = {}

    def agree(place: tuple[object, ...], value: str, who: str, what: str) -> None:
        first = seen.setdefault(place, (value, who))
        if first[0] != value:
            problems[f"{what} is {first[0][:12]} for {first[1]} and {value[:12]} for {who}"] = None

    for score in scores:
        who = f"{score.method}, pretraining seed {score.pretrain_seed}, seed {score.seed}"
        place = (score.method, score.column, score.pretrain_seed, score.seed)
        twin = runs.setdefault(place, score)
        if twin is not score:
            problems[
                f"{column_name(score.column)}, {who} occurs twice: {_short(twin.key)} and "
                f"{_short(score.key)}"
            ] = None
        for metric, value in score.values.items():
            if metric == shown.name and not shown.is_fraction:
                continue
            if not 0 <= value <= 1:  # NaN as well
                problems[
                    f"{column_name(score.column)}, {who}: {metric} is {value}, not a fraction"
                ] = None
        where = f"{score.dataset}, {score.protocol}"
        for name, value in score.versions.items():
            part = score.settings if name == "settings" else ""  # swept on purpose
            place = (score.dataset, score.protocol, part, name)
            agree(place, value, score.method, f"{where}: {name}")
        if score.weights:
            start = f"{score.method}, pretraining seed {score.pretrain_seed}"
            agree(("weights", start), score.weights, where, f"{start}: the weights digest")
        if score.support:
            labelled = ("support", score.dataset, score.shots, score.seed)
            where = f"{score.dataset}, {labels_in_words(score.shots)}, seed {score.seed}"
            text = f"{where}: the support digest"
            agree(labelled, score.support, f"{score.method} ({score.protocol})", text)
    if problems:
        listed = list(problems)[:MOST_PROBLEMS]
        if len(problems) > MOST_PROBLEMS:
            listed.append(f"and {len(problems) - MOST_PROBLEMS} more")
        raise LeaderboardError(
            "these records cannot be compared in one table; filter with -m -d -p -k -s, or rerun "
            "outdated runs:\n" + "\n".join(listed)
        )


def _short(key: str | None) -> str:
    return (key or "no key")[:12]
