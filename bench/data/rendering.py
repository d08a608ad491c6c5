"""Renderings of raw amplitude as chips in [0, 1]: one formula each, the same for every chip.

A rendering divides by a full scale that its name states, so amplitudes of different chips stay
comparable. Nothing is clipped: amplitude above the full scale is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log1p

import numpy as np

# Of MSTAR's calibrated magnitude. Five public files have medians near 0.04 and maxima from 0.61 to
# 2.19 (docs/data.md), so it leaves room for chips that are 29 times as bright.
FULL_SCALE = 64.0
DEPTH = 1024.0  # raw/log is linear up to about the full scale over this, 60 dB below it
STEPS = 2.0**16  # raw/log is rounded to these, so that logarithms of all machines agree


def _log(u: np.ndarray) -> np.ndarray:
    return np.rint(np.log1p(DEPTH * u) / log1p(DEPTH) * STEPS) / STEPS


FORMULAS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "raw/linear": ("u", lambda u: u),
    "raw/sqrt": ("sqrt(u)", np.sqrt),
    "raw/log": (f"log(1 + {DEPTH:.0f} u) / log({1 + DEPTH:.0f})", _log),
}

INVERSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "raw/linear": lambda v: v,
    "raw/sqrt": np.square,
    "raw/log": lambda v: np.expm1(v * log1p(DEPTH)) / DEPTH,
}


class OptionError(ValueError):
    """An option of a data set or pool that is unknown or has an impossible value."""


class AboveFullScaleError(ValueError):
    """Amplitude above the full scale of a rendering."""


@dataclass(frozen=True)
class Rendering:
    """A formula for raw amplitude a, of u = a / full scale.

    Attributes:
        name: A key of `FORMULAS`.
        full_scale: Raw amplitude that becomes 1.
        usual: Full scale of the product, which names leave out.
    """

    name: str
    full_scale: float = FULL_SCALE
    usual: float = FULL_SCALE

    @property
    def query(self) -> str:
        """The options in the name of a set."""
        scale = "" if self.full_scale == self.usual else f"&full_scale={_exact(self.full_scale)}"
        return f"rendering={self.name}{scale}"

    @property
    def label(self) -> str:
        """The name in captions, with a full scale that is not the usual one."""
        scale = (
            "" if self.full_scale == self.usual else f" with full scale {_exact(self.full_scale)}"
        )
        return f"{self.name}{scale}"

    @property
    def formula(self) -> str:
        """The formula with its full scale."""
        return f"{FORMULAS[self.name][0]}, u = amplitude / {_exact(self.full_scale)}"

    def identity(self) -> dict[str, str | float]:
        """Return the fields that stand in the data digest."""
        return {"name": self.name, "full_scale": self.full_scale}

    def render(self, amplitude: np.ndarray) -> np.ndarray:
        """Return amplitude in [0, 1], float32.

        Args:
            amplitude: Raw amplitude, 0 or more.

        Raises:
            AboveFullScaleError: A value is above the full scale.
        """
        high = float(amplitude.max())
        if high > self.full_scale:
            wanted = _exact(float(2.0 ** np.ceil(np.log2(high))))
            raise AboveFullScaleError(
                f"amplitude up to {high:.6g}, above the full scale {_exact(self.full_scale)} of "
                f"{self.name}, would have to be clipped; add &full_scale={wanted}, or more, to "
                "the name of the set"
            )
        whole = amplitude.astype(np.float64) / self.full_scale
        return FORMULAS[self.name][1](whole).astype(np.float32)

    def amplitude(self, values: np.ndarray | float) -> np.ndarray:
        """Return the raw amplitude of rendered values, up to their rounding."""
        return self.full_scale * INVERSES[self.name](np.asarray(values, np.float64))


def _exact(value: float) -> str:
    """Return the shortest text that gives the value again: six digits if they are enough."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def rendering_from(options: dict[str, str], usual: float = FULL_SCALE) -> Rendering | None:
    """Return the rendering that the options of a name state; None without the option.

    Without `full_scale` it is `usual`.

    Raises:
        OptionError: The rendering is unknown, or the full scale is not a number.
    """
    scale = options.get("full_scale")
    if "rendering" not in options:
        if scale is not None:
            raise OptionError(f"full_scale={scale} belongs to a rendering; add {_ALLOWED}")
        return None
    if options["rendering"] not in FORMULAS:
        raise OptionError(f"rendering={options['rendering']} is not known; allowed: {_ALLOWED}")
    if scale is None:
        return Rendering(options["rendering"], usual, usual)
    try:
        value = float(scale)
    except ValueError:
        value = 0.0
    if not 1e-6 <= value <= 1e6:
        raise OptionError(f"full_scale={scale} must be a number from 1e-6 to 1e6: correct it")
    return Rendering(options["rendering"], value, usual)


_ALLOWED = f"rendering={'|'.join(FORMULAS)}"
