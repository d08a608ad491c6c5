"""Records of another user are checked and never replace ours."""

import hashlib
import io
import json
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from stores import encoder_file, provenance

from sarbench.bench.data.packed import Summary
from sarbench.bench.data.set_descriptions import descriptions_of, set_path, write_description
from sarbench.bench.data.splits import Split, shipped, split_digest
from sarbench.bench.store.atomic import copy_once, npz
from sarbench.bench.store.records import Store
from sarbench.bench.verification.check import check_store
from sarbench.bench.verification.merge import MergeError, merge
from sarbench.protocols._support_sets import support_digest, support_set
from sarbench.results.class_metrics import class_scores
from sarbench.results.record import PretrainRecord, RunRecord, digest_json

SYNTHETIC_DIGEST, SYNTHETIC = shipped("synthetic")
SHIPS = [  # a data set whose chips are known to its owner alone
    (f"{side}/{name}/{number}", name, side == "test")
    for name in ("Bridges", "Cargo", "Tanker")
    for side, count in (("train", 7), ("test", 10))
    for number in range(count)
]
DATA = "d" * 64
POOL = "e" * 64


def write_start(store, seed=0, pictures=None, **changes):
    pool = [{"name": "folder", "digest": POOL, "count": 4}]
    identity = {"method": "mae", "seed": seed, "pool": pool} | changes
    weights = encoder_file(identity)
    record = PretrainRecord(
        key=digest_json(identity), identity=identity, provenance=provenance(),
        weights_digest=hashlib.sha256(weights).hexdigest(), steps=1, images_per_s=1.0,
        final_loss=1.0, feature_spread=0.1,
    )  # fmt: skip
    folder = store.folder("pretrain", record.key)
    folder.mkdir(parents=True)
    (folder / "encoder.safetensors").write_bytes(weights)
    (folder / "history.jsonl").write_text("{}\n")
    (folder / "predictions.npz").write_bytes(pictures or npz(**PICTURES))
    store.write("pretrain", record)
    return record


PICTURES = {
    "chips": np.zeros((4, 8, 8), np.float32), "predicted": np.zeros((4, 3, 2), np.float32),
    "target": np.zeros((4, 3, 2), np.float32), "mask": np.zeros((4, 3), bool),
    "patches": np.zeros((4, 3), np.int64), "images": np.arange(4), "kind": np.array("pixels"),
}  # fmt: skip


def write_run(store, start, right=0.8, seed=0, dataset="synthetic", identity=None, **changes):
    digest, split = SYNTHETIC_DIGEST, SYNTHETIC
    if dataset == "fusar_ship":
        digest, split = split_digest(SHIPS), Split.of(SHIPS)
    labels, classes = split.test_labels, split.test_labels.copy()
    wrong = round(right * len(classes))
    classes[wrong:] = (classes[wrong:] + 1) % len(split.classes)
    content = npz(classes=classes.astype(np.int16), scores=np.ones(len(classes), np.float32))
    train = np.flatnonzero(~split.is_test)
    identity = {
        "start": start.key, "method": "mae", "dataset": dataset, "data_digest": DATA,
        "split_digest": digest, "protocol": "linear", "shots": 5, "seed": seed,
    } | (identity or {})  # fmt: skip
    chosen = support_set(digest, seed, split.ids[train], split.labels[train], 5)
    record = RunRecord(**{
        "key": digest_json(identity), "identity": identity, "provenance": provenance(),
        "weights_digest": start.weights_digest, "train_count": len(chosen),
        "test_count": len(classes), "support_digest": support_digest(split.ids[train][chosen]),
        "predictions_digest": hashlib.sha256(content).hexdigest(),
    } | class_scores(labels, classes, len(split.classes)) | changes)  # fmt: skip
    folder = store.folder("evaluate", record.key)
    folder.mkdir(parents=True)
    (folder / "predictions.npz").write_bytes(content)
    store.write("evaluate", record)
    return record


