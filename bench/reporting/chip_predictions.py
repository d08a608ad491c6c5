"""Predictions of single test chips, read from a store without its data sets."""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from ...results.metric import OF_SCORES, Metric
from ...results.notes import Note
from ...results.record import RunRecord
from ...results.scores import MOST_PROBLEMS, LeaderboardError, Score
from ..data.facts import Facts
from ..data.find_set import Splits
from ..data.splits import Split
from ..store.archive import AGAIN, ArchivedStore
from ..store.records import Store
from ..store.run_predictions import PREDICTIONS_FILE, DamagedPredictionsError
from ..suggest import shortened
from ..verification.verify_run import UNCHECKED, Problem, RunVerifier

UNCHECKED_WORDS = {
    "missing": "scores whose predictions are missing",
    "unscored": "scores on data sets whose test labels are not known here",
}


class ChipPredictions:
    """Labels, groups and predictions of the test chips of some runs."""

    def __init__(self, store: Store, records: Iterable[RunRecord]) -> None:
        """Take the records; predictions are read when they are needed.

        Args:
            store: Holds the runs and describes their data sets.
            records: The runs.
        """
        self._store = store
        self._records = {record.key: record for record in records}
        self.verifier = RunVerifier(Splits([store.root], store.prepared), store.read_predictions)
        self._predicted: dict[str, Int[np.ndarray, " M"]] = {}
        self._first: dict[str, RunRecord] = {}  # the first run on each data set
        for record in self._records.values():
            self._first.setdefault(str(record.identity.get("dataset")), record)
        self._facts: dict[tuple[str, str, str], Facts | None] = {}
        self._groups: dict[str, Int[np.ndarray, " M"] | None] = {}

    def only(self, keys: Iterable[str | None]) -> "ChipPredictions":
        """Return those of some runs; what was read is shared."""
        wanted = set(keys)
        part = ChipPredictions(self._store, [r for k, r in self._records.items() if k in wanted])
        part.verifier, part._predicted = self.verifier, self._predicted
        return part

    def records(self) -> list[RunRecord]:
        """Return the records of the runs."""
        return list(self._records.values())

    def split_of(self, record: RunRecord) -> Split | None:
        """Return the split of a run; None where it is not known here."""
        return self.verifier.split(record)

    def split(self, dataset: str) -> Split | None:
        """Return the split of the runs on a data set; None where it is not known (`why_not`)."""
        first = self._first.get(dataset)
        return self.verifier.split(first) if first else None

    def why_not(self, dataset: str) -> str:
        """Return the reason why a data set has no labels here."""
        first = self._first.get(dataset)
        if first is None:
            return f"no run on {dataset} is finished"
        data, split = (str(first.identity.get(f"{what}_digest")) for what in ("data", "split"))
        return self.verifier.splits.why_not(dataset, data, split)

    def classes(self, dataset: str) -> Int[np.ndarray, " M"] | None:
        """Return the class of each test chip; None where the split is not known here."""
        split = self.split(dataset)
        return None if split is None else split.test_labels

    def groups(self, dataset: str) -> Int[np.ndarray, " M"] | None:
        """Return the near-duplicate group of each test chip; None where each chip is its own."""
        if dataset not in self._groups:
            split = self.split(dataset)
            self._groups[dataset] = None if split is None else split.groups(dataset)
        return self._groups[dataset]

    def facts(self, dataset: str) -> Facts | None:
        """Return the facts about all chips of the data set of the runs; None if not known here."""
        first = self._first.get(dataset)
        return self.facts_of(first) if first else None

    def facts_of(self, record: RunRecord) -> Facts | None:
        """Return the facts about all chips of the data set of a run; None if not known here."""
        names = ("dataset", "data_digest", "split_digest")
        dataset, data, split = (str(record.identity.get(name)) for name in names)
        if (dataset, data, split) not in self._facts:
            found = self.verifier.splits.facts(dataset, data, split)
            self._facts[dataset, data, split] = found
        return self._facts[dataset, data, split]

    def predicted(self, key: str | None) -> Int[np.ndarray, " M"] | None:
        """Return the predicted class of each test chip, or None where the file is missing.

        Raises:
            DamagedPredictionsError: The file does not have the digest of the record.
        """
        record = self._records.get(key or "")
        if record is None:
            return None
        if record.key not in self._predicted:
            try:
                stored = self._store.read_predictions(
                    self._path(record), record.predictions_digest, ("classes",)
                )
            except FileNotFoundError:
                return None
            self._predicted[record.key] = stored["classes"]
        return self._predicted[record.key]

    def record(self, key: str | None) -> RunRecord | None:
        """Return the record of a run, or None for another key."""
        return self._records.get(key or "")

    def score_values(self, key: str, metric: Metric) -> dict[str, float] | None:
        """Return metrics of the scores of a run: the given one, or all built-in ones with it.

        None where the scores of all classes or the labels are not here.

        Raises:
            DamagedPredictionsError: The file does not hold the predictions of the record.
            MetricError: The metric is of another package and fails.
        """
        record = self._records[key]
        if metric.name not in OF_SCORES:
            return self.verifier.score_values(record, self._path(record), [metric])
        known = self.verifier.built_in
        if key not in known:
            path = self._path(record)
            known[key] = self.verifier.score_values(record, path, OF_SCORES.values())
        return known[key]

    def right(self, score: Score) -> Bool[np.ndarray, " M"] | None:
        """Return a bool for each test chip, True where the run was right; None where unknown.

        Raises:
            DamagedPredictionsError: The number of predictions is not that of the test chips.
        """
        predicted = self.predicted(score.key)
        record = self._records.get(score.key or "")
        split = self.verifier.split(record) if record else None
        if predicted is None or split is None:
            return None
        if predicted.shape != split.test_labels.shape:
            raise DamagedPredictionsError(
                f"run {str(score.key)[:12]} has {len(predicted)} predictions for "
                f"{len(split.test_labels)} test chips; `sarbench check` gives details"
            )
        return predicted == split.test_labels

    @cached_property
    def problems(self) -> dict[str, list[Problem]]:
        """The problems of each run that has some, by its key."""
        found: dict[str, list[Problem]] = {}
        runs = ((record, self._path(record)) for record in self._records.values())
        for run in self.verifier.check(runs, whole=False):
            if run.classes is not None:
                self._predicted[run.record.key] = run.classes
            if run.problems:
                found[run.record.key] = run.problems
        return found

    def refuse_false(self) -> None:
        """Refuse records that disagree with their predictions or their split.

        Raises:
            LeaderboardError: It lists the first ones.
        """
        lines = {
            key: f"evaluate/{key[:12]}: {one.text}"
            for key, problems in self.problems.items()
            for one in reversed(problems)
            if one.kind not in UNCHECKED
        }
        if not lines:
            return
        advice = "move their folders out of the store and run the grid again"
        advice = AGAIN if isinstance(self._store, ArchivedStore) else advice
        raise LeaderboardError(
            f"{len(lines)} records disagree with their predictions or their split; `sarbench check "
            f"{self._store.shown}` lists all; {advice}:\n"
            + shortened(lines.values(), MOST_PROBLEMS, "\n")
        )

    def notes(self) -> list[Note]:
        """Return a note if some scores could not be verified."""
        kinds = Counter(problems[0].kind for problems in self.problems.values())
        if not kinds:
            return []
        listed = [
            f"{kinds[kind]} {words}" for kind, words in UNCHECKED_WORDS.items() if kinds[kind]
        ]
        text = f"Not verified against predictions: {', '.join(listed)}."
        return [Note("Numbers", text, text)]

    def _path(self, record: RunRecord) -> Path:
        return self._store.folder("evaluate", record.key) / PREDICTIONS_FILE
