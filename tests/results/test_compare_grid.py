"""`compare` on a grid: names of rows, and parts of a grid."""

import json
import sys
from contextlib import suppress

import pytest
from small_grids import grid_of
from stores import fill, share

from sarbench.bench.cli import main
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.reporting.leaderboard import resolve_rows, shared_columns, untrained_rows
from sarbench.bench.store.records import Store
from sarbench.results.scores import LeaderboardError

GRID = """
name = "two_kinds"
methods = ["mae", "lomar", "sar_jepa"]
[pretrain]
seeds = 3
pool = ["synthetic"]
encoder = "vit_nano"
recipe = "quick"
epochs = 1
warmup_epochs = 0.5
[evaluate]
datasets = ["synthetic"]
seeds = 2
[evaluate.protocols]
linear = [5, 10]
knn = ["all"]
"""
ABSOLUTE, RELATIVE = "Random init", "Random init (relative positions)"


def plan_of(tmp_path, text=GRID):
    return make_plan(grid_of(tmp_path, text), Store(tmp_path / "runs"), tmp_path)


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (("mae", "random_init"), ("MAE", ABSOLUTE)),
        (("random_init", "MAE"), (ABSOLUTE, "MAE")),
        (("lomar", "random_init"), ("LoMaR", RELATIVE)),
        (("sar_jepa", "random_init"), ("SAR-JEPA", RELATIVE)),
        (("mae", RELATIVE), ("MAE", RELATIVE)),
        (("mae", "lomar"), ("MAE", "LoMaR")),
    ],
)
def test_the_untrained_control_of_a_method_has_its_kind_of_encoder(tmp_path, names, rows):
    assert resolve_rows(plan_of(tmp_path), *names) == rows


def test_several_untrained_controls_need_the_name_of_a_row(tmp_path):
    plan = plan_of(tmp_path)
    listed = rf"'random_init' matches 2 rows; give one of: {ABSOLUTE}; Random init \(relative"
    for other in ("raw_pixels", "random_init"):
        with pytest.raises(LeaderboardError, match=listed):
            resolve_rows(plan, other, "random_init")
    with pytest.raises(LeaderboardError, match=r"unknown row 'lomat'. Did you mean 'lomar'\?"):
        resolve_rows(plan, "lomat", "random_init")


def test_the_untrained_control_has_the_size_of_the_other_row(tmp_path):
    text = GRID.replace('"vit_nano"', '["vit_nano", "vit_tiny"]')
    plan = plan_of(tmp_path, text)
    rows = resolve_rows(plan, "LoMaR, encoder vit_tiny", "random_init")
    assert rows[1] == f"{RELATIVE}, encoder vit_tiny"
    with pytest.raises(LeaderboardError, match="'lomar' matches 2 rows"):
        resolve_rows(plan, "lomar", "random_init")


def test_each_trained_row_has_the_untrained_row_of_its_kind_and_size(tmp_path):
    text = GRID.replace('"vit_nano"', '["vit_nano", "vit_tiny"]')
    found = untrained_rows(plan_of(tmp_path, text))
    assert found == {
        f"{label}, encoder {size}": f"{control}, encoder {size}"
        for label, control in (("MAE", ABSOLUTE), ("LoMaR", RELATIVE), ("SAR-JEPA", RELATIVE))
        for size in ("vit_nano", "vit_tiny")
    }
    without = GRID.replace("[pretrain]", 'controls = ["raw_pixels"]\n[pretrain]')
    assert untrained_rows(plan_of(tmp_path, without)) == {}


def test_shared_columns_are_the_columns_of_both_rows(tmp_path):
    text = GRID.replace("linear = [5, 10]", "linear = [5, 10]\nfew_shot = [5]")
    plan = plan_of(tmp_path, text)
    assert shared_columns(plan, "MAE", "LoMaR") == 4
    assert shared_columns(plan, "MAE", "Raw pixels") == 3  # no fine-tuning without an encoder


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    grid = folder / "grid.toml"
    grid.write_text(GRID)
    levels = {"mae": 0.8, "lomar": 0.5, "sar_jepa": 0.6, "raw_pixels": 0.3, "random_init": 0.4}

    def right(run, labels):
        level = levels[run.pretraining.method] + 0.01 * run.pretraining.seed
        return share(level, run.seed, len(labels))

    fill(grid, folder / "runs", right)
    return grid


@pytest.fixture
def compared(stored, monkeypatch, capsys):
    """Call `compare --json`, or another command, in this process and return what it printed."""

    def call(*words, command="compare"):
        runs = stored.parent / "runs"
        asked = ["sarbench", command, stored, *words, "--json", "--runs", runs]
        monkeypatch.setattr(sys, "argv", [*map(str, asked)])
        with suppress(SystemExit):
            main()
        return json.loads(capsys.readouterr().out)

    return call


def test_compare_of_a_part_knows_the_columns_of_the_whole_grid(compared):
    whole = compared("mae", "random_init")
    assert {(one["family"], one["grid_columns"]) for one in whole} == {(3, 3)}
    assert "over 3 columns, over 3 and 3 pretraining seeds" in whole[0]["reading"]
    (part,) = compared("mae", "random_init", "-p", "linear", "-k", "5")
    assert (part["family"], part["grid_columns"]) == (1, 3)
    assert "after Holm's correction over 1 of 3 columns of the grid" in part["reading"]
    assert part["test"]["p"] == pytest.approx(part["p_holm"])
    assert part["test"] == whole[0]["test"]


def test_compare_reads_from_the_grid_if_it_compares_checkpoints(stored, compared):
    text = GRID.replace('name = "two_kinds"', 'name = "two_kinds"\ncompare = "checkpoints"')
    stored.write_text(text.replace("seeds = 3", "seeds = 1"))
    try:
        found = {(one["column"][1], one["column"][2]): one for one in compared("mae", "lomar")}
    finally:
        stored.write_text(GRID)
    assert {one["compares"] for one in found.values()} == {"checkpoints"}
    assert found["knn", "all"]["unit"] == "chips"
    assert found["knn", "all"]["p_holm"] < 0.05
    assert (found["linear", 5]["unit"], found["linear", 5]["test"]) == ("seeds+chips", None)
    for one in found.values():
        assert one["reading"].endswith("no claim about their methods.")
    balanced = compared("mae", "lomar", "--metric", "balanced_accuracy")
    assert {one["unit"] for one in balanced if one["column"][2] == "all"} == {
        "pretrain_seeds+chips"
    }


def test_the_gain_in_a_table_is_the_difference_of_compare(compared):
    cells = compared("--gain", command="table")
    for method in ("mae", "lomar"):
        for one in compared(method, "random_init"):
            (cell,) = [
                c for c in cells
                if (c["name"], c["protocol"], c["shots"]) == (method, *one["column"][1:3])
            ]  # fmt: skip
            found = [cell["gain"], cell["gain_low"], cell["gain_high"]]
            expected = one["effect"]["difference"]
            assert found == pytest.approx([expected[name] for name in ("mean", "low", "high")])
    assert {c["gain_over"] for c in cells if c["name"] == "sar_jepa"} == {RELATIVE}
