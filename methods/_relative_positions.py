"""Attention with the relative positions of LoMaR (iRPE, Wu et al., arXiv 2107.14222)."""

import math
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Distances up to ALPHA have a bucket each; larger ones share wider and wider buckets, up to number
# BETA, which is reached at GAMMA. The values are those of LoMaR's code.
ALPHA, BETA, GAMMA = 1.9, 3.8, 15.2
REACH = int(BETA)  # buckets run from -3 to 3 along each axis
BUCKETS = (2 * REACH + 1) ** 2 + 1  # the last one is for pairs with the class token
CACHED = 2**18  # logits at a time in `BlockedAttention`, a megabyte

softmax_backward = torch.ops.aten._softmax_backward_data


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
        qkv = self.qkv(x).reshape(rows, tokens, 3, self.num_heads, -1)
        buckets = relative_buckets(tokens, x.device)
        if x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            trained = torch.is_grad_enabled() and (qkv.requires_grad or self.relative.requires_grad)
            return self.proj(BlockedAttention.apply(qkv, self.relative, buckets, trained))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attend = fused_attention if x.is_cuda else plain_attention
        x = attend(q, k, v, self.relative, buckets)
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
    bias = bias.to(q.dtype)  # where autocast sees the product alone, as under `vmap`
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def plain_attention(
    q: Float[Tensor, "R h N d"],
    k: Float[Tensor, "R h N d"],
    v: Float[Tensor, "R h N d"],
    table: Float[Tensor, "d K"],
    buckets: Int[Tensor, "N N"],
) -> Float[Tensor, "R h N d"]:
    """Attend as `fused_attention` does, with a gather for the second term."""
    q_, k_, v_ = (part.flatten(0, 1) for part in (q, k, v))  # (R h, N, d)
    bias = (q_ @ table.to(q.dtype)).gather(2, buckets.expand(len(q_), -1, -1))
    logits = torch.baddbmm(bias, q_, k_.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
    return torch.bmm(logits.softmax(-1), v_).reshape(q.shape)


class BlockedAttention(torch.autograd.Function):
    """`plain_attention` for a CPU, a few rows at a time, whose logits stay in its cache.

    A CPU has no fused attention with a trained mask. Inputs are the output of `qkv`
    (R, N, 3, h, d), the table, the buckets, and whether a gradient is needed; the result is
    (R, N, h d). In the backward pass L are the logits and S = q T, from which the second term is
    gathered.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, table: Tensor, buckets: Tensor, trained: bool) -> Tensor:
        rows, tokens, _, heads, length = qkv.shape
        places = (buckets + table.shape[1] * torch.arange(tokens)[:, None]).flatten()  # in S
        attended = qkv.new_empty(rows, tokens, heads, length)
        weights = []
        step = max(1, CACHED // (heads * tokens**2))
        for part, out in zip(qkv.split(step), attended.split(step), strict=True):
            q, k, v = _heads_first(part)
            second = (q @ table).flatten(1).index_select(1, places).view(-1, tokens, tokens)
            softmax = torch.baddbmm(second, q, k.mT, alpha=length**-0.5).softmax(-1)
            out.copy_((softmax @ v).unflatten(0, (-1, heads)).transpose(1, 2))
            if trained:
                weights.append(softmax)
        ctx.save_for_backward(qkv, table, places, *weights)
        return attended.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        qkv, table, places, *weights = ctx.saved_tensors
        rows, tokens, _, heads, length = qkv.shape
        step = len(weights[0]) // heads
        of_qkv, of_table = torch.empty_like(qkv), torch.zeros_like(table)
        gradients = gradient.reshape(rows, tokens, 1, heads, length).split(step)
        for part, of_out, of_part, softmax in zip(
            qkv.split(step), gradients, of_qkv.split(step), weights, strict=True
        ):
            q, k, v = _heads_first(part)
            (of_out,) = _heads_first(of_out)
            of_l = softmax_backward(of_out @ v.mT, softmax, -1, softmax.dtype)
            of_s = q.new_zeros(len(q), tokens * table.shape[1])
            of_s = of_s.index_add_(1, places, of_l.flatten(1)).view(-1, table.shape[1])
            of_table += q.reshape(-1, length).T @ of_s
            of_q = torch.baddbmm((of_s @ table.T).view_as(q), of_l, k, alpha=length**-0.5)
            of_k = torch.bmm(of_l.mT, q).mul_(length**-0.5)
            found = torch.stack([of_q, of_k, softmax.mT @ of_out]).unflatten(1, (-1, heads))
            of_part.copy_(found.permute(1, 3, 0, 2, 4))
        return of_qkv, of_table, None, None


def _heads_first(part: Float[Tensor, "r N c h d"]) -> Float[Tensor, "c rh N d"]:
    return part.permute(2, 0, 3, 1, 4).flatten(1, 2)


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
