"""Style of the figures, with colours that differ for colour-blind readers and in grey."""

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, NullLocator

# Okabe and Ito (2008), without light colours; markers differ where colours repeat.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")
LINES = ("-", "--", ":", "-.")  # one for each round of the colours
GREY = "0.45"
DASHES: tuple[Any, ...] = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))  # of controls
LONGEST = 90  # letters of a text in a figure
GLUE = "\u00a0"  # a blank at which no line ends
LONGEST_LINE = 34  # letters of a line of a name
WIDE_RATIO = 8  # of the largest to the smallest value of a logarithmic axis
MARGIN_IN = 0.05  # around a figure, in inches
AIR = 3.0  # beyond 0 and 100%, for markers
MOST_TICKS = 6  # each at a value; more values have matplotlib's own ticks
FORMATS = ("svg", "pdf", "png")
DPI = 200  # of PNG, and of pictures in other formats
SETTINGS: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "sarbench",  # the same figure is the same file
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


def method_style(number: int) -> dict[str, Any]:
    """Return colour, marker and line of a method; no two of 84 are the same."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": LINES[number // len(COLOURS) % len(LINES)],
    }


def control_style(number: int) -> dict[str, Any]:
    """Return line and marker of a control, the same in all figures of a report."""
    return {
        "color": GREY, "linewidth": 0.9, "markersize": 2.5,
        "linestyle": DASHES[number % len(DASHES)], "marker": MARKERS[number % len(MARKERS)],
    }  # fmt: skip


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


def plain(text: str) -> str:
    """Return text without formulas for matplotlib, cut to 90 letters."""
    text = " ".join(text.split())
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return text.replace("$", r"\$")


def wrapped(name: str, longest: int = LONGEST_LINE) -> str:
    """Return the name of a row or class as lines of at most `longest` letters.

    Lines end between the parts of a name, `encoder vit_nano` stays together where it fits.
    """
    glued = ", ".join(
        part.replace(" ", GLUE) if len(part) < longest else part for part in plain(name).split(", ")
    )
    lines = textwrap.wrap(glued, longest, break_on_hyphens=False)
    return "\n".join(lines).replace(GLUE, " ")


def width_of(texts: Iterable[str], size: int) -> float:
    """Return the width of the longest line in inches, with a margin; size in points."""
    font = FontProperties(size=size)
    lines = [line for text in texts for line in text.split("\n") if line]
    points = [text_to_path.get_text_width_height_descent(line, font, False)[0] for line in lines]
    return max(points, default=0.0) / 72 + 0.15


def limit_percent(axes: Axes, axis: Literal["x", "y"] = "y") -> tuple[float, float]:
    """Cut an axis in percent to 0 to 100 with air for markers; return its limits."""
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    limits = max(low, -AIR), min(high, 100 + AIR)
    axes.set(**{f"{axis}lim": limits})
    return limits


def value_axis(axes: Axes, values: Sequence[float]) -> None:
    """Put a tick at each of a few sorted values; logarithmic if they span a factor of 8 or more."""
    if is_wide(values):
        axes.set_xscale("log")
    if len(values) <= MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(list(values)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(list(values), [f"{value:g}" for value in values])


def is_wide(values: Iterable[float]) -> bool:
    """Return True if the values are above 0 and span a factor of 8 or more."""
    every = list(values)
    return min(every) > 0 and max(every) >= WIDE_RATIO * min(every)


def rendered(
    drawn: Figure,
    endings: Sequence[str],
    *,
    about: Mapping[str, str] | None = None,
    dpi: int = DPI,
) -> list[bytes]:
    """Return the figure as a file of each format; the same figure is the same file.

    Args:
        drawn: The figure.
        endings: svg, pdf or png.
        about: Metadata of an SVG, by the names of matplotlib (Dublin Core).
        dpi: Dots per inch of a PNG, and of the pictures in other formats.
    """
    files = []
    with mpl.rc_context({"svg.hashsalt": "sarbench", "svg.fonttype": "path", "pdf.fonttype": 42}):
        drawn.set_dpi(dpi)  # small letters are up to a tenth narrower at another resolution
        if (layout := drawn.get_layout_engine()) is not None:
            layout.execute(drawn)  # one layout for all formats
            drawn.set_layout_engine(None)
        # "tight" would draw the figure once more for each format
        box = drawn.get_tightbbox().padded(MARGIN_IN)
        for ending in endings:
            meta = {"CreationDate": None} if ending == "pdf" else {"Date": None, **(about or {})}
            extra: dict[str, Any] = {} if ending == "png" else {"metadata": meta}
            content = io.BytesIO()
            drawn.savefig(content, format=ending, dpi=dpi, bbox_inches=box, **extra)
            files.append(content.getvalue())
    return files


def save(
    drawn: Figure, folder: Path, name: str, formats: Sequence[str] = FORMATS, dpi: int = DPI
) -> list[Path]:
    """Write the figure in each format; return the paths. Arguments as of `rendered`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{ending}" for ending in formats]
    for path, content in zip(paths, rendered(drawn, formats, dpi=dpi), strict=True):
        path.write_bytes(content)
    return paths


def inline_svg(path: Path) -> str:
    """Return the element of a saved SVG, for a page."""
    text = path.read_text("utf-8")
    return text[text.index("<svg") :]
