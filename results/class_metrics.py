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


def accuracy(labels: Int[np.ndarray, " M"], predicted: Int[np.ndarray, " M"]) -> float:
    """Return the share of test chips with the right class."""
    return float(np.trace(_confusion(labels, predicted)) / labels.size)


def balanced_accuracy(labels: Int[np.ndarray, " M"], predicted: Int[np.ndarray, " M"]) -> float:
    """Return the mean recall of the classes with test chips."""
    matrix = _confusion(labels, predicted)
    chips = matrix.sum(axis=1)
    return float(np.mean(np.diag(matrix)[chips > 0] / chips[chips > 0]))


def macro_f1(labels: Int[np.ndarray, " M"], predicted: Int[np.ndarray, " M"]) -> float:
    """Return the mean F1 of the classes with test chips."""
    matrix = _confusion(labels, predicted)
    chips = matrix.sum(axis=1)
    f1 = 2 * np.diag(matrix)[chips > 0] / (chips + matrix.sum(axis=0))[chips > 0]
    return float(f1.mean())


def recalls(
    labels: Int[np.ndarray, " M"], predicted: Int[np.ndarray, " M"], classes: int
) -> Float[np.ndarray, " C"]:
    """Return the recall of each class; NaN for a class without test chips."""
    matrix = confusion(labels, predicted, classes)
    chips = matrix.sum(axis=1)
    return np.where(chips > 0, np.diag(matrix) / np.maximum(chips, 1), np.nan)


def score_runs(
    labels: Int[np.ndarray, " M"], predicted: Int[np.ndarray, "R M"], classes: int
) -> dict[str, Float[np.ndarray, " R"]]:
    """Return the three metrics of R runs on one test set.

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


def _confusion(
    labels: Int[np.ndarray, " M"], predicted: Int[np.ndarray, " M"]
) -> Int[np.ndarray, "C C"]:
    if labels.size == 0:
        raise BadLabelsError("no test chips to score: the test set is empty")
    return confusion(labels, predicted, int(max(labels.max(), predicted.max())) + 1)
