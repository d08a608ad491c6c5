"""The relative attention of a CPU against plain attention and finite differences."""

import pytest
import torch

from sarbench.methods import _relative_positions as module
from sarbench.methods._relative_positions import (
    BUCKETS,
    BlockedAttention,
    RelativeAttention,
    plain_attention,
    relative_buckets,
)

ROWS, TOKENS, HEADS, LENGTH = 5, 10, 2, 3


def qkv_and_table(rng, dtype=torch.float64):
    qkv = torch.randn(ROWS, TOKENS, 3, HEADS, LENGTH, generator=rng, dtype=dtype)
    table = torch.randn(LENGTH, BUCKETS, generator=rng, dtype=dtype)
    return qkv.requires_grad_(), table.requires_grad_()


@pytest.mark.parametrize("rows_at_a_time", [0, 1, 2, 5, 9])
def test_blocks_of_rows_give_plain_attention_and_its_gradients(monkeypatch, rng, rows_at_a_time):
    monkeypatch.setattr(module, "CACHED", rows_at_a_time * HEADS * TOKENS**2)
    qkv, table = qkv_and_table(rng)
    buckets = relative_buckets(TOKENS, qkv.device)
    upstream = torch.randn(ROWS, TOKENS, HEADS * LENGTH, generator=rng, dtype=torch.float64)
    plain = plain_attention(*qkv.permute(2, 0, 3, 1, 4), table, buckets)
    plain = plain.transpose(1, 2).flatten(2)
    blocked = BlockedAttention.apply(qkv, table, buckets, True)
    torch.testing.assert_close(blocked, plain)
    wanted = torch.autograd.grad(plain, [qkv, table], upstream)
    found = torch.autograd.grad(blocked, [qkv, table], upstream)
    torch.testing.assert_close(found, wanted)


def test_gradients_are_finite_differences(monkeypatch, rng):
    monkeypatch.setattr(module, "CACHED", 2 * HEADS * TOKENS**2)
    qkv, table = qkv_and_table(rng)
    buckets = relative_buckets(TOKENS, qkv.device)
    assert torch.autograd.gradcheck(
        lambda q, t: BlockedAttention.apply(q, t, buckets, True), (qkv, table), fast_mode=True
    )


@pytest.mark.parametrize("frozen", ["table", "input", "nothing"])
def test_a_frozen_part_leaves_the_gradient_of_the_other(rng, frozen):
    with torch.random.fork_rng(devices=[]):
        attention = RelativeAttention(6, 2).requires_grad_(False)
    attention.relative.requires_grad_(frozen != "table")
    x = torch.randn(2, 5, 6, generator=rng, requires_grad=frozen != "input")
    attention(x).square().sum().backward()
    assert (attention.relative.grad is None) == (frozen == "table")
    assert (x.grad is None) == (frozen == "input")


def test_without_gradient_no_weights_are_kept(rng):
    with torch.random.fork_rng(devices=[]):
        attention = RelativeAttention(6, 2)
    x = torch.randn(2, 5, 6, generator=rng)
    with torch.no_grad():
        quiet = attention(x)
    assert quiet.grad_fn is None
    assert torch.equal(quiet, attention(x))


def test_bfloat16_is_close_to_single_precision(rng):
    with torch.random.fork_rng(devices=[]):
        attention = RelativeAttention(8, 2)
    x = torch.randn(2, 10, 8, generator=rng)
    with torch.autocast("cpu", torch.bfloat16):
        rough = attention(x)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), attention(x), rtol=0.05, atol=0.02)
