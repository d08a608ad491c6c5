"""Align two chips at full resolution: symmetry, shift, score and kind of their relation."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import cast

import numpy as np
from jaxtyping import Complex, Float
from scipy.fft import irfft2, next_fast_len, rfft2

from .content import ranks, resized, speckle

MIN_OVERLAP = 0.5  # of the smaller chip; over less, chance correlations are high
HOPEFUL = 0.4  # correlation at half resolution below which a pair is not aligned further
RESIZED_SHIFT_PX = 4  # of a chip that was resized as a whole
WHOLE = 0.97  # share of the smaller chip inside the larger, from which the one is a crop
RENDERED = 0.15  # mean difference of ordered amplitudes, in standard deviations
# (transposed, rows reversed, columns reversed) -> name
SYMMETRIES = {
    (False, False, False): "",
    (False, True, True): "rotation",
    (False, True, False): "flip",
    (False, False, True): "flip",
    (True, False, False): "flip",
    (True, True, True): "flip",
    (True, True, False): "rotation",
    (True, False, True): "rotation",
}
Symmetry = tuple[bool, bool, bool]
# Symmetries in the order of `descriptors.SIGNS`: each with its rotation by 180 degrees.
CLASSES: tuple[tuple[Symmetry, Symmetry], ...] = (
    ((False, False, False), (False, True, True)),
    ((False, True, False), (False, False, True)),
    ((True, False, False), (True, True, True)),
    ((True, True, False), (True, False, True)),
)


@dataclass(frozen=True)
class Image:
    """A chip in the forms that alignment needs.

    Attributes:
        pixels: Stored pixels without padding.
        full_scale: Stored value of amplitude 1.0.
    """

    pixels: np.ndarray
    full_scale: float = 1.0
    _spectra: dict[int, np.ndarray] = field(default_factory=dict)

    @cached_property
    def speckled(self) -> Float[np.ndarray, "H W"]:
        """The speckle of its ranks."""
        return speckle(ranks(self.pixels))

    @property
    def amplitude(self) -> Float[np.ndarray, "H W"]:
        """Pixels as amplitude in [0, 1]."""
        return self.pixels.astype(np.float32) / np.float32(self.full_scale)

    @cached_property
    def half(self) -> Float[np.ndarray, "h w"]:
        """Means of 2 x 2 pixels of the speckle, without their mean."""
        image = self.speckled
        rows, columns = (size // 2 for size in image.shape)
        blocks = image[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
        small = blocks.mean(axis=(1, 3))
        return small - small.mean()

    def spectrum(self, side: int) -> Complex[np.ndarray, "S s"]:
        """Return the spectrum of `half`, padded to a square."""
        if side not in self._spectra:
            self._spectra[side] = np.asarray(rfft2(self.half, (side, side)))
        return self._spectra[side]


@dataclass(frozen=True)
class Match:
    """The best alignment of two chips.

    Attributes:
        score: Correlation of the speckle of both over the overlap, in [-1, 1].
        symmetry: Applied to the second chip.
        shift_px: (rows, columns) from the first chip's corner to that of the second.
        overlap: Share of the smaller chip in the overlap.
        resized: The second chip was resized to the size of the first.
        kind: Differences joined by `+`: flip or rotation, shift or crop or resize, rendering; or
            `re-encoding` if there is none of these.
    """

    score: float
    symmetry: Symmetry
    shift_px: tuple[int, int]
    overlap: float
    resized: bool = False
    kind: str = ""


def turned(image: np.ndarray, symmetry: Symmetry) -> np.ndarray:
    """Return an image under a symmetry of the square."""
    transposed, rows, columns = symmetry
    image = image.T if transposed else image
    image = image[::-1] if rows else image
    return image[:, ::-1] if columns else image


def align(first: Image, second: Image, symmetries: tuple[Symmetry, ...]) -> Match:
    """Return the best alignment of two chips under some symmetries, at one scale."""
    shape = first.half.shape
    side = cast(int, next_fast_len(max(shape) + max(second.half.shape), real=True))
    best = (-np.inf, symmetries[0], (0, 0))
    for symmetry in symmetries:
        small = turned(second.half, symmetry)
        product = first.spectrum(side) * np.conj(np.asarray(rfft2(small, (side, side))))
        strength = np.asarray(irfft2(product, (side, side))) * _weight(side, shape, small.shape)
        place = int(np.argmax(strength))
        if strength.flat[place] > best[0]:
            row, column = ((at + side // 2) % side - side // 2 for at in divmod(place, side))
            best = (float(strength.flat[place]), symmetry, (row, column))
    _, symmetry, (row, column) = best
    coarse = correlation(*_parts(first.half, turned(second.half, symmetry), (row, column)))
    if coarse < HOPEFUL:
        return Match(coarse, symmetry, (2 * row, 2 * column), 0.0)
    image = turned(second.speckled, symmetry)
    score, shift = _climb(first.speckled, image, (2 * row, 2 * column), 3)
    return Match(score, symmetry, shift, _overlap(first.speckled, image, shift))


@lru_cache(64)
def _weight(side: int, first: tuple[int, int], second: tuple[int, int]) -> Float[np.ndarray, "S S"]:
    """Return overlap ** -0.5, in pixels, for each cyclic shift; 0 where the overlap is too small.

    A mean over the overlap would choose small overlaps, whose chance correlations are high.
    """
    offsets = np.fft.fftfreq(side, 1 / side).astype(int)
    rows, columns = (
        np.maximum(np.minimum(size, offsets + other) - np.maximum(0, offsets), 0)
        for size, other in zip(first, second, strict=True)
    )
    area = np.outer(rows, columns)
    enough = area >= MIN_OVERLAP * min(first[0] * first[1], second[0] * second[1])
    return np.where(enough, np.maximum(area, 1) ** -0.5, 0).astype(np.float32)


def align_resized(first: Image, second: Image, symmetries: tuple[Symmetry, ...]) -> Match:
    """Return the best alignment of two chips after the larger one gets the size of the smaller."""
    found = []
    for symmetry in symmetries:
        one, other = first.speckled, np.ascontiguousarray(turned(second.speckled, symmetry))
        shape = one.shape if one.size <= other.size else other.shape
        one, other = resized(one, shape), resized(other, shape)
        score, shift = _climb(one, other, (0, 0), RESIZED_SHIFT_PX)
        found.append(Match(score, symmetry, shift, _overlap(one, other, shift), resized=True))
    return max(found, key=lambda one: one.score)


def _parts(
    first: np.ndarray, second: np.ndarray, shift: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the overlap of two images, the second at `shift` in the frame of the first."""
    ends = [
        (max(0, at), min(size, at + other))
        for at, size, other in zip(shift, first.shape, second.shape, strict=True)
    ]
    (top, bottom), (left, right) = ends
    moved = second[top - shift[0] : bottom - shift[0], left - shift[1] : right - shift[1]]
    return first[top:bottom, left:right], moved


