"""Figures of gains: positions of the points."""

import pytest
from matplotlib.colors import to_hex

from sarbench.results.figures.gains import (
    Measured,
    cut_intervals,
    error_bars,
    gain_figure,
    has_several_values,
)

READOUTS = ("patch_mean", "patch_max")
SCORES = [
    Measured("MAE", "patch_mean", 0.76, 0.74, 0.78, 0.22),
    Measured("MAE", "patch_max", 0.78, 0.76, 0.80, 0.45),
    Measured("I-JEPA", "patch_mean", 0.20, None, None, 0.22),
    Measured("I-JEPA", "patch_max", 0.50, 0.48, 0.55, 0.52),
    Measured("Raw pixels", "patch_mean", 0.97, control=True),
]


def joined(axes):
    """Return the two ends of every line between two points, with its height."""
    lines = [line for line in axes.lines if len(line.get_xdata()) == 2]
    return [(*map(float, line.get_xdata()), float(line.get_ydata()[0])) for line in lines]


def test_a_gain_is_a_line_from_the_untrained_to_the_trained_score():
    figure = gain_figure(SCORES, "Accuracy", "synthetic, knn, 10 shots")
    (axes,) = figure.axes
    ends = joined(axes)
    assert [end[0] for end in ends] == pytest.approx([22, 45, 22, 52])
    assert [end[1] for end in ends] == pytest.approx([76, 78, 20, 50])
    heights = [end[2] for end in ends]
    assert heights == sorted(heights)  # from top to bottom, because the axis is inverted
    assert [round(height) for height in heights] == [0, 0, 1, 1]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["MAE", "I-JEPA"]
    assert axes.get_xlabel() == "Accuracy (%)"
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == [*READOUTS, "pretrained", "untrained"]


def test_the_untrained_point_is_hollow_and_the_trained_one_has_its_interval():
    (axes,) = gain_figure(SCORES, "Accuracy", "").axes
    hollow = [line for line in axes.lines if to_hex(line.get_markerfacecolor()) == "#ffffff"]
    points = [float(line.get_xdata()[0]) for line in hollow if len(line.get_xdata()) == 1]
    assert points == pytest.approx([22, 45, 22, 52])
    bars = [bar.lines[2][0].get_segments()[0][:, 0] for bar in axes.containers]
    limits = [(74, 78), (76, 80), (20, 20), (48, 55)]
    assert [tuple(bar) for bar in bars] == [pytest.approx(one) for one in limits]


def test_a_figure_needs_two_values_of_a_row():
    assert has_several_values(SCORES)
    assert not has_several_values(SCORES[:1])
    assert not has_several_values([Measured("MAE", 4, 0.5), Measured("B", 8, 0.5)])


def test_an_axis_and_its_intervals_end_at_0_and_100_percent():
    wide = [Measured("MAE", "class", 0.9, 0.6, 1.2, 0.5), Measured("MAE", "patch_max", 0.1, -1, 1)]
    (axes,) = gain_figure(wide[:1], "Accuracy", "").axes
    assert axes.get_xlim()[1] <= 103
    (bar,) = axes.containers
    assert bar.lines[2][0].get_segments()[0][:, 0] == pytest.approx([60, 100])
    assert error_bars(wide) == [pytest.approx([30, 10]), pytest.approx([10, 90])]
    assert cut_intervals(wide) == " Intervals are cut at 0 and 100%."
    assert cut_intervals(wide[1:]) != "" == cut_intervals(SCORES)
