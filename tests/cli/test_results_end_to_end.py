"""A store written by the tests: known winners, known ties, a failing method, a missing seed."""

import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def cells(known) -> dict:
    return {(c["method"], c["protocol"]): c for c in known.cells()}


def test_the_winners_and_ties_are_the_known_ones(cells):
    expected = {"SAR-JEPA": 1, "MAE": 1, "LoMaR": 2, "FG-MAE": 2, "I-JEPA": None, "SAR-HOG": None,
                "Raw pixels": None}  # fmt: skip
    assert {method: cells[method, "linear"]["place"] for method in expected} == expected


def test_all_labels_are_tested_over_pretraining_seeds_and_chips(cells):
    # on the same chips, 0.80 and 0.60 of 1200 differ; equal methods do not
    assert cells["SAR-JEPA", "knn"]["place"] == cells["MAE", "knn"]["place"] == 1
    assert cells["LoMaR", "knn"]["place"] == cells["FG-MAE", "knn"]["place"] == 2
    assert cells["SAR-JEPA", "knn"]["unit"] == "pretrain_seeds+chips"
    assert cells["Raw pixels", "knn"]["unit"] == "chips"
    # raw pixels: 0.90 of 1200 chips, each its own group; 147 degrees of freedom
    half = 1.976 * np.sqrt(0.9 * 0.1 / 1199 + 1 / 1200**2)
    assert cells["Raw pixels", "knn"]["high"] - 0.9 == pytest.approx(half, rel=1e-3)


def test_cells_name_the_method_the_encoder_and_what_is_compared(cells):
    cell = cells["SAR-JEPA", "linear"]
    assert (cell["name"], cell["encoder"], cell["pretrain_seeds"]) == ("sar_jepa", "vit_nano", 3)
    assert (cell["compares"], cell["stale"], cell["fails_contract"]) == ("methods", 0, False)
    assert (cells["Raw pixels", "linear"]["encoder"], cell["unit"]) == (None, "pretrain_seeds")
    assert cells["Raw pixels", "linear"]["unit"] == "seeds"
    assert cell["smallest_difference"] == pytest.approx(
        cells["MAE", "linear"]["smallest_difference"]
    )


def test_no_unit_is_seeds_where_no_chip_is_drawn(known, cells):
    for cell in known.cells():
        assert cell["shots"] != "all" or "seeds" not in cell["unit"].split("+")


def test_the_same_store_as_checkpoints_claims_nothing_of_methods(known):
    text = known.grid.read_text()
    as_checkpoints = text.replace('name = "known"', 'name = "known"\ncompare = "checkpoints"')
    known.grid.write_text(as_checkpoints)
    try:
        refused = known.here("table", known.grid, status=2).stderr
        known.grid.write_text(as_checkpoints.replace("seeds = 3\npool", "seeds = 1\npool"))
        cells = {(c["method"], c["protocol"]): c for c in known.cells()}
        said = " ".join(known.here("table", known.grid, "--notes").stdout.split())
    finally:
        known.grid.write_text(text)
    assert "allows one checkpoint for each row" in " ".join(refused.split())
    assert {c["compares"] for c in cells.values()} == {"checkpoints"}
    assert cells["MAE", "linear"]["unit"] == "seeds+chips"
    assert cells["MAE", "knn"]["unit"] == "chips"
    # the checkpoints of seed 0 are right on 0.81, 0.79 and 0.61 of the same 1200 chips
    assert [cells[m, "knn"]["place"] for m in ("SAR-JEPA", "MAE", "LoMaR")] == [1, 2, None]
    assert "no claim about their methods" in said


def test_failures_and_a_missing_seed_are_shown(cells, known):
    failing = cells["SAR-HOG", "linear"]
    assert (failing["mean"], failing["failed"], failing["n"]) == (None, 30, 0)
    missing = cells["I-JEPA", "linear"]
    assert (missing["n"], missing["expected"], missing["failed"]) == (27, 30, 0)
    text = known.here("table", known.grid, "--notes").stdout
    assert "(27/30)" in text
    assert "failed" in text
    assert "Controls above every method: Raw pixels in synthetic/linear/5" in text


def test_plan_warns_before_the_hours_are_spent(known):
    text = known.grid.read_text()
    assert "warning" not in known.here("plan", known.grid).stderr
    known.grid.write_text(text.replace("seeds = 3\npool", "pool"))
    try:
        done = known.here("plan", known.grid)
        table = known.here("table", known.grid).stdout
    finally:
        known.grid.write_text(text)
    assert "warning: 1 pretraining seed: tables" in " ".join(done.stderr.split())
    assert "Not ranked: fewer than 3 pretraining seeds" in " ".join(table.split())
    assert "(1)" not in table


@pytest.mark.slow
def test_a_class_recall_is_a_metric(known):
    done = known.here("table", known.grid, "--metric", "recall:class_3", "--json", status=2)
    assert "classes: " in done.stderr
    name = done.stderr.split("classes: ")[1].split(",")[0].strip()
    cells = json.loads(
        known.here("table", known.grid, "--metric", f"recall:{name}", "--json").stdout
    )
    best = next(c for c in cells if (c["method"], c["protocol"]) == ("MAE", "linear"))
    assert 0.5 < best["mean"] < 1
    assert best["n"] == 30


@pytest.mark.slow
def test_rows_sort_by_a_column_or_by_name(known):
    by_name = known.here("table", known.grid, "--sort", "name").stdout
    assert by_name.index("FG-MAE") < by_name.index("I-JEPA") < by_name.index("SAR-JEPA")
    wrong = known.here("table", known.grid, "--sort", "speed", status=2)
    assert "synthetic/linear/5" in wrong.stderr
