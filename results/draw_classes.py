"""What is taken for what: confusion matrices, and the recall of each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from ._style import LONGEST, SETTINGS, figure, look, panels, plain

COLUMNS = 3
LEAST_SHOWN = 1.5  # percent; smaller numbers are left to the colour


def confusion_figure(
    matrices: Mapping[str, Int[np.ndarray, "C C"]], classes: Sequence[str], title: str
) -> Figure:
    """Draw one matrix per method: true class down, predicted class across, percent of the row."""
    rows = -(-len(matrices) // COLUMNS)
    side = 0.5 + 0.24 * len(classes)
    across = min(COLUMNS, len(matrices))
    with mpl.rc_context(SETTINGS):
        drawn = figure((side + 0.5) * across + 0.6, (side + 0.5) * rows + 0.4)
        grid = panels(drawn, len(matrices), COLUMNS)
        for number, (axes, (name, matrix)) in enumerate(zip(grid, matrices.items(), strict=True)):
            share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
            axes.imshow(share, "cividis", vmin=0, vmax=100)
            for (row, column), value in np.ndenumerate(share):
                if value >= LEAST_SHOWN:
                    dark = value < 55
                    axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=5,
                              color="white" if dark else "black")  # fmt: skip
            names = [plain(c) for c in classes]
            if number + across >= len(matrices):  # the lowest of its column
                axes.set_xticks(range(len(classes)), names, rotation=90, fontsize=6)
            else:
                axes.set_xticks([])
            if number % across == 0:
                axes.set_yticks(range(len(classes)), names, fontsize=6)
            else:
                axes.set_yticks([])
            axes.set_title(plain(name), fontsize=8)
            axes.spines[:].set_visible(False)
        what = "percent of each true class (down) that is taken for a class (across)"
        drawn.suptitle(f"{plain(title, LONGEST)}\n{what}", fontsize=8)
    return drawn


def recall_figure(
    recalls: Mapping[str, Float[np.ndarray, " C"]],
    classes: Sequence[str],
    controls: Sequence[str],
    title: str,
) -> Figure:
    """Draw the recall of each class, one marker per method."""
    with mpl.rc_context(SETTINGS):
        drawn = figure(1.8 + 0.55 * len(classes), 3.0)
        axes = drawn.subplots()
        for number, (name, values) in enumerate(recalls.items()):
            shift = 0.6 * ((number + 0.5) / len(recalls) - 0.5)
            style: dict[str, Any] = {**look(number, name in controls), "linestyle": "none"}
            axes.plot(np.arange(len(classes)) + shift, 100 * values, label=plain(name), **style)
        axes.set_xticks(range(len(classes)), [plain(c) for c in classes], rotation=45, ha="right")
        axes.set(ylabel="recall (%)", ylim=(-3, 103), title=plain(title, LONGEST))
        for edge in range(1, len(classes)):
            axes.axvline(edge - 0.5, color="0.9", linewidth=0.8, zorder=0)
        drawn.legend(loc="outside right upper")
    return drawn