def describe(store, given="fusar_ship", **changes):
    """Describe a set in a store, with some values changed."""
    pool = given.startswith("pool:")
    split = Split.of([] if pool else SHIPS)
    summary = Summary(
        name="folder" if pool else given, kind="pool" if pool else "dataset",
        count=4 if pool else len(SHIPS),
        counts={"train": {}, "test": {}} if pool else {
            "train": dict.fromkeys(split.classes, 7), "test": dict.fromkeys(split.classes, 10)
        },
        data_digest=POOL if pool else DATA, split_digest="" if pool else split_digest(SHIPS),
        rendering="", transform="none", crop_px=None, dtype="uint8", classes=split.classes,
    )  # fmt: skip
    summary = replace(summary, **changes)
    write_description(store.root, given, split, summary)
    return set_path(store.root, given, summary.data_digest, summary.split_digest)


@pytest.fixture
def mine(tmp_path):
    return Store(tmp_path / "mine")


@pytest.fixture
def other(tmp_path):
    return Store(tmp_path / "other")


def snapshot(store):
    return {p: p.read_bytes() for p in sorted(store.root.rglob("*")) if p.is_file()}


def test_new_records_are_copied_with_their_files_once(mine, other):
    start = write_start(other)
    run = write_run(other, start)
    found = merge(other, mine)
    assert (len(found.added), found.same, found.conflicts, found.refused) == (2, [], [], [])
    assert mine.read("evaluate", run.key) == run
    assert mine.read("pretrain", start.key) == start
    names = {p.name for p in mine.root.rglob("*") if p.is_file()}
    assert names == {"record.json", "predictions.npz", "encoder.safetensors", "history.jsonl"}
    before = snapshot(mine)
    again = merge(other, mine)
    assert (again.added, len(again.same)) == ([], 2)
    assert snapshot(mine) == before


def test_a_trial_writes_nothing(mine, other):
    write_run(other, write_start(other))
    assert len(merge(other, mine, dry_run=True).added) == 2
    assert not mine.root.exists()


def test_a_conflict_is_reported_and_our_record_is_kept(mine, other):
    ours = write_run(mine, write_start(mine), right=0.8)
    write_run(other, write_start(other), right=0.6)
    before = snapshot(mine)
    found = merge(other, mine)
    ((_, why),) = found.conflicts
    assert "accuracy is 0.8 here and 0.6 there" in why
    assert snapshot(mine) == before
    assert mine.read("evaluate", ours.key) == ours


def test_the_same_number_from_another_machine_is_not_a_conflict(mine, other):
    write_run(mine, write_start(mine))
    write_run(other, write_start(other), provenance=provenance(wall_s=99.0))
    assert merge(other, mine).conflicts == []


def test_metrics_of_other_packages_are_not_a_conflict(mine, other):
    write_run(mine, write_start(mine))
    write_run(other, write_start(other), metrics={"theirs": 0.5}, lower_is_better=["theirs"])
    assert merge(other, mine).conflicts == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"accuracy": 0.9}, r"accuracy is 0\.900000 in the record, 0\.8"),
        ({"identity": {"method": "sar_jepa"}}, "names the method sar_jepa"),
        ({"identity": {"start": "3" * 64}}, "in neither store"),
        ({"identity": {"split_digest": "4" * 64}}, "has split .* in this version"),
        ({"identity": {"seed": "0"}}, "its identity lacks seed"),
    ],
)
def test_a_record_with_a_false_claim_is_refused(mine, other, changes, why):
    write_run(other, write_start(other), **changes)
    found = merge(other, mine)
    ((_, said),) = found.refused
    assert re.search(why, said), said
    assert len(found.added) == 1  # the pretraining


