"""Metrics of the scores of all classes.

Classes without test chips have neither an AUC nor a part in its mean. Equal scores are not ordered
by the number of a class or by the place of a chip: a metric has its mean over all orders of them.
"""

import numpy as np
from jaxtyping import Float, Int

BINS = 15  # of the calibration error, as in Guo et al., arXiv 1706.04599, section 5
SMALLEST = float(np.finfo(np.float64).tiny)  # probability whose logarithm is finite


def probabilities(log_probabilities: Float[np.ndarray, "M C"]) -> Float[np.ndarray, "M C"]:
    """Return probabilities whose sum over the classes is 1 in double precision."""
    scores = log_probabilities.astype(np.float64)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def places(
    labels: Int[np.ndarray, " M"], scores: Float[np.ndarray, "M C"]
) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """Return the number of classes with a better and with the same score as the class of a chip."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    return np.count_nonzero(scores > own, axis=1), np.count_nonzero(scores == own, axis=1)


def share_of_best(better: Int[np.ndarray, " M"], equal: Int[np.ndarray, " M"], k: int) -> float:
    """Return the share of test chips whose class is among the k best scores: top-k accuracy.

    If the class of a chip is one of t classes with equal scores of which n are among the k best,
    the chip counts n / t.

    Args:
        better: Number of classes with a better score than the class of each chip.
        equal: Number of classes with the same score, itself included.
        k: Number of classes.
    """
    return float(np.clip((k - better) / equal, 0, 1).mean())


def auc(labels: Int[np.ndarray, " M"], scores: Float[np.ndarray, "M C"]) -> float:
    """Return the mean area under the ROC curve of each class against the rest.

    The area is the share of pairs of a chip of the class and another chip in which the first has
    the higher score of the class; a pair with equal scores counts one half. NaN if all test chips
    are of one class.
    """
    areas = []
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        others = len(labels) - count
        if others == 0:
            return float("nan")
        ordered, own = np.sort(scores[:, label]), scores[labels == label, label]
        below, up_to = (np.searchsorted(ordered, own, side) for side in ("left", "right"))
        ranks = (below + up_to + 1) / 2  # of equal scores the mean
        above = ranks.sum() - count * (count + 1) / 2
        areas.append(above / (count * others))
    return float(np.mean(areas))


def calibration_error(
    labels: Int[np.ndarray, " M"],
    predicted: Int[np.ndarray, " M"],
    scores: Float[np.ndarray, "M C"],
) -> float:
    """Return the expected calibration error of the predicted classes.

    Chips are binned by the probability of their predicted class, into 15 bins of equal width that
    include their upper limit. The error is the mean over chips of the distance between accuracy and
    mean probability of a bin (Guo et al., equation 3).
    """
    sure = np.take_along_axis(scores, predicted[:, None], axis=1)[:, 0]
    place = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = np.bincount(place, (predicted == labels) - sure, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def nll(labels: Int[np.ndarray, " M"], scores: Float[np.ndarray, "M C"]) -> float:
    """Return the mean negative logarithm of the probability of the true class, in nats."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    return float(-np.log(np.maximum(own, SMALLEST)).mean())
