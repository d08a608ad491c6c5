"""A small physical SAR chip simulator: the embedded default data set and pool.

Ten made-up vehicles are sets of boxes that carry point scatterers. A chip is the coherent sum of
what the radar sees of them at one azimuth and depression, of ground clutter outside the vehicle
and its shadow, and of receiver noise, all seen through one point-spread function and then
detected; so speckle, shadow and layover come out of the physics and are not painted on.

The radar looks from below the chip: row 0 is the far end, a shadow points upwards, as in MSTAR.
The image plane is the ground plane. Sensor values follow MSTAR (0.3 m resolution, 0.2 m pixels,
X band, training chips at 17 degrees depression and test chips at 15).

Pixels are 8 bit: the computation is in double precision and its last-bit differences between
machines vanish in the rounding, so that a digest of the pixels is the same everywhere.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from ..seeding import stream

VERSION = 1  # raised by whatever moves a pixel
CHIP_PX = 96
TRAIN_PER_CLASS, TEST_PER_CLASS = 40, 60
POOL_PER_CLASS, POOL_EMPTY = 70, 100  # empty: ground without a vehicle

PIXEL_M = 0.2
RESOLUTION_M = 0.3  # half-power width of the point-spread function
WAVELENGTH_M = 0.0312
TRAIN_DEPRESSION_DEG, TEST_DEPRESSION_DEG = 17.0, 15.0
POOL_DEPRESSION_DEG = (14.0, 20.0)
FULL_SCALE = 8.0  # amplitude stored as 255, in roots of the mean clutter power (18 dB above it)
NOISE_POWER = 0.015  # of the mean clutter power; what a shadow shows
CLUTTER_SPREAD_DB = 2.0  # of the mean level from chip to chip; the same for every class
TEXTURE_PX = 6  # distance over which the ground's reflectivity changes
TEXTURE_SPREAD = (0.1, 0.5)  # of its logarithm
CENTRE_M = (-1.6, 0.0)  # (range, cross-range) of the vehicle: leaves room for the shadow
SHIFT_M = 0.6  # largest random shift either way
MARGIN_PX = 4  # beyond which the point-spread function is left out for clutter

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


VEHICLES: dict[str, tuple[Box, ...]] = {
    "battle_tank": (
        Box(0, 0, 0, 6.8, 3.4, 1.1),
        Box(0.2, 0, 1.1, 2.8, 2.4, 1.0),
        Box(3.4, 0, 1.5, 3.8, 0.3, 0.3),
    ),
    "self_propelled_gun": (
        Box(0, 0, 0, 7.2, 2.9, 1.3),
        Box(-1.6, 0, 1.3, 3.0, 2.6, 1.2),
        Box(1.2, 0, 1.8, 2.8, 0.3, 0.3),
    ),
    "tracked_carrier": (
        Box(0, 0, 0, 5.4, 2.8, 1.7),
        Box(2.9, 0, 0.4, 0.6, 2.4, 0.8),
    ),
    "fighting_vehicle": (
        Box(0, 0, 0, 6.6, 3.0, 1.4),
        Box(0.3, 0, 1.4, 1.6, 1.6, 0.6),
        Box(1.9, 0, 1.6, 1.8, 0.2, 0.2),
    ),
    "wheeled_carrier": (
        Box(-0.2, 0, 0, 7.0, 2.8, 1.8),
        Box(1.6, 0, 1.8, 1.2, 1.2, 0.5),
    ),
    "scout_car": (
        Box(-0.4, 0, 0, 5.0, 2.3, 1.6),
        Box(2.4, 0, 0, 1.0, 1.9, 1.0),
        Box(-0.4, 0, 1.6, 1.0, 1.0, 0.4),
    ),
    "cargo_truck": (
        Box(2.2, 0, 0, 2.2, 2.4, 2.5),
        Box(-1.4, 0, 0, 4.8, 2.5, 1.5),
    ),
    "tank_truck": (
        Box(2.4, 0, 0, 1.8, 2.4, 2.4),
        Box(-1.2, 0, 0.9, 5.0, 1.9, 1.6),
        Box(-1.2, 0, 0, 5.0, 1.2, 0.9),
    ),
    "bulldozer": (
        Box(-0.4, 0, 0, 4.2, 2.5, 1.3),
        Box(-1.0, 0, 1.3, 1.7, 1.8, 1.4),
        Box(2.5, 0, 0, 0.5, 3.8, 1.3),
    ),
    "air_defence_gun": (
        Box(0, 0, 0, 6.5, 3.1, 1.3),
        Box(-0.2, 0, 1.3, 2.8, 2.6, 0.9),
        Box(-1.3, 0, 2.2, 0.4, 1.6, 0.7),
        Box(2.0, 0.5, 1.6, 1.8, 0.2, 0.2),
        Box(2.0, -0.5, 1.6, 1.8, 0.2, 0.2),
    ),
}


@dataclass(frozen=True)
class Scatterers:
    """S point scatterers of a vehicle.

    Attributes:
        place: Metres forward, left and up of the vehicle's centre on the ground.
        amplitude: Largest amplitude, in roots of the mean clutter power.
        aspect: Direction from which it shines most, radians to the left of forward.
        lobe: Half width of that direction, radians.
    """

    place: Float[np.ndarray, "S 3"]
    amplitude: Float[np.ndarray, " S"]
    aspect: Float[np.ndarray, " S"]
    lobe: Float[np.ndarray, " S"]


@dataclass(frozen=True)
class SyntheticSet:
    """The chips of the embedded data set and of its pool, all of one size.

    Attributes:
        pixels: Amplitude, linear, 255 at `FULL_SCALE`, clipped there.
        labels: Index into `classes`; -1 in the pool.
        is_test: True for test chips.
        is_pool: True for the unlabelled chips to pretrain on.
        ids: Names of the chips, each once.
        classes: Names of the ten vehicles.
        version: What the pixels are a function of, with nothing else.
    """

    pixels: UInt8[np.ndarray, "N H W"]
    labels: Int[np.ndarray, " N"]
    is_test: Bool[np.ndarray, " N"]
    is_pool: Bool[np.ndarray, " N"]
    ids: list[str]
    classes: tuple[str, ...]
    version: int


def point_spread(distance_m: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the amplitude of a point's image along one axis, 1 at the point itself.

    The Fourier transform of a Hamming window (side lobes 43 dB down).
    """
    x = distance_m * (HALF_POWER_WIDTH / RESOLUTION_M)
    return np.sinc(x) + HAMMING_SIDE * (np.sinc(x - 1) + np.sinc(x + 1))


