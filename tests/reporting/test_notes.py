"""Notes that follow from a plan, and their flags in the caption."""

from small_grids import grid_of
from stores import fill, share

from sarbench.bench.plan.plan import make_plan
from sarbench.bench.reporting.leaderboard import leaderboard, notes_of, predictions_of
from sarbench.bench.reporting.notes import notes
from sarbench.bench.store.records import Store
from sarbench.results.notes import SUBJECTS, flags
from sarbench.results.tables.render import render

GRID = """
name = "differing"
methods = ["mae", {name = "fg_mae", recipe = "source"}]
controls = []
[pretrain]
pool = ["synthetic"]
encoder = "vit_nano"
recipe = "quick"
batch = 32
[evaluate]
datasets = ["synthetic"]
seeds = 1
[evaluate.protocols]
knn = [5]
"""


def test_a_data_set_that_the_store_does_not_describe_is_flagged(tmp_path):
    plan = make_plan(grid_of(tmp_path, GRID), Store(tmp_path / "runs"), tmp_path)
    assert "The store does not describe synthetic." in flags(notes(plan))


def test_captions_state_test_chips_that_are_near_copies_of_training_chips(tmp_path):
    text = GRID.replace('["synthetic"]\nseeds', '["sar_acd", "sar_acd/by_copies"]\nseeds')
    plan = make_plan(grid_of(tmp_path, text), Store(tmp_path / "runs"), tmp_path)
    flag, other = (one for one in flags(notes(plan)) if "near copies" in one)
    assert flag.startswith("580 of 1,260 test chips of sar_acd are near copies")
    assert other.startswith("10 of 1,256 test chips of sar_acd/by_copies are near copies")


def test_a_row_that_is_not_in_the_table_is_flagged(tmp_path):
    text = GRID.replace("vit_nano", "vit:32x1x2@32/8").replace('"mae", ', '"mae", "i_jepa", ')
    plan = make_plan(grid_of(tmp_path, text), Store(tmp_path / "runs"), tmp_path)
    assert "Not in the table: I-JEPA (n/a on vit:32x1x2@32/8)." in flags(notes(plan))


def test_a_table_prints_flags_and_with_notes_everything(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    fill(path, tmp_path / "runs", lambda run, labels: share(0.5, run.seed, len(labels)))
    store = Store(tmp_path / "runs")
    plan = make_plan(grid_of(tmp_path, GRID), store, tmp_path / "runs" / "data")
    predictions = predictions_of(plan, store)
    board = leaderboard(plan, "accuracy", predictions)
    every = notes_of(plan, predictions)
    assert {note.subject for note in every} <= set(SUBJECTS)
    short, full = (render(board, "text", notes=wanted) for wanted in (False, True))
    (flag,) = (line for line in short.splitlines() if line.startswith("Rows differ in"))
    assert "recipes" in flag
    assert len(short.split("\n\n")[-1].splitlines()) <= 5  # one more for chance
    assert all(note.text in full for note in every)

    (mae, _) = plan.pretrain
    mae.record = mae.record.model_copy(update={"collapsed_step": 3, "steps": 1200})
    collapsed = notes(plan)
    assert "Features collapsed while pretraining: MAE." in flags(collapsed)
    (text,) = (note.text for note in collapsed if "collapsed" in note.text)
    assert "MAE at step 3 of 1,200. Nearly constant" in text


def test_changed_settings_are_flagged_and_the_steps_of_a_training_are_given(tmp_path):
    changed = """
knn = {shots = [5, 10], settings = {whiten = true}}
linear = {shots = [5, 10], settings = {epochs = 20, readout = "default"}}
few_shot = {shots = [5], settings = {steps = 300}}
finetune = ["all"]
"""
    path = tmp_path / "grid.toml"
    path.write_text(GRID.replace("\nknn = [5]\n", changed))
    fill(path, tmp_path / "runs", lambda run, labels: share(0.5, run.seed, len(labels)))
    store = Store(tmp_path / "runs")
    plan = make_plan(grid_of(tmp_path, path.read_text()), store, tmp_path / "runs" / "data")
    found = notes(plan)
    flag = (
        "Settings other than the defaults: knn whiten true, linear epochs 20, few_shot steps 300."
    )
    assert flag in flags(found)
    # ten classes: 50 and 100 labelled chips in batches of 50, 400 in batches of 64
    steps = "linear 20 on 50 chips, 40 on 100 chips; few_shot 300 on 50 chips; finetune 300 on 400"
    assert any(steps in note.text for note in found)
