"""Pictures of doubted chips: the chip, and the most similar training chips of both classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from ..data.chips import Chips
from .content import content_of, ranks, resized
from .pictures import draw_chip, sheet

COLUMNS = 3  # chips in a row, each with two training chips
MOST = 45
SIDE_PX = 16  # of the images that are compared


def draw_doubted(chips: Chips, doubted: Sequence[tuple[str, str, str]], path: Path) -> None:
    """Write a PNG of doubted chips.

    Args:
        chips: The data set.
        doubted: Id, label and called class of each; the first `MOST` are drawn.
        path: The file.
    """
    doubted = doubted[:MOST]
    row_of = {str(chip_id): row for row, chip_id in enumerate(chips.ids)}
    figure, axes = sheet(-(-len(doubted) // COLUMNS), 3 * COLUMNS, (1.4, 1.8))
    of_class = {
        name: np.flatnonzero((chips.labels == label) & ~chips.is_test)
        for label, name in enumerate(chips.classes)
    }
    small = {name: _small(chips, of_class[name]) for _, *both in doubted for name in both}
    for place, (chip_id, label, called) in enumerate(doubted):
        row = row_of[chip_id]
        short = chip_id if len(chip_id) <= 20 else f"...{chip_id[-17:]}"
        draw_chip(axes[3 * place], content_of(chips, row), f"{short}\n{label}, called {called}")
        own = _small(chips, np.array([row]))[0]
        for side, name in enumerate((label, called), start=1):
            nearest = int(of_class[name][np.argmax(small[name] @ own)])
            image = content_of(chips, nearest)
            draw_chip(axes[3 * place + side], image, f"{chips.ids[nearest]}\nnearest {name}")
    figure.suptitle(f"{chips.name}: test chips called another class", fontsize=10)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _small(chips: Chips, rows: Int[np.ndarray, " N"]) -> Float[np.ndarray, "N P"]:
    """Return chips as small standardised images."""
    found = []
    for row in rows.tolist():
        image = resized(ranks(content_of(chips, row)), (SIDE_PX, SIDE_PX)).ravel()
        image = image - image.mean()
        found.append(image / max(float(np.linalg.norm(image)), 1e-9))
    return np.stack(found)
