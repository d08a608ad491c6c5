"""Mean and deviation of the pixels of a data set, and inputs that they do not fit."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...methods._encoders import InputConfig
from ..store.atomic import write_atomic
from .chips import Chips
from .find_set import open_set
from .packed import Summary
from .prepare import NotPreparedError

FOLDER = "pixels"  # of the store
MOST_CHIPS = 500  # read for the statistics
# Amplitudes of mstar_soc, sar_acd and synthetic have a normalised mean between -2.0 and 0.0 and a
# deviation between 0.17 and 0.87 under the values of ImageNet, 0.5, SAT-493M and SARATR-X; values
# for bytes, such as 116 and 58, give a deviation below 0.003.
FARTHEST_MEAN = 2.5
DEVIATIONS = (0.1, 4.0)


class PixelStatistics(NamedTuple):
    """Mean and deviation over all pixels, as amplitude in [0, 1]."""

    mean: float
    std: float


def pixel_statistics(chips: Sequence[np.ndarray]) -> PixelStatistics:
    """Return the statistics of chips with amplitudes in [0, 1]."""
    sums = [(one.size, one.sum(dtype=float), np.square(one, dtype=float).sum()) for one in chips]
    count, total, squares = (sum(part) for part in zip(*sums, strict=True))
    mean = total / count
    return PixelStatistics(float(mean), float(max(squares / count - mean**2, 0)) ** 0.5)


def training_statistics(chips: Chips) -> PixelStatistics:
    """Return the statistics of some training chips of a data set."""
    train = np.flatnonzero(~chips.is_test)
    some = train[np.linspace(0, len(train) - 1, min(MOST_CHIPS, len(train))).astype(int)]
    return pixel_statistics([chips.stack(np.array([index])) for index in some])


def stored_statistics(name: str, known: Summary, root: Path) -> PixelStatistics | None:
    """Return the statistics of a data set, which the store in `root` keeps.

    None if they were not computed before and the pixels are missing.
    """
    path = root / FOLDER / f"{known.data_digest[:24]}-{known.split_digest[:24]}.json"
    try:
        return PixelStatistics(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        pass  # not computed yet, or unreadable
    try:
        found = training_statistics(open_set(name, known, root))
    except NotPreparedError:
        return None
    with suppress(OSError):  # a read-only store: the next call computes them again
        write_atomic(path, json.dumps(found._asdict()))
    return found


def input_problem(pixels: PixelStatistics, declared: InputConfig) -> str | None:
    """Return the reason why a declared mean and deviation do not fit pixels, or None."""
    if declared.mean is None and declared.std is None:
        return None
    count = declared.channels
    channels = list(zip(declared.mean or [0.0] * count, declared.std or [1.0] * count, strict=True))
    for middle, spread in channels if declared.channel is None else [channels[declared.channel]]:
        found = (pixels.mean - middle) / spread, pixels.std / spread
        if abs(found[0]) > FARTHEST_MEAN or not DEVIATIONS[0] <= found[1] <= DEVIATIONS[1]:
            return (
                f"with the declared mean {middle:g} and deviation {spread:g} the input has mean "
                f"{found[0]:.3g} and deviation {found[1]:.3g} (pixels: {pixels.mean:.3g} and "
                f"{pixels.std:.3g}); usual are a mean within {FARTHEST_MEAN} of 0 and a deviation "
                f"of {DEVIATIONS[0]} to {DEVIATIONS[1]:g}"
            )
    return None
