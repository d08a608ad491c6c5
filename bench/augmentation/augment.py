"""Crop, flip, speckle and change the contrast of whole batches, on the CPU or a GPU.

A crop shifts and stretches the matrices of `resample.py`, and a flip reverses one. So all crops of
a batch, from images of different sizes, are two batched matrix products.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...methods._masking import draw
from ...methods._speckle import add_speckle
from .resample import resampling

TRIES = 10  # crops drawn before the centred fallback, as in torchvision


@dataclass(frozen=True)
class Augmentation:
    """The random changes of a chip in pretraining.

    The defaults are those of the SAR-JEPA paper (arXiv 2311.15153): MAE's crops and flips, and a
    change of contrast.

    Attributes:
        crop_scale: Smallest and largest share of the area that is kept.
        crop_ratio: Smallest and largest width over height, drawn on a logarithmic scale.
        flip: Probability of a left-right flip.
        contrast: c; the contrast factor about the image's mean is drawn from [1 - c, 1 + c].
        looks: Number of looks of added speckle; None = no speckle.
    """

    crop_scale: tuple[float, float] = (0.2, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    contrast: float = 0.5
    looks: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: A value is out of range.
        """
        for name, (low, high) in (
            ("crop_scale", self.crop_scale),
            ("crop_ratio", self.crop_ratio),
        ):
            if not 0 < low <= high:
                raise ValueError(f"{name} must be 0 < low <= high, got {(low, high)}")
        if self.crop_scale[1] > 1:
            raise ValueError(f"crop_scale must be at most 1, got {self.crop_scale}")
        for name, value in (("flip", self.flip), ("contrast", self.contrast)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")
        if self.looks is not None and self.looks < 1:
            raise ValueError(f"looks must be 1 or more, got {self.looks}")


def draw_crops(
    height: Int[Tensor, " B"],
    width: Int[Tensor, " B"],
    augmentation: Augmentation,
    rng: torch.Generator,
) -> Int[Tensor, "B 4"]:
    """Draw one crop per image as torchvision's RandomResizedCrop does: top, left, height, width.

    Area and ratio are drawn up to ten times. If no draw fits, the largest centred crop with an
    allowed ratio is used.
    """
    high, wide = height[:, None].float(), width[:, None].float()
    low, top = augmentation.crop_scale
    narrow, broad = augmentation.crop_ratio
    drawn = draw((4, len(height), TRIES), rng, batch=1)
    area = high * wide * (low + (top - low) * drawn[0])
    ratio = torch.exp(math.log(narrow) + math.log(broad / narrow) * drawn[1])
    crop_width = (area * ratio).sqrt().round()
    crop_height = (area / ratio).sqrt().round()
    fits = (crop_width > 0) & (crop_width <= wide) & (crop_height > 0) & (crop_height <= high)
    # a uniform number times the number of positions, rounded down: all positions equally likely
    down = torch.minimum((drawn[2] * (high - crop_height + 1)).floor(), high - crop_height)
    right = torch.minimum((drawn[3] * (wide - crop_width + 1)).floor(), wide - crop_width)
    first = fits.int().argmax(1, keepdim=True)
    chosen = torch.stack((down, right, crop_height, crop_width), -1)
    chosen = chosen.gather(1, first[..., None].expand(-1, 1, 4))[:, 0]

    fallback_width = torch.minimum(wide, (high * broad).round())[:, 0]
    fallback_height = torch.minimum(high, (wide / narrow).round())[:, 0]
    fallback = torch.stack(
        (
            ((high[:, 0] - fallback_height) / 2).floor(),
            ((wide[:, 0] - fallback_width) / 2).floor(),
            fallback_height,
            fallback_width,
        ),
        -1,
    )
    return torch.where(fits.any(1, keepdim=True), chosen, fallback).long()


def augment(
    images: Float[Tensor, "B H W"],
    height: Int[Tensor, " B"],
    width: Int[Tensor, " B"],
    px: int,
    augmentation: Augmentation,
    rng: torch.Generator,
) -> Float[Tensor, "B 1 px px"]:
    """Return a random crop of each image at `px` pixels a side, with flip, speckle and contrast.

    Args:
        images: Amplitude in [0, 1], padded below and right to a common size.
        height: Rows of each image that are not padding.
        width: Columns of each image that are not padding.
        px: Side of the result.
        augmentation: Ranges to draw from.
        rng: Generator on the images' device; the only source of randomness.
    """
    crops = draw_crops(height, width, augmentation, rng)
    flips, factors = draw((2, len(images)), rng, batch=1)
    rows = resampling(crops[:, 0], crops[:, 2], images.shape[1], px)
    columns = resampling(crops[:, 1], crops[:, 3], images.shape[2], px, flips < augmentation.flip)
    resized = (rows @ images @ columns.mT).clamp_(0, 1)
    if augmentation.looks:
        resized = add_speckle(resized[:, None], augmentation.looks, rng)[:, 0]
    mean = resized.mean((1, 2), keepdim=True)
    factor = 1 + augmentation.contrast * (2 * factors - 1)[:, None, None]
    return resized.sub_(mean).mul_(factor).add_(mean).clamp_(0, 1)[:, None]
