"""Metrics by name: their title, direction and unit, and their values for one run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from math import isnan, nan
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Int

from .score_metrics import auc, calibration_error, nll, places, probabilities, share_of_best

RECALL = "recall:"  # followed by a class
LARGE = 1e6  # a value that is printed with an exponent


class UnknownMetricError(LookupError):
    """A name that no metric has."""


class MetricError(ValueError):
    """A metric of another package that fails for a run."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """The test chips of one run.

    Attributes:
        labels: Class of each chip.
        classes: Predicted class of each chip.
        scores: Score of each class; probabilities where the protocol has them.
        names: Names of the classes.
    """

    labels: Int[np.ndarray, " M"]
    classes: Int[np.ndarray, " M"]
    scores: Float[np.ndarray, "M C"]
    names: tuple[str, ...]

    @cached_property
    def places(self) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
        """Of each chip, the number of classes with a better and with the same score as its own."""
        return places(self.labels, self.scores)


@dataclass(frozen=True)
class Metric:
    """A metric of a table.

    Attributes:
        name: Name in records and on the command line.
        title: Name in tables.
        about: Definition, and an independent function that it is compared with.
        lower_is_better: True if 0 is best.
        is_fraction: True if its values are in [0, 1]; they are printed in percent.
        needs_probabilities: True if it is not defined for other scores.
        of_scores: Value for one run; None for a metric of the predicted classes.
    """

    name: str
    title: str
    about: str = ""
    lower_is_better: bool = False
    is_fraction: bool = True
    needs_probabilities: bool = False
    of_scores: Callable[[Predicted], float] | None = None

    @property
    def heading(self) -> str:
        """Title, unit and direction."""
        unit = " in percent" if self.is_fraction else ""
        return f"{self.title}{unit}{' (lower is better)' if self.lower_is_better else ''}"

    @property
    def points(self) -> str:
        """The unit of a difference, to follow a number."""
        return " points" if self.is_fraction else ""

    @property
    def sign(self) -> int:
        """Factor that makes higher values better."""
        return -1 if self.lower_is_better else 1

    def text(self, value: float, share: float = 1) -> str:
        """Return a share of a value as it is printed, in percent if it is a fraction."""
        if self.is_fraction:
            return f"{100 * share * value:.1f}"
        return f"{share * value:.3f}" if abs(value) < LARGE else f"{share * value:.3e}"

    def limits(self, low: float, high: float) -> str:
        """Return an interval as it is printed: `90.1 to 97.3`; that of a fraction is in [0, 1]."""
        if self.is_fraction:
            low, high = max(low, 0.0), min(high, 1.0)
        return f"{self.text(low)} to {self.text(high)}"

    def signed(self, value: float) -> str:
        """Return a difference as it is printed."""
        return f"{100 * value:+z.1f}" if self.is_fraction else f"{value:+z.3f}"


def _top(k: int) -> Metric:
    return Metric(
        f"top_{k}", f"Top-{k} accuracy",
        f"share of the test chips whose class is among the {k} best scores; if t classes tie and "
        f"n of them are among the {k} best, the chip counts n / t; undefined for {k} or fewer "
        "classes (`top_k_accuracy_score` of scikit-learn)",
        of_scores=lambda run: share_of_best(*run.places, k) if len(run.names) > k else nan,
    )  # fmt: skip


OF_CLASSES = {
    "accuracy": Metric(
        "accuracy", "Accuracy", "share of the test chips with the right class (scikit-learn)"
    ),
    "balanced_accuracy": Metric(
        "balanced_accuracy", "Balanced accuracy",
        "mean recall of the classes with test chips (scikit-learn)",
    ),
    "macro_f1": Metric(
        "macro_f1", "Macro F1", "mean F1 of the classes with test chips (scikit-learn)"
    ),
}  # fmt: skip
OF_SCORES = {
    **{f"top_{k}": _top(k) for k in (2, 3, 5)},
    "auc": Metric(
        "auc", "AUC (one class against the rest)",
        "for each class with test chips, the share of pairs of a chip of the class and another "
        "chip in which the first has the higher score of the class (equal scores count one half: "
        'mid-ranks); mean over these classes (`roc_auc_score` with `multi_class="ovr"`)',
        of_scores=lambda run: auc(run.labels, run.scores),
    ),
    "calibration_error": Metric(
        "calibration_error", "Calibration error",
        "expected calibration error: chips in 15 bins of equal width by the probability of their "
        "predicted class; the sum over bins of their share of the chips times the distance between "
        "accuracy and mean probability (Guo et al., arXiv 1706.04599, equation 3; by hand, and for "
        "a calibrated classifier)",
        lower_is_better=True, needs_probabilities=True,
        of_scores=lambda run: calibration_error(run.labels, run.classes, run.scores),
    ),
    "nll": Metric(
        "nll", "Negative log-likelihood",
        "mean negative logarithm of the probability of the true class, in nats (`log_loss`)",
        lower_is_better=True, is_fraction=False, needs_probabilities=True,
        of_scores=lambda run: nll(run.labels, run.scores),
    ),
}  # fmt: skip
BUILT_IN = OF_CLASSES | OF_SCORES
ACCURACY = OF_CLASSES["accuracy"]


def metric_of(name: Metric | str, others: Mapping[str, Metric] = MappingProxyType({})) -> Metric:
    """Return a metric by its name.

    Args:
        name: Name of a metric, `recall:CLASS`, or the metric itself.
        others: Metrics of other packages by name.

    Raises:
        UnknownMetricError: It lists the allowed names.
    """
    if isinstance(name, Metric):
        return name
    if name.startswith(RECALL):
        return Metric(name, f"Recall of {name.removeprefix(RECALL)}")
    known = {**others, **BUILT_IN}
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        listed = ", ".join([*BUILT_IN, *sorted(others.keys() - BUILT_IN.keys())])
        raise UnknownMetricError(f"unknown metric {name!r}.{hint} Allowed: {listed}, {RECALL}CLASS")
    return known[name]


def run_of(
    labels: Int[np.ndarray, " M"],
    classes: Int[np.ndarray, " M"],
    scores: Float[np.ndarray, "M C"],
    names: tuple[str, ...],
    *,
    has_probabilities: bool,
) -> Predicted:
    """Return a run as metrics get it.

    Args:
        labels: Class of each chip.
        classes: Predicted class of each chip.
        scores: Scores as they are stored.
        names: Names of the classes.
        has_probabilities: True if the scores are log-probabilities.
    """
    given = probabilities(scores) if has_probabilities else scores.astype(np.float64)
    run = Predicted(labels.astype(np.int64), classes.astype(np.int64), given, names)
    for array in (run.labels, run.classes, run.scores):
        array.flags.writeable = False
    return run


def score_values(
    run: Predicted, metrics: Iterable[Metric], *, has_probabilities: bool
) -> dict[str, float]:
    """Return the metrics of the scores of one run, without those that it does not have.

    Raises:
        MetricError: A metric of another package fails or returns something else than a number.
    """
    found = {}
    for metric in metrics:
        if metric.of_scores and (has_probabilities or not metric.needs_probabilities):
            value = metric.of_scores(run)
            if not isnan(value):
                found[metric.name] = value
    return found
