"""Figures of chips of a data set or pool."""

from hashlib import sha256
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .chips import Chips

PER_CLASS = 6  # chips in a row
POOL_ROWS = 6
BRIGHTEST = 99.5  # percentile of a chip's amplitude that is drawn white


def draw_chips(chips: Chips, path: Path) -> None:
    """Write a PNG with a row of train chips per class, or a grid of a pool's chips."""
    rows = _choose(chips)
    figure = Figure(figsize=(1.5 * PER_CLASS + 1.3, 1.5 * len(rows) + 0.8), layout="constrained")
    axes = figure.subplots(len(rows), PER_CLASS, squeeze=False)
    for line, (label, indices) in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, index in zip(line[: len(indices)], indices, strict=True):
            _draw(axis, chips, int(index), is_pool=not chips.classes)
        line[0].text(
            -0.08, 0.5, label, ha="right", va="center", rotation=90, transform=line[0].transAxes
        )
    figure.suptitle(_caption(chips), fontsize=10)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _choose(chips: Chips) -> list[tuple[str, list[int]]]:
    order = sorted(range(len(chips)), key=lambda i: sha256(str(chips.ids[i]).encode()).digest())
    if not chips.classes:
        chosen = sorted(order[: PER_CLASS * POOL_ROWS])
        return [("", chosen[i : i + PER_CLASS]) for i in range(0, len(chosen), PER_CLASS)]
    return [
        (name, [i for i in order if chips.labels[i] == label and not chips.is_test[i]][:PER_CLASS])
        for label, name in enumerate(chips.classes)
    ]


def _draw(axis: Axes, chips: Chips, index: int, *, is_pool: bool) -> None:
    chip = chips.chip(index).astype(np.float32)
    white = float(np.percentile(chip, BRIGHTEST)) or 1.0
    axis.imshow(chip, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    rows, columns = chip.shape if is_pool else chips.source_size[index]
    name = str(chips.ids[index]).rsplit("/", 1)[-1]
    short = name if len(name) <= 20 else f"{name[:9]}...{name[-8:]}"
    axis.set_title(f"{short}\n{rows} x {columns}", fontsize=6)


def _caption(chips: Chips) -> str:
    sizes = np.unique(np.stack([chips.height, chips.width], axis=1), axis=0)
    low, high = (f"{rows} x {columns}" for rows, columns in (sizes[0], sizes[-1]))
    size = low if len(sizes) == 1 else f"{low} to {high}"
    count = f"N = {len(chips)}"
    if chips.classes:
        tested = int(chips.is_test.sum())
        count = f"{len(chips) - tested} train, {tested} test"
    parts = [chips.name, chips.rendering, count, f"{size} px", str(chips.pixels.dtype)]
    return ", ".join(filter(None, parts))
