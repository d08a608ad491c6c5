"""Confusion matrices and the recall of each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from .style import LONGEST, SETTINGS, figure, look, panels, plain

COLUMNS = 3
CELL = 0.24  # inches
LEAST_SHOWN = 1.5  # percent; smaller shares are shown by their colour only


def _longest(texts: Sequence[str], size: int) -> float:
    """Return the width of the longest text in inches; size in points."""
    shown = [TextPath((0, 0), text, size=size).get_extents().width for text in texts if text]
    return float(max(shown, default=0.0)) / 70 + 0.15


def confusion_figure(
    matrices: Mapping[str, Int[np.ndarray, "C C"]], classes: Sequence[str], title: str
) -> Figure:
    """Draw one matrix per method, in percent of the true class (row)."""
    rows = -(-len(matrices) // COLUMNS)
    across = min(COLUMNS, len(matrices))
    names = [plain(c) for c in classes]
    headings = [plain(name) for name in matrices]
    axes_title = "percent of each true class (row) predicted as each class (column)"
    above = [plain(title, LONGEST), axes_title]
    with mpl.rc_context(SETTINGS):
        labels = _longest(names, 6)
        panel = max(CELL * len(classes), _longest(headings, 8)) + 0.15
        ragged = rows if len(matrices) % across else 1  # rows of panels with labels below
        drawn = figure(max(panel * across + labels + 0.2, _longest(above, 8) + 0.2),
                       (panel + 0.25) * rows + labels * ragged + 0.6)  # fmt: skip
        drawn.set_layout_engine("compressed")  # panels of fixed proportions
        grid = panels(drawn, len(matrices), COLUMNS)
        for number, (axes, (name, matrix)) in enumerate(zip(grid, matrices.items(), strict=True)):
            share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
            axes.imshow(share, "cividis", vmin=0, vmax=100)
            for (row, column), value in np.ndenumerate(share):
                if value >= LEAST_SHOWN:
                    dark = value < 55
                    axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=5,
                              color="white" if dark else "black")  # fmt: skip
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
        drawn.suptitle("\n".join(above), fontsize=8)
    return drawn


def recall_figure(
    recalls: Mapping[str, Float[np.ndarray, " C"]],
    classes: Sequence[str],
    controls: Sequence[str],
    title: str,
) -> Figure:
    """Draw the recall of each class, one marker per method."""
    names = [plain(c) for c in classes]
    above = plain(title, LONGEST)
    with mpl.rc_context(SETTINGS):
        labels = 0.71 * _longest(names, 8)  # at 45 degrees
        legend = _longest([plain(name) for name in recalls], 8) + 0.4
        drawn = figure(max(0.55 * len(classes) + labels + legend + 0.4, _longest([above], 8) + 0.2),
                       2.6 + labels)  # fmt: skip
        axes = drawn.subplots()
        for number, (name, values) in enumerate(recalls.items()):
            shift = 0.6 * ((number + 0.5) / len(recalls) - 0.5)
            style: dict[str, Any] = {**look(number, name in controls), "linestyle": "none"}
            axes.plot(np.arange(len(classes)) + shift, 100 * values, label=plain(name), **style)
        axes.set_xticks(range(len(classes)), names, rotation=45, ha="right")
        axes.set(ylabel="recall (%)", ylim=(-3, 103))
        drawn.suptitle(above, fontsize=8)
        for edge in range(1, len(classes)):
            axes.axvline(edge - 0.5, color="0.9", linewidth=0.8, zorder=0)
        drawn.legend(loc="outside right upper")
    return drawn
