"""Load an exported HiViT (Zhang et al., arXiv 2205.14949), which timm does not have.

Needs torch, timm and safetensors:

    encoder = load("FILE.safetensors")
    tokens = encoder(chips)  # (B, 1, H, W), amplitude in [0, 1] -> (B, N, D), without a final norm
"""

import json
from functools import partial
from typing import Any

import torch
from safetensors import safe_open
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import Block
from torch import nn

Norm: Any = partial(nn.LayerNorm, eps=1e-6)


class MlpBlock(nn.Module):
    """A residual MLP on each part of a patch."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm2 = Norm(width)
        self.mlp = Mlp(width, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the MLP of each part."""
        return x + self.mlp(self.norm2(x))


class Merge(nn.Module):
    """Join 2 x 2 parts of a patch, column by column, to one of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = Norm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the joined parts (B, N, s / 2, s / 2, 2 W) of parts (B, N, s, s, W)."""
        corners = [x[:, :, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1)))


class BiasedAttention(nn.Module):
    """Attention with a learned bias for each head and each offset of two patches."""

    def __init__(self, side: int, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))
        patch = torch.arange(side * side)
        down, right = (
            axis[:, None] - axis + side - 1 for axis in (patch // side, patch % side)
        )  # fmt: skip
        self.offsets = down * (2 * side - 1) + right

    def forward(self, x: torch.Tensor, *unused: Any, **more: Any) -> torch.Tensor:
        """Attend over all patches."""
        table = self.relative_position_bias_table
        q, k, v = self.qkv(x).unflatten(2, (3, table.shape[1], -1)).permute(2, 0, 3, 1, 4)
        logits = q @ k.mT * q.shape[-1] ** -0.5 + table[self.offsets].permute(2, 0, 1)
        return self.proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))


class HiViT(nn.Module):
    """Two stages of MLPs on the 4 x 4 parts of each patch, then blocks with attention."""

    def __init__(self, size: dict[str, Any]) -> None:
        super().__init__()
        width, stem = size["width"], size["stem_blocks"]
        self.patch_px, self.merged = size["patch_px"], 2 * (stem + 1)
        step = self.patch_px // 4
        self.patch_embed = nn.ModuleDict({
            "proj": nn.Conv2d(1, width // 4, step, step),
            "norm": Norm(width // 4),
        })  # fmt: skip
        patches = (size["input_px"] // self.patch_px) ** 2
        self.pos_embed = nn.Parameter(torch.zeros(1, patches, width))
        layers: list[nn.Module] = []
        for stage in (1, 2):
            of_stage = stage * width // 4, stage * size["stem_hidden"]
            layers += [*(MlpBlock(*of_stage) for _ in range(stem)), Merge(of_stage[0])]
        ratio = (size["hidden"] + 0.5) / width  # timm rounds the product down
        bias = size.get("qkv_bias", True)
        for _ in range(size["depth"]):
            layers.append(Block(width, size["heads"], ratio, qkv_bias=bias, norm_layer=Norm))
            if size.get("bias_tables"):
                side = size["input_px"] // self.patch_px
                layers[-1].attn = BiasedAttention(side, width, size["heads"], bias)
        self.blocks = nn.Sequential(*layers)

    def forward(self, chips: torch.Tensor) -> torch.Tensor:
        """Return the tokens of chips."""
        x = self.patch_embed["proj"](chips)  # B W/4 4r 4c: the parts of r x c patches
        x = x.unflatten(3, (-1, 4)).unflatten(2, (-1, 4))  # B W/4 r 4 c 4
        x = self.patch_embed["norm"](x.permute(0, 2, 4, 3, 5, 1).flatten(1, 2))  # B N 4 4 W/4
        tokens = self.blocks[: self.merged](x)[:, :, 0, 0] + self.pos_embed
        return self.blocks[self.merged :](tokens)


def load(path: str) -> nn.Module:
    """Return the encoder of a file; it takes chips of one channel and gives their tokens."""
    with safe_open(path, framework="pt") as file:
        encoder = HiViT(json.loads(file.metadata()["exported"])["encoder"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    encoder.load_state_dict(weights, strict=True)
    return encoder.eval()
