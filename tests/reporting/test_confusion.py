"""Figures of classes: long names stay inside the figure."""

import numpy as np
import pytest
from PIL import Image

from sarbench.results.figures.confusion import confusion_figure, recall_figure
from sarbench.results.figures.style import save

NAMES = [
    "Boeing787", "A320321", "StrongFalseAlarms", "T72 configuration 132 renamed", "BMP2",
    "Bulk carrier and ore carrier", "Fishing trawler", "ZSU-23-4 Shilka battery", "2S1 Gvozdika",
    "W" * 28,
]  # fmt: skip
TITLE = "sar_acd/paper_random/linear_standardised/40, all its seeds together"


def outside(figure):
    """Return the texts that are cut at the edge of the figure."""
    figure.draw_without_rendering()
    shown = [*figure.texts, *(text for legend in figure.legends for text in legend.texts)]
    for axes in figure.axes:
        low, high = sorted(axes.get_ylim())
        shown += [axes.title, axes.yaxis.label, *axes.texts, *axes.get_xticklabels()]
        shown += [t for t in axes.get_yticklabels() if low <= t.get_position()[1] <= high]
    edges = figure.bbox.padded(0.5)
    boxes = {t.get_text(): t.get_window_extent() for t in shown if t.get_text()}
    return [text for text, box in boxes.items() if not (
        edges.x0 <= box.x0 and box.x1 <= edges.x1 and edges.y0 <= box.y0 and box.y1 <= edges.y1
    )]  # fmt: skip


@pytest.mark.parametrize(("classes", "rows"), [(10, 1), (10, 4), (5, 3), (3, 2)])
def test_long_names_of_classes_are_not_cut(classes, rows):
    draw = np.random.default_rng(0)
    matrices = {f"Method {n} at 10 epochs": draw.integers(1, 9, (classes, classes))
                for n in range(rows)}  # fmt: skip
    recalls = {name: draw.random(classes) for name in matrices}
    for names in (NAMES[:classes], NAMES[-classes:]):
        assert outside(confusion_figure(matrices, names, TITLE)) == []
        assert outside(recall_figure(recalls, names, [], TITLE)) == []


def test_no_label_of_eleven_panels_is_cut(tmp_path):
    names = ["self_propelled_gun", *(f"class_{number}" for number in range(9))]
    matrices = {f"method {number}": np.eye(10, dtype=int) for number in range(11)}
    path = save(confusion_figure(matrices, names, "title"), tmp_path, "confusion")[2]
    pixels = np.asarray(Image.open(path).convert("L"))
    edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    assert all((edge == 255).all() for edge in edges)  # nothing reaches the edge of the picture
