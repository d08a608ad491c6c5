"""Descriptors of chips that do not change under flips and rotations, and hardly under shifts.

A descriptor holds the logarithm of the amplitude spectrum of a window. A shift changes only the
phase of a spectrum. A flip or a rotation by 90 degrees exchanges values within an orbit of four
frequencies, (y, x), (y, -x), (x, y), (x, -y). So the mean over each orbit is invariant (`even`).
The other three combinations of the four values (`odd`) change sign, by the Klein four-group.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.fft import rfft2

from .content import SMALLEST_PX, ranks, resized

FLOOR = 1e-3  # added to amplitudes before the logarithm
LOWEST = 1.5  # cycles per window; below are the outline of the target and the taper
HADAMARD = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2
# Signs of the parts of a spectrum after: nothing, a vertical flip, a transposition, both. A
# rotation by 180 degrees changes no amplitude of a spectrum.
SIGNS = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], np.float32)


@dataclass(frozen=True)
class Window:
    """The part of a chip that a descriptor sees.

    Attributes:
        name: Name in reports.
        central_px: Side of the central square, which a crop of the chip keeps; None for the whole
            chip, which a change of size keeps.
        from_px: Only chips with a shorter side of at least this have the descriptor.
        below_px: Only chips with a shorter side below this have the descriptor; None for all.
        side_px: Side to which the window is resized.
        highest: Highest frequency, in cycles per window.
    """

    name: str
    central_px: int | None
    from_px: int
    below_px: int | None
    side_px: int
    highest: float

    def fits(self, shape: tuple[int, int]) -> bool:
        """Return whether a chip of this size has the descriptor."""
        side = min(shape)
        return side >= self.from_px and (self.below_px is None or side < self.below_px)

    @cached_property
    def taper(self) -> Float[np.ndarray, "S S"]:
        """Half a wave of a sine along each axis.

        Without a taper the edges of the window dominate its spectrum. A Hann window, the square of
        this one, falls more steeply, so that a shift changes the spectrum more.
        """
        one = np.sin(np.pi * (np.arange(self.side_px) + 0.5) / self.side_px)
        return np.outer(one, one).astype(np.float32)

    @cached_property
    def orbits(self) -> Int[np.ndarray, "D 2"]:
        """The frequency (y, x) of each orbit with y >= x >= 0."""
        top = int(self.highest)
        pairs = [(y, x) for y in range(top + 1) for x in range(y + 1)]
        return np.array([one for one in pairs if LOWEST <= np.hypot(*one) <= self.highest])

    @cached_property
    def _places(self) -> Int[np.ndarray, "D 4"]:
        """Places of the four frequencies of each orbit in a flat half spectrum."""
        y, x = self.orbits.T
        columns, side = self.side_px // 2 + 1, self.side_px
        four = ((y, x), (-y, x), (x, y), (-x, y))  # (y, -x) has the amplitude of (-y, x)
        return np.stack([(row % side) * columns + column for row, column in four], axis=1)

    @cached_property
    def _rings(self) -> Int[np.ndarray, " D"]:
        return np.round(np.hypot(*self.orbits.T)).astype(int)

    def describe(self, image: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "4 D"] | None:
        """Return the parts of the spectrum of a ranked chip, even ones first; None if it is blank.

        The mean of each ring of frequencies is subtracted, so that the general decay of spectra
        does not make all chips similar.
        """
        if self.central_px is not None:
            top, left = ((size - self.central_px) // 2 for size in image.shape)
            image = image[top : top + self.central_px, left : left + self.central_px]
        if image.min() == image.max():
            return None
        window = resized(np.ascontiguousarray(image), (self.side_px, self.side_px))
        spectrum = np.asarray(rfft2((window - window.mean()) * self.taper))
        parts = HADAMARD @ np.log(np.abs(spectrum).ravel()[self._places] + FLOOR).T
        rings = self._rings
        mean = np.bincount(rings, parts[0]) / np.maximum(np.bincount(rings), 1)
        parts[0] -= mean[rings]
        return (parts / max(float(np.linalg.norm(parts)), 1e-9)).astype(np.float32)


WINDOWS = (
    Window("whole", None, 48, None, 64, 24),
    Window("whole of a small chip", None, SMALLEST_PX, 64, 64, 16),  # it has no higher frequencies
    Window("central 80 px", 80, 80, None, 80, 24),
    Window("central 64 px", 64, 64, None, 64, 16),
    Window("central 32 px", 32, 32, 96, 32, 11),
)


def describe_all(image: np.ndarray) -> list[Float[np.ndarray, "4 D"] | None]:
    """Return the descriptor of a stored chip for each of `WINDOWS`; None where it has none."""
    ranked = ranks(image) if min(image.shape) >= SMALLEST_PX else None
    return [
        one.describe(ranked) if ranked is not None and one.fits(ranked.shape) else None
        for one in WINDOWS
    ]
