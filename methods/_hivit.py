"""HiViT (Zhang et al., arXiv 2205.14949), the encoder of SARATR-X (arXiv 2405.09365)."""

from functools import partial

import torch
from jaxtyping import Float
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from timm.layers.norm import LayerNorm
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from ._channels import ONE_CHANNEL, InputChannels
from ._encoders import GivenConfig
from ._linear import linear, replace_linear
from ._swin_bias import BiasedBlock
from ._vit import patchify

PARTS = 4  # of a patch along each side; two merges join them to one token


class MlpBlock(nn.Module):
    """A residual MLP on each part of a patch; named as the second half of timm's block."""

    def __init__(self, width: int, hidden: int, drop_path: float) -> None:
        """Build the layers."""
        super().__init__()
        self.norm2 = LayerNorm(width)
        self.mlp = Mlp(width, hidden)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, parts: Float[Tensor, "B N s s W"]) -> Float[Tensor, "B N s s W"]:
        """Add the MLP of each part."""
        return parts + self.drop_path(self.mlp(self.norm2(parts)))


class Merge(nn.Module):
    """Join 2 x 2 parts to one of twice the width."""

    def __init__(self, width: int) -> None:
        """Build the layers."""
        super().__init__()
        self.norm = LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, parts: Float[Tensor, "B N s s W"]) -> Float[Tensor, "B N _ _ _"]:
        """Concatenate the parts column by column, and project them."""
        rows_columns = parts.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # B N s/2 2 s/2 2 W
        joined = rows_columns.permute(0, 1, 2, 4, 5, 3, 6).flatten(4)  # B N s/2 s/2 4W
        return self.reduction(self.norm(joined))


class HiViTEncoder(nn.Module):
    """A HiViT whose weights have the names of the authors' code, from chips to tokens.

    Two stages of MLPs on the 4 x 4 parts of each patch come before the blocks with attention. There
    are neither a class token nor a final norm: the norm of a pretraining file is on the features of
    all stages together, and that of a classifier on the mean of the tokens.

    Attributes:
        has_class_token: False.
        width: Length D of a token.
        kind: The kind of network, the same for all sizes.
    """

    draws_own_weights = True  # by torch's rules, when the network is built
    has_class_token = False
    kind = "HiViT"

    @torch.random.fork_rng(devices=[])  # the weights are loaded, or drawn from a seeded state
    def __init__(
        self, config: GivenConfig, channels: InputChannels = ONE_CHANNEL, drop_path: float = 0.0
    ) -> None:
        """Build the network; `drop_path` is the rate of the last block."""
        super().__init__()
        self.config, self.channels, self.width = config, channels, config.width
        count = config.stem_blocks
        layers = 2 * count + config.depth
        rates = iter(drop_path * number / max(1, layers - 1) for number in range(layers))
        side = config.patch_px // PARTS
        self.patch_embed = nn.ModuleDict({
            "proj": nn.Conv2d(channels.channels, config.width // 4, side, side),
            "norm": LayerNorm(config.width // 4),
        })  # fmt: skip
        rows = config.patch_grid[0] * config.patch_grid[1]
        self.pos_embed = nn.Parameter(torch.zeros(1, rows, config.width))
        blocks: list[nn.Module] = []
        for stage in (1, 2):
            width = stage * config.width // 4
            hidden = stage * config.stem_hidden
            blocks += [MlpBlock(width, hidden, next(rates)) for _ in range(count)]
            blocks.append(Merge(width))
        block = partial(BiasedBlock, config.patch_grid[0]) if config.bias_tables else Block
        blocks += [
            block(
                config.width, config.heads, (config.hidden + 0.5) / config.width,
                qkv_bias=config.qkv_bias, drop_path=next(rates), norm_layer=LayerNorm,
            )
            for _ in range(config.depth)
        ]  # fmt: skip
        self.blocks = nn.Sequential(*blocks)
        replace_linear(self)

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N D"]:
        """Return the tokens of whole chips with values in [0, 1]."""
        kernel, bias = self.channels.kernel(self.patch_embed["proj"])
        patches = patchify(images, self.config.patch_px)  # B N P
        parts = patchify(
            patches.unflatten(2, (1, self.config.patch_px, -1)).flatten(0, 1), kernel.shape[2]
        )  # BN 16 p
        parts = linear(parts, kernel.flatten(1), bias).unflatten(1, (PARTS, PARTS))
        parts = self.patch_embed["norm"](parts.unflatten(0, (len(images), -1)))  # B N 4 4 D/4
        merged = 2 * (self.config.stem_blocks + 1)
        tokens = self.blocks[:merged](parts)[:, :, 0, 0] + self.pos_embed
        return self.blocks[merged:](tokens)

    def layer_numbers(self) -> tuple[dict[str, int], int]:
        """Return the layer number of each weight by its name, and that of a head on top."""
        names = [name for name, _ in self.named_parameters()]
        numbers = {
            name: int(name.split(".")[1]) + 1 if name.startswith("blocks.") else 0 for name in names
        }
        return numbers, len(self.blocks) + 1
