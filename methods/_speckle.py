"""Simulated speckle."""

import torch
from jaxtyping import Float
from torch import Tensor

from ._masking import draw


def add_speckle(
    amplitude: Float[Tensor, "B 1 H W"], looks: int, rng: torch.Generator
) -> Float[Tensor, "B 1 H W"]:
    """Return amplitude in [0, 1] under more speckle, independent in each pixel.

    Fully developed speckle of L looks multiplies intensity by a gamma variable of mean 1 and
    variance 1 / L (Goodman, Speckle Phenomena in Optics, section 3.4), here the mean of L
    exponential ones; so amplitude is multiplied by its root. The result is clamped to [0, 1]. The
    speckle of a real image is correlated over its resolution cell, this one is not.

    Args:
        amplitude: Linear amplitude. For another transform of amplitude it is noise of another kind.
        looks: L, from 1.
        rng: Draws the noise.
    """
    batch, _, height, width = amplitude.shape
    exponential = -torch.log1p(-draw((batch, looks, height, width), rng))
    return (amplitude * exponential.mean(1, keepdim=True).sqrt()).clamp(0, 1)
