"""Figures of classes: long names stay inside the figure."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from drawings import outside
from PIL import Image

from sarbench.results.figures.confusion import confusion_figure, recall_figure, shares
from sarbench.results.figures.style import rendered, save

NAMES = [
    "Boeing787", "A320321", "StrongFalseAlarms", "T72 configuration 132 renamed", "BMP2",
    "Bulk carrier and ore carrier", "Fishing trawler", "ZSU-23-4 Shilka battery", "2S1 Gvozdika",
    "W" * 28,
]  # fmt: skip
TITLE = "sar_acd/paper_random/linear_standardised/40, all its seeds together"


@pytest.mark.parametrize(("classes", "rows"), [
    *(pytest.param(*both, marks=pytest.mark.slow) for both in ((10, 1), (10, 4), (5, 3))), (3, 2),
])  # fmt: skip
def test_long_names_of_classes_are_not_cut(classes, rows):
    draw = np.random.default_rng(0)
    matrices = {f"Method {n} at 10 epochs": draw.integers(1, 9, (classes, classes))
                for n in range(rows)}  # fmt: skip
    recalls = {name: draw.random(classes) for name in matrices}
    for names in (NAMES[:classes], NAMES[-classes:]):
        assert outside(confusion_figure(matrices, names, TITLE)) == []
        assert outside(recall_figure(recalls, names, [], TITLE)) == []


@pytest.mark.slow
def test_no_label_of_eleven_panels_is_cut(tmp_path):
    names = ["self_propelled_gun", *(f"class_{number}" for number in range(9))]
    matrices = {f"method {number}": np.eye(10, dtype=int) for number in range(11)}
    assert has_margin(save(confusion_figure(matrices, names, "title"), tmp_path, "confusion")[2])


@pytest.mark.parametrize("dpi", [72, 110, 200])
def test_a_label_is_not_cut_at_any_resolution(dpi):
    names = ["self_propelled_gun", "class_1"]
    drawn = confusion_figure({"method": np.eye(2, dtype=int)}, names, "title")
    assert has_margin(BytesIO(*rendered(drawn, ["png"], dpi=dpi)))


def has_margin(picture: Path | BytesIO) -> bool:
    """Return whether the edge of a picture is white."""
    pixels = np.asarray(Image.open(picture).convert("L"))
    return all((edge == 255).all() for edge in (pixels[[0, -1]], pixels[:, [0, -1]]))


def test_a_class_without_test_chips_has_a_dash_and_no_recall_of_zero():
    """Of the four training classes of MSTAR's EOC by version, two have no test chip."""
    matrix = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 9]])
    found = shares(matrix)
    assert np.isnan(found[1]).all()
    assert np.diag(found)[[0, 2]].tolist() == [0.8, 0.9]
    for figure in (
        confusion_figure({"A": matrix}, ["a", "b", "c"], "title"),
        recall_figure({"A": np.diag(found)}, ["a", "b", "c"], [], "title"),
    ):
        texts = [text.get_text() for text in figure.axes[0].texts]
        assert "-" in texts
        assert "0" not in texts