def draw_scatterers(boxes: tuple[Box, ...], rng: np.random.Generator) -> Scatterers:
    """Cover a vehicle with scatterers: rough faces, wall-to-ground corners, a few bright corners.

    A face shines around its normal; the corner of a wall with the ground only within a few
    degrees of it; the bright ones (lamps, hatches, sprockets) over a wide range of aspects.
    """
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []

    def add(box: Box, unit: np.ndarray, level_db: float, aspect: np.ndarray, lobe: np.ndarray):
        # unit: (n, 3) in [-1/2, 1/2] along the sides of the box
        sides = np.array([box.length, box.width, box.height])
        middle = np.array([box.forward, box.left, box.base + box.height / 2])
        amplitude = 10 ** (level_db / 20) * rng.rayleigh(np.sqrt(0.5), len(unit))
        parts.append((middle + unit * sides, amplitude, aspect, np.deg2rad(lobe)))

    for box in boxes:
        for axis, sign in ((0, 1), (1, 1), (0, -1), (1, -1)):
            normal = (0 if axis == 0 else np.pi / 2) + (0 if sign == 1 else np.pi)
            breadth = box.width if axis == 0 else box.length
            count = int(np.ceil(3 * breadth * box.height))
            unit = rng.uniform(-0.5, 0.5, (count, 3))
            unit[:, axis] = sign / 2
            add(box, unit, 9, normal + rng.normal(0, 0.5, count), rng.uniform(10, 45, count))
            if box.base == 0:
                count = int(np.ceil(2.5 * breadth))
                unit = rng.uniform(-0.5, 0.5, (count, 3))
                unit[:, axis], unit[:, 2] = sign / 2, -0.5
                add(box, unit, 20, np.full(count, normal), rng.uniform(4, 10, count))
        count = int(np.ceil(1.5 * box.length * box.width))
        unit = rng.uniform(-0.5, 0.5, (count, 3))
        unit[:, 2] = 0.5
        add(box, unit, 7, rng.uniform(0, 2 * np.pi, count), rng.uniform(20, 60, count))
        unit = rng.choice([-0.5, 0.5], (3, 3))
        add(box, unit, 19, rng.uniform(0, 2 * np.pi, 3), np.full(3, 50.0))
    return Scatterers(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def axes_m(margin_px: int = 0) -> tuple[Float[np.ndarray, " R"], Float[np.ndarray, " C"]]:
    """Return range (falling: row 0 is far) and cross-range of the pixels from the chip's middle."""
    count = CHIP_PX + 2 * margin_px
    across = (np.arange(count) - (count - 1) / 2) * PIXEL_M
    return -across, across


def horizon(
    boxes: tuple[Box, ...],
    azimuth: Float[np.ndarray, " B"],
    place_m: Float[np.ndarray, "B 2"],
    slope: Float[np.ndarray, " B"],
) -> tuple[Float[np.ndarray, "B R C"], Float[np.ndarray, "B R C"]]:
    """Return what stands on each point of the ground, and how high its line of sight passes.

    Args:
        boxes: The vehicle.
        azimuth: Its heading, radians from down-range towards rising columns.
        place_m: Range and cross-range of its centre.
        slope: Tangent of the depression angle.

    Returns:
        Height of the surface, and height of the ray that touches everything nearer to the radar;
        where the ray is above the surface lies shadow. On the chip widened by `MARGIN_PX`.
    """
    far, across = axes_m(MARGIN_PX)
    cos, sin = (f(azimuth)[:, None, None] for f in (np.cos, np.sin))
    x = far[None, :, None] - place_m[:, 0, None, None]
    y = across[None, None, :] - place_m[:, 1, None, None]
    forward, left = x * cos + y * sin, y * cos - x * sin
    surface = np.zeros(np.broadcast_shapes(forward.shape))
    for box in boxes:
        inside = np.abs(forward - box.forward) <= box.length / 2
        inside &= np.abs(left - box.left) <= box.width / 2
        np.maximum(surface, inside * (box.base + box.height), out=surface)
    rise = far[None, :, None] * slope[:, None, None]
    highest = np.maximum.accumulate((surface + rise)[:, ::-1], axis=1)[:, ::-1]
    return surface, highest - rise


def ground(
    level: Float[np.ndarray, " B"], spread: Float[np.ndarray, " B"], rng: np.random.Generator
) -> Float[np.ndarray, "B R C"]:
    """Draw the clutter power on the widened chip: lognormal texture around each chip's level."""
    count = CHIP_PX + 2 * MARGIN_PX
    knots = np.arange(-TEXTURE_PX, count + TEXTURE_PX, TEXTURE_PX)
    weights = np.exp(-0.5 * ((np.arange(count)[:, None] - knots) / TEXTURE_PX) ** 2)
    weights /= np.sqrt((weights**2).sum(1, keepdims=True))
    drawn = rng.standard_normal((len(level), len(knots), len(knots)))
    texture = (weights @ drawn @ weights.T) * spread[:, None, None]
    return level[:, None, None] * np.exp(texture - spread[:, None, None] ** 2 / 2)


def speckle(
    power: Float[np.ndarray, "B R C"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "B H W"], Float[np.ndarray, "B H W"]]:
    """Draw the image of a rough surface, real and imaginary part.

    A resolution cell holds very many scatterers, so each pixel of the surface returns a complex
    circular Gaussian amplitude; the point-spread function then correlates neighbours.
    """
    centres, cells = axes_m()[1], axes_m(MARGIN_PX)[1]
    kernel = point_spread(centres[:, None] - cells)
    kernel /= np.sqrt((kernel**2).sum(1, keepdims=True))  # keeps the power
    root = np.sqrt(power / 2)
    real, imaginary = (kernel @ (root * rng.standard_normal(power.shape)) @ kernel.T for _ in "ri")
    return real, imaginary


def render(
    scatterers: Scatterers,
    azimuth: Float[np.ndarray, " B"],
    place_m: Float[np.ndarray, "B 2"],
    slope: Float[np.ndarray, " B"],
    ray: Float[np.ndarray, "B R C"],
) -> tuple[Float[np.ndarray, "B H W"], Float[np.ndarray, "B H W"]]:
    """Return the coherent image of the scatterers that are not hidden, real and imaginary part.

    A point at height z appears z tan(depression) nearer to the radar (layover).
    """
    cos, sin = np.cos(azimuth)[:, None], np.sin(azimuth)[:, None]
    forward, left, up = scatterers.place.T
    x = forward * cos - left * sin + place_m[:, :1]  # (B, S)
    y = forward * sin + left * cos + place_m[:, 1:]
    middle = (CHIP_PX + 2 * MARGIN_PX - 1) / 2
    # looked up 1.5 pixels before the point, or a wall would hide its own scatterers
    row = np.clip(np.rint(middle + 1.5 - x / PIXEL_M), 0, 2 * middle).astype(int)
    column = np.clip(np.rint(middle + y / PIXEL_M), 0, 2 * middle).astype(int)
    seen = ray[np.arange(len(x))[:, None], row, column] <= up + PIXEL_M
    off = np.pi - azimuth[:, None] - scatterers.aspect  # the radar stands at pi - azimuth
    off = np.angle(np.exp(1j * off)) / scatterers.lobe
    strength = seen * scatterers.amplitude * np.exp(-0.5 * off**2)
    cos_depression = 1 / np.sqrt(1 + slope[:, None] ** 2)
    near = x - up * slope[:, None]
    phase = (4 * np.pi / WAVELENGTH_M) * near * cos_depression
    far, across = axes_m()
    rows = point_spread(far[None, :, None] - near[:, None, :])  # (B, H, S)
    columns = point_spread(y[:, :, None] - across)  # (B, S, W)
    real = (rows * (strength * np.cos(phase))[:, None]) @ columns
    return real, (rows * (strength * np.sin(phase))[:, None]) @ columns


def simulate(
    boxes: tuple[Box, ...],
    scatterers: Scatterers | None,
    depression_deg: Float[np.ndarray, " B"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "B H W"]:
    """Draw the detected amplitude of B chips of one vehicle, or of empty ground without one.

    Heading, place, ground and noise differ from chip to chip; 1 is the root of the mean clutter
    power.
    """
    count = len(depression_deg)
    slope = np.tan(np.deg2rad(depression_deg))
    azimuth = rng.uniform(0, 2 * np.pi, count)
    place_m = np.array(CENTRE_M) + rng.uniform(-SHIFT_M, SHIFT_M, (count, 2))
    level = 10 ** (rng.normal(0, CLUTTER_SPREAD_DB, count) / 10)
    surface, ray = horizon(boxes, azimuth, place_m, slope)
    lit = (surface == 0) & (ray <= 1e-9)
    power = lit * ground(level, rng.uniform(*TEXTURE_SPREAD, count), rng) + NOISE_POWER
    real, imaginary = speckle(power, rng)
    if scatterers is not None:
        bright = render(scatterers, azimuth, place_m, slope, ray)
        real, imaginary = real + bright[0], imaginary + bright[1]
    return np.hypot(real, imaginary)


def quantise(amplitude: Float[np.ndarray, "B H W"]) -> UInt8[np.ndarray, "B H W"]:
    """Return the stored pixels: linear, 255 at `FULL_SCALE` and above."""
    return np.rint(255 * np.minimum(amplitude / FULL_SCALE, 1)).astype(np.uint8)


def generate() -> SyntheticSet:
    """Draw the embedded data set and pool; the same bits on every call and every machine."""
    parts: list[tuple[np.ndarray, int, str, str]] = []  # pixels, label, split, stem of the ids
    for label, (name, boxes) in enumerate(VEHICLES.items()):
        shown = draw_scatterers(boxes, stream(VERSION, "synthetic", name))
        # the pool shows another copy of the vehicle: same boxes, other scatterers
        other = draw_scatterers(boxes, stream(VERSION, "synthetic", name, "pool"))
        for split, scatterers, count, depression_deg in (
            ("train", shown, TRAIN_PER_CLASS, TRAIN_DEPRESSION_DEG),
            ("test", shown, TEST_PER_CLASS, TEST_DEPRESSION_DEG),
            ("pool", other, POOL_PER_CLASS, None),
        ):
            rng = stream(VERSION, "synthetic", name, split, "chips")
            angles = (
                rng.uniform(*POOL_DEPRESSION_DEG, count)
                if depression_deg is None
                else np.full(count, depression_deg)
            )
            pixels = quantise(simulate(boxes, scatterers, angles, rng))
            parts.append((pixels, -1 if split == "pool" else label, split, name))
    rng = stream(VERSION, "synthetic", "empty")
    angles = rng.uniform(*POOL_DEPRESSION_DEG, POOL_EMPTY)
    parts.append((quantise(simulate((), None, angles, rng)), -1, "pool", "empty"))
    splits = np.repeat([p[2] for p in parts], [len(p[0]) for p in parts])
    return SyntheticSet(
        pixels=np.concatenate([p[0] for p in parts]),
        labels=np.repeat([p[1] for p in parts], [len(p[0]) for p in parts]),
        is_test=splits == "test",
        is_pool=splits == "pool",
        ids=[f"{p[3]}_{p[2]}_{i:03d}" for p in parts for i in range(len(p[0]))],
        classes=tuple(VEHICLES),
        version=VERSION,
    )
