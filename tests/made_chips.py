"""Makes a prepared set of images in memory, for any test."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sarbench.bench.data.chips import Chips
from sarbench.bench.data.images import FULL_SCALE


def chips_from(images: Sequence[np.ndarray], **fields: Any) -> Chips:
    """Return images (H, W) of one type as a pool, with other values of some fields of `Chips`."""
    count, sizes = len(images), np.array([image.shape for image in images])
    areas = sizes.prod(axis=1)
    made: dict[str, Any] = {
        "name": "made", "ids": np.array([f"chip {number:03d}" for number in range(count)]),
        "labels": np.full(count, -1), "classes": (), "is_test": np.zeros(count, bool),
        "pixels": np.concatenate([image.ravel() for image in images]),
        "offset": np.cumsum(areas) - areas, "height": sizes[:, 0], "width": sizes[:, 1],
        "source_size": sizes, "content": np.arange(count, dtype=np.uint64),
        "full_scale": FULL_SCALE[images[0].dtype.name], "data_digest": "d" * 64,
        "split_digest": "s" * 64,
    }  # fmt: skip
    return Chips(**made | fields)
