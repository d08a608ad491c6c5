"""A small physical simulator of SAR chips.

A vehicle is a set of boxes that carry point scatterers. A look is a coherent sum: the scatterers
visible at one azimuth and depression, the ground clutter outside the vehicle and its shadow, and
receiver noise, all with one point-spread function. Speckle, shadow and layover follow from the
physics. A chip is the amplitude of several looks, as in most SAR products: their intensities are
averaged, the clutter and the noise are independent, and the vehicle is the same in each.

Differences between passes of the sensor are random too: the ground is brighter or darker, the gain
of the receiver is unknown, and a detector places the chip with an error. So neither the level of a
chip nor the place of the vehicle in it reveals the vehicle.

The radar is below the chip: row 0 is the far end, and a shadow points upwards, as in MSTAR. The
image plane is the ground plane. Sensor values follow MSTAR but for its single look: X band, 0.3 m
resolution, 0.2 m pixels.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Complex, Float, UInt8

CHIP_PX = 80

PIXEL_M = 0.2
RESOLUTION_M = 0.3  # half-power width of the point-spread function
WAVELENGTH_M = 0.0312
LOOKS = 4  # whose intensities are averaged; 1 in MSTAR, about 4 in Sentinel-1's detected products
FULL_SCALE = 25.0  # amplitude stored as 255, in roots of the mean clutter power (28 dB above it)
NOISE_POWER = 0.05  # share of the mean clutter power; the power in a shadow
CLUTTER_SPREAD_DB = 3.0  # deviation of the mean level between chips; the same for every class
GAIN_SPREAD_DB = 3.0  # deviation of the receiver's gain between chips
TEXTURE_PX = 6  # correlation length of the ground's reflectivity
TEXTURE_SPREAD = (0.1, 0.35)  # range of the deviation of its logarithm
CENTRE_M = (-1.6, 0.0)  # (range, cross-range) of the vehicle; there is room for the shadow
PLACE_ERROR_M = 1.9  # largest error of the detector that cuts the chip, in each direction
HEADING_DEG = (-30.0, 30.0)  # from down-range: vehicles on a road that is watched along its length
FAINTEST = 0.05  # scatterers below this amplitude are left out; FULL_SCALE / 500
MARGIN_PX = 4  # width of the ground drawn around the chip; beyond it, points are too faint to see

HAMMING_SIDE = 0.23 / 0.54  # first cosine coefficient of the Hamming window over its mean
HALF_POWER_WIDTH = 1.3026  # of the Hamming point-spread function, in units of 1 / bandwidth


@dataclass(frozen=True)
class Box:
    """A block of a vehicle in metres: forward and left of its centre, and its three sides."""

    forward: float
    left: float
    base: float
    length: float
    width: float
    height: float


@dataclass(frozen=True)
class Scatterers:
    """S point scatterers of a vehicle.

    Attributes:
        place: Metres forward, left and up of the vehicle's centre on the ground.
        amplitude: Largest amplitude, in roots of the mean clutter power.
        aspect: Direction of the largest reflection, radians to the left of forward.
        lobe: Half width of that direction, radians.
    """

    place: Float[np.ndarray, "S 3"]
    amplitude: Float[np.ndarray, " S"]
    aspect: Float[np.ndarray, " S"]
    lobe: Float[np.ndarray, " S"]


def point_spread(
    pixels_m: Float[np.ndarray, " P"], points_m: Float[np.ndarray, " S"]
) -> Float[np.ndarray, "P S"]:
    """Return the amplitude at each pixel of the image of each point along one axis, at most 1.

    The Fourier transform of a Hamming window (side lobes 43 dB down).
    """
    # sinc(x) + HAMMING_SIDE * (sinc(x - 1) + sinc(x + 1)) with one sine. The sine of a difference
    # is a product of two matrices, which takes less time than a sine of each element.
    pixels, points = (m * (HALF_POWER_WIDTH / RESOLUTION_M) for m in (pixels_m, points_m))
    sine_pixels, sine_points = (
        np.stack([f(np.pi * m) for f in (np.sin, np.cos)], 1) for m in (pixels, points)
    )
    sine = sine_pixels @ (sine_points[:, ::-1] * (1, -1)).T
    x = pixels[:, None] - points
    square = x * x
    denominator = (square - 1) * x
    zero = np.abs(denominator) < 1e-6
    if zero.any():
        x[zero] += 1e-6  # which changes the amplitude by less
        sine[zero] = np.sin(np.pi * x[zero])
        square[zero] = x[zero] ** 2
        denominator[zero] = (square[zero] - 1) * x[zero]
    square *= (1 - 2 * HAMMING_SIDE) / np.pi
    square -= 1 / np.pi
    sine *= square
    sine /= denominator
    return sine


def axes_m(margin_px: int = 0) -> tuple[Float[np.ndarray, " R"], Float[np.ndarray, " C"]]:
    """Return range (decreasing: row 0 is far) and cross-range of the pixels, from the middle."""
    count = CHIP_PX + 2 * margin_px
    across = (np.arange(count) - (count - 1) / 2) * PIXEL_M
    return -across, across


def horizon(
    boxes: tuple[Box, ...], azimuth: float, place_m: Float[np.ndarray, "2"], slope: float
) -> tuple[Float[np.ndarray, "R C"], Float[np.ndarray, "R C"]]:
    """Return the height of the surface and of the line of sight at each point of the ground.

    Args:
        boxes: The vehicle.
        azimuth: Its heading, radians from down-range towards rising columns.
        place_m: Range and cross-range of its centre.
        slope: Tangent of the depression angle.

    Returns:
        Height of the surface, and height of the lowest ray that passes above everything nearer to
        the radar. A point with the ray above the surface is in shadow. Both are on the chip widened
        by `MARGIN_PX`.
    """
    far, across = axes_m(MARGIN_PX)
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    x, y = far[:, None] - place_m[0], across - place_m[1]
    forward, left = x * cos + y * sin, y * cos - x * sin
    surface = np.zeros(forward.shape)
    for box in boxes:
        inside = np.abs(forward - box.forward) <= box.length / 2
        inside &= np.abs(left - box.left) <= box.width / 2
        np.maximum(surface, inside * (box.base + box.height), out=surface)
    rise = far[:, None] * slope
    highest = np.maximum.accumulate((surface + rise)[::-1])[::-1]
    return surface, highest - rise


def ground(level: float, spread: float, rng: np.random.Generator) -> Float[np.ndarray, "R C"]:
    """Draw the clutter power on the widened chip: a lognormal texture around the chip's level."""
    count = CHIP_PX + 2 * MARGIN_PX
    knots = np.arange(-TEXTURE_PX, count + TEXTURE_PX, TEXTURE_PX)
    weights = np.exp(-0.5 * ((np.arange(count)[:, None] - knots) / TEXTURE_PX) ** 2)
    weights /= np.sqrt((weights**2).sum(1, keepdims=True))
    texture = spread * (weights @ rng.standard_normal((len(knots), len(knots))) @ weights.T)
    return level * np.exp(texture - spread**2 / 2)


