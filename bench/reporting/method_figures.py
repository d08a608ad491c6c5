"""Figures of a pretraining method: chips, masks, targets and predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from jaxtyping import Bool, Complex, Float
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...methods._encoders import ViTConfig
from ..store.sample_predictions import Predictions

DIRECTIONS = 9  # bins of a histogram, `BINS` of methods/_gradients.py
MOST_MAPS = 4  # drawn one by one; more are drawn as their mean
MOST_BRIGHTENED = 100.0  # times; below it, predictions do not differ between cells
PANEL_INCH = 1.7
BRIGHT = 99.5  # percentile drawn white, because a few scatterers are far brighter
HIDDEN_COLOUR = (0.10, 0.35, 0.80, 0.55)
NOTHING_COLOUR = "0.85"  # patches without a target or prediction


@dataclass(frozen=True)
class Panel:
    """One image of a figure.

    Attributes:
        title: Title above the image.
        values: Grey values, or colours in [0, 1] along a last axis of 3; NaN is not drawn.
        low: Value drawn black.
        high: Value drawn white.
    """

    title: str
    values: Float[np.ndarray, "h w"] | Float[np.ndarray, "h w 3"]
    low: float = 0.0
    high: float = 1.0


def place(
    values: Float[np.ndarray, "R M *values"],
    patches: np.ndarray,
    shown: Bool[np.ndarray, "R M"],
    count: int,
) -> Float[np.ndarray, " N *values"]:
    """Return the values of each patch of one image; NaN for patches that are not shown.

    Values of overlapping windows are averaged.
    """
    total = np.zeros((count, *values.shape[2:]))
    number = np.zeros(count)
    np.add.at(total, patches[shown], values[shown])
    np.add.at(number, patches[shown], 1)
    total[number == 0] = np.nan
    return total / np.maximum(number, 1).reshape(-1, *[1] * (total.ndim - 1))


def unpatchify(
    patches: Float[np.ndarray, "N P"], patch_grid: tuple[int, int], patch_px: int
) -> Float[np.ndarray, "C h w"]:
    """Return the C maps of an image from the values of its patches."""
    rows, columns = patch_grid
    maps = patches.reshape(rows, columns, -1, patch_px, patch_px)
    maps = maps.transpose(2, 0, 3, 1, 4)  # (C, rows, patch_px, columns, patch_px)
    return maps.reshape(len(maps), rows * patch_px, columns * patch_px)


def map_panels(
    target: Float[np.ndarray, "C h w"],
    predicted: Float[np.ndarray, "C h w"],
    scales: Float[np.ndarray, "M 2"],
) -> list[Panel]:
    """Return target and prediction of each map, or of the mean map.

    Args:
        target: Maps of one chip.
        predicted: The same maps as predicted.
        scales: Value drawn black and value drawn white of each drawn map (`scales_of`).
    """
    count = len(target)
    target, predicted = drawn_maps(target), drawn_maps(predicted)
    panels: list[Panel] = []
    for number, (wanted, got, (low, high)) in enumerate(
        zip(target, predicted, scales, strict=True), start=1
    ):
        which = "" if count == 1 else f" {number}" if count <= MOST_MAPS else f", mean of {count}"
        for word, values in (("target", wanted), ("prediction", got)):
            panels.append(Panel(word + which, values, float(low), float(high)))
    return panels


def drawn_maps(maps: Float[np.ndarray, "C h w"]) -> Float[np.ndarray, "M h w"]:
    """Return the maps that are drawn: all, or the mean of many."""
    return maps.mean(0, keepdims=True) if len(maps) > MOST_MAPS else maps


def scales_of(targets: Sequence[Float[np.ndarray, "C h w"]]) -> Float[np.ndarray, "M 2"]:
    """Return the value drawn black and the value drawn white of each map, the same for all chips.

    So a window of ground looks dark next to one of a vehicle, and its speckle is not amplified.
    """
    drawn = np.stack([drawn_maps(maps) for maps in targets])
    return np.nanpercentile(drawn, (0.5, BRIGHT), axis=(0, 2, 3)).T


def colour_panels(
    target: Float[np.ndarray, "N P"],
    predicted: Float[np.ndarray, "N P"],
    axes: Float[np.ndarray, "3 P"],
    patch_grid: tuple[int, int],
) -> list[Panel]:
    """Return target and prediction as colours: three main directions of the targets, each 0 to 1.

    Features are not images and have similar norms. Colours show similar patches.
    """
    wanted, got = target @ axes.T, predicted @ axes.T
    low, high = np.nanpercentile(wanted, (2, 98), axis=0)
    scale = np.maximum(high - low, 1e-12)
    return [
        Panel(word, np.clip((values - low) / scale, 0, 1).reshape(*patch_grid, 3))
        for word, values in (("target", wanted), ("prediction", got))
    ]


def histogram_panels(
    pairs: Sequence[tuple[Float[np.ndarray, "N P"], Float[np.ndarray, "N P"]]],
    patch_grid: tuple[int, int],
) -> list[list[Panel]]:
    """Return target and prediction of each chip as colours of cells.

    The hue is the main direction, the brightness shows how clear it is. A cell is the sum of unit
    vectors at twice the angle of each bin, times the bin's value (the circular mean of axes). So a
    constant added to all bins, as by standardising, changes nothing, and a cell without a main
    direction is black. Predictions of noisy histograms are close to their mean and would be black
    on the scale of the targets; they have a scale of their own, and their title gives its ratio.
    """
    side = isqrt(pairs[0][0].shape[1] // DIRECTIONS)
    turns = np.exp(2j * np.pi * np.arange(DIRECTIONS) / DIRECTIONS)
    cells = [
        [np.tensordot(turns, unpatchify(values, patch_grid, side), 1) for values in pair]
        for pair in pairs
    ]
    wanted, got = (
        max(np.nanpercentile(np.abs(one), BRIGHT), 1e-12) for one in zip(*cells, strict=True)
    )
    factor = np.clip(wanted / got, 1, MOST_BRIGHTENED)
    titles = ("target", f"prediction, {factor:.2g} x brighter" if factor > 1 else "prediction")
    scales = (wanted, wanted / factor)
    return [
        [
            Panel(title, _colours(one, scale))
            for title, one, scale in zip(titles, pair, scales, strict=True)
        ]
        for pair in cells
    ]


def _colours(cells: Complex[np.ndarray, "h w"], brightest: float) -> Float[np.ndarray, "h w 3"]:
    """Return the colours of vectors: hue = direction, brightness = length; NaN stays NaN."""
    hue = np.angle(np.nan_to_num(cells)) / (2 * np.pi) % 1
    brightness = np.clip(np.abs(np.nan_to_num(cells)) / brightest, 0, 1)
    colours = hsv_to_rgb(np.stack((hue, np.full(hue.shape, 0.8), brightness), -1))
    colours[np.isnan(cells)] = np.nan
    return colours


def main_directions(values: Float[np.ndarray, "K P"]) -> Float[np.ndarray, "3 P"]:
    """Return the three directions of largest variance of the rows; missing ones are zero."""
    centred = (values - values.mean(0)).astype(np.float64)
    directions = np.linalg.svd(centred, full_matrices=False).Vh[:3]
    return np.pad(directions, ((0, 3 - len(directions)), (0, 0)))


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw the values of a panel; NaN shows the background."""
    shown = panel.values
    if shown.ndim == 3:  # colours: NaN becomes transparent
        alpha = np.isfinite(shown).all(-1, keepdims=True)
        axes.imshow(np.concatenate((np.nan_to_num(shown), alpha), -1), interpolation="nearest")
    else:
        axes.imshow(shown, "gray", vmin=panel.low, vmax=panel.high, interpolation="nearest")


