"""The targets of DMT-JEPA come from the most similar neighbours of a patch."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sarbench.bench.method_facts.sample_batches import TINY, made_up_chips
from sarbench.bench.seeding import torch_stream
from sarbench.methods import get
from sarbench.methods._encoders import EncoderConfig
from sarbench.methods._method import MethodConfigError
from sarbench.methods._vit import initialise_truncated
from sarbench.methods.dmt_jepa import Aggregation, neighbours

SMALL = EncoderConfig("4 x 4 patches", 32, 8, 16, 1, 2)


def test_the_neighbours_of_a_patch_continue_at_the_opposite_border():
    near = neighbours((4, 5), 3)
    assert near[7].tolist() == [1, 2, 3, 6, 8, 11, 12, 13]  # row 1, column 2
    assert near[0].tolist() == [19, 15, 16, 4, 1, 9, 5, 6]
    assert neighbours((5, 5), 5)[12].tolist() == [n for n in range(25) if n != 12]


@pytest.fixture
def layers() -> Aggregation:
    built = Aggregation(get("dmt_jepa").Config(), SMALL)
    initialise_truncated(built, torch_stream(0), ())
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch_stream(1)))
    return built


def by_torch(block, query, every, stream):
    """Return the tokens after a block whose attention is torch's own module."""
    attention = nn.MultiheadAttention(16, 2, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(
            torch.cat([one.weight for one in (block.q, block.k, block.v)])
        )
        attention.in_proj_bias.copy_(torch.cat([one.bias for one in (block.q, block.k, block.v)]))
    attention.out_proj = block.proj
    keys = block.norm1(every)[None]
    stream = stream + attention(block.norm1(query)[None], keys, keys)[0][0]
    return stream + block.mlp(block.norm2(stream))


@torch.no_grad()
def test_a_target_is_the_cross_attention_of_the_mean_token_to_four_similar_neighbours(layers):
    tokens = torch.randn(2, 16, 16, generator=torch_stream(2))
    found = layers.targets(tokens)
    for chip in range(2):
        mean = tokens[chip].mean(0, keepdim=True)
        for patch in range(16):
            row, column = divmod(patch, 4)
            around = [
                (row + y) % 4 * 4 + (column + x) % 4
                for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)
            ]  # fmt: skip
            likeness = {
                n: functional.cosine_similarity(tokens[chip, patch], tokens[chip, n], dim=0).item()
                for n in around
            }
            chosen = tokens[chip, sorted(around, key=likeness.__getitem__)[-4:]]
            query = mean
            for block in layers.blocks:
                query = by_torch(block, query, torch.cat([query, chosen]), query)
            torch.testing.assert_close(found[chip, patch], layers.norm(query)[0])


@torch.no_grad()
def test_the_tokens_of_a_context_get_the_cross_attention_of_their_mean(layers):
    tokens = torch.randn(2, 7, 16, generator=torch_stream(3))
    found = layers.context(tokens)
    for chip in range(2):
        stream = tokens[chip]
        for block in layers.blocks:
            mean = stream.mean(0, keepdim=True)
            stream = by_torch(block, mean, torch.cat([mean, stream]), stream)
        torch.testing.assert_close(found[chip], layers.norm(stream))


def build(**config):
    method = get("dmt_jepa")
    return method(method.Config(**config), TINY, torch_stream(0, "weights"))


def test_both_target_networks_are_averages_that_no_gradient_reaches():
    built = build()
    made = built.predict(made_up_chips(2), torch_stream(1))
    made.predicted.square().mean().backward()
    assert all(one.grad is not None for one in built.aggregation.parameters())
    with torch.no_grad():
        built.aggregation.norm.bias.fill_(1.0)
        built.encoder.norm.bias.fill_(1.0)
    built.after_step(0.5, torch.arange(2), None)
    for average in (built.target_aggregation, built.target_encoder):
        assert not any(one.requires_grad for one in average.parameters())
        torch.testing.assert_close(average.norm.bias, torch.full((32,), 0.002))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"neighbourhood": 4}, "neighbourhood is 4; it must be odd and 3 or more"),
        ({"similar": 9}, "similar is 9; it must be from 1 to 8, the neighbours"),
        ({"neighbourhood": 15, "similar": 4}, "more than the 14 x 14 patches of check; set"),
        ({"momentum": 2.0}, "momentum is 2.0"),
    ],
)
def test_a_config_that_cannot_work_is_refused(config, message):
    with pytest.raises(MethodConfigError, match=message):
        build(**config)
