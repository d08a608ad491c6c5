"""Predictions of single test chips, read from a store; no data set needs to be there."""

from collections import Counter
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from ...results.record import RunRecord
from ...results.scores import MOST_PROBLEMS, LeaderboardError, Score
from ..data.lookup import Splits
from ..data.splits import Split
from ..store.records import Store
from ..store.run_predictions import FILE, DamagedPredictionsError, read_predictions
from ..verification.verify_run import UNCHECKED, Problem, RunVerifier

__all__ = ["DamagedPredictionsError", "Outcomes"]

UNCHECKED_WORDS = {
    "missing": "scores whose predictions are missing",
    "unscored": "scores on a data set whose test labels are not known here",
}


class Outcomes:
    """Labels, groups and predictions of the test chips of some runs."""

    def __init__(self, store: Store, records: Iterable[RunRecord]) -> None:
        """Remember where to look; nothing is read before it is needed.

        Args:
            store: Holds the runs, and describes the sets that they are about.
            records: The runs.
        """
        self._store = store
        self._records = {record.key: record for record in records}
        self._verifier = RunVerifier(Splits([store.root], store.prepared))
        self._predicted: dict[str, Int[np.ndarray, " M"]] = {}
        self._about: dict[str, RunRecord] = {}  # the first run on each data set
        for record in self._records.values():
            self._about.setdefault(str(record.identity.get("dataset")), record)
        self.groups = cache(self._groups)

    def split(self, dataset: str) -> Split | None:
        """Return the split that the runs on a data set name; None where it is not known here."""
        about = self._about.get(dataset)
        return self._verifier.split(about) if about else None

    def why_not(self, dataset: str) -> str:
        """Return why a data set has no labels here."""
        about = self._about.get(dataset)
        if about is None:
            return f"no run on {dataset} is finished"
        data, split = (str(about.identity.get(f"{what}_digest")) for what in ("data", "split"))
        return self._verifier.splits.why_not(dataset, data, split)

    def labels(self, dataset: str) -> tuple[Int[np.ndarray, " M"], tuple[str, ...]] | None:
        """Return the class of each test chip in split order, and the class names.

        None where the split is not known here; `why_not` says why.
        """
        split = self.split(dataset)
        return None if split is None else (split.test_labels, split.classes)

    def classes(self, dataset: str) -> Int[np.ndarray, " M"] | None:
        """Return the class of each test chip; None where the split is not known here."""
        split = self.split(dataset)
        return None if split is None else split.test_labels

    def _groups(self, dataset: str) -> Int[np.ndarray, " M"] | None:
        """Return the near-duplicate group of each test chip; None where each is its own."""
        split = self.split(dataset)
        return None if split is None else split.groups(dataset)

    def predicted(self, key: str | None) -> Int[np.ndarray, " M"] | None:
        """Return the predicted class of each test chip, or None where the file is not there.

        Raises:
            DamagedPredictionsError: The file is not the one that the record describes.
        """
        record = self._records.get(key or "")
        if record is None:
            return None
        if record.key not in self._predicted:
            try:
                stored = read_predictions(
                    self._path(record), record.predictions_digest, ("classes",)
                )
            except FileNotFoundError:
                return None
            self._predicted[record.key] = stored["classes"]
        return self._predicted[record.key]

    def right(self, score: Score) -> Bool[np.ndarray, " M"] | None:
        """Return whether a run was right on each test chip; None where that is not known.

        Raises:
            DamagedPredictionsError: It has predictions of another number of test chips.
        """
        predicted = self.predicted(score.key)
        record = self._records.get(score.key or "")
        split = self._verifier.split(record) if record else None
        if predicted is None or split is None:
            return None
        if predicted.shape != split.test_labels.shape:
            raise DamagedPredictionsError(
                f"run {str(score.key)[:12]} has {len(predicted)} predictions of "
                f"{len(split.test_labels)} test chips; `sarbench check` says more"
            )
        return predicted == split.test_labels

    @cached_property
    def problems(self) -> dict[str, list[Problem]]:
        """Return what does not hold of each run, by its key; runs that hold are left out."""
        found: dict[str, list[Problem]] = {}
        runs = ((record, self._path(record)) for record in self._records.values())
        for run in self._verifier.check(runs, whole=False):
            if run.classes is not None:
                self._predicted[run.record.key] = run.classes
            if run.problems:
                found[run.record.key] = run.problems
        return found

    def refuse_false(self) -> None:
        """Refuse runs whose record does not follow from their predictions and split.

        Raises:
            LeaderboardError: There are some; the first ones are listed.
        """
        lines = {
            key: f"evaluate/{key[:12]}: {one.text}"
            for key, problems in self.problems.items()
            for one in reversed(problems)
            if one.kind not in UNCHECKED
        }
        if not lines:
            return
        listed = list(lines.values())[:MOST_PROBLEMS]
        if len(lines) > MOST_PROBLEMS:
            listed.append(f"and {len(lines) - MOST_PROBLEMS} more")
        raise LeaderboardError(
            f"{len(lines)} records claim what does not follow from their predictions; "
            f"`sarbench check {self._store.root}` lists all; move their folders out of the store "
            "and run the grid again:\n" + "\n".join(listed)
        )

    def notes(self) -> list[str]:
        """Return a sentence for the caption where scores could not be computed again."""
        kinds = Counter(problems[0].kind for problems in self.problems.values())
        if not kinds:
            return []
        listed = [
            f"{kinds[kind]} {words}" for kind, words in UNCHECKED_WORDS.items() if kinds[kind]
        ]
        return [f"Not computed again from predictions: {', '.join(listed)}."]

    def _path(self, record: RunRecord) -> Path:
        return self._store.folder("evaluate", record.key) / FILE
