"""Runs that differ in the condition of their test chips: one head, the same shifted chips."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from chips import labelled_chips
from made_chips import chips_from
from scipy import stats
from small_pretrainings import identity_of, tiny_identity

from sarbench.bench.augmentation.conditions import drawn_shifts, in_condition
from sarbench.bench.augmentation.resample import resize
from sarbench.bench.data.chips import Chips
from sarbench.bench.evaluation import encoded_chips
from sarbench.bench.evaluation.evaluate import Evaluation, group_runs
from sarbench.bench.identity import Resources, Run, fill, to_json
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.store.records import Store
from sarbench.protocols import PROTOCOLS, few_shot
from sarbench.protocols._types import NotConvergedError, Predictions
from sarbench.results.record import RunRecord

CLASSES, SIDE = 4, 32
CONDITIONS = (None, "shift:3", "shift:9")
QUICK = {
    "few_shot": {"epochs": 2},
    "finetune": {"epochs": 1, "warmup_epochs": 0},
    "lora": {"epochs": 1, "warmup_epochs": 0},
    "linear": {"epochs": 3},
}


def make_chips() -> Chips:
    """Return 120 chips with two test chips after each training chip."""
    pixels, labels = labelled_chips(CLASSES, 30, SIDE)
    order = np.random.default_rng(0).permutation(len(labels))
    return chips_from(
        pixels[order], name="bars", labels=labels[order], classes=tuple("abcd"),
        is_test=np.arange(len(labels)) % 3 > 0, source_size=np.stack([40 + labels[order]] * 2, 1),
    )  # fmt: skip


CHIPS = make_chips()
START = {
    "raw_pixels": identity_of("raw_pixels", None, encoder=None, pool=[]),
    "chip_size": identity_of("chip_size", None, encoder=None, pool=[]),
    "random_init": tiny_identity("random_init", recipe=None, pool=[]),
    "label_shuffle": identity_of("label_shuffle", None, encoder=None, pool=[]),
}


def run_of(protocol: str, *, method="raw_pixels", shots=5, seed=0, condition=None) -> Run:
    settings = fill(to_json(PROTOCOLS[protocol].settings()), QUICK.get(protocol, {}))
    return Run(
        START[method].key, method, "bars", CHIPS.data_digest, CHIPS.split_digest, protocol,
        PROTOCOLS[protocol].version, settings, shots, seed, condition,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path)
    for identity in START.values():
        pretrain(identity, None, made, Resources())
    return made


def evaluate(store: Store, runs: list[Run], chips: Chips = CHIPS) -> dict[str, RunRecord]:
    """Evaluate runs of one encoder, and return their records by key."""
    evaluation = Evaluation(START[runs[0].method], chips, store, Resources())
    return {record.key: record for group in group_runs(runs) for record in evaluation.run(group)}


def predicted(store: Store, run: Run) -> np.ndarray:
    with np.load(store.folder("evaluate", run.key) / "predictions.npz") as file:
        return file["classes"]


def shifted_by_numpy(condition: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the training chips and the shifted test chips as vectors."""
    chips = CHIPS.pixels.reshape(-1, SIDE, SIDE)
    test, most = chips[CHIPS.is_test], int(condition.removeprefix("shift:"))
    padded = np.pad(test, ((0, 0), (most, most), (most, most)), mode="reflect")
    moved = [
        one[most - down : most - down + SIDE, most - right : most - right + SIDE]
        for one, (down, right) in zip(
            padded, drawn_shifts(condition, CHIPS.ids[CHIPS.is_test]), strict=True
        )
    ]
    train = chips[~CHIPS.is_test].reshape(-1, SIDE**2).astype(np.float64)
    return train, np.stack(moved).reshape(-1, SIDE**2).astype(np.float64)