@cache
def clutter_kernel() -> Float[np.ndarray, "H R"]:
    """Return the matrix that images one axis of the widened chip and keeps the mean power."""
    centres, cells = axes_m()[1], axes_m(MARGIN_PX)[1]
    kernel = point_spread(centres, cells)
    return kernel / np.sqrt((kernel**2).sum(1, keepdims=True))


def speckle(
    power: Float[np.ndarray, "R C"], rng: np.random.Generator
) -> Complex[np.ndarray, "L H W"]:
    """Draw `LOOKS` independent complex images of a rough surface.

    A resolution cell holds very many scatterers, so each pixel of the surface returns a complex
    circular Gaussian amplitude; the point-spread function then correlates neighbours.
    """
    kernel = clutter_kernel()
    real, imaginary = rng.standard_normal((2, LOOKS, *power.shape)) * np.sqrt(power / 2)
    return kernel @ real @ kernel.T + 1j * (kernel @ imaginary @ kernel.T)


def render(
    scatterers: Scatterers,
    azimuth: float,
    place_m: Float[np.ndarray, "2"],
    slope: float,
    ray: Float[np.ndarray, "R C"],
) -> Complex[np.ndarray, "H W"]:
    """Return the coherent image of the scatterers that are not hidden.

    A point at height z appears z tan(depression) nearer to the radar (layover).
    """
    forward, left, up = scatterers.place.T
    x = forward * np.cos(azimuth) - left * np.sin(azimuth) + place_m[0]
    y = forward * np.sin(azimuth) + left * np.cos(azimuth) + place_m[1]
    middle = (CHIP_PX + 2 * MARGIN_PX - 1) / 2
    # read the ray 1.5 pixels before the point, else a wall hides its own scatterers
    row = np.clip(np.rint(middle + 1.5 - x / PIXEL_M), 0, 2 * middle).astype(int)
    column = np.clip(np.rint(middle + y / PIXEL_M), 0, 2 * middle).astype(int)
    off = np.pi - azimuth - scatterers.aspect  # the direction of the radar is pi - azimuth
    off = np.angle(np.exp(1j * off)) / scatterers.lobe
    strength = scatterers.amplitude * np.exp(-0.5 * off**2)
    seen = (strength > FAINTEST) & (ray[row, column] <= up + PIXEL_M)
    strength, near, y = strength[seen], (x - up * slope)[seen], y[seen]
    phase = (4 * np.pi / WAVELENGTH_M) * near / np.sqrt(1 + slope**2)  # of the slant range
    far, across = axes_m()
    rows = point_spread(far, near)
    columns = point_spread(across, y).T
    real = (rows * (strength * np.cos(phase))) @ columns
    return real + 1j * ((rows * (strength * np.sin(phase))) @ columns)


