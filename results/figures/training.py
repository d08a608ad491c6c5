"""Training curves: the loss of each pretraining over its epochs."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from .style import COLOURS, SETTINGS, figure, panels, wrapped

COLUMNS = 4
SUBS = (1.0, 2.0, 5.0)  # ticks of a decade


def training_figure(histories: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """Draw the loss of each pretraining against the epoch, each in its own panel and scale.

    Losses of different methods have different targets and cannot be compared. The scales are
    logarithmic if all losses are positive.
    """
    rows = -(-len(histories) // COLUMNS)
    every = [np.array(points)[:, 1] for points in histories.values()]
    with mpl.rc_context(SETTINGS):
        drawn = figure(2.1 * min(COLUMNS, len(histories)), 1.6 * rows + 0.3)
        grid = panels(drawn, len(histories), COLUMNS)
        for axes, (name, points) in zip(grid, histories.items(), strict=True):
            epochs, losses = np.array(points).T
            axes.plot(epochs, losses, color=COLOURS[0], linewidth=1.2)
            if len(points) > 20:
                width = max(len(points) // 30, 3)
                smooth = np.convolve(losses, np.ones(width) / width, "valid")
                middle = epochs[width // 2 : width // 2 + len(smooth)]
                axes.plot(middle, smooth, color=COLOURS[1], linewidth=1.2)
            if min(losses.min() for losses in every) > 0:
                axes.set_yscale("log")
                narrow = losses.max() < 3 * losses.min()
                axes.yaxis.set_major_locator(MaxNLocator(4) if narrow else LogLocator(subs=SUBS))
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_locator(NullLocator())
            axes.set_title(wrapped(name), fontsize=7)
            axes.tick_params(labelsize=6)
        drawn.supxlabel("epoch", fontsize=8)
        drawn.supylabel("loss (each its own scale)", fontsize=8)
    return drawn
