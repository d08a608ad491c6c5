"""Load an exported ViT with the relative positions of LoMaR, which timm does not have.

Needs torch, timm and safetensors:

    encoder = load("FILE.safetensors")
    tokens = encoder(chips)  # (B, 1, H, W), amplitude in [0, 1] -> (B, N, D), the class token first
"""

import json
import math
from typing import Any

import timm
import torch
from safetensors import safe_open
from timm.models.vision_transformer import Block
from torch import nn

# A distance along one axis has one of 7 buckets: up to 1.9 one for each distance, beyond it wider
# and wider ones, up to the last at 15.2. Pairs with the class token share a bucket of their own.
NEAR, MOST, FAR, REACH = 1.9, 3.8, 15.2, 3
BUCKETS = (2 * REACH + 1) ** 2 + 1


def bucket(distance: int) -> int:
    """Return the bucket of a distance, -3 to 3."""
    if abs(distance) <= NEAR:
        return distance
    share = math.log(abs(distance) / NEAR) / math.log(FAR / NEAR)
    return int(math.copysign(min(MOST, round(NEAR + share * (MOST - NEAR))), distance))


def buckets(tokens: int) -> torch.Tensor:
    """Return the bucket of each pair (query, key) of a class token and a square of patches."""
    side = math.isqrt(tokens - 1)
    step = torch.tensor([bucket(distance) + REACH for distance in range(1 - side, side)])
    patch = torch.arange(side * side)
    along = [step[axis[:, None] - axis + side - 1] for axis in (patch // side, patch % side)]
    found = torch.full((tokens, tokens), BUCKETS - 1)
    found[1:, 1:] = along[0] * (2 * REACH + 1) + along[1]
    return found


class RelativeAttention(nn.Module):
    """Attention whose logits are q.k / sqrt(d) + q.T[bucket], with one table T for all heads."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.relative = nn.Parameter(torch.zeros(dim // num_heads, BUCKETS))

    def forward(self, x: torch.Tensor, *unused: Any, **more: Any) -> torch.Tensor:
        """Attend over all tokens."""
        rows, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(rows, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        index = buckets(tokens).to(x.device).expand(rows, self.num_heads, -1, -1)
        logits = q @ k.mT * q.shape[-1] ** -0.5 + (q @ self.relative).gather(3, index)
        return self.proj((logits.softmax(-1) @ v).transpose(1, 2).reshape(rows, tokens, width))


class RelativeBlock(Block):
    """A block of timm with `RelativeAttention`."""

    def __init__(self, dim: int, num_heads: int, **options: Any) -> None:
        super().__init__(dim, num_heads, **options)
        self.attn: nn.Module = RelativeAttention(dim, num_heads)


def load(path: str) -> nn.Module:
    """Return the encoder of a file; it takes chips of one channel and gives their tokens."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["exported"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    encoder = timm.create_model(
        header["timm"], num_classes=0, pos_embed="none", block_fn=RelativeBlock,
        **header["arguments"],
    )  # fmt: skip
    encoder.load_state_dict(weights, strict=True)
    return encoder.eval()
