"""Budgets: epochs that give every method the compute of the first one."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.set_descriptions import write_description
from sarbench.bench.grid.schema import GridError, read_grid
from sarbench.bench.method_facts.architecture import architecture_of
from sarbench.bench.plan.budget import budget_note
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.store.records import Store
from sarbench.bench.store.step_times import (
    StepTime,
    read_step_time,
    step_fields,
    step_time_file,
    write_step_time,
)  # fmt: skip
from sarbench.results.record import PretrainRecord

GRID = """
name = "test"
methods = ["mae", "simclr", {{ name = "supervised", pool = ["folder:mine:train"] }}]
controls = []
[pretrain]
pool = ["folder:mine:train"]
encoder = "vit:32x1x2@32/8"
recipe = "quick"
epochs = {epochs}
batch = 8
warmup_epochs = 0.5
budget = "{budget}"
[evaluate]
datasets = ["folder:mine"]
seeds = 1
[evaluate.protocols]
knn = ["all"]
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    for side, count in (("train", 24), ("test", 2)):
        for name in "ab":
            (root / "mine" / side / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (32, 32), np.uint8)
                Image.fromarray(pixels).save(root / f"mine/{side}/{name}/{name}{number}.png")
    chips, counts = prepare("folder:mine", root, Store(root).prepared)
    write_description(root, "folder:mine", chips, counts)
    return root


def plan_of(root: Path, budget: str, epochs: float = 5):
    path = root / f"{budget}.toml"
    path.write_text(GRID.format(budget=budget, epochs=epochs))
    return make_plan(read_grid(path), Store(root), root)


def epochs_of(plan) -> dict[str, float]:
    return {one.label: one.recipe.epochs for one in trained(plan)}


def trained(plan) -> list:
    return [one.planned for one in plan.pretrain if one.planned.recipe]


def test_equal_flops_give_each_method_the_flops_of_the_first(prepared):
    plan = plan_of(prepared, "flops")
    total = {}
    for one in trained(plan):
        identity = one.identity
        step = architecture_of(identity).step_gflop
        steps = identity.pool_count // 8 * identity.recipe["epochs"]
        total[one.label] = step * steps * 8
        share = identity.recipe["warmup_epochs"] / identity.recipe["epochs"]
        assert share == pytest.approx(0.1, rel=0.01)
    assert total["SimCLR"] == pytest.approx(total["MAE"], rel=5e-3)  # epochs have two digits
    assert total["Supervised"] == pytest.approx(total["MAE"], rel=5e-3)
    assert epochs_of(plan)["MAE"] == 5
    assert epochs_of(plan)["SimCLR"] < 4 < epochs_of(plan_of(prepared, "chips"))["SimCLR"]
    note = budget_note(plan.grid, trained(plan), plan.methods)
    assert "equal FLOPs" in note
    assert f"SimCLR {epochs_of(plan)['SimCLR']:g}" in note


def test_all_seeds_of_the_first_row_keep_its_epochs(prepared):
    path = prepared / "seeds.toml"
    text = GRID.format(budget="flops", epochs=5.125)
    path.write_text(text.replace("[pretrain]", "[pretrain]\nseeds = 2"))
    plan = make_plan(read_grid(path), Store(prepared), prepared)
    assert {one.recipe.epochs for one in trained(plan) if one.label == "MAE"} == {5.125}


def test_core_seconds_are_those_of_the_store(prepared):
    store = Store(prepared)
    untimed = plan_of(prepared, "core_seconds")
    assert [one.identity for one in trained(untimed)] == [None] * 3
    causes = [entry.cause for entry in untimed.runs if entry.planned.pretraining.recipe]
    assert set(causes) == {"not_timed"}
    seconds = {"MAE": 0.01, "SimCLR": 0.025, "Supervised": 0.005}
    for one in untimed.untimed:
        write_step_time(store, one.identity, StepTime(
            step=step_fields(one.identity), seconds=seconds[one.label], chips=8, host="h",
            processor="p", time="t",
        ))  # fmt: skip
    assert epochs_of(plan_of(prepared, "core_seconds")) == {"MAE": 5, "SimCLR": 2, "Supervised": 10}


def test_a_damaged_time_is_measured_again_and_every_encoder_has_one(prepared, tmp_path):
    path = tmp_path / "two.toml"
    text = GRID.format(budget="core_seconds", epochs=5)
    path.write_text(text.replace('"vit:32x1x2@32/8"', '["vit:32x1x2@32/8", "vit:16x1x2@32/8"]'))
    store = Store(prepared)
    untimed = make_plan(read_grid(path), store, prepared).untimed
    assert len({step_time_file(store, one.identity) for one in untimed}) == len(untimed) >= 3
    identity = untimed[-1].identity
    for content in ("{", '{"seconds": 0}'):
        step_time_file(store, identity).parent.mkdir(exist_ok=True)
        step_time_file(store, identity).write_text(content)
        assert read_step_time(store, identity) is None
        measured = StepTime(
            step=step_fields(identity), seconds=0.5, chips=8, host="h", processor="p", time="t"
        )
        write_step_time(store, identity, measured)
        assert read_step_time(store, identity) == measured
    step_time_file(store, identity).unlink()


def test_a_budget_below_one_epoch_is_refused(prepared):
    with pytest.raises(GridError, match=r"SimCLR: its epoch costs .* at least 1 is allowed"):
        plan_of(prepared, "flops", epochs=1)


@pytest.mark.slow
def test_steps_are_timed_and_epochs_may_be_fractional(prepared, tmp_path, sarbench):
    path = tmp_path / "grid.toml"
    text = GRID.format(budget="core_seconds", epochs=2.5).replace('"simclr",', "")
    path.write_text(text.replace('vit:32x1x2@32/8"', 'vit:32x1x2@24/8"'))
    status, said = sarbench("run", path, "--data", prepared, "--workers", "1", runs=prepared)
    assert (status, "timed MAE: " in said) == (0, True), said
    plan = make_plan(read_grid(path), Store(prepared), prepared)
    record = plan.pretrain[0].record
    assert isinstance(record, PretrainRecord)
    assert record.steps == 15  # 2.5 epochs of 6 steps
    lines = Store(prepared).history(record.key).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2, 2.5]
