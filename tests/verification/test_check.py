"""True records have no findings; each false claim is one finding, and no table prints it."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from chips import write_pool
from commands import Sarbench
from safetensors.numpy import save
from sklearn.metrics import accuracy_score, f1_score
from stores import fill, share

from sarbench.bench.data.find_set import Splits
from sarbench.bench.data.set_descriptions import read_checked_set, read_set
from sarbench.bench.data.sources import synthetic
from sarbench.bench.data.splits import DamagedSetError, Split, shipped
from sarbench.bench.grid.schema import read_grid
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.reporting.chip_predictions import ChipPredictions
from sarbench.bench.reporting.html_report import _facts
from sarbench.bench.reporting.leaderboard import leaderboard, predictions_of
from sarbench.bench.store.atomic import npz
from sarbench.bench.store.records import Store
from sarbench.bench.suggest import RequestError
from sarbench.bench.verification.check import Finding, check_plan, check_store
from sarbench.bench.verification.verify_pretraining import MISSING
from sarbench.results.class_metrics import class_scores, score_runs
from sarbench.results.record import digest_json
from sarbench.results.scores import LeaderboardError

GRID = """
name = "few"
methods = ["mae"]
controls = ["random_init"]
[pretrain]
pool = ["folder:pool"]
encoder = "vit_nano"
recipe = "quick"
batch = 4
[evaluate]
datasets = ["synthetic"]
seeds = 2
[evaluate.protocols]
linear = [5]
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    write_pool(folder / "runs" / "data")
    (folder / "grid.toml").write_text(GRID)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "generate", noise)
        fill(folder / "grid.toml", folder / "runs", lambda run, y: share(0.6, run.seed, len(y)))
    return folder


def noise(splits):
    """Return chips with the ids and labels of the synthetic set, without simulating them."""
    _, split = shipped("synthetic")
    names = [split.classes[label] for label in split.labels]
    return synthetic.SyntheticSet(
        pixels=np.random.default_rng(0).integers(0, 255, (len(names), 8, 8), dtype=np.uint8),
        labels=np.array([list(synthetic.VEHICLES).index(name) for name in names]),
        is_test=split.is_test, ids=split.ids.tolist(),
        classes=tuple(synthetic.VEHICLES),
    )  # fmt: skip


@pytest.fixture
def store(clean, tmp_path):
    """A copy of the clean store, without any data."""
    for kind in ("pretrain", "evaluate", "sets"):
        shutil.copytree(clean / "runs" / kind, tmp_path / "copy" / kind)
    return Store(tmp_path / "copy")


def run_folder(store):
    return store.folder("evaluate", sorted(store.keys("evaluate"))[0])


def start_folder(store):
    return store.folder("pretrain", sorted(store.keys("pretrain"))[0])


def edit(folder, **changes):
    path = folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def with_identity(store, folder=None, **changes):
    """Give one run another identity and the key and folder that belong to it."""
    folder = folder or run_folder(store)
    record = json.loads((folder / "record.json").read_text())
    identity = record["identity"] | changes
    key = digest_json(identity)
    folder.rename(folder.with_name(key))
    edit(folder.with_name(key), identity=identity, key=key)


def with_predictions(store, **arrays):
    """Write other predictions, and a record that names their digest."""
    folder = run_folder(store)
    with np.load(folder / "predictions.npz") as stored:
        content = npz(**{name: stored[name] for name in stored.files} | arrays)
    (folder / "predictions.npz").write_bytes(content)
    edit(folder, predictions_digest=hashlib.sha256(content).hexdigest())


def with_encoder(store, content):
    """Write other weights, and records that name their digest."""
    folder = start_folder(store)
    (folder / "encoder.safetensors").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit(folder, weights_digest=digest)
    for key in store.keys("evaluate"):
        run = store.folder("evaluate", key)
        if json.loads((run / "record.json").read_text())["identity"]["start"] == folder.name:
            edit(run, weights_digest=digest)


def found(store):
    return check_store(store).findings


def the_one(store):
    (finding,) = found(store)
    return finding


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"accuracy": 0.999}, "scores", "accuracy is 0.999000 in the record, 0.6"),
        ({"balanced_accuracy": 0.999}, "scores", "balanced_accuracy is 0.999000"),
        ({"macro_f1": 0.5}, "scores", "macro_f1 is 0.500000"),
        ({"train_count": 51}, "counts", "51 labelled chips, its shots and seed give 50"),
        ({"support_digest": "0" * 64}, "support", "labelled chips have digest 000000000000"),
        ({"weights_digest": "1" * 64}, "weights", "measured with weights 111111111111"),
        ({"predictions_digest": "2" * 64}, "predictions", "its record says 222222222222"),
        ({"key": "3" * 64}, "record", "holds"),
        ({"accuracy": "much"}, "record", "accuracy"),
    ],
)
def test_an_edited_field_of_a_run_is_one_finding(store, changes, kind, says):
    edit(run_folder(store), **changes)
    finding = the_one(store)
    assert finding.kind == kind
    assert says in finding.text
    assert finding.what.startswith(f"evaluate/{run_folder(store).name[:12]}")


