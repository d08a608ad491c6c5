"""HiViT with tables of relative position biases, as the fine-tuning files of SARATR-X have them."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sarbench.bench.given_file import Stated
from sarbench.bench.seeding import torch_stream
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.given_weights import GivenWeights, StatedValueError
from sarbench.methods._channels import ONE_CHANNEL
from sarbench.methods._encoders import GivenConfig
from sarbench.methods._given import given_encoder
from sarbench.methods._swin_bias import BiasedAttention

SIZE = GivenConfig(
    32, 16, 32, 2, 2, hidden=128, class_token=False, stem_blocks=2, stem_hidden=24, family="hivit",
    bias_tables=True,
)  # fmt: skip


def draw(module: torch.nn.Module) -> None:
    rng = torch_stream(0, "weights")
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=rng))


@torch.no_grad()
def test_attention_adds_the_bias_of_each_offset() -> None:
    """Every pair of 2 x 2 patches by hand; the table has 3 x 3 rows."""
    attention, rng = BiasedAttention(2, 4, 2, qkv_bias=True), torch_stream(1, "x")
    draw(attention)
    x = torch.randn(1, 4, 4, generator=rng)
    q, k, v = attention.qkv(x)[0].reshape(4, 3, 2, 2).unbind(1)  # patch, head, place
    found = torch.zeros(4, 2, 2)
    for head in range(2):
        for query in range(4):
            logits = []
            for key in range(4):
                down, right = query // 2 - key // 2, query % 2 - key % 2
                bias = attention.relative_position_bias_table[3 * (down + 1) + right + 1, head]
                logits.append(float(q[query, head] @ k[key, head]) / math.sqrt(2) + float(bias))
            weights = torch.tensor(logits).softmax(0)
            found[query, head] = weights @ v[:, head]
    expected = attention.proj(found.flatten(1))[None]
    torch.testing.assert_close(attention(x), expected, rtol=1e-5, atol=1e-6)


def published() -> dict[str, Tensor]:
    """Return the weights of a network under the names of a fine-tuning file."""
    network = given_encoder(SIZE, ONE_CHANNEL)
    draw(network)
    weights = network.state_dict()
    weights["absolute_pos_embed"] = weights.pop("pos_embed")
    index = torch.arange(16).reshape(4, 4)
    weights |= {f"blocks.{n}.attn.relative_position_index": index for n in (6, 7)}
    return weights | {"fc_norm.weight": torch.ones(32), "head.weight": torch.ones(5, 32)}


def read(weights: dict[str, Tensor], folder: Path, **stated: int) -> GivenWeights:
    torch.save({"model": weights}, folder / "a.pth")
    return find_encoder(folder / "a.pth", Stated(**stated))


def test_a_fine_tuning_file_is_read_with_its_tables(tmp_path) -> None:
    found = read(published(), tmp_path)
    assert found.encoder == SIZE
    assert found.account.complete
    assert {reason: len(keys) for reason, keys in found.account.skipped.items()} == {
        "index of relative position biases": 2, "classifier": 2
    }  # fmt: skip
    assert "tables of relative position biases" in found.architecture
    network = given_encoder(SIZE, ONE_CHANNEL)
    draw(network)
    chips = torch.rand(2, 1, 32, 32, generator=torch_stream(0, "chips"))
    assert torch.equal(found.network()(chips), network.eval()(chips))


def test_a_lost_table_another_input_and_other_heads_are_refused(tmp_path) -> None:
    weights = published()
    del weights["blocks.7.attn.relative_position_bias_table"]
    assert read(weights, tmp_path).account.missing == ["blocks.7.attn.relative_position_bias_table"]
    other = read(published(), tmp_path, input_px=48)
    assert len(other.account.unexpected) == 2
    assert (
        "tables of relative position biases fit one input only; leave `input_px` out" in other.notes
    )
    with pytest.raises(
        StatedValueError, match="heads is 4, but the tables of relative position biases are for 2"
    ):
        read(published(), tmp_path, heads=4)
