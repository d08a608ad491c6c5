"""Metrics of other packages."""

import numpy as np
import pytest

from sarbench.results.metric import MetricError, run_of, score_values
from sarbench.results.plugin_metrics import plugin_metrics, usable

TEXT = """
import numpy as np

def worst_recall(truth, scores, classes):
    found = scores.argmax(1)
    return min(np.mean(found[truth == k] == k) for k in range(len(classes)) if (truth == k).any())

def brier(truth, scores, classes):
    return np.mean((scores - np.eye(len(classes))[truth]) ** 2)

brier.lower_is_better = True
brier.needs_probabilities = True

def raises(truth, scores, classes):
    raise KeyError("key")

def writes(truth, scores, classes):
    truth[0] = 1

def returns(value):
    return lambda truth, scores, classes: value

def leaves(truth, scores, classes):
    raise SystemExit(3)

nan, words, yes, huge = returns(float("nan")), returns("high"), returns(True), returns(10**400)
number = 3
"""

RUN = run_of(
    np.array([0, 1, 1]), np.array([0, 1, 0], np.int16),
    np.log([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]).astype(np.float16), ("a", "b"),
    has_probabilities=True,
)  # fmt: skip


def installed(package, *lines):
    package("plugin_numbers", TEXT, *(f"{line} = plugin_numbers:{line}" for line in lines),
            group="metrics")  # fmt: skip


def value(name):
    return score_values(RUN, [usable()[name]], has_probabilities=True)[name]


def test_a_metric_gets_truth_scores_and_classes(package):
    installed(package, "worst_recall", "brier")
    assert value("worst_recall") == 0.5
    assert value("brier") == pytest.approx((4 * 0.0625 + 2 * 0.25) / 6, abs=1e-4)
    metric = usable()["brier"]
    assert (metric.title, metric.lower_is_better, metric.is_fraction) == ("Brier", True, False)
    assert not usable()["worst_recall"].lower_is_better
    assert score_values(RUN, [metric], has_probabilities=False) == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises", "metric raises raised KeyError: 'key'"),
        ("writes", "metric writes raised ValueError: assignment destination is read-only"),
        ("nan", "metric nan returned nan, not a finite number of at most 1e+100"),
        ("words", "metric words returned 'high', not a finite number of at most 1e+100"),
        ("yes", "metric yes returned True, not a finite number of at most 1e+100"),
        ("huge", "metric huge returned 1" + "0" * 400 + ", not a finite number of at most 1e+100"),
        ("leaves", "metric leaves raised SystemExit: 3"),
    ],
)
def test_a_metric_that_fails_is_named(package, name, reason):
    installed(package, name)
    with pytest.raises(MetricError) as found:
        value(name)
    assert str(found.value) == reason


def test_names_and_packages_that_cannot_be_used_have_a_reason(package):
    package(
        "plugin_numbers", TEXT, "auc = plugin_numbers:brier", "Brier = plugin_numbers:brier",
        "gone = plugin_numbers:gone", "number = plugin_numbers:number", group="metrics",
    )  # fmt: skip
    package("plugin_more", TEXT, "number = plugin_more:brier", group="metrics")
    assert usable() == {}
    assert plugin_metrics() == {
        "auc": "plugin_numbers:brier has the name of a metric of sarbench; rename it",
        "Brier": "plugin_numbers:brier: a name has small letters, digits and _ only; rename it",
        "gone": "importing plugin_numbers:gone failed with AttributeError: module 'plugin_numbers' "
        "has no attribute 'gone'",
        "number": "two packages have a metric number; uninstall one or rename its metric",
    }
