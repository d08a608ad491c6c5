"""Attention with the relative positions of LoMaR (iRPE, Wu et al., arXiv 2107.14222)."""

import math
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

# Distances up to ALPHA have a bucket each; larger ones share wider and wider buckets, up to number
# BETA, which is reached at GAMMA. The values are those of LoMaR's code.
ALPHA, BETA, GAMMA = 1.9, 3.8, 15.2
REACH = int(BETA)  # buckets run from -3 to 3 along each axis
BUCKETS = (2 * REACH + 1) ** 2 + 1  # the last one is for pairs with the class token


class RelativeAttention(Attention):
    """Attention with the contextual relative position of LoMaR, on keys, shared over heads.

    The logit of query i and key j is q_i.k_j / sqrt(d) + q_i.T[bucket(i, j)] (q is not scaled in
    the second term), with one table T (d, buckets) in each block. Tokens are a class token and a
    square of patches, row by row.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        """Build the attention with an all-zero table."""
        super().__init__(dim, num_heads=num_heads, qkv_bias=True)
        self.relative = nn.Parameter(torch.zeros(dim // num_heads, BUCKETS))

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride], the bias is the mask
        self, x: Float[Tensor, "R N D"], attn_mask: None = None, **unused: Any
    ) -> Float[Tensor, "R N D"]:
        """Attend over all N tokens of each row."""
        rows, tokens, width = x.shape
        qkv = self.qkv(x).reshape(rows, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attend = fused_attention if x.is_cuda else plain_attention
        x = attend(q, k, v, self.relative, relative_buckets(tokens, x.device))
        return self.proj(x.transpose(1, 2).reshape(rows, tokens, width))


def fused_attention(
    q: Float[Tensor, "R h N d"],
    k: Float[Tensor, "R h N d"],
    v: Float[Tensor, "R h N d"],
    table: Float[Tensor, "d K"],
    buckets: Int[Tensor, "N N"],
) -> Float[Tensor, "R h N d"]:
    """Attend with the second term as the additive mask of the fused attention.

    The term is one matrix product for each query token, so its backward pass needs no scatter.
    """
    bias = torch.einsum("rhnd,dnm->rhnm", q, table[:, buckets].to(q.dtype))
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def plain_attention(
    q: Float[Tensor, "R h N d"],
    k: Float[Tensor, "R h N d"],
    v: Float[Tensor, "R h N d"],
    table: Float[Tensor, "d K"],
    buckets: Int[Tensor, "N N"],
) -> Float[Tensor, "R h N d"]:
    """Attend as `fused_attention` does, in fewer passes over memory.

    A CPU has no fused attention with a trained mask, and its gather is cheap.
    """
    q_, k_, v_ = (part.flatten(0, 1) for part in (q, k, v))  # (R h, N, d)
    bias = (q_ @ table.to(q.dtype)).gather(2, buckets.expand(len(q_), -1, -1))
    logits = torch.baddbmm(bias, q_, k_.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
    return torch.bmm(logits.softmax(-1), v_).reshape(q.shape)


class RelativeBlock(Block):
    """timm's block with `RelativeAttention`; older releases of timm have no option for it."""

    def __init__(self, dim: int, num_heads: int, **kwargs: Any) -> None:
        """Build timm's block and replace its attention."""
        super().__init__(dim, num_heads, **kwargs)
        self.attn = RelativeAttention(dim, num_heads)


def _bucket(distance: int) -> int:
    """Return the signed bucket of a distance along one axis, -3 to 3."""
    if abs(distance) <= ALPHA:
        return distance
    share = math.log(abs(distance) / ALPHA) / math.log(GAMMA / ALPHA)
    return int(math.copysign(min(BETA, round(ALPHA + share * (BETA - ALPHA))), distance))


def relative_buckets(tokens: int, device: torch.device) -> Int[Tensor, "N N"]:
    """Return the bucket of each pair (query, key) of a class token and a square of patches.

    A constant for a compiler, which does not see through `cache`.
    """
    return _cached_buckets(tokens, device)


@cache
@torch.inference_mode(False)  # a cached inference tensor could not be trained with later
def _cached_buckets(tokens: int, device: torch.device) -> Int[Tensor, "N N"]:
    side = round((tokens - 1) ** 0.5)
    if side * side != tokens - 1:
        raise ValueError(
            f"relative positions need a class token and a square of patches, got {tokens} tokens"
        )
    step = torch.tensor([_bucket(distance) + REACH for distance in range(1 - side, side)])
    patch = torch.arange(side * side)
    row, column = patch.div(side, rounding_mode="floor"), patch % side
    along = [step[axis[:, None] - axis[None, :] + side - 1] for axis in (row, column)]
    buckets = torch.full((tokens, tokens), BUCKETS - 1)
    buckets[1:, 1:] = along[0] * (2 * REACH + 1) + along[1]
    return buckets.to(device)