def test_a_score_that_is_off_by_a_millionth_is_found_and_rounding_is_not(store):
    record = json.loads((run_folder(store) / "record.json").read_text())
    edit(run_folder(store), accuracy=record["accuracy"] + 1e-12)
    assert found(store) == []
    edit(run_folder(store), accuracy=record["accuracy"] + 1e-6)
    assert the_one(store).kind == "scores"


def test_a_wrong_number_of_test_chips_is_found(store):
    edit(run_folder(store), test_count=599)
    assert {one.kind for one in found(store)} == {"counts", "predictions"}


def test_missing_predictions_and_encoders_are_found(store):
    (run_folder(store) / "predictions.npz").unlink()
    (start_folder(store) / "encoder.safetensors").unlink()
    assert [(one.kind, one.text) for one in found(store)] == [
        ("missing", MISSING.format("encoder.safetensors")),
        ("missing", "predictions.npz is missing"),
    ]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"classes": np.zeros(10, np.int16)}, "(10,) int16 classes of 1200 chips"),
        ({"classes": np.zeros(1200)}, "(1200,) float64 classes"),
        ({"classes": np.full(1200, 10, np.int16)}, "a class outside 0..9"),
        ({"classes": np.full(1200, -1, np.int16)}, "a class outside 0..9"),
        ({"classes": np.zeros((1200, 1), np.int16)}, "not one number for each chip"),
        ({"classes": np.array([print] * 1200, dtype=object)}, "not one number for each chip"),
        ({"scores": np.full(1200, np.nan, np.float32)}, "not finite"),
        ({"scores": np.ones(1199, np.float32)}, "(1199,) float32 scores"),
        ({"scores": np.zeros((1200, 9), np.float16)}, "scores of 9 classes, not 10"),
        ({"scores": np.zeros((10, 1200), np.float16).T}, "stored by columns"),
        ({"more": np.zeros(1)}, "instead of classes, scores"),
    ],
)
def test_predictions_of_another_form_are_found(store, arrays, says):
    with_predictions(store, **arrays)
    finding = the_one(store)
    assert finding.kind == "predictions"
    assert says in finding.text


def test_a_run_of_other_shots_or_another_seed_has_other_labelled_chips(store):
    with_identity(store, shots=10)
    assert {one.kind for one in found(store)} == {"counts", "support"}


def test_a_seed_that_was_not_drawn_is_found(store):
    with_identity(store, seed=17)
    assert [one.kind for one in found(store)] == ["support"]


def test_an_identity_that_lacks_a_field_is_found(store):
    with_identity(store, shots=True)
    assert "lacks shots" in the_one(store).text


@pytest.mark.parametrize("condition", ["clean", "shift:04", None, 4])
def test_an_identity_with_an_unknown_condition_is_found(store, condition):
    with_identity(store, condition=condition)
    assert "unknown condition" in the_one(store).text


def test_a_run_in_a_condition_is_verified_like_a_clean_one(store):
    with_identity(store, condition="shift:4")
    assert not found(store)


def test_another_method_than_that_of_the_pretraining_is_found(store):
    with_identity(store, method="sar_jepa")
    finding = the_one(store)
    assert finding.kind == "method"
    assert "names the method sar_jepa" in finding.text


def test_a_run_without_its_pretraining_cannot_be_traced(store):
    with_identity(store, start="4" * 64)
    finding = the_one(store)
    assert finding.kind == "start"
    assert "cannot be traced" in finding.text


def test_another_file_of_weights_is_found(store):
    (start_folder(store) / "encoder.safetensors").write_bytes(b"other")
    assert the_one(store).kind == "weights"


def test_weights_that_name_another_pretraining_are_found(store):
    told = {"pretraining": json.dumps({"method": "mae"})}
    with_encoder(store, save({"weight": np.zeros(1, np.float32)}, metadata=told))
    finding = the_one(store)
    assert finding.kind == "weights"
    assert "another pretraining" in finding.text


def test_weights_that_cannot_be_read_are_found(store):
    with_encoder(store, b"no safetensors")
    assert "cannot be read" in the_one(store).text


def test_a_split_that_sarbench_does_not_ship_is_found_for_a_set_that_it_does(store):
    with_identity(store, split_digest="5" * 64)
    assert {one.kind for one in found(store)} == {"split", "unscored"}


