"""Attention with relative position biases, as in the fine-tuning files of SARATR-X (from Swin)."""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class BiasedAttention(Attention):
    """Attention whose logits get a learned bias for each head and each offset of two patches.

    The row of the offset (down, right) from key to query is
    (down + S - 1) (2 S - 1) + right + S - 1 for S x S patches without a class token.
    """

    def __init__(self, side: int, dim: int, num_heads: int, qkv_bias: bool) -> None:
        """Build the attention of `side` x `side` patches, with an all-zero table."""
        super().__init__(dim, num_heads=num_heads, qkv_bias=qkv_bias)
        self.side = side
        table = torch.zeros((2 * side - 1) ** 2, num_heads)
        self.relative_position_bias_table = nn.Parameter(table)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride], the bias is the mask
        self, x: Float[Tensor, "B N D"], attn_mask: None = None, **unused: Any
    ) -> Float[Tensor, "B N D"]:
        """Attend over all patches of each chip."""
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[offsets(self.side, x.device)].permute(
            2, 0, 1
        )  # h N N
        attended = scaled_dot_product_attention(*qkv, attn_mask=bias[None].to(qkv.dtype))
        return self.proj(attended.transpose(1, 2).flatten(2))


class BiasedBlock(Block):
    """timm's block with `BiasedAttention`."""

    def __init__(self, side: int, dim: int, num_heads: int, *given: Any, **more: Any) -> None:
        """Build timm's block and replace its attention."""
        super().__init__(dim, num_heads, *given, **more)
        self.attn = BiasedAttention(side, dim, num_heads, more.get("qkv_bias", False))


@cache
@torch.inference_mode(False)  # a cached inference tensor could not be trained with later
def offsets(side: int, device: torch.device) -> Int[Tensor, "N N"]:
    """Return the row of the table for each pair (query, key) of patches."""
    patch = torch.arange(side * side)
    row, column = patch.div(side, rounding_mode="floor"), patch % side
    down, right = (axis[:, None] - axis[None, :] + side - 1 for axis in (row, column))
    return (down * (2 * side - 1) + right).to(device)