def simulate(
    boxes: tuple[Box, ...],
    scatterers: Scatterers | None,
    depression_deg: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, "H W"]:
    """Draw the detected amplitude of a chip of one vehicle, or of empty ground without one.

    Heading, position, ground, noise and gain are random. The unit is the root of the mean clutter
    power at the mean gain.
    """
    slope = np.tan(np.deg2rad(depression_deg))
    azimuth = np.deg2rad(rng.uniform(*HEADING_DEG))
    place_m = np.array(CENTRE_M) + rng.uniform(-PLACE_ERROR_M, PLACE_ERROR_M, 2)
    surface, ray = horizon(boxes, azimuth, place_m, slope)
    lit = (surface == 0) & (ray <= 1e-9)
    level = 10 ** (rng.normal(0, CLUTTER_SPREAD_DB) / 10)
    looks = speckle(lit * ground(level, rng.uniform(*TEXTURE_SPREAD), rng) + NOISE_POWER, rng)
    if scatterers is not None:
        looks += render(scatterers, azimuth, place_m, slope, ray)
    intensity = (np.square(np.real(looks)) + np.square(np.imag(looks))).mean(0)
    return 10 ** (rng.normal(0, GAIN_SPREAD_DB) / 20) * np.sqrt(intensity)


def quantise(amplitude: Float[np.ndarray, "N H W"]) -> UInt8[np.ndarray, "N H W"]:
    """Return the stored pixels: the root of the amplitude, 255 at `FULL_SCALE` and above.

    The root is a usual display scale of SAR images. On a linear one, the ground below a vehicle
    that is 30 dB brighter would be black.
    """
    return np.rint(255 * np.sqrt(np.minimum(amplitude / FULL_SCALE, 1))).astype(np.uint8)
