"""Equal tuning: trials on held-out training chips, and the recipe of the main runs."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from chips import write_images
from commands import call_here
from made_records import make_record

from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.set_descriptions import write_description
from sarbench.bench.grid.schema import GridError, read_grid
from sarbench.bench.identity import Run
from sarbench.bench.plan.filters import Filters
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.plan.tuning import trials_of, tuning_note
from sarbench.bench.store.atomic import npz
from sarbench.bench.store.records import Store
from sarbench.results.record import Attempt, PretrainRecord

GRID = """
name = "test"
methods = ["mae", {{ name = "supervised", pool = ["folder:mine:train"] }}]
controls = ["random_init"]
[pretrain]
pool = ["folder:mine:train"]
encoder = "vit:32x1x2@32/8"
recipe = "quick"
batch = 8
epochs = 8
warmup_epochs = 0.8
{pretrain}
[tune]
{tune}
[evaluate]
datasets = ["folder:mine"]
seeds = 1
[evaluate.protocols]
knn = ["all"]
"""


@pytest.fixture
def root(tmp_path) -> Path:
    names = [f"train/{c}/{c}{number}.png" for c in "ab" for number in range(24)]
    write_images(tmp_path / "mine", *names, "test/a/1.png", "test/b/2.png")
    for name in ("folder:mine", "folder:mine:held_out"):
        chips, counts = prepare(name, tmp_path, Store(tmp_path).prepared)
        write_description(tmp_path, name, chips, counts)
    return tmp_path


def plan_of(root: Path, tune: str = "base_lr = [1e-3, 2e-3, 3e-3]", pretrain: str = "", **more):
    path = root / "grid.toml"
    path.write_text(GRID.format(tune=tune, pretrain=pretrain))
    return make_plan(read_grid(path), Store(root), root, Filters(**more))


def do(root: Path, plan, right: dict[tuple[str, float], tuple[int, int]]) -> None:
    """Store the trials, with these numbers of right chips of 12 by knn and linear."""
    store = Store(root)
    chips = prepare("folder:mine:held_out", root, store.prepared).chips
    truth = chips.labels[chips.is_test]
    assert len(truth) == 12
    for start, runs in plan.tuning.grouped():
        identity = start.planned.identity
        store.write("pretrain", PretrainRecord(
            key=identity.key, identity=identity.to_json(), provenance=make_record().provenance,
            weights_digest="w", steps=1, images_per_s=1.0, final_loss=1.0, feature_spread=1.0,
        ))  # fmt: skip
        store.encoder(identity.key).write_bytes(b"")
        found = right[start.planned.label, start.planned.axes["base_lr"]]
        for entry in runs:
            run = entry.planned.identity
            assert isinstance(run, Run)
            known = np.arange(12) < found[run.protocol == "linear"]
            content = npz(
                classes=np.where(known, truth, 1 - truth).astype(np.int16),
                scores=np.zeros(12, np.float32),
            )
            path = store.folder("evaluate", run.key) / "predictions.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            store.write("evaluate", make_record(accuracy=known.mean()).model_copy(
                update={
                    "key": run.key, "identity": run.to_json(),
                    "predictions_digest": sha256(content).hexdigest(),
                }
            ))  # fmt: skip


SCORES = {
    ("MAE", 1e-3): (6, 6), ("MAE", 2e-3): (3, 11), ("MAE", 3e-3): (7, 6),
    ("Supervised", 1e-3): (8, 4), ("Supervised", 2e-3): (6, 6), ("Supervised", 3e-3): (1, 1),
}  # fmt: skip


def test_every_method_has_the_same_trials_on_held_out_chips_alone(root):
    plan = plan_of(root)
    trials = plan.tuning.pretrain
    assert [(t.planned.label, t.planned.axes["base_lr"]) for t in trials] == list(SCORES)
    recipes = [trial.planned.recipe for trial in trials]
    assert {(one.epochs, round(one.warmup_epochs, 6)) for one in recipes} == {(2, 0.2)}
    assert {run.planned.dataset for run in plan.tuning.runs} == {"folder:mine:held_out"}
    runs = [run.planned for run in plan.tuning.runs]
    assert {(run.protocol, run.shots) for run in runs} == {("knn", "all"), ("linear", "all")}
    labelled = [t.planned.pool for t in trials if t.planned.label == "Supervised"]
    assert labelled == [["folder:mine:held_out:train"]] * 3
    assert {entry.cause for entry in plan.runs} == {"not_tuned", "not_run"}
    assert plan.open_trials


def test_the_best_mean_of_both_protocols_wins_and_the_first_of_equals(root):
    do(root, plan_of(root), SCORES)
    plan = plan_of(root)
    assert not plan.open_trials
    chosen = [
        (t.label, t.values["base_lr"]) for t in trials_of(plan.tuning, Store(root)) if t.chosen
    ]
    assert chosen == [("MAE", 2e-3), ("Supervised", 1e-3)]
    recipes = {e.planned.label: e.planned.recipe for e in plan.pretrain if e.planned.recipe}
    assert {name: one.base_lr for name, one in recipes.items()} == dict(chosen)
    assert {one.epochs for one in recipes.values()} == {8}
    assert {entry.state for entry in plan.runs} == {"new"}
    note = tuning_note(plan.grid, [entry.planned for entry in plan.pretrain])
    assert "tuned with 3 trials of a quarter of its epochs (base_lr 0.001, 0.002, 0.003)" in note
    assert "training chips of folder:mine. Chosen: MAE: base_lr 0.002; Supervised: base" in note


def test_a_key_does_not_depend_on_how_its_recipe_was_found(root):
    do(root, plan_of(root), SCORES)
    tuned = {e.planned.label: e.key for e in plan_of(root).pretrain}
    path = root / "plain.toml"
    text = GRID.format(tune="", pretrain="").replace("[tune]", "").replace('"mae",', (
        '{ name = "mae", base_lr = 2e-3 },'
    ))  # fmt: skip
    path.write_text(text)
    plain = make_plan(read_grid(path), Store(root), root)
    assert next(e.key for e in plain.pretrain if e.planned.label == "MAE") == tuned["MAE"]
    assert "not tuned" in tuning_note(plain.grid, [entry.planned for entry in plain.pretrain])


def test_an_edited_trial_is_refused(root):
    plan = plan_of(root)
    do(root, plan, SCORES)
    run = plan.tuning.runs[0]
    path = Store(root).record("evaluate", run.key)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"accuracy": 0.99}))
    with pytest.raises(GridError, match=r"trial MAE.*says 0.9900, its predictions 0.5000"):
        plan_of(root)


def test_a_failed_trial_is_not_chosen_and_an_open_one_blocks_its_method_only(root):
    plan = plan_of(root)
    do(root, plan, SCORES)
    store = Store(root)
    best, other = plan.tuning.pretrain[1], plan.tuning.pretrain[5]
    for start, runs in plan.tuning.grouped():
        if start in (best, other):
            store.move_aside("pretrain", start.key)
            for run in runs:
                store.move_aside("evaluate", run.key)
    attempt = Attempt(failure="E", message="m", traceback="", host="h", time="t")
    store.write_attempt("pretrain", best.key, attempt)
    trials = trials_of(plan_of(root).tuning, Store(root))
    assert [(t.label, t.values["base_lr"]) for t in trials if t.chosen] == [("MAE", 3e-3)]
    assert [trial.state for trial in trials] == ["done", "failed", "done", "done", "done", "open"]
    causes = {e.planned.label: e.cause for e in plan_of(root).pretrain}
    assert (causes["MAE"], causes["Supervised"]) == ("not_run", "not_tuned")


def test_a_killed_trial_is_open_and_rows_are_found_again_by_the_label_of_the_grid(root):
    methods = '"mae", { name = "mae", pool = ["folder:mine/train"] }, "supervised"'
    text = GRID.format(tune="base_lr = [1e-3, 2e-3]", pretrain="")
    old = '"mae", { name = "supervised", pool = ["folder:mine:train"] }'
    path = root / "two.toml"
    path.write_text(text.replace(old, methods))
    prepare("folder:mine/train", root, Store(root).prepared, pool=True)
    plan = make_plan(read_grid(path), Store(root), root)
    labels = [entry.planned.label for entry in plan.tuning.pretrain]
    assert labels[::2] == ["MAE", "MAE, pool folder:mine/train", "Supervised"]
    assert plan.tuning.pretrain[4].planned.pool == ["folder:mine:held_out:train"]
    only = make_plan(read_grid(path), Store(root), root, Filters(methods=(labels[2],)))
    assert {entry.key for entry in only.tuning.pretrain} == {
        e.key for e in plan.tuning.pretrain[2:4]
    }
    do(root, plan, {(name, rate): (6, int(1e3 * rate)) for name in labels for rate in (1e-3, 2e-3)})
    after = make_plan(read_grid(path), Store(root), root)
    assert {e.cause for e in after.pretrain if e.planned.recipe} == {"not_run"}
    killed = after.tuning.pretrain[1]
    for start, runs in after.tuning.grouped():
        for entry in runs if start is killed else ():
            Store(root).move_aside("evaluate", entry.key)
    Store(root).move_aside("pretrain", killed.key)
    attempt = Attempt(failure="killed", message="m", traceback="", host="h", time="t")
    Store(root).write_attempt("pretrain", killed.key, attempt)
    assert make_plan(read_grid(path), Store(root), root).open_trials


def test_a_method_whose_trials_all_failed_is_named(root):
    plan = plan_of(root)
    attempt = Attempt(failure="E", message="m", traceback="", host="h", time="t")
    for entry in plan.tuning.pretrain:
        Store(root).write_attempt("pretrain", entry.key, attempt)
    after = plan_of(root)
    assert not after.open_trials
    assert {e.cause for e in after.pretrain if e.planned.recipe} == {"trials_failed"}


def test_labels_of_held_out_chips_are_refused_under_another_name(root):
    shutil.copytree(root / "mine", root / "copy")
    prepare("folder:copy", root, Store(root).prepared)
    path = root / "copy.toml"
    text = GRID.format(tune="base_lr = [1e-3, 2e-3]", pretrain="")
    path.write_text(text.replace('mine:train"] }', 'copy:train"] }'))
    with pytest.raises(GridError, match="Supervised is trained with the labels of 12 held-out"):
        make_plan(read_grid(path), Store(root), root)


def test_filters_limit_the_trials(root):
    plan = plan_of(root, methods=("MAE",))
    assert {entry.planned.label for entry in plan.tuning.pretrain} == {"MAE"}
    assert plan_of(root, methods=("random_init",)).tuning is None


@pytest.mark.parametrize(("tune", "pretrain", "said"), [
    ("epochs = 1", "", "no recipe field with several values"),
    ("base_lr = [1e-3]", "", "no recipe field with several values"),
    ("epochs = [1, 2]", "", "longer trials would win"),
    ("base_lr = [1e-3, -1]", "", r"\[tune\]: mae: base_lr must be > 0"),
    ("base_lr = [1e-3, 2e-3]", "pool_fraction = [0.5, 1.0]", "pool_fraction is swept"),
    ('base_lr = [1e-3, 2e-3]\ndataset = "mstar_sok"', "", "mean 'mstar_soc'"),
    ("base_rl = [1e-3, 2e-3]", "", "Did you mean 'base_lr'"),
    ('base_lr = [1e-3, 2e-3]\nepochs = "one"', "", "mae: epochs must be a number, got 'one'"),
    ("batch = [8, 4000]", "", "batch = 4000, but the pool of mae"),
])  # fmt: skip
def test_a_wrong_tuning_is_refused(root, tune, pretrain, said):
    with pytest.raises(GridError, match=said):
        plan_of(root, tune, pretrain)


def test_a_tuning_on_test_chips_of_the_grid_is_refused(root):
    # The training chips of `other` are all chips of `mine`, its test chips included.
    (root / "other").mkdir()
    lines = ["file,class,side"]
    for path in sorted((root / "mine").rglob("*.png"), reverse=True):
        name = f"{path.parent.name}{len(lines)}.png"
        shutil.copy(path, root / "other" / name)
        lines.append(f"{name},{path.parent.name},{'train' if len(lines) > 4 else 'test'}")
    (root / "other" / "split.csv").write_text("\n".join(lines))
    for name in ("folder:other", "folder:other:held_out"):
        prepare(name, root, Store(root).prepared)
    with pytest.raises(GridError, match=r"training chips of folder:other hold 2 test chips"):
        plan_of(root, 'base_lr = [1e-3, 2e-3]\ndataset = "folder:other"')


@pytest.mark.slow
def test_run_does_the_trials_first_and_an_archive_keeps_them(root, sarbench):
    path = root / "grid.toml"
    path.write_text(GRID.format(tune="base_lr = [1e-3, 1e-2]", pretrain=""))
    status, said = sarbench("run", path, "--data", root, runs=root)
    assert (status, "the trials of every method come first" in said) == (0, True), said
    assert {entry.state for entry in plan_of(root, "base_lr = [1e-3, 1e-2]").runs} == {"done"}
    for words, row in (((), "MAE"), (("--tuning",), "MAE, base_lr 0.001")):
        archive = root / f"{len(words)}.zip"
        assert sarbench("archive", path, *words, "--out", archive, runs=root)[0] == 0
        shown = call_here("table", archive, "--notes")
        assert shown.returncode == 0, shown.stderr
        assert row in shown.stdout
        assert call_here("check", archive).returncode == 0
    assert "tuned with 2 trials" in call_here("table", root / "0.zip", "--notes").stdout
    (root / "plain.toml").write_text(path.read_text().replace("[tune]\nbase_lr = [1e-3, 1e-2]", ""))
    status, said = sarbench("plan", root / "plain.toml", "--tuning", runs=root)
    assert (status, "has no trials, because it has no section [tune]" in said) == (2, True)
