"""Rows that continue from given weights, from the grid to the table and the archive."""

import json
import re
from pathlib import Path

import pytest
from commands import Sarbench, call_here
from given_files import write_weights
from small_grids import grid_of
from stores import planned

from sarbench.bench.execution.given_import import OtherWeightsError, import_given
from sarbench.bench.execution.job import execute
from sarbench.bench.given_identity import given_of
from sarbench.bench.identity import Resources
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.store.records import Store

GRID = """
name = "continued"
compare = "methods"
methods = ["mae", {{name = "mae", init = false, label = "ours"}}, "sar_jepa"{more}]
{top}
[pretrain]
init = {init}
encoder = {encoder}
pool = ["synthetic:train"]
pool_cap = 8
epochs = 1
warmup_epochs = 0
batch = 8
seeds = {seeds}
[evaluate]
datasets = ["synthetic"]
[evaluate.protocols]
knn = ["all"]
"""
INIT = '{weights = "w/dino.pth", heads = 3, label = "DINO", seen = ["synthetic:train"]}'


ONE = '"vit:16x1x2@32/8"'


def text(
    init: str = INIT, more: str = "", top: str = "", encoder: str = ONE, seeds: int = 1
) -> str:
    return GRID.format(init=init, more=more, top=top, encoder=encoder, seeds=seeds)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Sarbench:
    """A store with finished runs."""
    folder = tmp_path_factory.mktemp("continued")
    (folder / "w").mkdir()
    write_weights(folder / "w" / "dino.pth", "dinov2_registers")
    sarbench = Sarbench(folder, text(top='controls = ["random_init"]'))
    plan, store = planned(sarbench.grid, sarbench.runs)
    for job in plan.jobs():
        execute(job, store, Resources(), lambda event: None)
    return sarbench


@pytest.mark.slow
def test_a_row_that_continues_has_the_network_of_the_file_and_each_seed_once(done):
    swept = text(encoder=f'[{ONE}, "vit:24x1x2@32/8"]', seeds=2)
    (done.folder / "swept.toml").write_text(swept)
    found = json.loads(done.here("plan", done.folder / "swept.toml", "--json").stdout)["pretrain"]
    rows = [one for one in found if one["label"] == "MAE from DINO"]
    assert [(one["seed"], one["axes"], one["state"]) for one in rows] == [
        (0, {}, "done"), (1, {}, "new"),
    ]  # fmt: skip
    assert {one["identity"]["encoder"]["name"] for one in rows} == {"given:48x2x3@32/8"}
    assert len({one["identity"]["init"]["digest"] for one in rows}) == 1
    plain = [one["identity"] for one in found if one["label"] == "ours"]
    assert len(plain) == 4
    assert not any("init" in one for one in plain)
    controls = [one for one in found if one["label"] == "Random init (given:48x2x3@32/8)"]
    assert [one["seed"] for one in controls] == [0, 1]


@pytest.mark.slow
def test_tables_compare_the_row_with_its_control_and_say_what_it_starts_from(done):
    found = done.here("table", done.grid, "--gain", "--notes").stdout
    gains = json.loads(done.here("table", done.grid, "--gain", "--json").stdout)
    over = {cell["method"]: cell["gain_over"] for cell in gains}
    assert over["MAE from DINO"] == "Random init (given:48x2x3@32/8)"
    assert re.search(
        r"continues from given weights: MAE from DINO: layout dinov2, digest \w{12}, file dino.pth",
        found,
    )
    assert "Input 32 px, 3 channels, each the chip" in found
    assert "its table of positions is not trained" in found
    weights = "he weights from which MAE from DINO continues have seen"
    assert f"T{weights} (as declared): synthetic:train." in found
    assert f"synthetic: t{weights} no test chip and 400 of its training" in found
    assert "First weights differ." in found
    assert re.search(r"SAR-JEPA from DINO, encoder given:48x2x3@32/8: the method needs rel", found)
    plan = done.here("plan", done.grid).stdout
    assert re.search(r"continues from: MAE from DINO: layout dinov2, digest \w{12}, file d", plan)


@pytest.mark.slow
def test_an_archive_holds_the_row_without_the_file_and_the_store_holds_both(done, tmp_path):
    assert "all hold" in done.here("check", done.grid).stdout
    done.here("archive", done.grid, "--runs", done.runs, "--out", tmp_path / "a.zip")
    live = done.here("table", done.grid, "--gain", "--notes").stdout
    assert call_here("table", tmp_path / "a.zip", "--gain", "--notes").stdout == live
    call_here("merge", done.runs, "--runs", tmp_path / "runs")
    merged = Store(tmp_path / "runs")
    assert merged.keys("pretrain") == Store(done.runs).keys("pretrain")


