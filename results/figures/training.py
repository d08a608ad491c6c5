"""Training curves: loss, feature spread, effective rank and `knn` of each pretraining."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from .style import COLOURS, SETTINGS, figure, wrapped

COLUMNS = 4
SUBS = (1.0, 2.0, 5.0)  # ticks of a decade
LOSS_INCHES, OTHER_INCHES = 1.45, 0.85  # heights of a panel
ROWS = {"loss": "loss (own scale)", "spread": "spread", "rank": "rank", "knn": "knn (%)"}

History = Sequence[Mapping[str, Any]]  # lines of `history.jsonl`


def training_figure(histories: Mapping[str, History]) -> Figure:
    """Draw each pretraining in a column of its own, over the epoch.

    Losses of different methods have different targets and cannot be compared, so each has its own
    scale, logarithmic if all losses are positive. Feature spread, effective rank and `knn` have one
    scale for all pretrainings of a line, and are left out if no history has them.
    """
    shown = [name for name in ROWS if any(_points(one, name) for one in histories.values())]
    across, blocks = min(COLUMNS, len(histories)), -(-len(histories) // COLUMNS)
    heights = [LOSS_INCHES if name == "loss" else OTHER_INCHES for name in shown]
    positive = all(min(_values(one, "loss"), default=1) > 0 for one in histories.values())
    with mpl.rc_context(SETTINGS):
        drawn = figure(2.0 * across + 0.4, blocks * (sum(heights) + 0.25) + 0.3)
        grid = drawn.subplots(
            blocks * len(shown), across, squeeze=False, height_ratios=heights * blocks
        )
        for axes in grid.flat:
            axes.set_visible(False)
        for number, (name, history) in enumerate(histories.items()):
            block, column = divmod(number, across)
            for place, what in enumerate(shown):
                row = block * len(shown) + place
                axes = grid[row, column]
                axes.set_visible(True)
                axes.tick_params(labelsize=6, labelbottom=place == len(shown) - 1)
                axes.set_xlim(-0.03 * _last_epoch(history), 1.03 * _last_epoch(history))
                if what == "loss":
                    _draw_loss(axes, history, logarithmic=positive)
                    axes.set_title(wrapped(name), fontsize=7)
                else:
                    _draw_shared(axes, history, what)
                    axes.sharey(grid[row, 0])
                if column == 0:
                    axes.set_ylabel(ROWS[what], fontsize=7)
                elif what != "loss":
                    axes.tick_params(labelleft=False)
        drawn.supxlabel("epoch", fontsize=8)
        drawn.align_ylabels()
    return drawn


def _points(history: History, what: str) -> list[tuple[float, float]]:
    """Return (epoch, value) of each line that has the value."""
    return [(line["epoch"], line[what]) for line in history if line.get(what) is not None]


def _values(history: History, what: str) -> list[float]:
    return [value for _, value in _points(history, what)]


def _last_epoch(history: History) -> float:
    return max(line["epoch"] for line in history)


def _draw_loss(axes: Axes, history: History, *, logarithmic: bool) -> None:
    """Draw the losses, and their moving mean if there are many."""
    epochs, losses = np.array(_points(history, "loss")).T
    axes.plot(epochs, losses, color=COLOURS[0], linewidth=1.2)
    if len(losses) > 20:
        width = max(len(losses) // 30, 3)
        smooth = np.convolve(losses, np.ones(width) / width, "valid")
        middle = epochs[width // 2 : width // 2 + len(smooth)]
        axes.plot(middle, smooth, color=COLOURS[1], linewidth=1.2)
    if logarithmic:
        axes.set_yscale("log")
        narrow = losses.max() < 3 * losses.min()
        axes.yaxis.set_major_locator(MaxNLocator(4) if narrow else LogLocator(subs=SUBS))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())


def _draw_shared(axes: Axes, history: History, what: str) -> None:
    """Draw values whose scale is that of the other pretrainings."""
    points = _points(history, what)
    scale = 100 if what == "knn" else 1
    marker = "." if len(points) <= 20 else ""
    axes.plot([epoch for epoch, _ in points], [scale * value for _, value in points],
              color=COLOURS[2], linewidth=1.0, marker=marker, markersize=3)  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(3))
