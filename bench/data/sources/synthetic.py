"""The bundled data set and pool: simulated chips of ten made-up vehicles.

Training chips have a depression of 17 degrees and test chips of 15, as in MSTAR. The pool shows
other copies of the vehicles (the same boxes, other scatterers), other depressions and empty ground.
As in MSTAR, the brightest points of a vehicle are 30 to 40 dB above the ground.

Pixels have 8 bits. The computation is in double precision, and the rounding removes the last-bit
differences between machines, so the digest of the pixels is the same everywhere.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, Int, UInt8
from threadpoolctl import threadpool_limits

from ...machine import cores, keep_freed_memory
from ...seeding import stream
from ..files import ImageFile
from ..source import Card, Entry, Listing, Members, Source
from .simulator import CHIP_PX, Box, Scatterers, quantise, simulate

VERSION = 3  # on which alone the pixels depend; raise it with every change that moves one
TRAIN_PER_CLASS, TEST_PER_CLASS = 40, 120
POOL_PER_CLASS, POOL_EMPTY = 200, 100  # empty: ground without a vehicle
TRAIN_DEPRESSION_DEG, TEST_DEPRESSION_DEG = 17.0, 15.0
POOL_DEPRESSION_DEG = (14.0, 20.0)
THREADS = 4  # that draw at once, at most

VEHICLES: dict[str, tuple[Box, ...]] = {
    "battle_tank": (
        Box(0.0, 0.0, 0.0, 6.8, 3.4, 1.1),
        Box(0.2, 0.0, 1.1, 2.8, 2.4, 1.0),
        Box(3.4, 0.0, 1.5, 3.8, 0.3, 0.3),
    ),
    "self_propelled_gun": (
        Box(0.0, 0.0, 0.0, 7.2, 2.9, 1.3),
        Box(-1.6, 0.0, 1.3, 3.0, 2.6, 1.2),
        Box(1.2, 0.0, 1.8, 2.8, 0.3, 0.3),
    ),
    "tracked_carrier": (
        Box(0.0, 0.0, 0.0, 5.4, 2.8, 1.7),
        Box(2.9, 0.0, 0.4, 0.6, 2.4, 0.8),
    ),
    "fighting_vehicle": (
        Box(0.0, 0.0, 0.0, 6.6, 3.0, 1.4),
        Box(0.3, 0.0, 1.4, 1.6, 1.6, 0.6),
        Box(1.9, 0.0, 1.6, 1.8, 0.2, 0.2),
    ),
    "wheeled_carrier": (
        Box(-0.2, 0.0, 0.0, 7.0, 2.8, 1.8),
        Box(1.6, 0.0, 1.8, 1.2, 1.2, 0.5),
    ),
    "scout_car": (
        Box(-0.4, 0.0, 0.0, 5.0, 2.3, 1.6),
        Box(2.4, 0.0, 0.0, 1.0, 1.9, 1.0),
        Box(-0.4, 0.0, 1.6, 1.0, 1.0, 0.4),
    ),
    "cargo_truck": (
        Box(2.2, 0.0, 0.0, 2.2, 2.4, 2.5),
        Box(-1.4, 0.0, 0.0, 4.8, 2.5, 1.5),
    ),
    "tank_truck": (
        Box(2.4, 0.0, 0.0, 1.8, 2.4, 2.4),
        Box(-1.2, 0.0, 0.9, 5.0, 1.9, 1.6),
        Box(-1.2, 0.0, 0.0, 5.0, 1.2, 0.9),
    ),
    "bulldozer": (
        Box(-0.4, 0.0, 0.0, 4.2, 2.5, 1.3),
        Box(-1.0, 0.0, 1.3, 1.7, 1.8, 1.4),
        Box(2.5, 0.0, 0.0, 0.5, 3.8, 1.3),
    ),
    "air_defence_gun": (
        Box(0.0, 0.0, 0.0, 6.5, 3.1, 1.3),
        Box(-0.2, 0.0, 1.3, 2.8, 2.6, 0.9),
        Box(-1.3, 0.0, 2.2, 0.4, 1.6, 0.7),
        Box(2.0, 0.5, 1.6, 1.8, 0.2, 0.2),
        Box(2.0, -0.5, 1.6, 1.8, 0.2, 0.2),
    ),
}


@dataclass(frozen=True)
class SyntheticSet:
    """The chips of the bundled data set and of its pool, all of one size.

    Attributes:
        pixels: Root of the amplitude, clipped at `FULL_SCALE`, which is stored as 255.
        labels: Index into `classes`; -1 in the pool.
        is_test: True for test chips.
        ids: Unique chip ids.
        classes: Names of the ten vehicles.
    """

    pixels: UInt8[np.ndarray, "N H W"]
    labels: Int[np.ndarray, " N"]
    is_test: Bool[np.ndarray, " N"]
    ids: list[str]
    classes: tuple[str, ...]


def draw_scatterers(boxes: tuple[Box, ...], rng: np.random.Generator) -> Scatterers:
    """Draw scatterers on a vehicle: rough faces, wall-to-ground corners, a few bright corners.

    A face reflects around its normal. The corner of a wall with the ground reflects within a few
    degrees of the wall's normal. The bright corners (lamps, hatches, sprockets) reflect over a wide
    range of aspects.
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
            count = int(np.ceil(15 * breadth * box.height))
            unit = rng.uniform(-0.5, 0.5, (count, 3))
            unit[:, axis] = sign / 2
            add(box, unit, 28.0, normal + rng.normal(0, 0.5, count), rng.uniform(10, 45, count))
            if box.base == 0:
                count = int(np.ceil(9 * breadth))
                unit = rng.uniform(-0.5, 0.5, (count, 3))
                unit[:, axis], unit[:, 2] = sign / 2, -0.5
                add(box, unit, 34.0, np.full(count, normal), rng.uniform(4, 12, count))
        count = int(np.ceil(12 * box.length * box.width))
        unit = rng.uniform(-0.5, 0.5, (count, 3))
        unit[:, 2] = 0.5
        add(box, unit, 27.0, rng.uniform(0, 2 * np.pi, count), rng.uniform(20, 60, count))
        unit = rng.choice([-0.5, 0.5], (4, 3))
        add(box, unit, 37.0, rng.uniform(0, 2 * np.pi, 4), np.full(4, 50.0))
    return Scatterers(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def generate(splits: tuple[str, ...]) -> SyntheticSet:
    """Draw the bundled data set and pool; every call on every machine gives the same bits.

    Args:
        splits: `train`, `test` or `pool`; a chip does not depend on the others that are drawn.
    """
    parts = [(name, split) for name in VEHICLES for split in ("train", "test", "pool")]
    parts = [one for one in (*parts, ("empty", "pool")) if one[1] in splits]
    keep_freed_memory(1 << 24, 1 << 22)  # of a chip for the next one
    # for small products threads of BLAS cost more than they save
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(cores(), THREADS)) as threads:
        drawn = list(threads.map(_draw, *zip(*parts, strict=True)))
    chips = [
        (name, split, number)
        for (name, split), pixels in zip(parts, drawn, strict=True)
        for number in range(len(pixels))
    ]
    names = list(VEHICLES)
    return SyntheticSet(
        pixels=np.concatenate(drawn),
        labels=np.array([-1 if split == "pool" else names.index(name) for name, split, _ in chips]),
        is_test=np.array([split == "test" for _, split, _ in chips]),
        ids=[f"{name}_{split}_{number:03d}" for name, split, number in chips],
        classes=tuple(VEHICLES),
    )


