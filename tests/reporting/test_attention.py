"""Attention distances, compared with the attention of timm and closed forms."""

import numpy as np
import pytest
import torch

from sarbench.bench.reporting.attention import attention_distances, places_by_tsne, uniform_distance
from sarbench.methods import get
from sarbench.methods._encoders import SIZES, GivenConfig


def encoder_of(name, rng):
    method = get(name)
    return method(method.Config(), SIZES["vit_nano"], rng).encoder.eval()


def test_uniform_attention_has_the_known_distance():
    # 116.5 px over 14 x 14 patches of 16 px, 115.9 px with a class token
    assert uniform_distance((14, 14), 16, class_token=False) == pytest.approx(116.5, abs=0.05)
    assert uniform_distance((14, 14), 16, class_token=True) == pytest.approx(115.9, abs=0.05)


@pytest.mark.parametrize("name", ["mae", "lomar", "i_jepa"])
def test_without_queries_every_head_is_uniform(name, rng):
    encoder = encoder_of(name, rng)
    for block in encoder.blocks:
        torch.nn.init.zeros_(block.attn.qkv.weight)
    found = attention_distances(encoder, torch.rand(2, 1, 112, 112, generator=rng), (14, 14), 8)
    expected = uniform_distance((14, 14), 8, class_token=encoder.has_class_token)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.shape == (3, 4)


def test_the_attention_is_that_of_timms_unfused_path(rng):
    encoder = encoder_of("mae", rng)
    with torch.no_grad():
        for block in encoder.blocks:  # less uniform than at the start
            block.attn.qkv.weight.mul_(8)
    images = torch.rand(2, 1, 112, 112, generator=rng)
    found = attention_distances(encoder, images, (14, 14), 8)
    seen = []
    for block in encoder.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda m, i, out: seen.append(out))
    with torch.no_grad():
        encoder(images)
    rows, columns = np.divmod(np.arange(196), 14)
    for block, weights in zip(found, seen, strict=True):
        w = weights[:, :, 1:, 1:].double().numpy()
        for head in range(4):
            total = 0.0
            for query in range(0, 196):
                far = 8 * np.sqrt((rows - rows[query]) ** 2 + (columns - columns[query]) ** 2)
                total += (w[:, head, query] @ far).mean() / 196
            assert block[head] == pytest.approx(total, rel=1e-4)
    assert found.std() > 1  # the heads differ


def test_relative_attention_gives_the_output_of_the_block(rng):
    """The attention weights times the values are the output of the attention."""
    from sarbench.bench.reporting.attention import attention_weights

    attention = encoder_of("lomar", rng).blocks[0].attn
    with torch.no_grad():
        attention.relative.normal_(generator=rng)
        tokens = torch.randn(2, 197, 64, generator=rng)
        weights = attention_weights(attention, tokens)
        v = attention.qkv(tokens).reshape(2, 197, 3, 4, 16).permute(2, 0, 3, 1, 4)[2]
        by_hand = attention.proj((weights @ v).transpose(1, 2).reshape(2, 197, 64))
        torch.testing.assert_close(attention(tokens), by_hand, rtol=1e-4, atol=1e-5)


def test_tsne_keeps_two_far_clouds_apart_and_repeats():
    draw = np.random.default_rng(0)
    features = draw.normal(size=(60, 5)) + 50 * np.repeat([0, 1], 30)[:, None]
    places = places_by_tsne(features)
    centres = [places[:30].mean(0), places[30:].mean(0)]
    assert np.linalg.norm(centres[0] - centres[1]) > places[:30].std()
    np.testing.assert_array_equal(places, places_by_tsne(features))


def test_registers_are_no_patches(rng):
    """Uniform attention over 1 class token, 4 registers and 16 patches, of which patches count."""
    size = GivenConfig(32, 8, 48, 2, 3, hidden=192, registers=4)
    given = get("given")
    encoder = given.build_encoder(given.Config(), size).eval()
    for block in encoder.blocks:
        torch.nn.init.zeros_(block.attn.qkv.weight)
        torch.nn.init.zeros_(block.attn.qkv.bias)
    found = attention_distances(encoder, torch.rand(6, 1, 32, 32, generator=rng), (4, 4), 8)
    rows, columns = np.divmod(np.arange(16), 4)
    far = 8 * np.hypot(rows[:, None] - rows, columns[:, None] - columns)
    np.testing.assert_allclose(found, far.sum(1).mean() / (16 + 1 + 4), rtol=1e-5)
    assert found.shape == (2, 3)
