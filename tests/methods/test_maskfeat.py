"""MaskFeat: histograms of gradients as the target, blocks as the mask."""

import pytest
import torch

from sarbench.bench.method_facts.sample_batches import TINY, build, fresh_rng
from sarbench.methods import get
from sarbench.methods._encoders import EncoderConfig, encoder_named
from sarbench.methods._method import Batch, MethodConfigError
from sarbench.methods.maskfeat import Config, block_masks


def test_every_cell_of_a_ramp_has_one_direction():
    method = build(get("maskfeat"))
    ramp = torch.linspace(0, 1, 112).expand(1, 1, 112, 112)
    target = method.target(ramp)[0].reshape(14, 14, 9, 2, 2)
    # x = left - right < 0, y = 0: a phase of -pi / 2, so bin floor(-4.5) modulo 9 = 4. At the
    # mirrored borders x is 0 for one column of a cell, which does not count.
    expected = torch.zeros(14, 14, 9, 2, 2)
    expected[:, :, 4] = 1
    torch.testing.assert_close(target, expected)


def test_a_mask_is_of_rectangles_and_never_hides_more_than_its_share():
    masks = block_masks((14, 14), 78, 200, fresh_rng()).reshape(200, 14, 14)
    assert masks.sum((1, 2)).max() == 78
    # A hidden patch has a hidden neighbour, because the smallest first block has 15 patches.
    padded = torch.nn.functional.pad(masks, (1, 1, 1, 1))
    near = padded[:, 2:, 1:-1] | padded[:, :-2, 1:-1] | padded[:, 1:-1, 2:] | padded[:, 1:-1, :-2]
    assert (near | ~masks).float().mean() > 0.999


def test_the_loss_is_the_mean_over_hidden_patches_of_all_processes():
    method = build(get("maskfeat"))
    images = torch.rand(4, 1, 112, 112, generator=fresh_rng())
    prediction = method.predict(images, fresh_rng())
    error = (prediction.predicted - prediction.target).square()[prediction.mask].mean()
    whole = method.loss(Batch((images,), torch.arange(4)), fresh_rng())[0]
    torch.testing.assert_close(whole, error)
    # Another process that hides nothing leaves the sum and halves the mean of the processes.
    others = Batch(
        (images,), torch.arange(4), gather=lambda rows: torch.cat([rows, torch.zeros_like(rows)])
    )
    torch.testing.assert_close(method.loss(others, fresh_rng())[0], 2 * error)


@pytest.mark.parametrize(
    ("encoder", "config", "message"),
    [
        ("vit_nano@24", {}, "of the 3 x 3 patches of vit_nano@24"),
        ("vit_nano@32", {"mask_ratio": 0.02}, "hides 0 of the 4 x 4 patches of vit_nano@32"),
        ("vit_nano", {"cell_px": 3}, "cell_px is 3 in a patch of 16 px"),
    ],
)
def test_blocks_and_cells_that_do_not_fit_are_refused(encoder, config, message):
    size = encoder_named(encoder)
    assert isinstance(size, EncoderConfig)
    with pytest.raises(MethodConfigError, match=message):
        build(get("maskfeat"), size, Config(**config))
    assert build(get("maskfeat"), TINY).target_values() == 36
