"""Check the claims of a record against the files from which they can be computed.

`check`, `merge`, `report` and every table use these functions, so they all refuse the same numbers.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from ...protocols import PROTOCOLS
from ...protocols._support_sets import SupportSetError, support_digest, support_set
from ...results.class_metrics import score_runs
from ...results.metric import Metric
from ...results.record import RunRecord
from ..augmentation.conditions import is_condition
from ..data.find_set import Splits
from ..data.splits import Split, shipped
from ..store.run_predictions import (
    NAMES,
    PREDICTIONS_FILE,
    DamagedPredictionsError,
    read_predictions,
)
from .verify_metrics import metric_problems, of_scores

ReadPredictions = Callable[[Path, str, tuple[str, ...]], dict[str, np.ndarray]]
TOLERANCE = 1e-9  # between a stored score and the one computed again
BATCH = 256  # runs that are scored at once

Kind = Literal[
    "record", "identity", "start", "method", "weights", "predictions", "scores", "counts",
    "support", "split", "missing", "unscored",
]  # fmt: skip
# Fields of a run's identity that this file reads, with their types in JSON.
IDENTITY = {
    "start": (str,), "method": (str,), "dataset": (str,), "data_digest": (str,),
    "split_digest": (str,), "protocol": (str,), "shots": (int, str), "seed": (int,),
}  # fmt: skip
# Kinds of problems that mean "not checked", not "wrong".
UNCHECKED: tuple[Kind, ...] = ("missing", "unscored")


@dataclass(frozen=True)
class Problem:
    """A claim of a record that does not hold or cannot be checked."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class CheckedRun:
    """A run with its problems.

    Attributes:
        record: The record.
        split: Its split; None if unknown.
        classes: Its predicted classes; None if they cannot be used.
        problems: Claims that do not hold or cannot be checked.
    """

    record: RunRecord
    split: Split | None
    classes: Int[np.ndarray, " M"] | None
    problems: list[Problem]


class RunVerifier:
    """A checker of runs that reads each split and draws each support set once."""

    def __init__(self, splits: Splits, predictions: ReadPredictions = read_predictions) -> None:
        """Keep the look-up of splits, and `Store.read_predictions` of the store of the runs."""
        self.splits, self._predictions = splits, predictions
        self._supports: dict[tuple[str, str, object, object], tuple[int, str] | str] = {}
        self.built_in: dict[str, dict[str, float] | None] = {}  # metrics of scores, by key of a run

    def split(self, record: RunRecord) -> Split | None:
        """Return the split of a run, or None if it is not known."""
        where = [record.identity.get(n) for n in ("dataset", "data_digest", "split_digest")]
        return self.splits.find(*map(str, where))

    def problems(self, record: RunRecord, path: Path) -> list[Problem]:
        """Return the problems of one run in predictions, scores and labelled chips."""
        (checked,) = self.check([(record, path)])
        return checked.problems

    def check(
        self, runs: Iterable[tuple[RunRecord, Path]], *, whole: bool = True
    ) -> Iterator[CheckedRun]:
        """Yield runs in their order, each checked without its pretraining.

        Args:
            runs: Records, each with the file of its predictions.
            whole: Check the scores of single chips too; no number depends on them.
        """
        runs = iter(runs)
        while batch := [self._read(*run, whole=whole) for run in islice(runs, BATCH)]:
            _score(batch)
            yield from batch

    def score_values(
        self, record: RunRecord, path: Path, metrics: Iterable[Metric]
    ) -> dict[str, float] | None:
        """Return metrics of the stored scores of a run, without those that it does not have.

        None where the scores of all classes are not stored, or the labels are not known.

        Raises:
            DamagedPredictionsError: The file does not hold the predictions of the record.
            MetricError: A metric of another package fails.
        """
        split = self.split(record)
        try:
            stored = self._predictions(path, record.predictions_digest, NAMES)
        except FileNotFoundError:
            return None
        protocol = PROTOCOLS.get(record.identity["protocol"])
        scores = stored.get("scores")
        if split is None or protocol is None or scores is None or scores.ndim == 1:
            return None
        wrong = _array_problem(record, stored, split)
        if wrong:
            raise DamagedPredictionsError(f"evaluate/{record.key[:12]}: {wrong}")
        return of_scores(split, stored, metrics, protocol)

    def _read(self, record: RunRecord, path: Path, *, whole: bool) -> CheckedRun:
        """Check a run except for its scores."""
        identity = record.identity
        if missing := _missing_fields(identity):
            problem = Problem("identity", f"its identity lacks {', '.join(missing)}")
            return CheckedRun(record, None, None, [problem])
        if "condition" in identity and not is_condition(identity["condition"]):
            problem = Problem("identity", f"unknown condition {identity['condition']!r}")
            return CheckedRun(record, None, None, [problem])
        split, found = self.split(record), []
        ours = shipped(identity["dataset"])
        if ours is not None and ours[0] != identity["split_digest"]:
            found.append(Problem(
                "split",
                f"{identity['dataset']} has split {ours[0][:12]} in this version of sarbench, the "
                f"run was made on {identity['split_digest'][:12]}",
            ))  # fmt: skip
        if split is None:
            where = (identity["dataset"], identity["data_digest"], identity["split_digest"])
            why = self.splits.why_not(*where)
            found.append(Problem("unscored", why))
        else:
            found += self._label_problems(record, split)
        classes = None
        try:
            names = NAMES if whole else NAMES[:1]
            stored = self._predictions(path, record.predictions_digest, names)
        except FileNotFoundError:
            found.append(Problem("missing", f"{path.name} is missing"))
        except (DamagedPredictionsError, OSError) as error:
            found.append(Problem("predictions", str(error)))
        else:
            if wrong := _array_problem(record, stored, split):
                found.append(Problem("predictions", wrong))
            else:
                classes = stored["classes"]
                wrong = metric_problems(record, stored, split, self.built_in) if split else []
                found += [Problem("scores", text) for text in wrong]
        return CheckedRun(record, split, classes, found)

    def _label_problems(self, record: RunRecord, split: Split) -> list[Problem]:
        """Compare counts and labelled chips of a run with its split, shots and seed."""
        found = []
        tested = len(split.test_labels)
        if record.test_count != tested:
            text = f"it claims {record.test_count} test chips, its split has {tested}"
            found.append(Problem("counts", text))
        support = self._support(record.identity, split)
        if isinstance(support, str):
            return [*found, Problem("support", support)]
        count, digest = support
        if record.train_count != count:
            text = f"it claims {record.train_count} labelled chips, its shots and seed give {count}"
            found.append(Problem("counts", text))
        if record.support_digest != digest:
            text = (
                f"its labelled chips have digest {record.support_digest[:12]}, those of its split, "
                f"shots and seed {digest[:12]}"
            )
            found.append(Problem("support", text))
        return found

    def _support(self, identity: dict[str, Any], split: Split) -> tuple[int, str] | str:
        """Return number and digest of the labelled chips, or the reason why there are none."""
        digest, seed, shots = (identity[name] for name in ("split_digest", "seed", "shots"))
        key = (identity["dataset"], digest, seed, shots)
        if key not in self._supports:
            ids, labels = split.ids[~split.is_test], split.labels[~split.is_test]
            try:
                chosen = support_set(digest, seed, ids, labels, shots, split.classes)
                self._supports[key] = len(chosen), support_digest(ids[chosen])
            except SupportSetError as error:
                self._supports[key] = f"no labelled chips can be drawn: {error}"
        return self._supports[key]


