"""Chip size: no network and no pixels, the size of the chip's source image is the feature.

Hidden: nothing.
Predicted: nothing. A control: what a data set gives away by the size of its images alone.

Paper: none.
Source: none.
Differs from the source: nothing.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ._encoders import EncoderConfig
from ._method import Method
from ._registry import register


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


class ChipSizeError(ValueError):
    """A source image is larger than the feature can tell."""


class SizeCode(nn.Module):
    """(height, width) to a token whose cosine similarity falls with the distance of two sizes.

    Height and width are bars: +1 up to the length, -1 beyond. The product of two tokens is the
    number of places less twice the sum of both differences, and all tokens are equally long; so the
    nearest by cosine is the nearest by |height - height'| + |width - width'|, exactly.
    """

    has_class_token = False
    longest_px = 2048
    width = 2 * longest_px

    def forward(self, images: Float[Tensor, "B 1 1 2"]) -> Float[Tensor, "B 1 D"]:
        """Return the two bars, one after the other."""
        if images.max() > self.longest_px:
            raise ChipSizeError(
                f"a source image has a side of {images.max():.0f} px, the size control tells "
                f"sizes up to {self.longest_px} px apart; take it out of the grid's controls"
            )
        places = torch.arange(self.longest_px, device=images.device)
        bars = images.squeeze(2).mT > places  # (B, 2, places)
        return torch.where(bars, 1.0, -1.0).flatten(1)[:, None]


@register(label="Chip size only", paper="control", control=True)
class ChipSize(Method):
    """The size of the source image."""

    evaluation_input = "size"
    protocols = ("knn",)

    @classmethod
    def build_encoder(
        cls, config: Config, encoder: EncoderConfig | None, drop_path: float = 0.0
    ) -> SizeCode:
        """Return the encoder without weights."""
        return SizeCode()