def _draw(name: str, split: str) -> UInt8[np.ndarray, "N H W"]:
    """Draw the chips of a vehicle, or of empty ground, in a split."""
    # the pool shows another copy of each vehicle: the same boxes, other scatterers
    boxes = VEHICLES.get(name, ())
    copy = stream(VERSION, "synthetic", name, "pool" if split == "pool" else "vehicle")
    scatterers = draw_scatterers(boxes, copy) if boxes else None
    rng = stream(VERSION, "synthetic", name, split, "chips")
    count, depression_deg = {
        "train": (TRAIN_PER_CLASS, (TRAIN_DEPRESSION_DEG, TRAIN_DEPRESSION_DEG)),
        "test": (TEST_PER_CLASS, (TEST_DEPRESSION_DEG, TEST_DEPRESSION_DEG)),
        "pool": (POOL_PER_CLASS if boxes else POOL_EMPTY, POOL_DEPRESSION_DEG),
    }[split]
    chips = [simulate(boxes, scatterers, rng.uniform(*depression_deg), rng) for _ in range(count)]
    return quantise(np.stack(chips))


@dataclass(frozen=True, kw_only=True)
class _SimulatedFile(ImageFile):
    """A simulated chip in memory, in place of a file."""

    pixels: UInt8[np.ndarray, "H W"]

    def read(self) -> np.ndarray:
        """Return the chip."""
        return self.pixels


class Synthetic(Source):
    """The bundled data set and pool, which need no files."""

    where = "bundled"
    licence = "MIT, as this project"
    version = VERSION

    def cards(self) -> tuple[Card, ...]:
        """Return data set and pool, which have one name."""
        what = "Ten made-up vehicles from a small physical simulator."
        pool = len(VEHICLES) * POOL_PER_CLASS + POOL_EMPTY
        return (
            Card("synthetic", "dataset", "Synthetic", what, self, whole_px=CHIP_PX),
            Card("synthetic", "pool", "Synthetic pool", what, self, total=pool),
        )

    def find(self, card: Card, data_dir: Path) -> None:
        """Return None: no files are needed."""

    def members(self, card: Card) -> Members | None:
        """Return class and side of every chip of the data set."""
        if card.kind == "pool":
            return None
        return {
            f"{name}_{side}_{number:03d}": (name, side == "test")
            for name in VEHICLES
            for side, count in (("train", TRAIN_PER_CLASS), ("test", TEST_PER_CLASS))
            for number in range(count)
        }

    def place(self, card: Card, files: list[ImageFile], listing: Listing) -> None:
        """Simulate every chip."""
        made = generate(("pool",) if card.kind == "pool" else ("train", "test"))
        for chip_id, label, is_test, pixels in zip(
            made.ids, made.labels.tolist(), made.is_test.tolist(), made.pixels, strict=True
        ):
            file = _SimulatedFile(PurePosixPath(chip_id), Path(), (0, 0), pixels=pixels)
            class_name = "" if card.kind == "pool" else made.classes[label]
            listing.entries.append(Entry(chip_id, class_name, is_test, file))
