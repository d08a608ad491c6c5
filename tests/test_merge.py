"""Another user's records: validated, never trusted, never in the place of ours."""

import hashlib
import io
import json

import numpy as np
import pytest
from stores import provenance

from sarbench.bench.merge import MergeError, merge
from sarbench.bench.store import Store
from sarbench.results.record import PretrainRecord, RunRecord, digest_json

LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])


def no_labels(identity):
    return None


def labels(identity):
    return LABELS, 3


def write_start(store, seed=0, weights=b"weights"):
    identity = {"method": "mae", "seed": seed}
    record = PretrainRecord(
        key=digest_json(identity), identity=identity, provenance=provenance(),
        weights_digest=hashlib.sha256(weights).hexdigest(), steps=1, images_per_s=1.0,
        final_loss=1.0, feature_spread=0.1,
    )  # fmt: skip
    folder = store.folder("pretrain", record.key)
    folder.mkdir(parents=True)
    (folder / "encoder.safetensors").write_bytes(weights)
    (folder / "history.jsonl").write_text("{}\n")
    store.write("pretrain", record)
    return record


def write_run(store, start, right=8, seed=0, **changes):
    classes = LABELS.copy()
    classes[right:] = (classes[right:] + 1) % 3
    file = io.BytesIO()
    np.savez(file, classes=classes.astype(np.int16), scores=np.ones(10, np.float32))
    from sarbench.results.metrics import accuracy, balanced_accuracy, macro_f1

    identity = {"start": start.key, "dataset": "synthetic", "seed": seed}
    record = RunRecord(**{
        "key": digest_json(identity), "identity": identity, "provenance": provenance(),
        "weights_digest": start.weights_digest, "accuracy": accuracy(LABELS, classes),
        "balanced_accuracy": balanced_accuracy(LABELS, classes),
        "macro_f1": macro_f1(LABELS, classes), "train_count": 1, "test_count": 10,
        "support_digest": "s", "predictions_digest": hashlib.sha256(file.getvalue()).hexdigest(),
    } | changes)  # fmt: skip
    folder = store.folder("evaluate", record.key)
    folder.mkdir(parents=True)
    (folder / "predictions.npz").write_bytes(file.getvalue())
    store.write("evaluate", record)
    return record


@pytest.fixture
def mine(tmp_path):
    return Store(tmp_path / "mine")


@pytest.fixture
def other(tmp_path):
    return Store(tmp_path / "other")


def snapshot(store):
    return {p: p.read_bytes() for p in sorted(store.root.rglob("*")) if p.is_file()}


def test_new_records_come_with_what_they_describe_and_a_second_time_nothing_happens(mine, other):
    start = write_start(other)
    run = write_run(other, start)
    found = merge(other, mine, labels)
    assert (len(found.added), found.same, found.conflicts, found.refused) == (2, [], [], [])
    assert mine.read("evaluate", run.key) == run
    assert mine.read("pretrain", start.key) == start
    names = {p.name for p in mine.root.rglob("*") if p.is_file()}
    assert names == {"record.json", "predictions.npz", "encoder.safetensors", "history.jsonl"}
    before = snapshot(mine)
    again = merge(other, mine, labels)
    assert (again.added, len(again.same)) == ([], 2)
    assert snapshot(mine) == before


def test_a_trial_writes_nothing(mine, other):
    write_run(other, write_start(other))
    assert len(merge(other, mine, labels, trial=True).added) == 2
    assert not mine.root.exists()


def test_a_conflict_is_shown_and_ours_is_kept(mine, other):
    ours = write_run(mine, write_start(mine), right=8)
    write_run(other, write_start(other), right=6)
    before = snapshot(mine)
    found = merge(other, mine, labels)
    ((_, why),) = found.conflicts
    assert "accuracy is 0.8 here and 0.6 there" in why
    assert snapshot(mine) == before
    assert mine.read("evaluate", ours.key) == ours


def test_the_same_number_from_another_machine_is_no_conflict(mine, other):
    write_run(mine, write_start(mine))
    write_run(other, write_start(other), provenance=provenance(wall_s=99.0))
    assert merge(other, mine, labels).conflicts == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"accuracy": 0.9}, "its predictions have accuracy 0.8"),
        ({"predictions_digest": "0" * 64}, "its record says 000000000000"),
        ({"weights_digest": "1" * 64}, "measured with weights 111111111111"),
        ({"test_count": 11}, r"\(10,\) int16 classes, the record 11"),
    ],
)
def test_a_record_that_claims_what_is_not_so_is_refused(mine, other, changes, why):
    write_run(other, write_start(other), **changes)
    found = merge(other, mine, labels)
    ((_, said),) = found.refused
    assert pytest.importorskip("re").search(why, said), said
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
    found = merge(other, mine, labels)
    said = " ".join(why for _, why in found.refused)
    assert len(found.refused) == 5
    for part in ("is a link", "is not a key", "record.json", "holds"):
        assert part in said
    assert list((mine.root / "evaluate").glob("*")) == []


def test_pickled_predictions_are_never_loaded(mine, other):
    start = write_start(other)
    run = write_run(other, start)
    folder = other.folder("evaluate", run.key)
    file = io.BytesIO()
    np.savez(file, classes=np.array([print] * 10, dtype=object), scores=np.ones(10))
    (folder / "predictions.npz").write_bytes(file.getvalue())
    changed = json.loads((folder / "record.json").read_text())
    changed["predictions_digest"] = hashlib.sha256(file.getvalue()).hexdigest()
    (folder / "record.json").write_text(json.dumps(changed))
    ((_, why),) = merge(other, mine, no_labels).refused
    assert "allow_pickle" in why


def test_work_in_progress_here_is_left_alone(mine, other):
    run = write_run(other, write_start(other))
    target = mine.folder("evaluate", run.key)
    target.mkdir(parents=True)
    (target / "predictions.npz").write_bytes(b"half")
    ((_, why),) = merge(other, mine, labels).conflicts
    assert "being computed here" in why
    assert (target / "predictions.npz").read_bytes() == b"half"


def test_what_is_no_store_is_refused(mine, other, tmp_path):
    with pytest.raises(MergeError, match="no store"):
        merge(Store(tmp_path / "nothing"), mine, labels)
    write_start(mine)
    with pytest.raises(MergeError, match="the store itself"):
        merge(mine, mine, labels)
