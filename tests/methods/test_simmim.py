"""SimMIM: masks of whole squares, absolute differences."""

import numpy as np
import pytest
import torch

from sarbench.bench.method_facts.sample_batches import TINY, build, fresh_rng, sample_batch
from sarbench.methods import get
from sarbench.methods._encoders import SIZES, EncoderConfig, encoder_named
from sarbench.methods._method import MethodConfigError
from sarbench.methods.simmim import Config, unit_masks


def test_30_of_49_squares_of_2_x_2_patches_are_hidden():
    # 0.6 x 49 = 29.4, rounded up as in the source; 32 px at 224 px are 2 patches of both encoders.
    for encoder in (SIZES["vit_base"], SIZES["vit_nano"]):
        assert encoder.scaled_px(32) == Config().unit * encoder.patch_px
        mask = unit_masks(encoder.patch_grid, Config().unit, Config().mask_ratio, 3, fresh_rng())
        corners = mask.reshape(3, 14, 14)[:, ::2, ::2]
        assert corners.sum((1, 2)).tolist() == [30] * 3
        assert np.array_equal(mask.reshape(3, 14, 14), np.kron(corners, np.ones((2, 2), bool)))


def test_the_loss_is_the_mean_absolute_difference_over_hidden_pixels():
    method = build(get("simmim"))
    with torch.no_grad():
        method.predictor.weight.zero_()
        method.predictor.bias.fill_(0.25)  # predicts 0.25 everywhere
    batch = sample_batch(method, 2)
    loss = method.loss(batch, fresh_rng())[0].item()
    mask = method.mask(2, fresh_rng()).reshape(2, *TINY.patch_grid)
    pixels = np.kron(mask, np.ones((8, 8), dtype=bool))
    assert loss == pytest.approx(np.abs(batch.views[0][:, 0].numpy() - 0.25)[pixels].mean())


@pytest.mark.parametrize(
    ("encoder", "config", "message"),
    [
        ("vit_nano@40", {}, "divide the 5 patches along a side of vit_nano@40; set one of 1"),
        ("vit_nano@32", {"mask_ratio": 0.8}, "hides all 4 squares of vit_nano@32"),
    ],
)
def test_squares_that_do_not_fit_are_refused(encoder, config, message):
    size = encoder_named(encoder)
    assert isinstance(size, EncoderConfig)
    with pytest.raises(MethodConfigError, match=message):
        build(get("simmim"), size, Config(**config))


@pytest.mark.parametrize("config", [{"mask_ratio": 1.0}, {"mask_ratio": 0.0}, {"unit": 0}])
def test_an_empty_mask_is_refused(config):
    with pytest.raises(MethodConfigError):
        Config(**config)
