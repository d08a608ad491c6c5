import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from sarbench.results.class_metrics import BadLabelsError, class_scores, confusion

# Three classes; class 2 is predicted and never true, class 1 is never predicted.
LABELS = np.array([0, 0, 0, 1])
PREDICTED = np.array([0, 0, 2, 0])


def test_a_case_by_hand() -> None:
    np.testing.assert_array_equal(
        confusion(LABELS, PREDICTED, 3), [[2, 0, 1], [1, 0, 0], [0, 0, 0]]
    )
    found = class_scores(LABELS, PREDICTED, 3)
    assert found["accuracy"] == 2 / 4
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["macro_f1"] == pytest.approx((2 * 2 / (3 + 3) + 0) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_random_predictions_have_the_scores_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, guesses = rng.integers(0, 6, 300), rng.integers(0, 7, 300)  # 6 is never true
    predicted = np.where(rng.random(300) < 0.5, labels, guesses)
    np.testing.assert_array_equal(
        confusion(labels, predicted, 8),
        sklearn_metrics.confusion_matrix(labels, predicted, labels=range(8)),
    )
    found, present = class_scores(labels, predicted, 8), np.unique(labels)
    assert found["accuracy"] == sklearn_metrics.accuracy_score(labels, predicted)
    assert found["balanced_accuracy"] == pytest.approx(
        sklearn_metrics.recall_score(labels, predicted, labels=present, average="macro")
    )
    assert found["macro_f1"] == pytest.approx(
        sklearn_metrics.f1_score(labels, predicted, labels=present, average="macro")
    )


def test_every_metric_is_a_fraction() -> None:
    labels = np.arange(10)
    assert set(class_scores(labels, labels, 10).values()) == {1.0}
    assert set(class_scores(labels, (labels + 1) % 10, 10).values()) == {0.0}


def test_an_empty_test_set_is_refused() -> None:
    empty = np.array([], dtype=np.int64)
    with pytest.raises(BadLabelsError, match="no test chips"):
        class_scores(empty, empty, 10)


def test_a_class_outside_the_data_set_is_refused() -> None:
    with pytest.raises(BadLabelsError, match=r"a prediction must be in 0\.\.1, found 0\.\.2"):
        confusion(LABELS, PREDICTED, 2)
    with pytest.raises(BadLabelsError, match=r"a prediction must be in 0\.\.1"):
        class_scores(LABELS, PREDICTED, 2)
    with pytest.raises(BadLabelsError, match="a label must be"):
        confusion(np.array([-1, 0]), np.array([0, 0]), 2)
