"""What runs said of single test chips, read from the store."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from ..results.scores import Score
from .data.chips import Chips
from .data.prepare import open_chips
from .data.sar_acd import groups as sar_acd_groups
from .store import Store, file_digest


class DamagedPredictionsError(ValueError):
    """Predictions that are not those that their record describes."""


class Outcomes:
    """Labels, groups and predictions of the test chips of a store's runs.

    Attributes:
        digests: Key of each run -> SHA-256 of its predictions.
    """

    def __init__(self, store: Store, data_dir: Path, digests: dict[str, str]) -> None:
        """Remember where to look; nothing is read before it is asked for."""
        self._store, self._data_dir, self.digests = store, data_dir, digests
        self.labels = cache(self._labels)
        self.groups = cache(self._groups)

    def _labels(self, dataset: str) -> tuple[Int[np.ndarray, " M"], tuple[str, ...]]:
        """Return the class of each test chip in split order, and the class names."""
        chips = open_chips(dataset, self._data_dir, self._store.prepared)
        return chips.labels[chips.is_test], chips.classes

    def _groups(self, dataset: str) -> Int[np.ndarray, " M"] | None:
        """Return the near-duplicate group of each test chip; None where each stands alone."""
        if not dataset.startswith("sar_acd"):
            return None
        chips = open_chips(dataset, self._data_dir, self._store.prepared)
        group_of = sar_acd_groups()
        return np.array([group_of[str(chip_id)] for chip_id in chips.ids[chips.is_test]])

    def predicted(self, key: str | None) -> Int[np.ndarray, " M"] | None:
        """Return the predicted class of each test chip, or None where the file is not there.

        Raises:
            DamagedPredictionsError: The file is not the one that the record describes.
        """
        if key is None or key not in self.digests:
            return None
        path = self._store.folder("evaluate", key) / "predictions.npz"
        try:
            if file_digest(path) != self.digests[key]:
                raise DamagedPredictionsError(
                    f"{path} is not the file that its record describes (another SHA-256); move "
                    f"{path.parent.name[:12]}... away and run the grid again"
                )
            with np.load(path, allow_pickle=False) as stored:
                return stored["classes"]
        except FileNotFoundError:
            return None

    def right(self, score: Score) -> Bool[np.ndarray, " M"] | None:
        """Return whether a run was right on each test chip; None where that is not stored."""
        predicted = self.predicted(score.key)
        return None if predicted is None else predicted == self.labels(score.dataset)[0]


def labels_by_digest(
    store: Store, data_dir: Path
) -> Callable[[dict[str, Any]], tuple[Int[np.ndarray, " M"], int] | None]:
    """Return a look-up of the test labels of a run's data set, where it is prepared here.

    A data set with other digests is another data set: the look-up returns None.
    """

    @cache
    def known(name: str) -> Chips | None:
        try:
            return open_chips(name, data_dir, store.prepared)
        except (OSError, LookupError, ValueError):
            return None

    def labels_of(identity: dict[str, Any]) -> tuple[Int[np.ndarray, " M"], int] | None:
        chips = known(str(identity.get("dataset")))
        digests = (identity.get("data_digest"), identity.get("split_digest"))
        if chips is None or digests != (chips.data_digest, chips.split_digest):
            return None
        return chips.labels[chips.is_test], len(chips.classes)

    return labels_of
