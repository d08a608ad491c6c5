"""Confusion matrices and the recall of each class."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import GREY, SETTINGS, figure, panels, plain, width_of, wrapped

COLUMNS = 3
CELL = 0.24  # inches
WHITE_BELOW = 47  # percent; there white and black have the same contrast on cividis, 4.6
LEAST_SHOWN = 1.5  # percent; smaller shares are shown by their colour only


def confusion_figure(
    matrices: Mapping[str, Int[np.ndarray, "C C"]], classes: Sequence[str], title: str
) -> Figure:
    """Draw one matrix per method, in percent of the true class (row).

    The row of a class without test chips has a dash.
    """
    rows = -(-len(matrices) // COLUMNS)
    across = min(COLUMNS, len(matrices))
    names = [wrapped(c) for c in classes]
    headings = [wrapped(name) for name in matrices]
    axes_title = "percent of each true class (row) predicted as each class (column)"
    above = [plain(title), axes_title]
    with mpl.rc_context(SETTINGS):
        labels = width_of(names, 6)
        panel = max(CELL * len(classes), width_of(headings, 8)) + 0.15
        lines = max(name.count("\n") for name in headings) + 1
        ragged = rows if len(matrices) % across else 1  # rows of panels with labels below
        drawn = figure(max(panel * across + labels + 0.2, width_of(above, 8) + 0.2),
                       (panel + 0.13 + 0.12 * lines) * rows + labels * ragged + 0.6)  # fmt: skip
        drawn.set_layout_engine("compressed")  # panels of fixed proportions
        grid = panels(drawn, len(matrices), COLUMNS)
        for number, (axes, (name, matrix)) in enumerate(zip(grid, matrices.items(), strict=True)):
            _draw_percent(axes, 100 * shares(matrix), LEAST_SHOWN)
            if number + across >= len(matrices):  # the lowest of its column
                axes.set_xticks(range(len(classes)), names, rotation=90, fontsize=6)
            else:
                axes.set_xticks([])
            if number % across == 0:
                axes.set_yticks(range(len(classes)), names, fontsize=6)
            else:
                axes.set_yticks([])
            axes.set_title(wrapped(name), fontsize=8)
            axes.spines[:].set_visible(False)
        drawn.suptitle("\n".join(above), fontsize=8)
    return drawn


def shares(matrix: Int[np.ndarray, "C C"]) -> Float[np.ndarray, "C C"]:
    """Return the share of each true class (row) predicted as each class; NaN without test chips."""
    chips = matrix.sum(axis=1, keepdims=True)
    return np.where(chips > 0, matrix / np.maximum(chips, 1), np.nan)


def recall_figure(
    recalls: Mapping[str, Float[np.ndarray, " C"]],
    classes: Sequence[str],
    controls: Sequence[str],
    title: str,
) -> Figure:
    """Draw the recall of each class (column) in percent, one row per method, controls below.

    A NaN, of a class without test chips, is a dash.
    """
    names, rows = [wrapped(c) for c in classes], [wrapped(name) for name in recalls]
    above = plain(title)
    methods = [name for name in recalls if name not in controls]
    with mpl.rc_context(SETTINGS):
        left, below = width_of(rows, 7), 0.71 * width_of(names, 7)  # at 45 degrees
        tall = [max(1, 0.6 * (name.count("\n") + 1)) for name in rows]
        drawn = figure(max(0.36 * len(classes) + left + below + 0.3, width_of([above], 8) + 0.2),
                       CELL * max(tall) * len(rows) + below + 0.6)  # fmt: skip
        axes = drawn.subplots()
        _draw_percent(axes, 100 * np.stack(list(recalls.values())), 0.0)
        axes.set_aspect("auto")
        axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", fontsize=7)
        axes.set_yticks(range(len(rows)), rows, fontsize=7)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if 0 < len(methods) < len(rows):
            axes.axhline(len(methods) - 0.5, color="white", linewidth=3)
        drawn.suptitle(f"{above}\nrecall (%)", fontsize=8)
    return drawn


def _draw_percent(axes: Axes, values: Float[np.ndarray, "R C"], least: float) -> None:
    """Draw percents as colours, with numbers from `least`."""
    axes.imshow(values, "cividis", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            axes.text(column, row, "-", ha="center", va="center", fontsize=6, color=GREY)
        elif value >= least:
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=5,
                      color="white" if value < WHITE_BELOW else "black")  # fmt: skip
