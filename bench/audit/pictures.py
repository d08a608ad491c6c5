"""Contact sheets: pairs of chips next to each other."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .alignment import turned
from .collection import Collection
from .report import Audit, Pair, pair_of

COLUMNS = 4  # pairs in a row
OF_KIND = 4  # pairs of each kind: those of highest and lowest score, and between
MOST = 60
BRIGHTEST = 99.0  # percentile of a chip's amplitude that is drawn white
NAMED = 24  # characters of an id


def draw_pairs(result: Audit, path: Path) -> None:
    """Write a PNG with pairs of each kind; the second chip is turned as the first."""
    found = result.duplicates
    pairs = _choose([*result.exact, *(pair_of(found, one) for one in found.near)])
    symmetry = {(one.first, one.second): one.match.symmetry for one in found.near}
    figure, axes = sheet(-(-len(pairs) // COLUMNS), 2 * COLUMNS, (1.7, 2.1))
    collection = found.collection
    for place, pair in enumerate(pairs):
        first, second = (collection.image(number).pixels for number in pair.numbers)
        turn = symmetry.get(pair.numbers)
        second = second if turn is None else turned(second, turn)
        texts = (f"{pair.kind}, {pair.score:.2f}\n", "\n")
        for side, image in enumerate((first, second)):
            label = texts[side] + _label(collection, pair.numbers[side])
            draw_chip(axes[2 * place + side], image, label)
    figure.suptitle(
        f"{' and '.join(one.name for one in collection.sets)}: {result.counts['exact_pairs']:,} "
        f"exact and {result.counts['near_pairs']:,} near pairs",
        fontsize=10,
    )
    figure.savefig(path, dpi=100, metadata={"Software": None})


def sheet(rows: int, columns: int, inches: tuple[float, float]) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with axes of so many inches (width, height), row by row."""
    width, height = inches
    figure = Figure(figsize=(width * columns, height * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    return figure, list(axes)


def draw_chip(axis: Axes, image: np.ndarray, label: str) -> None:
    """Draw the square root of a chip's amplitude, which shows clutter and target."""
    white = float(np.percentile(image, BRIGHTEST)) or 1.0
    shown = np.sqrt(np.clip(image / white, 0, 1))
    axis.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(label, fontsize=6, loc="left", parse_math=False)


def _label(collection: Collection, number: int) -> str:
    chip_id = collection.chip_id(number)
    short = chip_id if len(chip_id) <= NAMED else f"...{chip_id[3 - NAMED :]}"
    class_name = collection.class_name(number)
    return short if not class_name or class_name in short else f"{short} ({class_name})"


def _choose(pairs: Sequence[Pair]) -> list[Pair]:
    """Return some pairs of each kind, spread over their scores."""
    by_kind: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_kind[pair.kind].append(pair)
    chosen = []
    for kind in sorted(by_kind, key=lambda one: (one != "exact", -len(by_kind[one]))):
        found = sorted(by_kind[kind], key=lambda pair: -pair.score)
        places = np.linspace(0, len(found) - 1, min(OF_KIND, len(found))).round().astype(int)
        chosen += [found[place] for place in places]
    return chosen[:MOST]
