"""Makes speckled chips for any test: a bright rectangle, its shadow, exponential speckle."""

from pathlib import Path

import numpy as np
from PIL import Image


def speckled_chips(
    count: int, height: int = 96, width: int | None = None, seed: int = 0
) -> np.ndarray:
    """Return amplitudes (N, H, W) in [0, 1], float32; no two alike, none constant.

    Single-look speckle (Rayleigh amplitude, mean 0.11), a target 12 times as bright somewhere
    near the middle and a dark area above it.
    """
    width = width or height
    rng = np.random.default_rng(seed)
    chips = rng.rayleigh(0.09, (count, height, width))
    for chip in chips:
        top = int(height * rng.uniform(0.45, 0.55))
        left = int(width * rng.uniform(0.2, 0.5))
        rows, columns = max(2, height // 10), max(3, width // rng.integers(4, 8))
        chip[top : top + rows, left : left + columns] *= 12
        chip[max(0, top - 3 * rows) : top, left : left + columns] *= 0.2
    return np.minimum(chips, 1).astype(np.float32)


def labelled_chips(
    classes: int, per_class: int, px: int = 32, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return speckled chips (N, px, px) whose bright bar has an angle of its class, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    chips = rng.rayleigh(0.09, (len(labels), px, px))
    across = np.arange(px) - (px - 1) / 2
    angles = labels * np.pi / classes + rng.normal(0, 0.05, len(labels))
    for chip, angle in zip(chips, angles, strict=True):
        along = across * np.cos(angle) + across[:, None] * np.sin(angle)
        aside = across * np.sin(angle) - across[:, None] * np.cos(angle)
        chip[(np.abs(along) < px / 3) & (np.abs(aside) < px / 16)] *= 8
    return np.minimum(chips, 1).astype(np.float32), labels


def write_pool(data: Path, first: int = 0) -> None:
    """Write four images of noise, drawn from `first` on, for the pool `folder:pool`."""
    (data / "pool").mkdir(parents=True)
    for number in range(4):
        pixels = np.random.default_rng(first + number).integers(0, 255, (64, 64), dtype=np.uint8)
        Image.fromarray(pixels).save(data / "pool" / f"{number}.png")


def write_images(root: Path, *names: str, side: int = 16) -> None:
    """Write an image for each name, all with other pixels."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.uint8(255 * speckled_chips(1, side, seed=number)[0])
        Image.fromarray(pixels).save(path)


def four(root: Path, train: str = "train", test: str = "test") -> None:
    """Write two classes with a training chip and a test chip each."""
    write_images(
        root, *(f"{side}/{c}/{n}.png" for side, n in ((train, 0), (test, 1)) for c in "ab")
    )