def _missing_fields(identity: dict[str, Any]) -> list[str]:
    """Return the fields of a run's identity that are missing or have another type."""
    return [name for name, types in IDENTITY.items() if type(identity.get(name)) not in types]


def _array_problem(record: RunRecord, stored: dict[str, np.ndarray], split: Split | None) -> str:
    """Return the problem of the arrays of a run; empty if there is none."""
    classes, scores = stored["classes"], stored.get("scores")
    chips = f"of {record.test_count} chips"
    if classes.dtype.kind not in "iu" or classes.shape != (record.test_count,):
        return f"{PREDICTIONS_FILE} has {classes.shape} {classes.dtype} classes {chips}"
    if scores is None:
        return ""
    shape = scores.shape
    if scores.dtype.kind != "f" or shape[:1] != classes.shape:
        return f"{PREDICTIONS_FILE} has {shape} {scores.dtype} scores {chips}"
    if split and len(shape) > 1 and shape[1] != len(split.classes):
        return f"{PREDICTIONS_FILE} has scores of {shape[1]} classes, not {len(split.classes)}"
    if not np.isfinite(scores).all():
        return f"{PREDICTIONS_FILE} has scores that are not finite"
    return ""


def _score(batch: list[CheckedRun]) -> None:
    """Compute the scores of runs again; add impossible classes and other scores as problems."""
    by_split: dict[int, list[CheckedRun]] = {}
    for run in batch:
        size = len(run.split.test_labels) if run.split else None
        if run.classes is not None and len(run.classes) == size:
            by_split.setdefault(id(run.split), []).append(run)
    for runs in by_split.values():
        split = runs[0].split
        if split is None:
            continue
        predicted = np.stack([run.classes for run in runs if run.classes is not None])
        last = len(split.classes) - 1
        possible = (predicted.min(axis=1) >= 0) & (predicted.max(axis=1) <= last)
        for run in compress(runs, ~possible):
            text = f"{PREDICTIONS_FILE} predicts a class outside 0..{last}"
            run.problems.append(Problem("predictions", text))
        runs, predicted = list(compress(runs, possible)), predicted[possible].astype(np.int64)
        if not runs:
            continue
        again = score_runs(split.test_labels, predicted, last + 1)
        for name, values in again.items():
            for run, value in zip(runs, values.tolist(), strict=True):
                stored = getattr(run.record, name)
                if not abs(value - stored) <= TOLERANCE:
                    text = f"{name} is {stored:.6f} in the record, {value:.6f} by its predictions"
                    run.problems.append(Problem("scores", text))


def start_problems(
    record: RunRecord, weights: str | None, method: str | None, *, why: str
) -> list[Problem]:
    """Return contradictions between a run and its pretraining.

    Args:
        record: The run.
        weights: Weights digest of its pretraining; None if the pretraining is missing.
        method: Method of its pretraining.
        why: Reason why the pretraining is missing, as the end of a sentence.
    """
    start = str(record.identity.get("start"))[:12]
    if weights is None:
        why = why or "is not in the store"
        return [Problem("start", f"its pretraining {start} {why}: the number cannot be traced")]
    found = []
    if weights != record.weights_digest:
        found.append(Problem(
            "weights",
            f"it was measured with weights {record.weights_digest[:12]}, but pretraining {start} "
            f"has {weights[:12]}",
        ))  # fmt: skip
    named = record.identity.get("method")
    if method != named:
        text = f"it names the method {named}, its pretraining {start} is of {method}"
        found.append(Problem("method", text))
    return found
