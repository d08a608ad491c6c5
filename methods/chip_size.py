"""Chip size: no network and no pixels; the feature is the size of the chip's source image.

Hidden: nothing.
Predicted: nothing. A control for classes that can be told apart by image size alone.

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
    """No settings."""


class ChipSizeError(ValueError):
    """A source image that is larger than the feature can represent."""


class SizeCode(nn.Module):
    """A map from (height, width) to a token, for nearest neighbours by size.

    Height and width are bars: +1 up to the length, -1 after it. All tokens have one norm, and the
    product of two is the number of values minus 2 (|height - height'| + |width - width'|). So the
    nearest token by cosine is exactly the nearest size.
    """

    has_class_token = False
    longest_px = 2048
    width = 2 * longest_px

    def forward(self, images: Float[Tensor, "B 1 1 2"]) -> Float[Tensor, "B 1 D"]:
        """Return the two bars, one after the other."""
        if images.max() > self.longest_px:
            raise ChipSizeError(
                f"a source image has a side of {images.max():.0f} px, but the size control takes "
                f"up to {self.longest_px} px; remove it from the grid's controls"
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
