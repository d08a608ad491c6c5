"""Multi-scale structure: the maps against SciPy and sums by hand, the learned weights."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from scipy.special import expit

from sarbench.bench.method_facts.sample_batches import build, fresh_rng, sample_batch
from sarbench.bench.seeding import torch_stream
from sarbench.methods import get
from sarbench.methods._gradients import standardise
from sarbench.methods._method import MethodConfigError
from sarbench.methods._vit import patchify
from sarbench.methods.multi_scale_structure import Config, structure_maps

SIDE = 12


def contrast(brightness: np.ndarray, row: int, column: int, radius: int) -> float:
    """Return the logistic function of the norm of the log ratios at a pixel."""
    padded = np.pad(brightness, radius, mode="reflect")
    window = padded[row : row + 2 * radius + 1, column : column + 2 * radius + 1]
    halves = (window[:, :radius], window[:, radius + 1 :], window[:radius], window[radius + 1 :])
    left, right, top, bottom = (half.mean() for half in halves)
    return expit(np.hypot(np.log(left / right), np.log(top / bottom)))


@pytest.mark.parametrize("neighbours", ["sum", "mean"])
def test_maps_are_those_of_scipy_and_of_sums_by_hand(neighbours):
    amplitude = 2 * torch.rand(1, 1, SIDE, SIDE, generator=torch_stream(0)) - 0.5
    maps = structure_maps(amplitude, (1, 3), neighbours)[0].numpy() + 0.5
    brightness = expit(amplitude[0, 0].double().numpy())
    kernel = np.ones((3, 3))
    kernel[1, 1] = 0  # the blind spot
    around = convolve(brightness, kernel, mode="mirror") / (8 if neighbours == "mean" else 1)
    np.testing.assert_allclose(maps[0], expit(np.log(around)), rtol=1e-6)
    for channel, radius in ((1, 1), (2, 3)):
        for row, column in ((0, 0), (0, 7), (5, 4), (11, 11)):
            expected = contrast(brightness, row, column, radius)
            assert maps[channel, row, column] == pytest.approx(expected, rel=1e-6)


def test_the_soft_max_of_the_scales_weights_the_maps_of_the_target():
    images = torch.rand(2, 1, 112, 112, generator=torch_stream(1))
    method = build(get("multi_scale_structure"))
    # Radii at 112 px: half of those at 224 px, rounded up.
    amplitude = (images - 0.2109) / 0.2178
    maps = structure_maps(amplitude, (2, 3, 5, 7, 9), "sum")
    mean = standardise(patchify(maps.mean(1, keepdim=True), 8))
    torch.testing.assert_close(method.target(images), mean, rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        method.scales[2] += 100
    single = standardise(patchify(maps[:, 2:3], 8))
    torch.testing.assert_close(method.target(images), single, rtol=1e-4, atol=1e-3)
    plain = build(get("multi_scale_structure"), config=Config(standardise=False, learned=False))
    assert 0.5 < plain.target(images).min() < plain.target(images).max() < 1


@pytest.mark.parametrize("learned", [True, False])
def test_the_loss_trains_the_scales_and_a_prediction_has_no_gradient_to_its_target(learned):
    method = build(get("multi_scale_structure"), config=Config(learned=learned))
    batch = sample_batch(method, 2)
    loss = method.loss(batch, fresh_rng())[0]
    loss.backward()
    assert (method.scales.grad is not None) == learned
    prediction = method.predict(batch.views[0], fresh_rng())
    assert not prediction.target.requires_grad
    error = (prediction.predicted - prediction.target)[prediction.mask].square().mean()
    torch.testing.assert_close(loss, error)


@pytest.mark.parametrize("config", [{"deviation": 0.0}, {"radii_px": ()}, {"radii_px": (0,)}])
def test_values_out_of_range_are_refused(config):
    with pytest.raises(MethodConfigError):
        Config(**config)


def test_another_use_of_neighbours_is_refused():
    config = Config()
    object.__setattr__(config, "neighbours", "median")  # the constructor's types are checked here
    with pytest.raises(MethodConfigError, match="neighbours is 'median'; it must be one of"):
        config.__post_init__()
