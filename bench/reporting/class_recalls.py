"""The recall of each class in the cells of a plan, and scores on other parts of the test chips."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from ...results.class_metrics import recalls
from ...results.scores import Column, LeaderboardError, Score, by_column
from ...results.tables.part_scores import PartScores
from .chip_predictions import ChipPredictions

Names = Sequence[str]
# Labels, predicted classes and the data set -> score of each part.
PartScore = Callable[[np.ndarray, np.ndarray, str], np.ndarray]


def class_recalls(
    scores: Sequence[Score], predictions: ChipPredictions
) -> dict[Column, PartScores]:
    """Return the recalls of each column with finished runs and known labels.

    Raises:
        LeaderboardError: No column has them.
    """

    def classes(dataset: str) -> tuple[Names, np.ndarray] | None:
        split = predictions.split(dataset)
        return None if split is None else (split.classes, split.test_labels)

    def recall(labels: np.ndarray, predicted: np.ndarray, dataset: str) -> np.ndarray:
        split = predictions.split(dataset)
        return recalls(labels, predicted, len(split.classes) if split else 0)

    found = part_scores(scores, predictions, classes, recall)
    if not found:
        raise LeaderboardError(
            "no recall of classes: no run is finished, or the test labels are not known here; run "
            "`sarbench check` for the reason"
        )
    return found


def part_scores(
    scores: Sequence[Score],
    predictions: ChipPredictions,
    parts: Callable[[str], tuple[Names, np.ndarray] | None],
    score_parts: PartScore,
) -> dict[Column, PartScores]:
    """Return the scores on parts of the test chips of each column with finished runs.

    Args:
        scores: The runs.
        predictions: Their predictions and labels.
        parts: Returns the names of the parts of a data set and the part of each test chip; None
            leaves the data set out.
        score_parts: Scores each part of one run.
    """
    found = {}
    for column, rows in by_column(scores).items():
        known, labels = parts(column.dataset), predictions.classes(column.dataset)
        if known is None or labels is None:
            continue
        names, part = known
        means = {}
        for row, cell in rows.items():
            starts: dict[int, list[np.ndarray]] = defaultdict(list)
            for score in cell:
                predicted = predictions.predicted(score.key) if score.values else None
                if predicted is not None:
                    values = score_parts(labels, predicted, column.dataset)
                    starts[score.pretrain_seed].append(values)
            if starts:
                means[row] = np.mean([np.mean(of, axis=0) for of in starts.values()], axis=0)
        if means:
            groups = predictions.groups(column.dataset)
            units = part if groups is None else np.unique(np.stack([part, groups]), axis=1)[0]
            chips, count = (np.bincount(of, minlength=len(names)) for of in (part, units))
            found[column] = PartScores(names, chips, count, means)
    return found
