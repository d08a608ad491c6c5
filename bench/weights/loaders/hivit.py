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


class HiViT(nn.Module):
    """Two stages of MLPs on the 4 x 4 parts of each patch, then blocks with attention."""

    def __init__(self, size: dict[str, Any]) -> None:
        super().__init__()
        width, stem = size["width"], size["stem_blocks"]
        self.patch_px, self.merged = size["patch_px"], 2 * (stem + 1)
        side = self.patch_px // 4
        self.patch_embed = nn.ModuleDict({
            "proj": nn.Conv2d(1, width // 4, side, side),
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
        layers += [
            Block(width, size["heads"], ratio, qkv_bias=bias, norm_layer=Norm)
            for _ in range(size["depth"])
        ]
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
