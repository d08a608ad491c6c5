"""Conditions and swept settings in every command that shows results."""

import json
import re

import pytest
from commands import Sarbench
from stores import filled_store, pooled_grid, share

from sarbench.bench.reporting import html_report

GRID = pooled_grid(
    "axes", ["mae"], 'conditions = ["clean", "shift:4"]\nseeds = 2',
    'linear = [5, 10]\n'
    'knn = { shots = ["all"], settings = { readout = ["patch_mean", "patch_max"] } }',
)  # fmt: skip
LEVEL = {"": 0.8, "shift:4": 0.6}


def right(run, labels):
    level = LEVEL[run.condition] - 0.1 * (run.swept == "readout patch_max")
    return share(level + 0.01 * (run.pretraining.seed - 1), run.seed, len(labels))


@pytest.fixture(scope="module")
def axes(tmp_path_factory) -> Sarbench:
    return filled_store(tmp_path_factory.mktemp("axes"), GRID, right)


def test_a_table_has_a_column_for_each_condition_and_setting(axes):
    cells = [cell for cell in axes.cells() if cell["method"] == "MAE"]
    assert len(cells) == 2 * (2 + 2)
    for cell in cells:
        expected = LEVEL[cell["condition"]] - 0.1 * (cell["settings"] == "readout patch_max")
        assert cell["mean"] == pytest.approx(expected, abs=0.004)
        assert cell["settings"] or cell["protocol"] == "linear"
    text = axes.here("table", axes.grid, "--notes").stdout
    assert "shift:4: each test chip is moved by up to 4 px along each axis" in text
    assert "knn 2 (readout patch_mean, patch_max)" in text


@pytest.mark.parametrize(("condition", "level"), [("clean", 0.8), ("shift:4", 0.6)])
def test_the_filter_leaves_one_condition(axes, condition, level):
    words = ("table", axes.grid, "--format", "json", "-p", "linear", "--condition", condition)
    cells = json.loads(axes.here(*words).stdout)
    assert {cell["condition"] or "clean" for cell in cells} == {condition}
    assert cells[0]["mean"] == pytest.approx(level, abs=0.004)
    refused = axes.here("table", axes.grid, "--condition", "shift:5", status=2)
    assert "no run of this grid has condition 'shift:5'; it has: clean, shift:4" in refused.stderr


def test_a_table_is_sorted_by_any_column_and_a_wrong_one_is_refused(axes):
    axes.here("table", axes.grid, "--sort", "synthetic/knn/all/shift:4/readout=patch_max")
    refused = axes.here("table", axes.grid, "--sort", "synthetic/knn/all/shift:4", status=2)
    assert "synthetic/knn/all/shift:4/readout=patch_mean" in " ".join(refused.stderr.split())


def test_a_plan_names_condition_and_settings_of_each_run(axes):
    runs = axes.plan()["runs"]
    assert {run["condition"] for run in runs} == {"", "shift:4"}
    assert {run["identity"].get("condition", "") == run["condition"] for run in runs} == {True}
    swept = {(run["protocol"], run["settings"]) for run in runs}
    assert swept == {("linear", ""), ("knn", "readout patch_mean"), ("knn", "readout patch_max")}


def test_rows_are_compared_in_each_condition(axes):
    text = axes.here("compare", axes.grid, "mae", "random_init").stdout
    assert "synthetic/linear/5/shift:4: " in text
    assert "synthetic/knn/all/shift:4/readout=patch_max: " in text
    part = axes.here("compare", axes.grid, "mae", "random_init", "--condition", "clean").stdout
    assert "Part of the grid: 4 of 8 shared columns are shown" in part
    assert "shift" not in part


def test_all_records_pass_the_check_and_merge(axes, tmp_path):
    assert axes.here("check", axes.grid).returncode == 0
    other = Sarbench(tmp_path / "other", GRID, SARBENCH_DATA=axes.given["SARBENCH_DATA"])
    other.here("merge", axes.runs)
    assert other.cells() == axes.cells()


def test_a_report_shows_filters_and_runs_of_each_condition(axes, tmp_path, monkeypatch):
    monkeypatch.setattr(html_report, "FORMATS", ("svg",))
    axes.here("report", axes.grid, "--out", tmp_path / "page", "--no-encoders")
    page = (tmp_path / "page" / "index.html").read_text()
    assert page.count('data-axis="condition"') == 2
    assert '<input type="checkbox" checked data-axis="condition" value="shift:4">' in page
    assert (
        "<br>readout patch_max<br>over pretraining seeds and test chips<br>all labels<br>shift"
        in page
    )
    assert 'data-cell="MAE | synthetic/knn/all/shift:4/readout=patch_max"' in page
    assert 'data-runs="MAE | synthetic/knn/all/shift:4/readout=patch_max"' in page
    gain = r"\([+-]\d+\.\d\)"
    assert re.search(f'<span class="gain"> {gain}</span>', page)
    tables = {e: (tmp_path / "page" / f"leaderboard.{e}").read_text() for e in ("md", "txt", "tex")}
    assert [bool(re.search(gain, text)) for text in tables.values()] == [True, True, False]
    figure = tmp_path / "page" / "figures" / "shots-synthetic-linear-shift-4.svg"
    assert "synthetic, linear, shift:4" in figure.read_text()
