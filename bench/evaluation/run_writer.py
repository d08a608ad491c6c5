"""Predictions of a run -> its files in the store: predictions and record."""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any

import numpy as np

from ...protocols import PROTOCOLS
from ...protocols._support_sets import support_digest
from ...protocols._types import Predictions
from ...results.class_metrics import class_scores
from ...results.metric import OF_SCORES, MetricError, run_of, score_values
from ...results.plugin_metrics import plugin_metrics
from ...results.record import Provenance, RunRecord
from ..data.chips import Chips
from ..identity import Run
from ..store.atomic import npz, read_file, write_atomic, write_once
from ..store.records import Store
from ..store.run_predictions import (
    PREDICTIONS_FILE,
    DamagedPredictionsError,
    read_predictions,
    to_store,
)


class RunWriter:
    """A writer of the runs of one encoder on one data set."""

    def __init__(
        self, chips: Chips, store: Store, weights_digest: str, warn: Callable[[str], None]
    ) -> None:
        """Keep the data set, the store, and the digest of the encoder.

        Args:
            chips: The data set.
            store: Gets the files.
            weights_digest: Of the encoder.
            warn: Called once with each reason why a record lacks a metric of another package.
        """
        self.chips, self.store, self.weights_digest = chips, store, weights_digest
        self._warn, self._warned = warn, set[str]()
        self._ids = chips.ids[~chips.is_test]
        self._truth = chips.labels[chips.is_test]

    def write(
        self,
        run: Run,
        episode: np.ndarray,
        predictions: Predictions,
        provenance: Provenance,
        drift: float | None = None,
    ) -> RunRecord:
        """Write the predictions of a run, then its record; return the record.

        Args:
            run: The run.
            episode: Indices of its labelled training chips.
            predictions: Its predictions.
            provenance: Of the record.
            drift: Of its features.
        """
        truth = self._truth
        stored, digest = self._write_predictions(run, predictions)
        of_classes: Any = class_scores(truth, stored["classes"], len(self.chips.classes))
        metrics, lower_is_better = self._metrics(run, truth, **stored)
        record = RunRecord(
            key=run.key,
            identity=run.to_json(),
            provenance=provenance,
            weights_digest=self.weights_digest,
            **of_classes,
            metrics=metrics,
            lower_is_better=lower_is_better,
            train_count=len(episode),
            test_count=len(truth),
            support_digest=support_digest(self._ids[episode]),
            predictions_digest=digest,
            drift=drift,
        )
        self.store.write("evaluate", record)
        return record

    def _metrics(
        self, run: Run, truth: np.ndarray, classes: np.ndarray, scores: np.ndarray
    ) -> tuple[dict[str, float], list[str]]:
        """Return the metrics of stored scores, and those of other packages that fall.

        A metric of another package that fails is left out with a warning.
        """
        if scores.ndim < 2:  # too many, or of an older sarbench
            return {}, []
        known = PROTOCOLS[run.protocol].probabilities
        given = run_of(truth, classes, scores, self.chips.classes, has_probabilities=known)
        found, lower = score_values(given, OF_SCORES.values(), has_probabilities=known), []
        for name, metric in plugin_metrics().items():
            if isinstance(metric, str):
                self._warn_once(f"metric {name} is left out of the records: {metric}")
                continue
            try:
                value = score_values(given, [metric], has_probabilities=known)
            except MetricError as error:
                self._warn_once(f"{error}; it is left out of the record")
                continue
            found |= value
            lower += [name] if value and metric.lower_is_better else []
        return found, lower

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(text)

    def _write_predictions(
        self, run: Run, predictions: Predictions
    ) -> tuple[dict[str, np.ndarray], str]:
        """Store predictions; return the stored arrays and the digest of the file.

        If another process evaluates the same run, the first file counts for both.
        """
        path = self.store.folder("evaluate", run.key) / PREDICTIONS_FILE
        arrays = to_store(predictions.classes, predictions.scores)
        content = npz(**arrays)
        if write_once(path, content):
            return arrays, sha256(content).hexdigest()
        stored = read_file(path)
        digest = sha256(stored).hexdigest()
        with suppress(DamagedPredictionsError):
            found = read_predictions(path, digest, read=lambda *_: stored)
            kept = (found["classes"].shape, found["classes"].dtype)
            if kept == (arrays["classes"].shape, arrays["classes"].dtype):
                return found, digest
        write_atomic(path, content)  # the file of an older process is damaged
        return arrays, sha256(content).hexdigest()
