"""Logistic regression against scikit-learn, autograd and closed forms."""

import numpy as np
import pytest
import torch
from one_test_set import features_of, run_all
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sarbench.protocols import logistic
from sarbench.protocols._settings import BadSettingsError, Logistic
from sarbench.protocols._types import Features, NotConvergedError


def make_features(
    rng: torch.Generator, chips: int = 120, width: int = 16, classes: int = 5, spread: float = 0.5
) -> Features:
    """Return correlated features of overlapping classes, small and far from zero."""
    centres = spread * torch.randn(classes, width, generator=rng)
    mixing = torch.randn(width, width, generator=rng) / width**0.5

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(count) % classes
        noise = torch.randn(count, width, generator=rng)
        return (centres[labels] + noise) @ mixing * 0.01 + 0.3, labels

    train, labels = draw(chips)
    return features_of(train, labels, draw(60)[0], classes)


def theirs(features: Features, episode: np.ndarray, penalty: float) -> np.ndarray:
    """Return the probabilities of scikit-learn, (M, C)."""
    chips = features.train[episode].double().numpy()
    scaler = StandardScaler().fit(chips)
    model = LogisticRegression(C=1 / penalty, tol=1e-9, max_iter=20_000)
    model.fit(scaler.transform(chips), features.train_labels[episode].numpy())
    return model.predict_proba(scaler.transform(features.tests[0].double().numpy()))


@pytest.mark.parametrize(
    ("chips", "width", "penalty"), [(120, 16, 1.0), (120, 16, 0.03), (40, 64, 1.0), (100, 2, 30.0)]
)
def test_it_is_the_regression_of_scikit_learn(rng, chips, width, penalty):
    features = make_features(rng, chips, width)
    episodes = [np.arange(0, chips, 2), np.arange(1, chips, 2), np.arange(chips)]
    found = run_all(logistic, features, episodes, [], Logistic(penalty=penalty))
    for episode, predictions in zip(episodes, found, strict=True):
        expected = theirs(features, episode, penalty)
        np.testing.assert_array_equal(predictions.classes, expected.argmax(1))
        np.testing.assert_allclose(np.exp(predictions.scores), expected, atol=2e-5)


def test_the_gradient_vanishes_by_autograd(rng):
    chips = torch.randn(2, 30, 4, generator=rng, dtype=torch.float64)
    classes = torch.arange(30) % 3
    labels = torch.nn.functional.one_hot(classes, 3).double().expand(2, 30, 3)
    weights = logistic.minimise(chips, labels, 0.5).requires_grad_()
    logits = chips @ weights[:, :-1] + weights[:, -1:]
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), classes.repeat(2), reduction="sum"
    )
    (loss + 0.25 * weights[:, :-1].square().sum()).backward()
    assert weights.grad is not None
    assert float(weights.grad.abs().max()) < 30 * logistic.TOLERANCE


def test_runs_together_are_as_each_alone(rng):
    features = make_features(rng)
    episodes = [np.arange(5 * k, 5 * k + 50) for k in range(8)] + [np.arange(120)]
    together = run_all(logistic, features, episodes, [], Logistic())
    for episode, one in zip(episodes, together, strict=True):
        (alone,) = run_all(logistic, features, [episode], [], Logistic())
        np.testing.assert_array_equal(one.classes, alone.classes)
        np.testing.assert_allclose(one.scores, alone.scores, atol=1e-6)


def test_chunks_change_nothing(rng, monkeypatch):
    features = make_features(rng)
    episodes = [np.arange(k, k + 50) for k in range(4)]
    whole = run_all(logistic, features, episodes, [], Logistic())
    monkeypatch.setattr(logistic, "CHUNK_VALUES", 1)
    for one, other in zip(
        whole, run_all(logistic, features, episodes, [], Logistic()), strict=True
    ):
        np.testing.assert_array_equal(one.classes, other.classes)


def test_under_a_huge_penalty_only_the_share_of_each_class_remains(rng):
    features = make_features(rng, classes=3)
    shares = [10, 20, 30]
    order = features.train_labels.argsort(stable=True).reshape(3, 40)
    episode = np.concatenate([order[k, :n].numpy() for k, n in enumerate(shares)])
    (found,) = run_all(logistic, features, [episode], [], Logistic(penalty=1e9))
    assert set(found.classes) == {2}
    shared = np.tile([1 / 6, 1 / 3, 1 / 2], (60, 1))
    np.testing.assert_allclose(np.exp(found.scores), shared, atol=1e-5)


def test_a_shift_a_scale_or_a_constant_feature_changes_nothing(rng):
    features = make_features(rng)
    moved = features_of(
        torch.cat([3 * features.train - 2, torch.ones(120, 1)], 1), features.train_labels,
        torch.cat([3 * features.tests[0] - 2, torch.ones(60, 1)], 1), features.classes,
    )  # fmt: skip
    (one,), (other,) = (
        run_all(logistic, f, [np.arange(120)], [], Logistic()) for f in (features, moved)
    )
    np.testing.assert_array_equal(one.classes, other.classes)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)  # float32 features move


def test_classes_that_can_be_separated_have_a_minimum(rng):
    features = make_features(rng, spread=50.0)
    (found,) = run_all(logistic, features, [np.arange(120)], [], Logistic(penalty=1e-3))
    np.testing.assert_array_equal(found.classes, np.arange(60) % 5)


def test_a_regression_that_does_not_converge_is_an_error(rng, monkeypatch):
    monkeypatch.setattr(logistic, "ITERATIONS", 2)
    with pytest.raises(NotConvergedError, match="larger `penalty`"):
        run_all(logistic, make_features(rng), [np.arange(120)], [], Logistic())


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan"), float("inf")])
def test_a_penalty_without_a_minimum_is_refused(penalty):
    with pytest.raises(BadSettingsError, match="penalty"):
        Logistic(penalty=penalty)