def test_damaged_edited_and_linked_records_are_refused(mine, other, tmp_path):
    start = write_start(other)
    runs = [write_run(other, start, seed=seed) for seed in range(5)]
    folders = [other.folder("evaluate", run.key) for run in runs]
    (folders[0] / "record.json").write_text("{")
    edited = json.loads((folders[1] / "record.json").read_text())
    edited["identity"]["seed"] = 99
    (folders[1] / "record.json").write_text(json.dumps(edited))
    nan = (folders[2] / "record.json").read_text().replace('"accuracy": 0.8', '"accuracy": NaN')
    (folders[2] / "record.json").write_text(nan)
    secret = tmp_path / "secret"
    secret.write_bytes((folders[3] / "predictions.npz").read_bytes())
    (folders[3] / "predictions.npz").unlink()
    (folders[3] / "predictions.npz").symlink_to(secret)
    folders[4].rename(folders[4].with_name("not-a-key"))
    found = merge(other, mine)
    said = " ".join(why for _, why in found.refused)
    assert len(found.refused) == 5
    for part in ("is a link", "is not a key", "record.json", "holds"):
        assert part in said
    assert list((mine.root / "evaluate").glob("*")) == []


def test_our_work_in_progress_is_not_changed(mine, other):
    run = write_run(other, write_start(other))
    target = mine.folder("evaluate", run.key)
    target.mkdir(parents=True)
    (target / "predictions.npz").write_bytes(b"half")
    ((_, why),) = merge(other, mine).conflicts
    assert "being computed here" in why
    assert (target / "predictions.npz").read_bytes() == b"half"


def test_a_file_that_another_process_writes_during_a_merge_is_kept(mine, other, monkeypatch):
    start = write_start(other)
    run = write_run(other, start)

    def later(source, target):
        if target.name == "predictions.npz" and target.parent.parent.name == "evaluate":
            target.parent.mkdir(parents=True)
            target.write_bytes(b"of the other process")
        return copy_once(source, target)

    monkeypatch.setattr("sarbench.bench.verification.merge.copy_once", later)
    found = merge(other, mine)
    ((what, why),) = found.conflicts
    assert (what, why) == (
        f"evaluate/{run.key[:12]}",
        "another process wrote it in the meantime",
    )
    target = mine.folder("evaluate", run.key)
    assert (target / "predictions.npz").read_bytes() == b"of the other process"
    assert mine.read("evaluate", run.key) is None


def test_a_folder_that_is_not_a_store_is_refused(mine, tmp_path):
    with pytest.raises(MergeError, match="not a store"):
        merge(Store(tmp_path / "nothing"), mine)
    assert not mine.root.exists()
    write_start(mine)
    with pytest.raises(MergeError, match="the store itself"):
        merge(mine, mine)


def test_the_predictions_of_a_pretraining_are_copied_with_it(mine, other):
    start = write_start(other)
    merge(other, mine)
    path = mine.folder("pretrain", start.key) / "predictions.npz"
    assert path.read_bytes() == npz(**PICTURES)