@pytest.mark.parametrize("condition", CONDITIONS[1:])
def test_knn_on_shifted_pixels_is_that_of_a_few_lines_of_numpy(store, condition):
    clean, run = (run_of("knn", shots="all", condition=one) for one in (None, condition))
    records = evaluate(store, [clean, run])
    train, test = shifted_by_numpy(condition)
    cosine = test @ train.T / np.linalg.norm(train, axis=1)
    expected = CHIPS.labels[~CHIPS.is_test][cosine.argmax(1)]
    np.testing.assert_array_equal(predicted(store, run), expected)
    truth = CHIPS.labels[CHIPS.is_test]
    assert records[run.key].accuracy == pytest.approx((expected == truth).mean())
    assert records[run.key].accuracy < records[clean.key].accuracy
    assert records[run.key].identity["condition"] == condition
    assert "condition" not in records[clean.key].identity


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.slow] if name in ("lora", "finetune") else [])
    for name in PROTOCOLS
])  # fmt: skip
def test_one_head_predicts_all_conditions_and_clean_predictions_stay(store, monkeypatch, name):
    protocol = PROTOCOLS[name]
    method = "random_init" if protocol.kind == "encoder" else "raw_pixels"
    shots = 5 if protocol.allows_shots else "all"
    runs = [
        run_of(name, method=method, shots=shots, seed=seed, condition=condition)
        for condition in CONDITIONS
        for seed in (0, 1)
    ]
    calls, work = Counter(), protocol.load()

    def counted(*given):
        calls["trainings"] += 1
        calls["heads"] += len(given[2]) if protocol.kind == "features" else 1
        return work.run(*given)

    monkeypatch.setattr(type(protocol), "load", lambda _: SimpleNamespace(run=counted))
    records = evaluate(store, runs)
    assert calls == {"trainings": 1 if protocol.kind == "features" else 2, "heads": 2}
    assert set(records) == {run.key for run in runs}
    if protocol.kind == "features":
        assert len({record.predictions_digest for record in records.values()}) == 6
    alone = Store(store.root / "alone")
    pretrain(START[method], None, alone, Resources())
    for key, record in evaluate(alone, runs[:2]).items():
        assert record.predictions_digest == records[key].predictions_digest


def test_a_shifted_run_alone_has_the_predictions_that_it_has_next_to_the_clean_one(store):
    clean, run = (run_of("linear", condition=one) for one in CONDITIONS[:2])
    both = evaluate(store, [clean, run])
    alone = Store(store.root / "alone")
    pretrain(START["raw_pixels"], None, alone, Resources())
    assert evaluate(alone, [run])[run.key].predictions_digest == both[run.key].predictions_digest


def test_every_encoder_sees_the_same_shifted_chips_before_they_are_resized(store):
    test = np.flatnonzero(CHIPS.is_test)
    inputs = {
        method: torch.cat([
            *Evaluation(START[method], CHIPS, store, Resources()).inputs(test, "shift:3")
        ])
        for method in START
    }  # fmt: skip
    _, expected = shifted_by_numpy("shift:3")
    assert np.array_equal(inputs["raw_pixels"].flatten(1).double().numpy(), expected)
    px = START["random_init"].encoder["input_px"]
    assert torch.equal(inputs["random_init"], resize(inputs["raw_pixels"], px))
    assert inputs["chip_size"].flatten(1).tolist() == CHIPS.source_size[test].tolist()


def test_the_size_of_a_chip_is_the_same_in_every_condition(store):
    runs = [run_of("knn", method="chip_size", condition=one) for one in CONDITIONS]
    records = evaluate(store, runs)
    assert len({record.predictions_digest for record in records.values()}) == 1
    assert len(records) == 3


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # attention on a CPU
@pytest.mark.slow
def test_a_gpu_trains_the_seeds_of_the_same_shots_together(store, tmp_path):
    """Grouped as for a GPU, computed on a CPU."""
    runs = [
        run_of("few_shot", method="random_init", shots=shots, seed=seed, condition=condition)
        for shots in (1, 2)
        for seed in range(2)
        for condition in (None, "shift:3")
    ]
    groups = group_runs([*runs, *(run_of("knn", seed=seed) for seed in range(2))], "cuda:0")
    assert Counter(len(group.runs) for group in groups) == {4: 2, 2: 1}
    apart = Store(tmp_path / "apart")
    pretrain(START["random_init"], None, apart, Resources())
    expected = evaluate(apart, runs)
    evaluation = Evaluation(START["random_init"], CHIPS, store, Resources())
    for group in groups:
        if group.protocol == "few_shot":
            for record in evaluation.run(group):
                assert record.support_digest == expected[record.key].support_digest
    for run in runs:
        both = []
        for one in (store, apart):
            with np.load(one.folder("evaluate", run.key) / "predictions.npz") as file:
                both.append(file["scores"])
        np.testing.assert_allclose(*both, atol=1e-4)


def test_the_error_of_one_seed_comes_after_the_records_of_the_others(store, monkeypatch):
    runs = [run_of("few_shot", method="random_init", seed=seed) for seed in range(3)]
    found = Predictions(np.zeros(80, np.int64), np.zeros((80, len(CHIPS.classes)), np.float32))
    given = [[found], NotConvergedError("of the second seed"), [found]]
    monkeypatch.setattr(few_shot, "run_together", lambda *_: given)
    (group,) = group_runs(runs, "cuda:0")
    evaluation = Evaluation(START["random_init"], CHIPS, store, Resources())
    with pytest.raises(NotConvergedError, match="of the second seed"):
        for _ in evaluation.run(group):
            pass
    assert [store.read("evaluate", run.key) is not None for run in runs] == [True, False, True]