def test_runs_whose_split_is_not_known_are_one_finding(store):
    for folder in list((store.root / "evaluate").iterdir()):
        with_identity(store, folder, dataset="fusar_ship", split_digest="6" * 64)
    (finding,) = found(store)
    assert (finding.kind, finding.what, len(finding.keys)) == ("unscored", "fusar_ship", 4)
    assert "data prepare fusar_ship" in finding.text


def set_file(store):
    (path,) = (store.root / "sets").glob("synthetic-*.json")
    return path


def test_an_edited_description_is_found_and_not_used(store):
    path = set_file(store)
    stored = json.loads(path.read_text())
    stored["labels"][0] = 3
    path.write_text(json.dumps(stored))
    finding = the_one(store)
    assert finding.kind == "set"
    assert finding.what == f"sets/{path.name}"


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["labels"].__setitem__(0, -10),  # counts from the end: the same class
        lambda s: s["labels"].__setitem__(0, 99),
        lambda s: s["ids"].pop(),
        lambda s: [s[name].reverse() for name in ("ids", "labels", "is_test")],
        lambda s: s["labels"].__setitem__(0, 2**80),
        lambda s: s.__setitem__("given", "no_such_set"),
        lambda s: s.__setitem__("summary", 3),
        lambda s: s["summary"].__setitem__("kind", "pool") or s["labels"].__setitem__(0, 3),
        lambda s: s["summary"]["counts"]["train"].popitem(),
        lambda s: s["summary"].__setitem__("count", 7),
        lambda s: s["summary"].__setitem__("count", float(s["summary"]["count"])),
    ],
)
def test_a_description_with_the_digest_of_another_is_damaged(store, change):
    path = set_file(store)
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    with pytest.raises(DamagedSetError):
        read_checked_set(path)


def test_a_split_is_the_same_for_any_order_of_its_members(store):
    split = read_set(set_file(store)).split
    shuffled = np.random.default_rng(0).permutation(split.members()).tolist()
    again = Split.of((chip_id, name, is_test == "True") for chip_id, name, is_test in shuffled)
    assert again.classes == split.classes
    for name in ("ids", "labels", "is_test"):
        np.testing.assert_array_equal(getattr(again, name), getattr(split, name))


def test_a_description_with_chips_in_another_order_is_damaged(store):
    known = read_set(set_file(store))
    order = np.random.default_rng(0).permutation(len(known.split.ids))
    arrays = {name: getattr(known.split, name)[order] for name in ("ids", "labels", "is_test")}
    with pytest.raises(DamagedSetError, match="not in order"):
        replace(known, split=replace(known.split, **arrays)).check()


def test_shipped_splits_have_the_digests_and_order_of_prepared_sets(store):
    known = read_set(set_file(store))
    digest, split = shipped("synthetic")
    assert digest == known.summary.split_digest
    for name in ("ids", "labels", "is_test"):
        np.testing.assert_array_equal(getattr(split, name), getattr(known.split, name))
    # as committed in protocols/splits/known.json, from prepared real chips
    assert shipped("mstar_soc")[0].startswith("95a8508c7304")
    assert shipped("sar_acd")[0].startswith("06807de915b4")
    assert shipped("fusar_ship") is None
    assert len(shipped("mstar_soc")[1].test_labels) == 2425


@pytest.mark.slow
def test_shipped_splits_are_those_of_real_chips(real_data, tmp_path):
    from sarbench.bench.data.prepare import prepare

    for name in ("mstar_soc", "sar_acd", "sar_acd/paper_random"):
        chips = prepare(name, real_data, tmp_path / "prepared").chips
        digest, split = shipped(name)
        assert digest == chips.split_digest
        assert split.classes == chips.classes
        for field in ("ids", "labels", "is_test"):
            np.testing.assert_array_equal(getattr(split, field), getattr(chips, field))


def test_a_table_refuses_an_edited_record_and_counts_what_it_cannot_check(clean):
    store = Store(clean / "runs")
    plan = make_plan(read_grid(clean / "grid.toml"), store, clean / "runs" / "data")
    assert not any("Not verified" in n.text for n in board_of(plan, store).notes)
    record = plan.runs[0].record
    plan.runs[0].record = record.model_copy(update={"accuracy": 0.999})
    with pytest.raises(LeaderboardError, match=r"is 0\.999000 in the record") as caught:
        predictions_of(plan, store)
    assert "sarbench check" in str(caught.value)
    plan.runs[0].record = record
    path = store.folder("evaluate", record.key) / "predictions.npz"
    path.rename(path.with_suffix(".away"))
    try:
        notes = board_of(plan, store).notes
    finally:
        path.with_suffix(".away").rename(path)
    assert any("Not verified against predictions: 1 scores" in note.flag for note in notes)


