"""The recall of each class in the cells of a plan."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ...results.class_metrics import recalls
from ...results.scores import Column, LeaderboardError, Score, by_column
from ...results.tables.class_recalls import ClassRecalls
from .chip_predictions import ChipPredictions


def class_recalls(
    scores: Sequence[Score], predictions: ChipPredictions
) -> dict[Column, ClassRecalls]:
    """Return the recalls of each column with finished runs and known labels.

    Raises:
        LeaderboardError: No column has them.
    """
    found = {}
    for column, rows in by_column(scores).items():
        known = predictions.labels(column.dataset)
        if known is None:
            continue
        labels, classes = known
        means = {}
        for row, cell in rows.items():
            starts: dict[int, list[np.ndarray]] = defaultdict(list)
            for score in cell:
                predicted = predictions.predicted(score.key) if score.values else None
                if predicted is not None:
                    starts[score.pretrain_seed].append(recalls(labels, predicted, len(classes)))
            if starts:
                means[row] = np.mean([np.mean(of, axis=0) for of in starts.values()], axis=0)
        if means:
            chips = np.bincount(labels, minlength=len(classes))
            found[column] = ClassRecalls(classes, chips, means)
    if not found:
        raise LeaderboardError(
            "no recall of classes: no run is finished, or the test labels are not known here; run "
            "`sarbench check` for the reason"
        )
    return found
