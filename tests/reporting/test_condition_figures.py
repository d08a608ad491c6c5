"""Figures of conditions and of drift show the right columns, and the right correlation."""

from types import SimpleNamespace

import pytest
import scipy.stats
from made_scores import cell_scores

from sarbench.bench.plan.plan import Plan
from sarbench.bench.reporting import condition_figures as module
from sarbench.results.figures.gains import Measured
from sarbench.results.figures.swept import Family, severity_figure, swept_figure
from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.scores import Column

SOC = Column("mstar_soc", "knn", 10)
PLAN = object.__new__(Plan)
object.__setattr__(PLAN, "data", {"mstar_soc": SimpleNamespace(classes=["a", "b", "c", "d"])})
PIXELS = "Raw pixels"


def in_(condition: str, **more: object) -> Column:
    return SOC._replace(condition=condition, **more)


@pytest.fixture
def drawn(monkeypatch):
    def draw(levels, drifts=None):
        """Return the figures of {column: {row: level}}."""
        monkeypatch.setattr(module, "_drifts", lambda plan: drifts or {})
        scores = [
            one
            for column, rows in levels.items()
            for row, level in rows.items()
            for one in cell_scores(
                row, [level - 0.01, level, level + 0.01], column, control=row == PIXELS, name=row
            )
        ]
        return module.condition_figures(PLAN, tabulate_scores(scores))

    return draw


def lines_of(axes):
    return [
        [(round(float(x), 3), round(float(y), 6)) for x, y in line.get_xydata()]
        for line in axes.lines
    ]


def test_three_severities_are_a_curve_from_mild_to_severe_without_a_clean_column(drawn):
    levels = {"occlude:0.3": 0.3, "speckle:1": 0.4, "occlude:0.1": 0.7, "occlude:0.2": 0.6}
    (found, *_) = drawn({in_(name): {"MAE": value} for name, value in levels.items()})
    assert "from mild (the grid has no clean column here) to severe." in found.caption
    speckle, occlude = (axes for axes in found.draw().axes if axes.get_visible())
    assert [tick.get_text() for tick in occlude.get_xticklabels()] == ["0.1", "0.2", "0.3"]
    assert [(0, 70), (1, 60), (2, 30)] in lines_of(occlude)
    assert [tick.get_text() for tick in speckle.get_xticklabels()] == ["1"]


def test_each_kind_has_a_panel_from_clean_to_severe_next_to_the_eoc_sets(drawn):
    rows = {"MAE": 0.9, PIXELS: 0.95}
    levels = {
        SOC: rows,
        in_("speckle:1"): {"MAE": 0.4, PIXELS: 0.3},
        in_("speckle:4"): {"MAE": 0.7, PIXELS: 0.6},
        in_("shift:8"): {"MAE": 0.5, PIXELS: 0.2},
        SOC._replace(dataset="mstar_eoc_depression"): {"MAE": 0.8, PIXELS: 0.7},
        SOC._replace(dataset="mstar_eoc_scene", shots="all"): {"MAE": 0.1, PIXELS: 0.1},
    }
    (found,) = drawn(levels)
    assert found.name == "conditions-mstar_soc-knn-10-shots"
    assert "another chance level" in found.caption
    shift, speckle, eoc = (axes for axes in found.draw().axes if axes.get_visible())
    assert [tick.get_text() for tick in speckle.get_xticklabels()] == ["clean", "4", "1"]
    assert [(0, 90), (1, 70), (2, 40)] in lines_of(speckle)
    assert [(0, 95), (1, 60), (2, 30)] in lines_of(speckle)
    assert [(0, 90), (1, 50)] in lines_of(shift)
    assert [tick.get_text() for tick in eoc.get_xticklabels()] == ["depression"]
    points = [line for line in lines_of(eoc) if len(line) == 1]
    assert {(-0.125, 80), (0.125, 70)} <= {line[0] for line in points}
    dashed = [line.get_linestyle() for line in speckle.lines if line.get_color() == "0.45"]
    assert dashed == ["--"]
    dotted = [line for line in speckle.lines if line.get_linestyle() == ":"]
    assert [list(line.get_ydata()) for line in dotted] == [[25, 25]]  # chance of four classes
    assert not [line for line in eoc.lines if line.get_linestyle() == ":"]


