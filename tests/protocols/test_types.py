import numpy as np
import pytest
import torch
from one_test_set import features_of, images_of

from sarbench.protocols._settings import BadSettingsError, FewShot, Finetune
from sarbench.protocols._types import (
    BadFeaturesError,
    NotConvergedError,
    Predictions,
    read_out,
)

TOKENS = torch.tensor([[[1.0, 2.0], [3.0, 5.0], [5.0, 9.0]]])  # one chip, three tokens


@pytest.mark.parametrize(
    ("readout", "has_class_token", "expected"),
    [
        ("default", True, [1, 2]),
        ("class", True, [1, 2]),
        ("patch_mean", True, [4, 7]),  # without the class token
        ("default", False, [3, 16 / 3]),
        ("patch_mean", False, [3, 16 / 3]),
    ],
)
def test_the_readout_is_the_class_token_or_the_patch_mean(
    readout: str, has_class_token: bool, expected: list[float]
) -> None:
    torch.testing.assert_close(
        read_out(TOKENS, readout, has_class_token), torch.tensor([expected]).float()
    )


def test_a_missing_class_token_is_refused() -> None:
    with pytest.raises(ValueError, match="no class token; use readout = 'patch_mean'"):
        read_out(TOKENS, "class", False)


def test_an_unknown_readout_is_refused_with_those_allowed() -> None:
    with pytest.raises(ValueError, match="unknown readout 'cls'; allowed: default, class, patch"):
        read_out(TOKENS, "cls", True)


def test_features_that_are_not_finite_are_counted_and_refused() -> None:
    good, bad = torch.zeros(4, 3), torch.zeros(4, 3)
    bad[1, 2], bad[3, 0] = torch.nan, torch.inf
    labels = torch.arange(4)
    with pytest.raises(BadFeaturesError, match="2 of 4 training chips"):
        features_of(bad, labels, good, 4)
    with pytest.raises(BadFeaturesError, match="2 of 4 test chips"):
        features_of(good, labels, bad, 4)


def test_opposite_infinities_are_found_too() -> None:
    bad = torch.tensor([[torch.inf, -torch.inf]])
    with pytest.raises(BadFeaturesError, match="1 of 1 training"):
        features_of(bad, torch.zeros(1).long(), torch.zeros(1, 2), 1)


def test_a_data_set_without_test_chips_is_refused() -> None:
    with pytest.raises(BadFeaturesError, match="no test chips"):
        features_of(torch.zeros(1, 2), torch.zeros(1).long(), torch.zeros(0, 2), 1)


@pytest.mark.parametrize("labels", [[0, 1, 2], [-1, 0, 1]])
def test_labels_outside_the_classes_are_refused(labels: list[int]) -> None:
    with pytest.raises(BadFeaturesError, match=r"must be in 0\.\.1"):
        features_of(torch.zeros(3, 2), torch.tensor(labels), torch.zeros(1, 2), 2)
    with pytest.raises(BadFeaturesError, match=r"must be in 0\.\.1"):
        images_of(torch.zeros(3, 1, 4, 4), torch.tensor(labels), torch.zeros(1, 1, 4, 4), 2)


def test_predictions_are_the_likeliest_class_and_log_probabilities() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, 5.0, 0.0]])
    predictions = Predictions.of_logits(logits)
    np.testing.assert_array_equal(predictions.classes, [1, 0])  # of two alike, the lower
    first, second = np.exp([0, 2, 1]), np.exp([5, 5, 0])
    expected = [first / first.sum(), second / second.sum()]
    np.testing.assert_allclose(np.exp(predictions.scores), expected, rtol=1e-6)


def test_scores_of_a_classifier_that_is_sure_do_not_vanish() -> None:
    predictions = Predictions.of_logits(torch.tensor([[0.0, 200.0, 60.0]]))
    np.testing.assert_allclose(predictions.scores, [[-200, 0, -140]], atol=1e-5)
    assert predictions.scores.flags.c_contiguous
    assert Predictions.of_logits(torch.eye(3)[:, :2].T).scores.flags.c_contiguous


def test_scores_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(NotConvergedError, match="1 of 2 test chips"):
        Predictions.of_logits(torch.tensor([[0.0, 1.0], [torch.nan, 1.0]]))


# Feature 0 of a 4 x 4 patch grid counts in row-major order, feature 1 is ten times the row.
GRID = torch.stack([torch.arange(16.0), torch.arange(16.0).div(4).floor() * 10], 1)[None]


@pytest.mark.parametrize(
    ("readout", "expected"),
    [
        ("patch_max", [15, 30]),
        # The variance of 0..15 is (16^2 - 1) / 12, that of 0, 10, 20, 30 is 125.
        ("patch_mean_std", [7.5, 15, (255 / 12) ** 0.5, 125**0.5]),
        ("patch_grid_2", [2.5, 5, 4.5, 5, 10.5, 25, 12.5, 25]),
        ("patch_grid_4", GRID[0].flatten().tolist()),
    ],
)
@pytest.mark.parametrize("has_class_token", [False, True])
def test_readouts_of_patches_are_those_by_hand(readout, expected, has_class_token):
    tokens = torch.cat([torch.full((1, 1, 2), 99.0), GRID], 1) if has_class_token else GRID
    torch.testing.assert_close(
        read_out(tokens, readout, has_class_token), torch.tensor([expected]).float()
    )


@pytest.mark.parametrize("count", [9, 12])
def test_a_grid_that_does_not_fit_is_refused(count):
    with pytest.raises(ValueError, match=f"{count} patches are not a square grid of 4 x 4"):
        read_out(torch.zeros(1, count, 2), "patch_grid_4", False)


@pytest.mark.parametrize("settings", [FewShot, Finetune])
def test_an_encoder_is_trained_under_a_readout_of_its_width_only(settings):
    with pytest.raises(BadSettingsError, match=r"allowed: default, class, patch_mean$"):
        settings(readout="patch_max")