def bomb():
    """Return an archive that is small and takes more than 64 MB when it is read."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("chips.npy", bytes(2**26 + 1))
    return file.getvalue()


@pytest.mark.parametrize(
    ("pictures", "why"),
    [
        (lambda: b"no archive", "does not hold predictions"),
        (bomb, "larger than 64 MB"),
        (lambda: npz(**PICTURES | {"kind": np.array([print])}), "allow_pickle"),
        (lambda: npz(**PICTURES | {"mask": np.zeros((4, 3))}), "mask has shape"),
        (lambda: npz(**PICTURES | {"target": np.zeros((4, 3, 5))}), "target has shape"),
        (lambda: npz(**PICTURES | {"images": np.arange(4) + 1}), "a row has no chip"),
        (lambda: npz(**PICTURES | {"more": np.zeros(1)}), "it holds"),
    ],
)
def test_predictions_of_a_pretraining_in_another_form_are_refused(mine, other, pictures, why):
    write_start(other, pictures=pictures())
    ((_, said),) = merge(other, mine).refused
    assert why in said
    assert list((mine.root / "pretrain").glob("*")) == []


def test_a_description_of_the_other_store_is_enough_to_check_and_is_copied(mine, other):
    write_run(other, write_start(other), dataset="fusar_ship")
    describe(other)
    describe(other, "pool:folder:chips")
    found = merge(other, mine)
    assert (found.refused, found.unscored) == ([], [])
    assert sorted(found.sets) == ["fusar_ship", "pool:folder:chips"]
    assert check_store(mine).findings == []
    (pool,) = descriptions_of(mine.root, "pool:folder:chips")
    assert (pool.summary.count, pool.summary.data_digest) == (4, POOL)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"support_digest": "2" * 64}, "its labelled chips have digest 222222222222"),
        ({"train_count": 14}, "claims 14 labelled chips"),
        ({"test_count": 29}, "claims 29 test chips"),
        ({"accuracy": 0.999}, "accuracy is 0.999000"),
    ],
)
def test_forged_records_are_refused_without_the_data(mine, other, changes, why):
    write_run(other, write_start(other), dataset="fusar_ship", **changes)
    describe(other)
    ((_, said),) = merge(other, mine).refused
    assert why in said


@pytest.mark.parametrize("changes", [{"method": "sar_jepa"}, {"start": "3" * 64}])
def test_starts_and_methods_are_checked_without_any_labels(mine, other, changes):
    write_run(other, write_start(other), dataset="fusar_ship", identity=changes)
    found = merge(other, mine, allow_unscored=True)
    assert len(found.refused) == 1
    assert len(found.added) == 1


def test_runs_without_known_labels_are_refused_unless_allowed(mine, other):
    run = write_run(other, write_start(other), dataset="fusar_ship")
    ((what, why),) = merge(other, mine).refused
    assert what == f"evaluate/{run.key[:12]}"
    assert "--allow-unscored" in why
    found = merge(other, mine, allow_unscored=True)
    assert found.refused == []
    assert [what for what, _ in found.unscored] == [f"evaluate/{run.key[:12]}"]
    again = merge(other, mine)
    assert (len(again.same), again.refused, again.unscored) == (2, [], [])


def test_weights_that_were_not_merged_are_no_finding_until_they_come_and_are_lost(mine, other):
    start = write_start(other)
    write_run(other, start)
    weights = other.encoder(start.key)
    content = weights.read_bytes()
    weights.unlink()
    assert [one.kind for one in check_store(other).findings] == ["missing"]
    merge(other, mine, dry_run=True)
    assert not mine.root.exists()
    assert merge(other, mine).unweighted == [f"pretrain/{start.key[:12]}"]
    found = check_store(mine)
    assert (found.findings, found.unweighted) == ([], {start.key: "other"})
    assert found.without_weights() == (
        "1 encoder has no weights here to check: merged without them from other"
    )
    assert merge(other, mine).same  # without weights again: nothing changes
    weights.write_bytes(content)
    assert merge(other, mine).completed == [f"pretrain/{start.key[:12]}"]
    assert check_store(mine).without_weights() == ""
    mine.encoder(start.key).unlink()
    (lost,) = check_store(mine).findings
    assert (lost.kind, "merge a store that has it" in lost.text) == ("missing", True)


def test_a_forged_description_is_not_used_for_scores(mine, other):
    write_run(other, write_start(other), dataset="fusar_ship", accuracy=1.0)
    path = describe(other)
    stored = json.loads(path.read_text())
    stored["labels"].reverse()
    path.write_text(json.dumps(stored))
    ((_, why),) = merge(other, mine).refused
    assert "not known here" in why
    assert "has digest" in why


@pytest.mark.parametrize(
    "changes",
    [{"counts": {}}, {"count": 1}, {"crop_px": 64}, {"name": "mstar_soc"}, {"dtype": "object"}],
)
def test_a_description_that_claims_other_values_is_not_copied(mine, other, changes):
    write_run(other, write_start(other), dataset="fusar_ship")
    describe(other, **changes)
    found = merge(other, mine)
    ((what, why),) = found.refused
    assert what.startswith("evaluate/")
    assert f"wrong values for {next(iter(changes))}; " in why
    assert found.sets == []
    assert not (mine.root / "sets").exists()
