"""Figures of swept settings and shifts are drawn from the right columns of a board."""

import pytest
from made_scores import cell_scores

from sarbench.bench.plan.plan import Plan
from sarbench.bench.reporting import swept_figures as module
from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.scores import Column

CONTROL, PIXELS = "Random init", "Raw pixels"


@pytest.fixture
def drawn(monkeypatch):
    def draw(columns):
        scores = [
            one
            for column, (trained, untrained) in columns.items()
            for one in (
                *cell_scores(
                    "MAE", [trained - 0.01, trained, trained + 0.01], column, encoder="vit_nano"
                ),
                *cell_scores(CONTROL, [untrained] * 3, column, control=True, encoder="vit_nano"),
                *cell_scores(PIXELS, [0.95] * 3, column, control=True),
            )
        ]
        monkeypatch.setattr(module, "untrained_rows", lambda plan: {"MAE": CONTROL})
        return module.swept_figures(object.__new__(Plan), tabulate_scores(scores))

    return draw


def lines_of(figure):
    """Return the points of every line as (x, y) pairs."""
    return [
        [(float(x), round(float(y), 6)) for x, y in line.get_xydata()]
        for line in figure.axes[0].lines
    ]


def test_shifts_are_drawn_as_scores_over_pixels_with_the_clean_column_at_0(drawn):
    column = Column("mstar_soc", "knn", "all")
    (found,) = drawn({
        column: (0.9, 0.3), column._replace(condition="shift:8"): (0.5, 0.2),
    })  # fmt: skip
    assert "shift of the test chips" in found.title
    assert found.name == "shift-mstar_soc-knn-all-labels"
    figure = found.draw()
    assert [axes.get_title() for axes in figure.axes] == ["MAE"]
    lines = lines_of(figure)
    assert "Mean and, for methods, 95% Student interval" in found.caption
    assert len(figure.axes[0].containers) == 1  # the methods' points with intervals
    assert [(0.0, 90.0), (8.0, 50.0)] in lines  # pretrained
    assert [(0.0, 30.0), (8.0, 20.0)] in lines  # untrained
    assert [(0.0, 95.0), (8.0, 95.0)] in lines  # pixels


def test_shots_are_an_axis_in_a_figure_for_each_other_part_of_a_column(drawn):
    linear, knn = (Column("mstar_eoc/depression", name, 10) for name in ("linear", "knn"))
    shifted = linear._replace(condition="shift:4")
    found = drawn({
        linear: (0.5, 0.2), linear._replace(shots=40): (0.7, 0.3), linear._replace(shots="all"):
        (0.8, 0.4), shifted: (0.4, 0.2), shifted._replace(shots=40): (0.6, 0.3), knn: (0.3, 0.1),
    })  # fmt: skip
    assert [one.name for one in found] == [
        "shots-mstar_eoc-depression-linear", "shift-mstar_eoc-depression-linear-10-shots",
        "shift-mstar_eoc-depression-linear-40-shots",
        "shots-mstar_eoc-depression-linear-shift-4",
    ]  # fmt: skip
    assert [(10.0, 50.0), (40.0, 70.0)] in lines_of(found[0].draw())
    assert [(10.0, 40.0), (40.0, 60.0)] in lines_of(found[3].draw())


def test_readouts_are_drawn_as_gains_from_the_untrained_control(drawn):
    column = Column("mstar_soc", "knn", "all")
    (found,) = drawn({
        column._replace(settings="readout class"): (0.6, 0.4),
        column._replace(settings="readout patch_max"): (0.7, 0.3),
    })  # fmt: skip
    ends = [sorted(x for x, _ in line) for line in lines_of(found.draw()) if len(line) == 2]
    assert [pytest.approx([40, 60]), pytest.approx([30, 70])] == ends[:2]


def test_a_number_that_is_swept_is_an_axis_and_single_columns_have_no_figure(drawn):
    column = Column("mstar_soc", "few_shot", 10)
    (found,) = drawn({
        column._replace(settings="epochs 40"): (0.3, 0.2),
        column._replace(settings="epochs 160"): (0.5, 0.4),
    })  # fmt: skip
    assert [(40.0, 30.0), (160.0, 50.0)] in lines_of(found.draw())
    assert drawn({column: (0.3, 0.2)}) == []


def test_a_caption_counts_the_methods_that_a_large_figure_lacks(monkeypatch):
    column = Column("mstar_soc", "knn", "all")
    scores = [
        one
        for number in range(62)
        for px, part in ((0, column), (4, column._replace(condition="shift:4")))
        for one in cell_scores(f"Method {number}", [0.9 - number / 100 - px / 100] * 3, part)
    ]
    monkeypatch.setattr(module, "untrained_rows", lambda plan: {})
    (found,) = module.swept_figures(object.__new__(Plan), tabulate_scores(scores))
    assert found.caption.endswith(" Drawn: 60 of 62 methods, those of best rank.")
    titles = [axes.get_title() for axes in found.draw().axes if axes.get_visible()]
    assert titles == [f"Method {number}" for number in range(60)]