def test_a_grid_with_shifts_only_has_the_figure_of_shifts_only(drawn):
    assert drawn({SOC: {"MAE": 0.9}, in_("shift:4"): {"MAE": 0.5}}) == []


def test_rho_is_over_the_methods_and_controls_are_only_shown(drawn):
    scores = {"A": 0.9, "B": 0.8, "C": 0.75, "D": 0.5, PIXELS: 0.95}
    drift = {"A": 0.1, "B": 0.3, "C": 0.2, "D": 0.4, PIXELS: 0.9}
    noise = in_("speckle:1")
    every = drawn(
        {SOC: scores, noise: scores}, {(row, noise): value for row, value in drift.items()}
    )
    found = next(one for one in every if one.name == "drift-mstar_soc-knn-10-shots")
    methods = "ABCD"
    rho = scipy.stats.spearmanr([drift[m] for m in methods], [scores[m] for m in methods]).statistic
    assert f"speckle:1: rho {rho:.2f} (95% bootstrap interval over methods" in found.caption
    assert found.caption.endswith("; n = 4).")
    axes = found.draw().axes[0]
    points = [line for line in lines_of(axes) if len(line) == 1]
    assert [(0.9, 95)] in points
    assert axes.get_xscale() == "log"
    assert len(points) == 5


def test_controls_without_a_drift_are_not_drawn(drawn):
    rows = {"A": 0.9, "chip_size": 0.5, "label_shuffle": 0.1, PIXELS: 0.95}
    drift = {"A": 0.1, "chip_size": 0.0, "label_shuffle": 0.2, PIXELS: 0.9}
    noise = in_("speckle:1")
    found = drawn({SOC: rows, noise: rows}, {(row, noise): drift[row] for row in rows})[1]
    assert found.caption.endswith(" Not drawn: chip_size, label_shuffle (drift without a meaning).")
    axes = found.draw().axes[0]
    assert [line[0] for line in lines_of(axes) if len(line) == 1] == [(0.1, 90), (0.9, 95)]
    assert axes.get_xscale() == "log"


def test_twelve_methods_differ_by_line_where_their_colours_repeat():
    shown = [Measured(f"method {n}", value, n / 20) for n in range(12) for value in (0.0, 1.0)]
    figure = severity_figure([Family("x", ["0", "1"], shown)], "", "")
    lines = figure.legends[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12
    assert len({line.get_marker() for line in lines}) == 12


def test_a_control_has_one_style_in_all_figures():
    controls = [f"control {n}" for n in range(5)]
    shown = [Measured(row, value, 0.1 * n, control=True)
             for n, row in enumerate(controls) for value in (0.0, 1.0)]  # fmt: skip
    shown += [Measured("MAE", value, 0.9) for value in (0.0, 1.0)]

    def styles(figure):
        return {
            entry.get_label(): (str(entry), entry.get_linestyle(), entry.get_marker())
            for entry in figure.legends[0].get_lines()
            if entry.get_label().startswith("control")
        }

    whole = styles(severity_figure([Family("x", ["0", "1"], shown)], "", "", controls))
    part = [one for one in shown if one.row in ("control 3", "control 4", "MAE")]
    swept = styles(swept_figure(part, "x", "", "", controls))
    assert len(set(whole.values())) == 5
    assert swept == {row: whole[row] for row in ("control 3", "control 4")}


def test_three_methods_are_too_few_for_rho_and_without_drift_there_is_no_figure(drawn):
    scores, noise = {"A": 0.9, "B": 0.8, "C": 0.75}, in_("speckle:1")
    every = drawn({SOC: scores, noise: scores}, {(row, noise): 0.1 for row in scores})
    assert every[1].caption.endswith("speckle:1: 3 methods are too few for rho.")
    assert len(drawn({SOC: scores, noise: scores})) == 1
