"""Score over the compute of the pretraining, which is the same on every machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from .gains import Measured, error_bars
from .style import (
    COLOURS,
    GREY,
    LINES,
    MARKERS,
    SETTINGS,
    figure,
    is_wide,
    limit_percent,
    plain,
    width_of,
    wrapped,
)

AXES_INCHES = 3.0, 2.7  # width and height
LABEL_POINTS = 7.5  # height of a control's label


@dataclass(frozen=True)
class Trained:
    """A pretrained row; its score is at `score.value` TFLOP.

    Attributes:
        score: Score over the compute.
        method: Label of the method, which has a colour.
        variant: Its swept values but that along a line, such as `encoder vit_nano`; has a marker.
    """

    score: Measured
    method: str
    variant: str = ""


def compute_figure(
    rows: Sequence[Trained], controls: Mapping[str, float], score: str, title: str
) -> Figure:
    """Draw the score of each row over the compute of its pretraining.

    Rows of one method and variant are joined in the order of their compute. The axis is logarithmic
    for values that span a factor of 8 or more. Controls are dashed grey lines with their names.

    Args:
        rows: Pretrained rows.
        controls: Score of each row that learns nothing, as a fraction.
        score: Name of the metric.
        title: The column.
    """
    methods = list(dict.fromkeys(one.method for one in rows))
    variants = list(dict.fromkeys(one.variant for one in rows))
    lines: dict[tuple[str, str], list[Measured]] = {}
    for one in sorted(rows, key=lambda one: float(one.score.value)):
        lines.setdefault((one.method, one.variant), []).append(one.score)
    joined = any(len(points) > 1 for points in lines.values())
    entries = _legend(methods, variants, joined=joined)
    names = [str(entry.get_label()) for entry in entries]
    labels = {wrapped(row): 100 * value for row, value in controls.items()}
    width, height = AXES_INCHES
    with mpl.rc_context(SETTINGS):
        legend = width_of(names, 7) + 0.45
        right = width_of(labels, 6) + 0.15
        tall = max(height + 0.8, 0.135 * sum(name.count("\n") + 1.3 for name in names) + 0.3)
        drawn = figure(max(width + 0.6 + right + legend, width_of([plain(title)], 8) + 0.2), tall)
        axes = drawn.subplots()
        for (method, variant), points in lines.items():
            axes.errorbar(
                [float(one.value) for one in points], [100 * one.mean for one in points],
                yerr=error_bars(points), capsize=2, elinewidth=0.8,
                **_style(methods.index(method), variants.index(variant), len(variants)),
            )  # fmt: skip
        if is_wide(float(one.score.value) for one in rows):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("compute of one pretraining (TFLOP)")
        axes.set_ylabel(f"{score} (%)")
        axes.margins(0.06)
        _draw_controls(axes, labels, LABEL_POINTS / (72 * height))
        drawn.suptitle(plain(title), fontsize=8)
        drawn.legend(handles=entries, loc="outside right upper", fontsize=7)
    return drawn


def _style(method: int, variant: int, variants: int) -> dict[str, Any]:
    """Return colour, marker and line of a method and variant.

    Where colours repeat, markers are hollow. A marker is that of the variant, or of the method if
    there is only one variant.
    """
    colour = COLOURS[method % len(COLOURS)]
    return {
        "color": colour,
        "marker": MARKERS[(method if variants == 1 else variant) % len(MARKERS)],
        "markerfacecolor": colour if method < len(COLOURS) else "white",
        "linestyle": LINES[variant % len(LINES)],
        "markersize": 4,
        "linewidth": 1.0,
    }


def _legend(methods: Sequence[str], variants: Sequence[str], *, joined: bool) -> list[Line2D]:
    """Return an entry for each method and, if there are several, for each variant in grey."""
    entries = [
        Line2D([], [], **_style(number, 0, len(variants)), label=wrapped(method))
        for number, method in enumerate(methods)
    ]
    for number, variant in enumerate(variants if len(variants) > 1 else []):
        grey = {**_style(0, number, len(variants)), "color": GREY, "markerfacecolor": GREY}
        entries.append(Line2D([], [], **grey, label=wrapped(variant or "default")))
    for entry in entries if not joined else []:
        entry.set_linestyle("none")
    return entries


def _draw_controls(axes: Axes, controls: Mapping[str, float], apart: float) -> None:
    """Draw a dashed grey line for each control, with its name on the right.

    Names are at least `apart` from each other, as a fraction of the height.
    """
    for value in controls.values():
        axes.axhline(value, color=GREY, linestyle="--", linewidth=0.8, zorder=0)
    low, high = limit_percent(axes)
    ordered = sorted(controls.items(), key=lambda one: one[1])
    heights = [(value - low) / (high - low) for _, value in ordered]
    sizes = [apart * (name.count("\n") + 1) for name, _ in ordered]
    for (name, value), height in zip(ordered, spread(heights, sizes), strict=True):
        axes.annotate(
            name, (1, (value - low) / (high - low)), (1.06, height), xycoords="axes fraction",
            va="center", fontsize=6, color="0.3",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkB": 0,
                        "shrinkA": 0, "relpos": (0, 0.5)},
        )  # fmt: skip


def spread(heights: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Return sorted heights in [0, 1] moved apart, so that texts of these sizes do not overlap.

    They are moved up as far as needed, and down again from the top.
    """
    moved = list(heights)
    for n in range(1, len(moved)):
        moved[n] = max(moved[n], moved[n - 1] + (sizes[n - 1] + sizes[n]) / 2)
    limit = 1.0
    for n in range(len(moved) - 1, -1, -1):
        moved[n] = min(moved[n], limit - sizes[n] / 2)
        limit = moved[n] - sizes[n] / 2
    return moved
