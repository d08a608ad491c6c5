"""Range of the pixel values of a set: least, largest, percentiles, zeros, values at full scale."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log2
from typing import SupportsFloat

import numpy as np

from .chips import Chips
from .rendering import Rendering

PERCENTILES = (1.0, 50.0, 99.0, 99.9)
MOST_CHIPS = 500  # read for the percentiles
ROUNDING = 1.001  # more than the rounding of a rendering moves its largest amplitude


@dataclass(frozen=True)
class ValueRange:
    """Stored values of the pixels of a set, without the zeros that pad small chips.

    Attributes:
        low: Least value.
        high: Largest value.
        percentiles: Percent -> value.
        sampled: Chips that the percentiles are of, spread evenly over the set.
        zeros: Share of pixels that are 0.
        saturated: Share of pixels at full scale.
        padding: Share of the stored pixels that pad small chips.
        full_scale: As in `Chips`.
        stored: Type of the stored values.
    """

    low: float
    high: float
    percentiles: dict[float, float]
    sampled: int
    zeros: float
    saturated: float
    padding: float
    full_scale: float
    stored: str

    def lines(self, rendering: Rendering | None = None) -> list[str]:
        """Return the range in words.

        Args:
            rendering: The formula of the values, if there is one; raw amplitudes are then added,
                and advice if they use a small part of the full scale.
        """
        said = [f"values ({self.stored}, full scale {self.full_scale:g}): {self._spread()}"]
        if rendering is not None:
            said.append(f"amplitude ({rendering.formula}): {self._spread(rendering.amplitude)}")
        shares = f"{_percent(self.zeros)} of the pixels are 0, {_percent(self.saturated)} at full"
        padding = (
            f" ({_percent(self.padding)} of the stored pixels pad small chips and are left out)"
        )
        said.append(f"{shares} scale{padding * (self.padding > 0)}")
        if rendering is not None and (high := float(rendering.amplitude(self.high))) > 0:
            enough, scale = 2.0 ** ceil(log2(high * ROUNDING)), rendering.full_scale
            if enough < scale:
                said.append(
                    f"full scale {scale:g} is {scale / high:.3g} times the largest amplitude; "
                    f"&full_scale={enough:g} in the name holds all these chips too, and is another "
                    "set with results of its own"
                )
        return said

    def _spread(self, unit: Callable[[float], SupportsFloat] = float) -> str:
        named = {"least": self.low, **{f"{p:g}%": v for p, v in self.percentiles.items()}}
        named["largest"] = self.high
        listed = ", ".join(f"{name} {float(unit(value)):.3g}" for name, value in named.items())
        return f"{listed} (percentiles of {self.sampled} chips)"


def value_range(chips: Chips) -> ValueRange:
    """Return the range of the values of a set; every chip is read."""
    sampled = set(np.linspace(0, len(chips) - 1, min(MOST_CHIPS, len(chips))).astype(int).tolist())
    low, high = np.inf, -np.inf
    zeros = saturated = count = stored = 0
    some: list[np.ndarray] = []
    for index in range(len(chips)):
        whole = chips.chip(index)
        chip = whole[_inside(whole.shape, chips.source_size[index])]
        low, high = min(low, chip.min()), max(high, chip.max())
        zeros += chip.size - np.count_nonzero(chip)
        saturated += np.count_nonzero(chip == chips.full_scale)
        count, stored = count + chip.size, stored + whole.size
        if index in sampled:
            some.append(chip.ravel())
    values = np.percentile(np.concatenate(some), PERCENTILES)
    return ValueRange(
        float(low), float(high), dict(zip(PERCENTILES, values.tolist(), strict=True)), len(some),
        zeros / count, saturated / count, 1 - count / stored, chips.full_scale,
        str(chips.pixels.dtype),
    )  # fmt: skip


def _inside(stored: tuple[int, ...], source: np.ndarray) -> tuple[slice, ...]:
    """Return the rows and columns of a chip that are not padding, which `centre_crop` adds."""
    padding = [max(0, side - of) for side, of in zip(stored, source.tolist(), strict=True)]
    return tuple(
        slice(more // 2, more // 2 + side - more)
        for side, more in zip(stored, padding, strict=True)
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%"
