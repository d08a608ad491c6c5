"""Inputs that both sides compute alike, so that no weights are stored; samples of results.

Values come from PCG64's uniform numbers by operations that are exact or correctly rounded in IEEE
arithmetic. So every machine has the same bits.
"""

import math
import zlib

import numpy as np
import torch
from torch import Tensor, nn

CHIP_PX = 224
KEPT = 600  # values kept of a large array


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return uniform numbers in [0, 1), float64, that depend on the name and the shape only."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).random(shape)


def chips(number: int) -> Tensor:
    """Return speckled chips (B, 1, 224, 224) with a bright vehicle, in multiples of 1 / 256.

    Sums of such values have no rounding error. A Sobel difference that is 0 is then 0 in every
    order of summation (see `test_methods.py`).
    """
    level = np.full((CHIP_PX, CHIP_PX), 0.4)
    level[88:140, 70:150] = 1.0
    speckle = uniform("speckle", (number, CHIP_PX, CHIP_PX))
    speckle *= 0.25 + 0.75 * uniform("texture", (number, CHIP_PX, CHIP_PX))
    return torch.from_numpy(np.floor(256 * level * speckle) / 256).float()[:, None]


def speckled(images: Tensor) -> Tensor:
    """Return chips times made-up speckle."""
    factor = torch.from_numpy(0.5 + uniform("added speckle", tuple(images.shape))).float()
    return (images * factor).clamp(0, 1)


def labelled_chips(number: int, classes: int) -> tuple[Tensor, Tensor]:
    """Return chips (N, 1, 224, 224) and their classes; a class is brighter than the one before."""
    labels = torch.arange(number) % classes
    return chips(number) * ((labels + classes) / (2 * classes))[:, None, None, None], labels


def rounded_chip() -> Tensor:
    """Return a chip of 8 bit as it is usually read, in multiples of 1 / 255, which are rounded."""
    return chips(1) * 256 / 255


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return the first value of a weight by its name in the reference.

    Matrices keep the scale of their input. The scales of norms are about 1, everything else is
    small; nothing is 0, so that no part of a network is without effect.
    """
    values = 2 * uniform(name, shape) - 1
    if "norm" in name and name.endswith("weight"):
        values = 1 + 0.2 * values
    elif name.endswith(".weight") and len(shape) in (2, 4):
        values *= np.sqrt(3 / np.prod(shape[1:]))
    else:
        values *= 0.1
    return torch.from_numpy(values).float()


def fill(weights: dict[str, nn.Parameter]) -> None:
    """Set the first values of the weights."""
    with torch.no_grad():
        for name, value in weights.items():
            value.copy_(weight(name.removeprefix("target_"), tuple(value.shape)))


def sample(values: Tensor) -> np.ndarray:
    """Return evenly spaced values of an array, about `KEPT`, from all of its rows and columns."""
    flat = values.detach().flatten().numpy()
    step = max(1, flat.size // KEPT)
    while math.gcd(step, flat.size) > 1:
        step += 1
    return flat[::step].copy()