def _overlap(first: np.ndarray, second: np.ndarray, shift: tuple[int, int]) -> float:
    return _parts(first, second, shift)[0].size / min(first.size, second.size)


def _climb(
    first: np.ndarray, second: np.ndarray, start: tuple[int, int], steps: int
) -> tuple[float, tuple[int, int]]:
    """Return the highest correlation near a shift, and its shift."""
    scores: dict[tuple[int, int], float] = {}

    def score(shift: tuple[int, int]) -> float:
        if shift not in scores:
            scores[shift] = correlation(*_parts(first, second, shift))
        return scores[shift]

    best = start
    for _ in range(steps):
        near = [(best[0] + row, best[1] + column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
        top = max(near, key=score)
        if top == best:
            break
        best = top
    return score(best), best


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Pearson's correlation; 0 if an image is constant or empty."""
    if one.size < 2:
        return 0.0
    one, other = (part - float(part.mean()) for part in (one, other))
    scale = float(np.sqrt(np.vdot(one, one) * np.vdot(other, other)))
    return float(np.vdot(one, other) / scale) if scale > 0 else 0.0


def kind_of(first: Image, second: Image, match: Match) -> str:
    """Return the kind of two chips that match."""
    kinds = [SYMMETRIES[match.symmetry]]
    one, other = first.amplitude, np.ascontiguousarray(turned(second.amplitude, match.symmetry))
    if match.resized:
        shape = one.shape if one.size <= other.size else other.shape
        one, other = resized(one, shape), resized(other, shape)
        kinds.append("resize")
    elif match.overlap >= WHOLE and one.shape != other.shape:
        kinds.append("crop")
    elif match.shift_px != (0, 0):
        kinds.append("shift")
    one, other = (np.sort(part, axis=None) for part in _parts(one, other, match.shift_px))
    if np.abs(one - other).mean() > RENDERED * max(float(one.std()), float(other.std())):
        kinds.append("rendering")
    return "+".join(filter(None, kinds)) or "re-encoding"
