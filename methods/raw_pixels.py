"""Raw pixels: no network; the feature is the prepared chip itself (a control).

Hidden: nothing.
Predicted: nothing.

Paper: none.
Source: none.
Differs from the source: nothing.
Every table has this row, because its nearest neighbour beats several published few-shot scores on
MSTAR.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ._encoders import EncoderConfig
from ._method import Method
from ._registry import register


@dataclass(frozen=True)
class Config:
    """No settings."""


class Flatten(nn.Module):
    """Chips to one token each: their pixels, row by row."""

    has_class_token = False
    width = 0  # depends on the size of the chip

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 D"]:
        """Return the pixels."""
        return images.flatten(2)


def in_middle(images: Float[Tensor, "B 1 H W"], side_share: float) -> Bool[Tensor, "H W"]:
    """Return True for the pixels of the middle rectangle with a share of each side."""
    rows, columns = (
        (torch.arange(size, device=images.device) + 0.5 - size / 2).abs() < side_share * size / 2
        for size in images.shape[2:]
    )
    return rows[:, None] & columns


@register(label="Raw pixels", paper="control", control=True)
class RawPixels(Method):
    """The unchanged chip."""

    evaluation_input = "chip"
    protocols = ("linear", "logistic", "knn")

    @classmethod
    def build_encoder(
        cls, config: Any, encoder: EncoderConfig | None, drop_path: float = 0.0
    ) -> Flatten:
        """Return the encoder without weights."""
        return Flatten()
