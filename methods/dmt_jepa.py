"""DMT-JEPA: I-JEPA whose target of a patch comes from similar neighbours of the patch.

Hidden: 4 blocks of patches of each chip, as in I-JEPA.
Predicted: from the context, the target of each patch of the blocks: the 4 of its 8 neighbours whose
tokens in the target encoder are most similar to its own, aggregated by cross-attention. The query
is the mean token of the chip; keys and values are the query and the 4 neighbours, but not the patch
itself. Tokens of the context pass the same layers before the predictor: the query is the mean
of the context, keys and values are query and context, and the result is added to every token. The
layers of the target are a moving average of those of the context.

Paper: Mo and Yun, DMT-JEPA: Discriminative Masked Targets for Joint-Embedding Predictive
Architecture, arXiv 2405.17995.
Source: DMTJEPA/DMTJEPA at b8ad2d8, with the default attention of its configurations ("cross-attn").
Differs from the source:
- as `i_jepa`, except for the recipe;
- the query of a patch is the mean token of its own chip. The source pairs the two wrongly: of B
  chips with N patches, patch n of chip b gets the mean of chip (b N + n) mod B;
- the source does not import its MLP; ours is that of its ViT;
- any square of patches, from as many on a side as the neighbourhood has; the source has those of 96
  and 224 px;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`,
  in1k_vitb16_ep600.yaml): 600 epochs; else that of I-JEPA.
As in the source, a neighbourhood continues at the opposite border of the chip. Evaluation takes the
encoder without the layers of aggregation, as the source's checkpoints do. The paper is known to us
from summaries, which give a squared distance; the source has smooth L1, as I-JEPA.
Unknown: the batch of the source's ViT-B (here 2048, that of ViT-H in its README), and settings for
SAR. I-JEPA is reported to collapse on SAR chips. A point scatterer is not part of the target of its
own patch, and what is at the opposite border of a chip is not a neighbour of a patch. Targets are
nearly constant in narrow encoders: the query is added to what it attends to, and the mean of all
tokens is much the same for every chip. With first weights, the deviation of targets over patches
and chips is 0.02 of their root mean square in `vit_nano`, 0.04 at a width of 128, 0.17 at 768 (in
I-JEPA 0.46). It falls further in short trainings, where the loss ends near 0 and little is learned.
"""

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from timm.layers.mlp import Mlp
from timm.layers.norm import LayerNorm
from torch import Tensor, nn
from torch.nn import functional

from ._encoders import ViTConfig
from ._linear import replace_linear
from ._method import MethodConfigError
from ._registry import register
from ._vit import initialise_truncated, take
from .i_jepa import IJEPA
from .i_jepa import Config as IJEPAConfig

BLOCKS = 2


@dataclass(frozen=True)
class Config(IJEPAConfig):
    """Defaults of the source's configurations."""

    neighbourhood: int = 3  # side in patches
    similar: int = 4  # neighbours that make a target

    def __post_init__(self) -> None:
        """Refuse a neighbourhood without a centre, or with fewer patches than are taken, too."""
        super().__post_init__()
        side = self.neighbourhood
        if side < 3 or side % 2 == 0:
            raise MethodConfigError(f"neighbourhood is {side}; it must be odd and 3 or more")
        if not 1 <= self.similar < side**2:
            raise MethodConfigError(
                f"similar is {self.similar}; it must be from 1 to {side**2 - 1}, the neighbours "
                f"of a patch in {side} x {side}"
            )


def neighbours(patch_grid: tuple[int, int], side: int) -> Int[Tensor, "N K"]:
    """Return the other patches of the square around each patch; it wraps around at the border."""
    rows, columns = patch_grid
    step = torch.arange(side) - side // 2
    row = (torch.arange(rows)[:, None] + step) % rows
    column = (torch.arange(columns)[:, None] + step) % columns
    square = row[:, None, :, None] * columns + column[None, :, None, :]  # (rows, columns, k, k)
    centre = side**2 // 2
    square = square.reshape(rows * columns, -1)
    return torch.cat([square[:, :centre], square[:, centre + 1 :]], dim=1)


