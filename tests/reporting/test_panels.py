"""Panels of scores over a number: lines, intervals, controls and long names."""

import pytest
from drawings import outside
from matplotlib.colors import to_hex

from sarbench.results.figures.gains import Measured
from sarbench.results.figures.style import COLOURS, GREY
from sarbench.results.figures.swept import swept_figure

METHODS = [f"SAR-JEPA (Gaussian) {n}, encoder vit:128x4x4@112/8, epochs 16" for n in range(12)]


def over(row, points, **more):
    return [Measured(row, value, mean, **more) for value, mean in points]


SCORES = [
    *over("MAE", [(8, 0.57), (0, 0.84), (4, 0.71)], low=0.5, high=0.9, untrained=0.25),
    *over("I-JEPA", [(0, 0.6), (4, 0.5), (8, 0.4)], complete=False),
    *over("Raw pixels", [(0, 0.98), (4, 0.54), (8, 0.32)], control=True),
]


def lines_in(axes):
    """Return colour, style and points of every line with several points."""
    return [
        (to_hex(line.get_color()), line.get_linestyle(), *map(list, line.get_data()))
        for line in axes.lines
        if len(line.get_xdata()) > 1 and line.get_linestyle() != "None"
    ]


def test_a_method_has_a_panel_with_its_untrained_encoder_and_the_raw_pixels():
    figure = swept_figure(SCORES, "shift (pixels)", "Accuracy", "mstar_soc, knn")
    mae, i_jepa = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["MAE", "I-JEPA"]
    grey = (to_hex(GREY), "--", [0, 4, 8], pytest.approx([98, 54, 32]))
    solid = (COLOURS[0].lower(), "-", [0, 4, 8], pytest.approx([84, 71, 57]))
    dashed = (COLOURS[0].lower(), "--", [0, 4, 8], pytest.approx([25, 25, 25]))
    assert lines_in(mae) == [grey, dashed, solid]
    assert lines_in(i_jepa) == [grey, (*solid[:3], pytest.approx([60, 50, 40]))]
    bars = mae.containers[0].lines[2][0].get_segments()
    assert [list(bar[:, 1]) for bar in bars] == [pytest.approx([50, 90])] * 3
    assert mae.get_shared_y_axes().joined(mae, i_jepa)
    assert mae.get_xscale() == "linear"
    assert [text.get_text() for text in mae.get_xticklabels()] == ["0", "4", "8"]
    assert figure.get_supxlabel() == "shift (pixels)"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["pretrained", "untrained, same architecture", "Raw pixels"]


def test_points_of_incomplete_cells_are_hollow():
    mae, i_jepa = swept_figure(SCORES, "x", "Accuracy", "").axes
    hollow = [[line for line in axes.lines if to_hex(line.get_markerfacecolor()) == "#ffffff"]
              for axes in (mae, i_jepa)]  # fmt: skip
    assert [list(line.get_ydata()) for (line,) in hollow] == [[], pytest.approx([60, 50, 40])]


@pytest.mark.parametrize(
    ("values", "scale"), [((20, 40, 80), "linear"), ((20, 40, 160), "log"), ((0, 160), "linear")]
)
def test_values_over_a_wide_range_have_a_logarithmic_axis(values, scale):
    scores = over("MAE", [(value, 0.5) for value in values])
    figure = swept_figure(scores, "epochs", "Accuracy", "")
    assert figure.axes[0].get_xscale() == scale
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["pretrained"]


def test_twelve_methods_with_long_names_and_three_controls_are_whole():
    scores = [one for n, row in enumerate(METHODS)
              for one in over(row, [(4, 0.3 + n / 50), (8, 0.2)], untrained=0.2)]  # fmt: skip
    scores += [one for n in range(3)
               for one in over(f"{n} a control with a long name", [(4, n / 9), (8, n / 8)],
                               control=True)]  # fmt: skip
    figure = swept_figure(scores, "shift of the test chips up to (pixels)", "Accuracy", "a, b")
    assert len(figure.axes) == 12
    titles = [axes.get_title().replace("\n", " ") for axes in figure.axes]
    assert titles == METHODS
    assert outside(figure) == []
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert not any(one.overlaps(other) for n, one in enumerate(boxes) for other in boxes[:n])
    dashes = {line[1] for line in lines_in(figure.axes[0]) if line[0] == to_hex(GREY)}
    assert dashes == {"--", ":", "-."}
