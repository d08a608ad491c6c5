"""Changes of a test chip by a severity: the functions behind `conditions.py`.

A chip is amplitude in [0, 1]. The results are not clamped; `conditions.in_condition` does that. All
draws are uniform numbers that closed forms turn into others, because NumPy may change its gamma and
normal distributions between versions, and a condition is part of a key.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, Int, Shaped

Chip = Float[np.ndarray, "H W"]


def shifted(chip: Shaped[np.ndarray, "H W"], down: int, right: int) -> Shaped[np.ndarray, "H W"]:
    """Return the chip moved by whole pixels; the border is reflected at the edge pixel."""
    rows, columns = (
        _reflected(np.arange(size) - moved, size)
        for size, moved in zip(chip.shape, (down, right), strict=True)
    )
    return chip[np.ix_(rows, columns)]


def _reflected(places: Int[np.ndarray, " S"], size: int) -> Int[np.ndarray, " S"]:
    """Return places in [0, size), those outside reflected at the centre of the edge pixel."""
    last = size - 1
    return last - np.abs(last - np.abs(places))


def speckled(chip: Chip, looks: float, rng: np.random.Generator) -> Chip:
    """Return the chip under more speckle of L looks, independent in each pixel.

    The intensity (amplitude squared) of each pixel is multiplied by a gamma variable of mean 1 and
    variance 1 / L, the mean of L exponential ones (Goodman, Speckle Phenomena in Optics, section
    3.4). So the mean intensity stays.
    """
    uniform = 1 - rng.random((int(looks), *chip.shape))  # in (0, 1]
    return chip * np.sqrt(-np.log(uniform.prod(axis=0)) / looks)


def noisy(chip: Chip, snr_db: float, rng: np.random.Generator) -> Chip:
    """Return the amplitude of the chip plus complex circular Gaussian noise in each pixel.

    The noise is that of a receiver. Its distribution has no phase, so the unknown phase of the chip
    does not matter. The power of the signal is the mean intensity of the chip; the noise adds that
    divided by 10^(dB / 10).
    """
    power = np.square(chip, dtype=np.float64).mean() / 10 ** (snr_db / 10)
    length = np.sqrt(-power * np.log(1 - rng.random(chip.shape)))
    angle = 2 * np.pi * rng.random(chip.shape)
    intensity = chip**2 + 2 * chip * length * np.cos(angle) + length**2
    return np.sqrt(intensity.clip(0))  # above 0 but for rounding


def coarse(chip: Chip, share: float) -> Chip:
    """Return the chip with a share of its bandwidth along each axis, in its size.

    Its cosine transform (DCT-II, the spectrum of the chip mirrored at its edges) is set to zero
    from `share` times the Nyquist frequency on.
    """
    rows, columns = (_low_pass(size, share) for size in chip.shape)
    return rows @ chip @ columns


@cache
def _low_pass(size: int, share: float) -> Float[np.ndarray, "S S"]:
    """Return the projection of S values onto their cosines below a share of Nyquist."""
    number = np.arange(size)[:, None]
    cosines = np.cos(np.pi * number * (2 * np.arange(size) + 1) / (2 * size))
    cosines *= np.sqrt(np.where(number > 0, 2, 1) / size)
    kept = cosines[number[:, 0] < share * size]
    return kept.T @ kept


def occluded(chip: Chip, share: float, rng: np.random.Generator) -> Chip:
    """Return the chip with a rectangle of clutter over a share of its target area.

    The target area is the middle half along each axis. The rectangle has the form of that area, its
    sides are rounded to pixels, and it is anywhere inside. Clutter is the median of the pixels
    outside the target area.
    """
    area = tuple(slice(size // 4, size // 4 + size // 2) for size in chip.shape)
    outside = np.ones(chip.shape, bool)
    outside[area] = False
    found = chip.copy()
    rectangle = []
    for side in area:
        size = side.stop - side.start
        length = max(1, round(size * share**0.5))
        start = side.start + int(rng.random() * (size - length + 1))
        rectangle.append(slice(start, start + length))
    found[tuple(rectangle)] = np.median(chip[outside])
    return found


def powered(chip: Chip, gamma: float) -> Chip:
    """Return the chip to a power, as if its amplitude were rendered by another power law."""
    return chip**gamma
