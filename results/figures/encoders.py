"""Figures of encoders: t-SNE of their features, attention distances of their heads."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from .style import COLOURS, GREY, MARKERS, SETTINGS, figure, panels, plain, width_of, wrapped

COLUMNS = 4


def features_figure(
    places: Mapping[str, Float[np.ndarray, "M 2"]],
    labels: Int[np.ndarray, " M"],
    classes: Sequence[str],
    title: str,
) -> Figure:
    """Draw the t-SNE of test chips, one panel per encoder, with a marker per class.

    Sizes of groups and distances between groups have no meaning in a t-SNE.
    """
    rows, across = -(-len(places) // COLUMNS), min(COLUMNS, len(places))
    with mpl.rc_context(SETTINGS):
        legend = width_of(map(wrapped, classes), 8) + 0.35
        drawn = figure(2.2 * across + legend, 2.2 * rows + 0.5)
        grid = panels(drawn, len(places), COLUMNS)
        for axes, (name, points) in zip(grid, places.items(), strict=True):
            for label, class_name in enumerate(classes):
                mine = points[labels == label]
                axes.plot(mine[:, 0], mine[:, 1], MARKERS[label % len(MARKERS)], markersize=2,
                          color=COLOURS[label % len(COLOURS)], alpha=0.7, markeredgewidth=0,
                          label=wrapped(class_name))  # fmt: skip
            axes.set(xticks=[], yticks=[])
            axes.set_title(wrapped(name), fontsize=7)
        handles, names = grid[0].get_legend_handles_labels()
        drawn.legend(handles, names, loc="outside right upper", markerscale=2)
        drawn.suptitle(plain(title), fontsize=8)
    return drawn


def attention_figure(
    distances: Mapping[str, Float[np.ndarray, "L h"]], uniform_px: Mapping[str, float]
) -> Figure:
    """Draw the mean attention distance of every head, one panel per encoder.

    Args:
        distances: Distances of L blocks with h heads each, in pixels of the input.
        uniform_px: Distance of uniform attention in each encoder, drawn as a dashed line.
    """
    rows, across = -(-len(distances) // COLUMNS), min(COLUMNS, len(distances))
    with mpl.rc_context(SETTINGS):
        drawn = figure(2.1 * across + 0.4, 1.9 * rows + 0.4)
        grid = panels(drawn, len(distances), COLUMNS, sharey=True)
        for axes, (name, values) in zip(grid, distances.items(), strict=True):
            blocks = np.repeat(np.arange(1, len(values) + 1), values.shape[1])
            axes.axhline(uniform_px[name], color=GREY, linestyle="--", linewidth=0.8)
            axes.plot(blocks, values.ravel(), "o", color=COLOURS[0], markersize=3, alpha=0.8)
            axes.set(xticks=range(1, len(values) + 1))
            axes.set_title(wrapped(name), fontsize=7)
        highest = max(float(values.max()) for values in distances.values())
        grid[0].set_ylim(0, 1.15 * max(highest, *uniform_px.values()))
        drawn.supxlabel("block", fontsize=8)
        drawn.supylabel("attention distance (pixels of the input)", fontsize=8)
    return drawn
