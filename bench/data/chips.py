"""A prepared set of chips, as all code outside this folder sees it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from .facts import Facts


@dataclass(frozen=True)
class Chips:
    """N chips in the order of their ids, memory-mapped.

    Attributes:
        name: Name in grids, with its variant: `mstar_soc/all_serials`.
        ids: Chip ids; never paths.
        labels: Index into `classes`; -1 in a pool.
        classes: Class names; empty in a pool.
        is_test: True for test chips; False in a pool.
        pixels: All chips one after the other, in the stored type (uint8, uint16 or float32).
        offset: Index in `pixels` of the first pixel of each chip.
        height: Rows of each chip; the same for all chips of a data set.
        width: Columns of each chip; the same for all chips of a data set.
        source_size: (height, width) of the source image of each chip.
        content: Digest of each whole decoded source image (uint64), to find equal images.
        full_scale: Stored value of amplitude 1.0.
        data_digest: SHA-256 over the prepared pixels.
        split_digest: SHA-256 over ids, labels and split; empty in a pool.
        rendering: For MSTAR, the name of the rendering or `unknown rendering`; else empty.
        group: Number of the near-duplicate group of each chip, where the files of the set say it.
        facts: Azimuth, depression and serial number that files of the set say; None without any.
    """

    name: str
    ids: np.ndarray
    labels: Int[np.ndarray, " N"]
    classes: tuple[str, ...]
    is_test: Bool[np.ndarray, " N"]
    pixels: np.ndarray
    offset: Int[np.ndarray, " N"]
    height: Int[np.ndarray, " N"]
    width: Int[np.ndarray, " N"]
    source_size: Int[np.ndarray, "N 2"]
    content: np.ndarray
    full_scale: float
    data_digest: str
    split_digest: str
    rendering: str = ""
    group: Int[np.ndarray, " N"] | None = None
    facts: Facts | None = None

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self.ids)

    def take(self, rows: Bool[np.ndarray, " N"], name: str) -> "Chips":
        """Return some of the chips, in their order, as a set of another name."""
        columns = "ids", "labels", "is_test", "offset", "height", "width", "source_size", "content"
        kept = {column: getattr(self, column)[rows] for column in columns}
        group = None if self.group is None else self.group[rows]
        facts = None if self.facts is None else self.facts.take(rows)
        return replace(self, name=name, group=group, facts=facts, **kept)

    def chip(self, index: int) -> np.ndarray:
        """Return one chip (H, W) in the stored type, without a copy."""
        start, rows, columns = self.offset[index], self.height[index], self.width[index]
        return self.pixels[start : start + rows * columns].reshape(rows, columns)

    def stack(self, indices: Int[np.ndarray, " B"]) -> Float[np.ndarray, "B 1 H W"]:
        """Return chips of equal size as amplitude in [0, 1], float32."""
        chips = np.stack([self.chip(int(i)) for i in indices])[:, None]
        return chips.astype(np.float32) / np.float32(self.full_scale)