def test_the_identity_is_of_the_weights_and_their_input_and_not_of_the_path(tmp_path):
    found = []
    for name, more in (("a.pth", ""), ("b.pth", ", labels = true"), ("b.pth", ", mean = 0.5")):
        write_weights(tmp_path / name, "dinov2_registers")
        init = f'{{weights = "{name}", heads = 3, label = "DINO"{more}}}'
        plan = make_plan(grid_of(tmp_path, text(init)), Store(tmp_path / "runs"), tmp_path)
        start, ours = (entry.planned for entry in plan.pretrain[:2])
        assert (start.label, ours.label, ours.init) == ("MAE from DINO", "ours", None)
        found.append((start.init, start.encoder, ours.encoder))
    assert found[0] == found[1]
    assert found[1][0] == found[2][0]
    assert found[1][1] != found[2][1]
    assert found[2][1]["input"]["mean"] == [0.5, 0.5, 0.5]
    assert found[1][2] == found[2][2]


@pytest.mark.slow
def test_a_file_that_changes_is_other_work_and_is_not_trained_under_the_old_key(done):
    path = done.folder / "w" / "dino.pth"
    kept, (plan, store) = path.read_bytes(), planned(done.grid, done.runs)
    (job, *_) = [
        plan.job([one.planned], []) for one in plan.pretrain
        if one.planned.init
    ]  # fmt: skip
    write_weights(path, "dinov2_registers", added=1.0)
    states = {one["label"]: one["state"] for one in done.plan()["pretrain"]}
    assert (states["MAE from DINO"], states["ours"]) == ("new", "done")
    empty = Store(done.folder / "empty")
    with pytest.raises(OtherWeightsError, match="but the plan was made for"):
        import_given(job.pretraining, job.given, empty, Resources())
    import_given(job.pretraining, job.given, store, Resources())  # the store holds the old ones
    given = given_of(job.pretraining)
    assert store.read("pretrain", given.key).identity["config"]["digest"] == given.config["digest"]
    path.write_bytes(kept)
    assert done.plan()["pretrain"][0]["state"] == "done"


@pytest.mark.slow
def test_without_the_file_results_stay_and_a_new_store_refuses(done):
    path = done.folder / "w" / "dino.pth"
    path.rename(path.with_suffix(".away"))
    try:
        assert (
            "continues is missing; it continued from the weights that the file held last"
            in done.here("table", done.grid).stdout
        )
        answer = call_here("plan", done.grid, "--runs", done.folder / "other")
        assert answer.returncode == 2
        assert "init: DINO: the file" in answer.stderr
    finally:
        path.with_suffix(".away").rename(path)


WRONG = [
    ('{weights = "none.pth"}', "", "", "init: none: the file"),
    ('{wieghts = "dino.pth"}', "", "", "unknown key 'wieghts'. Did you mean 'weights'"),
    ("3", "", "", "pretrain.init must be a table"),
    ('{weights = "dino.pth", heads = 5}', "", "", "init: dino: "),
    ('{weights = "nan.pth", heads = 3}', "", "", "holds NaN or infinite weights"),
    ('{weights = "dino.pth", heads = 3, label = " "}', "", "", "its label is empty"),
    ('{weights = "dino.pth", heads = 3}', ', {name = "mae", label = "b", init = true}', "",
     "methods.3.init must be a table"),
    ('{weights = "dino.pth", heads = 3}', "",
     'controls = [{name = "random_init", init = "dino.pth"}]',
     "random_init is a control and is not trained; remove its `init`"),
    ('{weights = "dino.pth", heads = 3}', ', "given"', "", "its weights come from a file"),
    ('{weights = "dino.pth", heads = 3}', ', "mae"', "", "two methods have the label"),
]  # fmt: skip


@pytest.fixture(scope="module")
def wrong(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wrong")
    write_weights(folder / "dino.pth", "dinov2_registers")
    write_weights(folder / "nan.pth", added=float("nan"))
    return folder


@pytest.mark.parametrize(("init", "more", "top", "message"), WRONG)
def test_a_wrong_start_is_refused_and_nothing_is_written(wrong, init, more, top, message):
    (wrong / "grid.toml").write_text(text(init, more, top))
    answer = call_here("run", wrong / "grid.toml", "--runs", wrong / "runs")
    assert answer.returncode == 2, answer.stdout
    assert message in answer.stderr
    assert not (wrong / "runs").exists()


def test_weights_that_no_method_continues_from_are_refused(wrong):
    only = text('{weights = "dino.pth", heads = 3}').replace('"mae", {', "{", 1)
    (wrong / "grid.toml").write_text(only.replace(', "sar_jepa"', ""))
    answer = call_here("plan", wrong / "grid.toml", "--runs", wrong / "runs")
    assert answer.returncode == 2
    assert "but no method continues from them" in answer.stderr