@pytest.mark.parametrize("condition", ["speckle:1", "noise:5", "occlude:0.3"])
def test_drift_is_one_minus_the_mean_cosine_of_clean_and_changed_features(store, condition):
    runs = [run_of("knn", condition=one) for one in (condition, None)]
    records = evaluate(store, runs)
    test = np.flatnonzero(CHIPS.is_test)
    clean = CHIPS.stack(test)
    pair = clean, in_condition(clean, CHIPS.ids[test], condition)
    flat, changed = (one.reshape(len(test), -1).astype(np.float64) for one in pair)
    lengths = np.linalg.norm(flat, axis=1) * np.linalg.norm(changed, axis=1)
    cosine = (flat * changed).sum(1) / lengths
    assert records[runs[0].key].drift == pytest.approx(1 - np.mean(cosine), abs=1e-9)
    assert records[runs[1].key].drift is None
    alone = Store(store.root / "alone")
    pretrain(START["raw_pixels"], None, alone, Resources())
    assert evaluate(alone, runs[:1])[runs[0].key].drift == records[runs[0].key].drift


@pytest.mark.slow
def test_a_protocol_that_trains_the_encoder_has_no_drift(store):
    frozen, trained = (
        run_of(name, method="random_init", condition="speckle:1") for name in ("knn", "few_shot")
    )
    records = evaluate(store, [frozen, trained])
    assert records[frozen.key].drift > 0
    assert records[trained.key].drift is None


def test_pixels_that_are_not_kept_are_read_again_to_the_same_records(store, monkeypatch):
    runs = [
        run_of(name, shots=shots, condition=condition)
        for name in ("knn", "logistic")
        for shots in (2, 5)
        for condition in (*CONDITIONS, "noise:5")
    ]
    kept = evaluate(store, runs)
    apart = Store(store.root / "apart")
    pretrain(START["raw_pixels"], None, apart, Resources())
    monkeypatch.setattr(encoded_chips, "KEPT_BYTES", 0)
    evaluation = Evaluation(START["raw_pixels"], CHIPS, apart, Resources())
    again = {one.key: one for group in group_runs(runs) for one in evaluation.run(group)}
    assert {part.condition for part in evaluation._features} == {None}
    for key, record in again.items():
        assert record.predictions_digest == kept[key].predictions_digest
        assert record.drift == kept[key].drift


@pytest.mark.parametrize("protocol", [
    "knn", pytest.param("logistic", marks=pytest.mark.slow)
])  # fmt: skip
def test_shuffled_labels_are_at_chance_where_pixels_are_not(store, protocol):
    """The permuted labels of 8 chips of each of 4 classes, over 60 draws."""
    seeds = range(60)
    runs = [run_of(protocol, method="label_shuffle", shots=8, seed=seed) for seed in seeds]
    found = np.array([one.accuracy for one in evaluate(store, runs).values()])
    pixels = [run_of(protocol, shots=8, seed=seed) for seed in range(3)]
    assert min(one.accuracy for one in evaluate(store, pixels).values()) > 0.6
    half = stats.t.ppf(0.995, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean() - 1 / CLASSES) < half
    assert half < 0.06


def test_labels_are_shuffled_among_the_labelled_chips_by_the_seed(store, monkeypatch):
    seen, work = [], PROTOCOLS["knn"].load()

    def noted(features, episodes, rngs, settings):
        seen.append((features.train_labels.numpy().copy(), episodes[0]))
        return work.run(features, episodes, rngs, settings)

    monkeypatch.setattr(type(PROTOCOLS["knn"]), "load", lambda _: SimpleNamespace(run=noted))
    runs = [run_of("knn", method="label_shuffle", shots=5, seed=seed) for seed in range(2)]
    records = evaluate(store, runs)
    truth = CHIPS.labels[~CHIPS.is_test]
    for labels, episode in seen:
        assert sorted(labels[episode]) == sorted(truth[episode])
        assert 0 < (labels[episode] == truth[episode]).mean() < 0.7
        others = np.setdiff1d(np.arange(len(truth)), episode)
        np.testing.assert_array_equal(labels[others], truth[others])
    pixels = evaluate(store, [run_of("knn", shots=5, seed=seed) for seed in range(2)])
    assert {one.support_digest for one in records.values()} == {
        one.support_digest for one in pixels.values()
    }
    again = Store(store.root / "again")
    pretrain(START["label_shuffle"], None, again, Resources())
    (alone,) = evaluate(again, runs[1:]).values()
    assert alone.predictions_digest == records[runs[1].key].predictions_digest
