"""Registered pixels: no network; the feature is a square around the brightest part of the chip.

Hidden: nothing.
Predicted: nothing. A control for the place of the target: the square moves with it, so that test
chips that are cut off centre do not count against the pixels.

Paper: none.
Source: none.
Differs from the source: nothing.
The brightest part is the square of `bright_px` pixels with the largest mean, the first of equal
ones in the order of rows. Pixels of the kept square that are not on the chip are 0.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from ._encoders import EncoderConfig
from ._method import MethodConfigError
from ._registry import register
from .raw_pixels import Flatten, RawPixels


@dataclass(frozen=True)
class Config:
    """The square that is kept, and the one that is sought.

    Attributes:
        side_share: Side of the kept square relative to the shorter side of the chip.
        bright_px: Side of the brightest square in pixels, an odd number.
    """

    side_share: float = 0.625
    bright_px: int = 9

    def __post_init__(self) -> None:
        """Refuse squares without a pixel or without a middle."""
        if not 0 < self.side_share <= 1:
            raise MethodConfigError(
                f"side_share is {self.side_share}; it must be above 0 and at most 1"
            )
        if self.bright_px < 1 or self.bright_px % 2 == 0:
            raise MethodConfigError(
                f"bright_px is {self.bright_px}; it must be odd and at least 1, so that the square "
                "has a pixel in its middle"
            )


def brightest(images: Float[Tensor, "B 1 H W"], side_px: int) -> Int[Tensor, "B 2"]:
    """Return row and column of the middle of the brightest square of each chip."""
    side_px = min(side_px, *(size - 1 + size % 2 for size in images.shape[2:]))
    means = functional.avg_pool2d(images.float(), side_px, stride=1)
    index = means.flatten(1).argmax(1)
    columns = means.shape[3]
    return torch.stack([index // columns, index % columns], dim=1) + side_px // 2


class Registered(Flatten):
    """Chips to one token each: the pixels of a square around their brightest part."""

    def __init__(self, config: Config) -> None:
        """Keep the two sides."""
        super().__init__()
        self.config = config

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 D"]:
        """Return the pixels."""
        side = max(1, round(self.config.side_share * min(images.shape[2:])))
        middle = brightest(images, self.config.bright_px)
        padded = functional.pad(images, [side] * 4)
        steps = torch.arange(side, device=images.device) + side - side // 2
        rows, columns = ((middle[:, axis, None] + steps) for axis in (0, 1))
        chip = torch.arange(len(images), device=images.device)[:, None, None]
        return padded[chip, 0, rows[:, :, None], columns[:, None, :]].flatten(1)[:, None]


@register(label="Registered pixels", paper="control", control=True)
class RegisteredPixels(RawPixels):
    """The chip cut again around its brightest part."""

    @classmethod
    def build_encoder(
        cls, config: Config, encoder: EncoderConfig | None, drop_path: float = 0.0
    ) -> Registered:
        """Return the encoder without weights."""
        return Registered(config)
