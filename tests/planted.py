"""Plants copies of every kind among chips, for tests and benchmarks of the audit."""

import io
from collections.abc import Callable

import numpy as np
from chips import speckled_chips
from made_chips import chips_from
from PIL import Image
from scipy.ndimage import gaussian_filter

from sarbench.bench.audit.content import OUTLINE_PX
from sarbench.bench.data.chips import Chips
from sarbench.bench.data.images import content_digest

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    stored = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored))


def _sized(image: np.ndarray, factor: float) -> np.ndarray:
    rows, columns = (round(factor * side) for side in image.shape)
    return np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BICUBIC))


def _power(image: np.ndarray, exponent: float) -> np.ndarray:
    return np.uint8(np.round(255 * (image / 255.0) ** exponent))


def _moved(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut another window: up to an eighth of each side is lost, and as much of speckle is new."""
    rows, columns = image.shape
    row, column = rng.integers(2, rows // 8), rng.integers(2, columns // 8)
    new = np.uint8(255 * speckled_chips(1, rows, columns, seed=int(rng.integers(1 << 30)))[0])
    new[: rows - row, : columns - column] = image[row:, column:]
    return new


def _cut(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut 70 to 90% of each side, anywhere."""
    side = [int(size * rng.uniform(0.7, 0.9)) for size in image.shape]
    top, left = (
        int(rng.integers(0, size - part + 1)) for size, part in zip(image.shape, side, strict=True)
    )
    return image[top : top + side[0], left : left + side[1]]


CHANGES: dict[str, tuple[str, Change]] = {  # name -> kind that the audit gives, change
    "exact": ("exact", lambda image, rng: image.copy()),
    "flip": ("flip", lambda image, rng: (image[::-1], image.T)[rng.integers(2)]),
    "rotation": ("rotation", lambda image, rng: np.rot90(image, rng.integers(1, 4))),
    "shift": ("shift", _moved),
    "crop": ("crop", _cut),
    "rendering": (
        "rendering",
        lambda image, rng: _power(image, (0.4, 0.6, 1.8)[rng.integers(3)]),
    ),
    "JPEG 50": ("re-encoding", lambda image, rng: _jpeg(image, 50)),
    "JPEG 20": ("re-encoding", lambda image, rng: _jpeg(image, 20)),
    "noise": (
        "re-encoding",
        lambda image, rng: np.uint8(np.clip(image + rng.normal(0, 6, image.shape), 0, 255)),
    ),
    "resize": ("resize", lambda image, rng: _sized(image, rng.choice([0.85, 0.93, 1.07, 1.15]))),
    "all at once": (
        "rotation+shift+rendering",
        lambda image, rng: _jpeg(_power(np.rot90(_moved(image, rng)), 0.5), 60),
    ),
}


def _shifted(rows: int, columns: int) -> Change:
    """Return a shift by this many pixels; new pixels are shuffled old ones."""

    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        new = rng.permutation(image.ravel()).reshape(image.shape)
        height, width = image.shape[0] - rows, image.shape[1] - columns
        new[:height, :width] = image[rows:, columns:]
        return new

    return change


def _part(start: int, side: int) -> Change:
    return lambda image, rng: image[start : start + side, start : start + side]


OVERLAPS: dict[str, tuple[str, Change]] = {  # of chips of 128 px
    **{
        f"shift {rows} x {columns}": ("shift", _shifted(rows, columns))
        for rows, columns in ((20, 0), (24, 0), (32, 0), (20, 20), (24, 24), (28, 28))
    },
    **{
        f"{side} px from pixel {start}": ("crop", _part(start, side))
        for side, start in ((112, 0), (100, 7), (100, 0))
    },
}


def chips_of(images: list[np.ndarray], name: str = "made", classes: int = 0) -> Chips:
    """Return images as a pool, or as a data set with this many classes, half of it for testing."""
    count = len(images)
    return chips_from(
        images, name=name, ids=np.array([f"{name}/{number:06d}" for number in range(count)]),
        labels=np.arange(count) % classes if classes else np.full(count, -1),
        classes=tuple(f"class {number}" for number in range(classes)),
        is_test=(np.arange(count) >= count / 2) & bool(classes),
        content=np.array([content_digest(image) for image in images], np.uint64),
    )  # fmt: skip


def made_images(count: int, side_px: int = 96, seed: int = 0) -> list[np.ndarray]:
    """Return speckled chips as uint8; their speckle is two pixels wide, as that of real chips."""
    chips = speckled_chips(count, side_px + 1, seed=seed)
    wide = (chips[:, 1:, 1:] + chips[:, :-1, 1:] + chips[:, 1:, :-1] + chips[:, :-1, :-1]) / 4
    return list(np.uint8(255 * np.sqrt(np.minimum(wide, 1))))


def windows(
    images: list[np.ndarray], count: int, side_px: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return windows of images, turned and with new speckle, so that none is a copy of another.

    Speckle of one look, two pixels wide, replaces that of the image. Its structures stay.
    """
    found = []
    for number in range(count):
        image = images[number % len(images)].astype(np.float32)
        short = [max(0, side_px - size) for size in image.shape]
        image = np.pad(image, [(0, one) for one in short], "reflect")
        top, left = (int(rng.integers(0, size - side_px + 1)) for size in image.shape)
        image = image[top : top + side_px, left : left + side_px]
        image = gaussian_filter(image, OUTLINE_PX / 2)
        looks = rng.standard_exponential((side_px + 1, side_px + 1), np.float32)
        wide = (looks[1:, 1:] + looks[:-1, 1:] + looks[1:, :-1] + looks[:-1, :-1]) / 4
        image = image * np.sqrt(wide)
        found.append(np.uint8(np.clip(np.rot90(image, rng.integers(4)), 0, 255)))
    return found


def plant(
    images: list[np.ndarray],
    each: int,
    rng: np.random.Generator,
    changes: dict[str, tuple[str, Change]] = CHANGES,
) -> tuple[list[np.ndarray], dict[tuple[int, int], str]]:
    """Return images with copies at their end, and the change of each pair (original, copy)."""
    originals = rng.choice(len(images), each * len(changes), replace=False).tolist()
    result, pairs = list(images), {}
    for name, (_, change) in changes.items():
        for _ in range(each):
            original = originals.pop()
            pairs[original, len(result)] = name
            result.append(np.ascontiguousarray(change(images[original], rng)))
    return result, pairs