def test_a_report_lists_the_problems_of_runs(clean):
    store = Store(clean / "runs")
    plan = make_plan(read_grid(clean / "grid.toml"), store, clean / "runs" / "data")
    checked = check_plan(plan, store, encoders=False)
    assert ("records", "checked 4 runs: all hold") in _facts(plan, checked)
    many = replace(checked, findings=[Finding("scores", "evaluate/0", "wrong")] * 25)
    facts = _facts(plan, many)
    assert facts.count(("finding", "scores: evaluate/0: wrong")) == 20
    assert ("finding", "and 5 more; `sarbench check` lists all") in facts


def board_of(plan, store):
    return leaderboard(plan, "accuracy", predictions_of(plan, store))


def test_predictions_of_chips_are_read_from_the_store_alone(store):
    records = [store.read("evaluate", key) for key in sorted(store.keys("evaluate"))]
    predictions = ChipPredictions(store, records)
    split = predictions.split("synthetic")
    labels, classes = split.test_labels, split.classes
    assert (len(labels), len(classes)) == (1200, 10)
    assert predictions.groups("synthetic") is None
    assert predictions.split("mstar_soc") is None
    assert "no run on mstar_soc" in predictions.why_not("mstar_soc")
    predicted = predictions.predicted(records[0].key)
    assert np.mean(predicted == labels) == records[0].accuracy


def test_groups_of_sar_acd_come_from_the_ids():
    ids = ["A220/001", "A220/002", "Boeing737/010"]
    split = Split.of([(i, i.split("/")[0], True) for i in ids])
    from sarbench.bench.data.sources.sar_acd import groups

    assert split.groups("sar_acd").tolist() == [groups()[i] for i in ids]
    assert split.groups("mstar_soc") is None
    with pytest.raises(DamagedSetError, match="A220/999"):
        Split.of([("A220/999", "A220", True)]).groups("sar_acd")


def test_many_runs_are_scored_like_single_ones():
    draw = np.random.default_rng(0)
    labels = draw.choice([0, 1, 3, 4], 50)  # class 2 has no test chip
    predicted = draw.integers(0, 5, (20, 50))
    together = score_runs(labels, predicted, 5)
    for row, one in enumerate(predicted):
        assert {name: values[row] for name, values in together.items()} == class_scores(
            labels, one, 5
        )
        present = sorted(set(labels))
        assert together["accuracy"][row] == pytest.approx(accuracy_score(labels, one))
        f1 = f1_score(labels, one, labels=present, average="macro", zero_division=0)
        assert together["macro_f1"][row] == pytest.approx(f1)


def test_a_folder_that_is_not_a_store_is_refused(tmp_path):
    with pytest.raises(RequestError, match="not a store"):
        check_store(Store(tmp_path))
    (tmp_path / "evaluate").mkdir()
    with pytest.raises(RequestError, match="holds no record"):
        check_store(Store(tmp_path))


def test_a_grid_is_checked_in_its_store(clean):
    store = Store(clean / "runs")
    plan = make_plan(read_grid(clean / "grid.toml"), store, clean / "runs" / "data")
    assert check_plan(plan, store).summary() == "checked 2 pretrainings, 4 runs: all hold"


def test_the_exit_status_of_check_is_1_with_findings_and_2_for_a_wrong_request(
    clean, store, tmp_path
):
    sarbench = Sarbench(tmp_path / "third", GRID, SARBENCH_DATA=str(clean / "runs" / "data"))
    said = sarbench.here("check", store.root).stdout
    assert said == "checked 2 pretrainings, 4 runs: all hold\n"
    edit(run_folder(store), accuracy=0.999)
    lines = sarbench.here("check", store.root, status=1).stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("scores: evaluate/")
    assert lines[1] == "checked 2 pretrainings, 4 runs: 1 finding"
    told = check_store(store).to_json()
    assert [one["kind"] for one in told["findings"]] == ["scores"]
    assert "is not a store" in sarbench.here("check", sarbench.grid, status=2).stderr
    filtered = sarbench.here("check", store.root, "-m", "mae", status=2).stderr
    assert "a store is checked whole" in filtered
    assert not sarbench.runs.exists()


def test_a_description_that_is_a_link_is_refused(store):
    path = set_file(store)
    target = path.with_name("elsewhere.txt")
    path.rename(target)
    path.symlink_to(target)
    with pytest.raises(DamagedSetError, match="is a link"):
        read_checked_set(path)
    known = read_set(target)
    digests = known.summary.data_digest, known.summary.split_digest
    assert Splits([store.root]).described(store.root, *digests) is None
