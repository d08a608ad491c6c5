import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import log_loss, roc_auc_score, top_k_accuracy_score

from sarbench.results.metric import OF_SCORES, run_of, score_values
from sarbench.results.score_metrics import (
    auc,
    calibration_error,
    nll,
    places,
    probabilities,
    share_of_best,
)

RNG = np.random.default_rng(0)
LABELS = np.concatenate([np.arange(6), RNG.integers(0, 6, 494)])
LOGITS = RNG.normal(size=(500, 6)) + 1.5 * np.eye(6)[LABELS]
SCORES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)


def top_k(labels, scores, k):
    return share_of_best(*places(labels, scores), k)


def test_probabilities_in_half_precision_sum_to_one_again():
    stored = np.log(SCORES).astype(np.float16)
    found = probabilities(stored)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(found, SCORES, rtol=5e-3)


def test_log_probabilities_in_half_precision_keep_the_order_of_sure_classifiers():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 2425)
    logits = 10 * (rng.normal(size=(2425, 10)) + 2.2 * np.eye(10)[labels])
    logs = log_softmax(logits, axis=1)
    exact = auc(labels, np.exp(logs))
    assert auc(labels, probabilities(logs.astype(np.float16))) == pytest.approx(exact, abs=1e-5)
    assert abs(auc(labels, np.exp(logs).astype(np.float16)) - exact) > 1e-3


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_is_that_of_scikit_learn(k):
    assert top_k(LABELS, SCORES, k) == pytest.approx(top_k_accuracy_score(LABELS, SCORES, k=k))


def test_equal_scores_count_in_part():
    # Two of the three places after the first are among the three best: 1, 2/3, 2/3, 2/3.
    scores = np.tile([0.4, 0.2, 0.2, 0.2], (4, 1))
    assert top_k(np.arange(4), scores, 3) == pytest.approx((1 + 3 * 2 / 3) / 4)
    assert top_k(np.arange(4), scores, 1) == pytest.approx(1 / 4)


def test_the_best_of_as_many_classes_as_there_are_is_not_a_metric():
    stored = np.log(SCORES[:, :3])
    run = run_of(LABELS % 3, LABELS % 3, stored, tuple("abc"), has_probabilities=True)
    found = score_values(run, OF_SCORES.values(), has_probabilities=True)
    assert set(OF_SCORES) - set(found) == {"top_3", "top_5"}


@pytest.mark.parametrize("decimals", [16, 1])  # with one decimal many scores are equal
def test_auc_is_that_of_scikit_learn(decimals):
    scores = SCORES.round(decimals)
    expected = np.mean([roc_auc_score(label == LABELS, scores[:, label]) for label in range(6)])
    assert auc(LABELS, scores) == pytest.approx(expected, abs=1e-12)
    if decimals > 1:
        assert auc(LABELS, scores) == pytest.approx(
            roc_auc_score(LABELS, scores, multi_class="ovr"), abs=1e-12
        )


def test_a_class_without_test_chips_has_no_part_in_the_auc():
    few = LABELS < 4
    expected = np.mean([roc_auc_score(LABELS[few] == k, SCORES[few, k]) for k in range(4)])
    assert auc(LABELS[few], SCORES[few]) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(auc(np.zeros(5, int), SCORES[:5]))


def test_the_auc_of_three_chips_by_hand():
    # Class 0: 0.5 against 0.5 and 0.1 is (1/2 + 1) / 2. Class 1: 0.5 and 0.9 against 0.5 the same.
    scores = np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]])
    assert auc(np.array([0, 1, 1]), scores) == 0.75


def test_the_calibration_error_of_five_chips_by_hand():
    # Bins of 1/15: 0.98 and 0.96 are in (14/15, 1], 0.56 and 0.6 in (8/15, 9/15] (its limit is in
    # it), 0.7 in (10/15, 11/15]. Gaps: |1 - 1.94|, |2 - 1.16|, |0 - 0.7|.
    sure = np.array([0.98, 0.96, 0.56, 0.6, 0.7])
    scores = np.stack([sure, 1 - sure], axis=1)
    labels = np.array([0, 1, 0, 0, 1])
    found = calibration_error(labels, np.zeros(5, int), scores)
    assert found == pytest.approx((0.94 + 0.84 + 0.7) / 5)


def test_the_calibration_error_of_a_calibrated_classifier_is_small():
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(4), 40_000)
    labels = (rng.random((40_000, 1)) > scores.cumsum(1)).sum(1)
    assert calibration_error(labels, scores.argmax(1), scores) < 0.01
    sharper = scores**3 / (scores**3).sum(1, keepdims=True)
    assert calibration_error(labels, sharper.argmax(1), sharper) > 0.1


def test_a_sure_prediction_is_in_the_last_bin_and_a_probability_of_zero_is_finite():
    labels, scores = np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert calibration_error(labels, np.zeros(2, int), scores) == 0.5
    assert np.isfinite(nll(labels, scores))


def test_nll_is_the_log_loss_of_scikit_learn():
    assert nll(LABELS, SCORES) == pytest.approx(log_loss(LABELS, SCORES), rel=1e-12)


def test_scores_without_probabilities_have_no_calibration():
    stored = np.log(SCORES).astype(np.float16)
    classes = SCORES.argmax(1).astype(np.int16)
    given = LABELS, classes, stored, tuple("abcdef")
    values = [
        score_values(
            run_of(*given, has_probabilities=known), OF_SCORES.values(), has_probabilities=known
        )
        for known in (True, False)
    ]
    assert set(values[0]) == set(OF_SCORES)
    assert set(values[1]) == set(OF_SCORES) - {"calibration_error", "nll"}
    assert values[0]["auc"] == pytest.approx(auc(LABELS, SCORES), abs=1e-4)