class CrossBlock(nn.Module):
    """A block whose attention has one query; the result is added to all tokens of a stream."""

    def __init__(self, width: int, heads: int) -> None:
        """Build attention, as in a block of the encoder, and an MLP."""
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))
        self.mlp = Mlp(width, 4 * width)

    def forward(
        self,
        stream: Float[Tensor, "R S D"],
        query: Float[Tensor, "R 1 D"],
        others: Float[Tensor, "R V D"],
    ) -> Float[Tensor, "R S D"]:
        """Return `stream` after attention of the query to itself and others, and after the MLP."""
        every = self.norm1(torch.cat([query, others], dim=1))
        parts = (
            one.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for one in (self.q(every[:, :1]), self.k(every), self.v(every))
        )
        attended = functional.scaled_dot_product_attention(*parts)
        stream = stream + self.proj(attended.transpose(1, 2).flatten(2))
        return stream + self.mlp(self.norm2(stream))


class Aggregation(nn.Module):
    """The layers between encoder and predictor, and between target encoder and target."""

    near: Tensor

    def __init__(self, config: Config, encoder: ViTConfig) -> None:
        """Build the blocks, as wide and with as many heads as the encoder."""
        super().__init__()
        side = config.neighbourhood
        if min(encoder.patch_grid) < side:
            raise MethodConfigError(
                f"neighbourhood is {side}, more than the {encoder.patch_grid[0]} x "
                f"{encoder.patch_grid[1]} patches of {encoder.name}; set an encoder with more "
                "patches or a smaller neighbourhood"
            )
        self.similar = config.similar
        self.blocks = nn.ModuleList(CrossBlock(encoder.width, encoder.heads) for _ in range(BLOCKS))
        self.norm = LayerNorm(encoder.width)
        self.register_buffer("near", neighbours(encoder.patch_grid, side), persistent=False)
        replace_linear(self)

    def context(self, tokens: Float[Tensor, "B V D"]) -> Float[Tensor, "B V D"]:
        """Return the tokens of a context after cross-attention of their mean."""
        for block in self.blocks:
            tokens = block(tokens, tokens.mean(dim=1, keepdim=True), tokens)
        return self.norm(tokens)

    def targets(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Return the target of each patch of whole chips, from the tokens of all."""
        others = take(tokens, self.most_similar(tokens).flatten(1))
        others = others.reshape(-1, self.similar, tokens.shape[2])  # (B N, K, D)
        query = tokens.mean(dim=1, keepdim=True).repeat_interleave(tokens.shape[1], dim=0)
        for block in self.blocks:
            query = block(query, query, others)
        return self.norm(query).reshape(tokens.shape)

    def most_similar(self, tokens: Float[Tensor, "B N D"]) -> Int[Tensor, "B N K"]:
        """Return the neighbours of each patch that are most similar to it by cosine."""
        unit = functional.normalize(tokens, dim=-1)
        near = self.near.expand(len(tokens), -1, -1)
        similarity = (unit @ unit.mT).gather(2, near)
        return near.gather(2, similarity.topk(self.similar, dim=2).indices)


@register(label="DMT-JEPA", paper="arXiv:2405.17995", family="masked latent")
class DMTJEPA(IJEPA):
    """I-JEPA with targets from similar neighbours."""

    config: Config
    source_recipe: ClassVar = {  # configs/in1k_vitb16_ep600.yaml of the source: 1e-3
        "epochs": 600, "batch": 2048, "base_lr": 1.25e-4, "warmup_epochs": 40.0,
        "lr_start_share": 0.2, "lr_end_share": 1e-3,
        "weight_decay": 0.04, "weight_decay_end": 0.4, "beta1": 0.9, "beta2": 0.999,
        "crop_scale_min": 0.3, "crop_scale_max": 1.0, "flip": 0.0, "contrast": 0.0,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: ViTConfig, rng: torch.Generator) -> None:
        """Build I-JEPA's networks, the layers of aggregation, and their average."""
        super().__init__(config, encoder, rng)
        self.aggregation = Aggregation(config, encoder)
        initialise_truncated(self.aggregation, rng, ())
        self.target_aggregation = copy.deepcopy(self.aggregation).requires_grad_(False)

    def context_tokens(
        self, images: Float[Tensor, "B 1 H W"], context: Int[Tensor, "B V"]
    ) -> Float[Tensor, "B V D"]:
        """Return the tokens of the context after the layers of aggregation."""
        return self.aggregation.context(super().context_tokens(images, context))

    @torch.no_grad()
    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N D"]:
        """Return the aggregated neighbours of each patch, from the target encoder's tokens."""
        return self.target_aggregation.targets(super().target(images))

    def averages(self) -> tuple[tuple[nn.Module, nn.Module], ...]:
        """Return both moving averages, and the networks that they average."""
        return (*super().averages(), (self.target_aggregation, self.aggregation))