def draw_hidden(
    axes: Axes, chip: Panel, hidden: Bool[np.ndarray, "rows columns"], blocks: list[np.ndarray]
) -> None:
    """Draw the chip with a veil over hidden patches and a frame around each window or block."""
    draw_panel(axes, chip)
    height, width = chip.values.shape[:2]
    patch_px = height // hidden.shape[0]
    veil = np.where(hidden[..., None], HIDDEN_COLOUR, 0.0)
    axes.imshow(veil, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="nearest")
    for patches in blocks:
        rows, columns = np.divmod(patches, hidden.shape[1])
        size = np.ptp(columns) + 1, np.ptp(rows) + 1
        if size != hidden.shape[::-1]:  # no frame around the whole chip
            corner = columns.min() * patch_px - 0.5, rows.min() * patch_px - 0.5
            sides = (int(n) * patch_px for n in size)
            axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor="orange", linewidth=1))


def rows_of_panels(
    made: Predictions, encoder: ViTConfig
) -> list[tuple[Bool[np.ndarray, "rows columns"], list[np.ndarray], list[Panel]]]:
    """Return the hidden patches of each chip, the patches of its windows, and its panels."""
    rows, columns = encoder.patch_grid
    as_maps = made.kind == "pixels" and made.target.shape[-1] % encoder.patch_px**2 == 0
    placed = []
    for number in range(len(made.chips)):
        mine = made.images == number
        which, hidden_here = made.patches[mine], made.mask[mine]
        everywhere = np.ones_like(hidden_here)
        # without hidden patches every prediction is shown
        shown = hidden_here if hidden_here.any() else everywhere
        wanted = place(made.target[mine].astype(float), which, everywhere, rows * columns)
        got = place(made.predicted[mine].astype(float), which, shown, rows * columns)
        if as_maps:
            wanted, got = (
                unpatchify(values, encoder.patch_grid, encoder.patch_px) for values in (wanted, got)
            )
        hidden = np.zeros(rows * columns, bool)
        hidden[which[hidden_here]] = True
        placed.append((hidden.reshape(rows, columns), list(which), wanted, got))
    targets = [wanted for _, _, wanted, _ in placed]
    if as_maps:
        scales = scales_of(targets)
        panels = [map_panels(wanted, got, scales) for _, _, wanted, got in placed]
    elif made.kind == "histograms":
        pairs = [(wanted, got) for _, _, wanted, got in placed]
        panels = histogram_panels(pairs, encoder.patch_grid)
    else:
        axes = main_directions(made.target.reshape(-1, made.target.shape[-1]))
        panels = [
            colour_panels(wanted, got, axes, encoder.patch_grid) for _, _, wanted, got in placed
        ]
    return [
        (hidden, blocks, drawn)
        for (hidden, blocks, _, _), drawn in zip(placed, panels, strict=True)
    ]


