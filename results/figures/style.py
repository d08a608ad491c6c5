"""Style of the figures, with colours that differ for colour-blind readers and in grey."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito (2008), without light colours; markers differ where colours repeat.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")
GREY = "0.45"
BROKEN = ("--", ":", "-.")
LONGEST = 90  # letters of a text in a figure
LONGEST_NAME = 34  # of a method or class
FORMATS = ("svg", "pdf", "png")
SETTINGS: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "sarbench",  # the same figure is the same file
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


def figure(width: float, height: float) -> Figure:
    """Return an empty figure; sizes are in inches."""
    return Figure((width, height), layout="constrained")


def panels(drawn: Figure, count: int, columns: int, **options: Any) -> list[Axes]:
    """Return `count` axes, row by row; the rest of the last row stays empty."""
    rows, across = -(-count // columns), min(columns, count)
    grid = list(drawn.subplots(rows, across, squeeze=False, **options).flat)
    for axes in grid[count:]:
        axes.set_visible(False)
    return grid[:count]


def look(number: int, control: bool = False) -> dict[str, Any]:
    """Return colour, marker and line of the n-th method; controls are grey with broken lines."""
    return {
        "color": GREY if control else COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": BROKEN[number % len(BROKEN)] if control else "-",
        "markersize": 4,
        "linewidth": 1.2,
    }


def plain(text: str, longest: int = LONGEST_NAME) -> str:
    """Return text without formulas for matplotlib, cut to `longest` letters."""
    text = " ".join(text.split())
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("$", r"\$")


def percent_axis(axes: Axes, what: str) -> None:
    """Label the y axis, whose values are in percent."""
    axes.set_ylabel(f"{what} (%)")


def save(drawn: Figure, folder: Path, name: str) -> list[Path]:
    """Write the figure as SVG, PDF and PNG (200 dots per inch); return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{ending}" for ending in FORMATS]
    with mpl.rc_context({"svg.hashsalt": "sarbench", "svg.fonttype": "path", "pdf.fonttype": 42}):
        drawn.draw_without_rendering()  # one layout for all formats
        drawn.set_layout_engine("none")
        for path in paths:
            meta = {"CreationDate": None} if path.suffix == ".pdf" else {"Date": None}
            extra: dict[str, Any] = {} if path.suffix == ".png" else {"metadata": meta}
            drawn.savefig(path, dpi=200, bbox_inches="tight", pad_inches=0.05, **extra)
    return paths


def inline_svg(path: Path) -> str:
    """Return the element of a saved SVG, for a page."""
    text = path.read_text("utf-8")
    return text[text.index("<svg") :]
