"""Sentences about rows that differ in more than their method."""

from dataclasses import replace
from pathlib import Path

import stores

from sarbench.bench.grid.schema import read_grid
from sarbench.bench.method_facts.method_info import plugin_state
from sarbench.bench.plan.comparability import code_warnings, compute_note, differences, mixed_code
from sarbench.bench.plan.plan import Plan, make_plan
from sarbench.bench.store.records import Store
from sarbench.results.record import Architecture

GRID = """
name = "differing"
methods = {methods}
controls = []
[pretrain]
pool_cap = 64
encoder = {encoder}
recipe = "quick"
epochs = {epochs}
[evaluate]
seeds = 1
[evaluate.protocols]
knn = [5]
"""
# Made up: name of the network, its weights, GFLOP of a step.
NETWORKS = {
    "mae": ("Encoder, absolute positions", 154_304, 0.25),
    "fg_mae": ("Encoder, absolute positions", 154_304, 0.275),
    "lomar": ("ResNet18", 11_170_000, 0.5),
}


def planned(
    tmp_path: Path, methods: str, encoder: str = '"vit_nano"', epochs: str = "2",
    recorded: bool = True,
) -> Plan:  # fmt: skip
    path = tmp_path / "grid.toml"
    path.write_text(GRID.format(methods=methods, encoder=encoder, epochs=epochs))
    plan, store = stores.planned(path, tmp_path / "runs")
    for entry in plan.pretrain:
        network, weights, gflop = NETWORKS[entry.planned.method]
        known = Architecture(
            encoder=network, encoder_parameters=weights, trained_parameters=weights,
            encoder_gflop=0.1, step_gflop=gflop,
        )  # fmt: skip
        record = stores.pretrain_record(entry.planned)
        changes = {"architecture": known if recorded else None}
        store.write("pretrain", record.model_copy(update=changes))
    return make_plan(read_grid(path), Store(tmp_path / "runs"), tmp_path / "runs" / "data")


def test_rows_that_differ_only_in_their_method_have_no_sentence(tmp_path):
    assert differences(planned(tmp_path, '["mae", "fg_mae"]')) == {}


def test_networks_that_differ_are_named(tmp_path):
    (line,) = differences(planned(tmp_path, '["mae", "fg_mae", "lomar"]')).values()
    assert line == (
        "Networks differ. Encoder, absolute positions (154,304 weights): MAE; FG-MAE. "
        "ResNet18 (11,170,000 weights): LoMaR."
    )


def test_sizes_budgets_and_recipes_that_differ_are_named(tmp_path):
    methods = '["mae", {name = "fg_mae", recipe = "source"}]'
    plan = planned(tmp_path, methods, '["vit_nano", "vit_tiny"]', "[2, 4]\nbatch = 32")
    sizes, inputs, budgets, recipes = differences(plan).values()
    assert sizes.startswith("Encoder sizes differ. vit_nano: MAE, encoder vit_nano")
    assert sizes.endswith("vit_tiny: all other rows.")
    assert inputs.startswith("Inputs differ. 112 px in patches of 8 px: MAE, encoder vit_nano")
    assert inputs.endswith("224 px in patches of 16 px: all other rows.")
    assert budgets.startswith("Budgets differ. 64 chips, epochs 2, batches of 32: MAE")
    assert budgets.endswith("64 chips, epochs 4, batches of 32: all other rows.")
    assert "source: all other rows." in recipes


def test_compute_is_relative_to_mae(tmp_path):
    note = compute_note(planned(tmp_path, '["mae", "fg_mae", "lomar"]'))
    assert "relative to MAE (0.25 GFLOP): MAE 1; FG-MAE 1.1; LoMaR 2." in note


def test_compute_without_mae_is_absolute(tmp_path):
    note = compute_note(planned(tmp_path, '["fg_mae", "lomar"]'))
    assert "in GFLOP: FG-MAE 0.275; LoMaR 0.5." in note


def test_records_without_an_architecture_have_no_compute(tmp_path):
    plan = planned(tmp_path, '["mae", "fg_mae"]', recorded=False)
    assert differences(plan) == {}
    assert compute_note(plan) == ""


def with_states(plan: Plan, **states: str) -> Plan:
    """Return a plan whose records name the states of the files of some methods."""
    entries = []
    for entry in plan.pretrain:
        record = entry.record
        made = record.provenance.model_copy(update={"plugin": states[entry.planned.method]})
        entries.append(replace(entry, record=record.model_copy(update={"provenance": made})))
    return replace(plan, pretrain=entries)


def test_a_method_pretrained_from_two_states_of_its_files_is_named(tmp_path):
    one = with_states(planned(tmp_path, '["mae", "fg_mae"]'), mae="aa", fg_mae="bb")
    assert mixed_code(one) == []
    other = with_states(one, mae="cc", fg_mae="bb")
    (line,) = mixed_code(replace(one, pretrain=one.pretrain + other.pretrain))
    assert line.startswith("MAE was pretrained from 2 states of its files (aa, cc) under one")


def test_files_that_changed_since_the_pretraining_are_named(tmp_path, package, monkeypatch):
    package("plugin_blur", "version = 1")
    known = plugin_state("plugin_blur")
    assert known is not None
    assert plugin_state("mae") is None  # bundled
    assert plugin_state("absent") is None
    plan = with_states(planned(tmp_path, '["mae"]'), mae=known)
    for entry in plan.pretrain:
        entry.planned = replace(entry.planned, method="plugin_blur")
    plan = replace(plan, methods={"plugin_blur": plan.methods["mae"]})
    assert code_warnings(plan) == []
    (tmp_path / "plugin_blur.py").write_text("version = 1  # changed")
    (line,) = code_warnings(plan)
    assert f"(state {known}, now {plugin_state('plugin_blur')})" in line
