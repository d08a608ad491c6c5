"""Metrics of predicted classes, as fractions in [0, 1].

Means over classes include only classes with test chips: other classes have no recall and no F1.
"""

import numpy as np
from jaxtyping import Float, Int


class BadLabelsError(ValueError):
    """Labels or predictions that cannot be scored."""


def confusion(
    labels: Int[np.ndarray, " M"], predicted: Int[np.ndarray, " M"], classes: int
) -> Int[np.ndarray, "C C"]:
    """Return the number of chips of each true class (row) predicted as each class (column).

    Raises:
        BadLabelsError: The test set is empty, or a class is outside 0..classes - 1.
    """
    if labels.size == 0:
        raise BadLabelsError("no test chips to score: the test set is empty")
    for what, values in (("label", labels), ("prediction", predicted)):
        if values.min() < 0 or values.max() >= classes:
            raise BadLabelsError(
                f"a {what} must be in 0..{classes - 1}, found {values.min()}..{values.max()}"
            )
    flat = labels.astype(np.int64) * classes + predicted
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def recalls(
    labels: Int[np.ndarray, " M"], predicted: Int[np.ndarray, " M"], classes: int
) -> Float[np.ndarray, " C"]:
    """Return the recall of each class; NaN for a class without test chips."""
    matrix = confusion(labels, predicted, classes)
    chips = matrix.sum(axis=1)
    return np.where(chips > 0, np.diag(matrix) / np.maximum(chips, 1), np.nan)


def class_scores(
    labels: Int[np.ndarray, " M"], predicted: Int[np.ndarray, " M"], classes: int
) -> dict[str, float]:
    """Return accuracy, balanced accuracy and macro F1 of one run; errors as of `score_runs`."""
    found = score_runs(labels, predicted[None], classes)
    return {name: float(values[0]) for name, values in found.items()}


def score_runs(
    labels: Int[np.ndarray, " M"], predicted: Int[np.ndarray, "R M"], classes: int
) -> dict[str, Float[np.ndarray, " R"]]:
    """Return accuracy, balanced accuracy and macro F1 of R runs on one test set.

    The last two are the mean recall, and the mean F1, of the classes with test chips.

    Raises:
        BadLabelsError: As `confusion`.
    """
    first = confusion(labels, labels, classes)  # checks the labels
    if predicted.min() < 0 or predicted.max() >= classes:
        raise BadLabelsError(f"a prediction must be in 0..{classes - 1}")
    runs, cells = len(predicted), classes**2
    flat = labels.astype(np.int64) * classes + predicted + np.arange(runs)[:, None] * cells
    counts = np.bincount(flat.ravel(), minlength=runs * cells)
    matrices = counts.reshape(runs, classes, classes)
    chips = np.diag(first)
    present = chips > 0
    right = matrices[:, present, present]
    both = (chips + matrices.sum(axis=1))[:, present]
    return {
        "accuracy": right.sum(axis=1) / labels.size,
        "balanced_accuracy": (right / chips[present]).mean(axis=1),
        "macro_f1": (2 * right / both).mean(axis=1),
    }