def draw_predictions(made: Predictions, label: str, encoder: ViTConfig) -> Figure:
    """Draw one line per chip: the chip, its hidden patches, targets and predictions.

    Blue patches are hidden from the encoder, orange frames are windows or blocks, and grey patches
    have no target or prediction. Similar features have similar colours. A histogram has the colour
    of its main direction and is dark without one; titles say how much predictions are brightened.
    """
    chips = [Panel("chip", chip, 0.0, float(np.percentile(chip, BRIGHT))) for chip in made.chips]
    lines = rows_of_panels(made, encoder) if len(made.images) else []
    wide = 2 + len(lines[0][2]) if lines else 1
    figure = Figure(
        (PANEL_INCH * max(wide, 1.5), PANEL_INCH * len(chips) + 0.5), layout="constrained"
    )
    grid = figure.subplots(len(chips), wide, squeeze=False)
    control = "" if lines else "\na control, without predictions"
    figure.suptitle(f"{label} ({encoder.name}){control}", fontsize=9)
    for number, (chip, axes) in enumerate(zip(chips, grid, strict=True)):
        draw_panel(axes[0], chip)
        titles = [chip.title]
        if lines:
            hidden, blocks, panels = lines[number]
            draw_hidden(axes[1], chip, hidden, blocks)
            titles += [f"hidden: {hidden.mean():.0%}", *(panel.title for panel in panels)]
            for panel, place_of_panel in zip(panels, axes[2:], strict=True):
                draw_panel(place_of_panel, panel)
        for one, title in zip(axes, titles, strict=True):
            one.set(xticks=[], yticks=[], facecolor=NOTHING_COLOUR)
            if number == 0 or title.startswith("hidden"):
                one.set_title(title, fontsize=8)
    return figure
