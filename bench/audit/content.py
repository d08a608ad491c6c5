"""The image of a chip as the audit compares it: without padding, as ranks of amplitude.

Ranks do not change under a monotone change of amplitude, so another rendering of a chip is equal.
Most pixels of a chip are clutter, so ranks show its speckle, which is the fingerprint of an image:
a chip of the same vehicle a degree further has other speckle.
"""

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from ..data.chips import Chips

SMALLEST_PX = 16  # side of an image that can be compared
LARGEST_PX = 256  # side of the central part that is compared
NOISE_PX = 1.0  # sigma; noise and JPEG change single pixels more than their surroundings
OUTLINE_PX = 4.0  # sigma; larger structures, as shadow and trees, are alike in different images


def content_of(chips: Chips, index: int) -> np.ndarray:
    """Return the stored pixels of a chip without padding, at most the central `LARGEST_PX`."""
    chip = chips.chip(index)
    source = chips.source_size[index]
    return chip[_central(chip.shape[0], int(source[0])), _central(chip.shape[1], int(source[1]))]


def _central(stored: int, source: int) -> slice:
    """Return the rows or columns to compare; padding surrounds a source that was smaller."""
    kept = min(stored, source, LARGEST_PX)
    start = (stored - kept) // 2
    return slice(start, start + kept)


def ranks(image: np.ndarray) -> Float[np.ndarray, "H W"]:
    """Return the rank of each pixel, from -0.5 to 0.5; equal pixels have one rank."""
    if image.dtype == np.uint8:
        counts = np.bincount(image.ravel(), minlength=256)
        middle = (np.cumsum(counts) - counts / 2) / image.size - 0.5
        return middle.astype(np.float32)[image]
    ordered = rankdata(image, axis=None).reshape(image.shape)
    return ((ordered - 0.5) / image.size - 0.5).astype(np.float32)


def speckle(image: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Return the structures of an image between `NOISE_PX` and `OUTLINE_PX`."""
    return gaussian_filter(image, NOISE_PX) - gaussian_filter(image, OUTLINE_PX)


def resized(image: Float[np.ndarray, "H W"], shape: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    """Return an image in another size, without aliasing."""
    if image.shape == shape:
        return image
    filtered = Image.fromarray(image).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(filtered)
