"""The scores on a model card, and the chips that an encoder has seen."""

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from small_pretrainings import identity_of
from stores import link_synthetic, share, write_run, write_start

from sarbench.bench.data.pools import pool_members
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.set_descriptions import write_description
from sarbench.bench.grid.expand import PlannedPretraining, PlannedRun
from sarbench.bench.identity import Run, to_json
from sarbench.bench.reporting.model_card_scores import scores_of_start
from sarbench.bench.reporting.model_card_seen import seen_by
from sarbench.bench.store.records import Store
from sarbench.protocols import PROTOCOLS
from sarbench.results.record import GivenSource


def test_scores_have_the_interval_of_a_mean_over_test_chips(tmp_path):
    store = Store(tmp_path / "runs")
    link_synthetic(store)
    made = prepare("synthetic", tmp_path, store.prepared)
    write_description(store.root, "synthetic", made.chips, made.summary)
    start = PlannedPretraining("MAE", "mae", {}, 0, identity_of("mae"))
    write_start(store, start)
    record = store.read("pretrain", start.identity.key)
    assert scores_of_start(store, record) == []
    others = PlannedPretraining("MAE", "mae", {}, 1, identity_of("mae", seed=1))
    for of, protocol, shots, seed, changed in (
        (start, "knn", "all", 0, {}), (start, "knn", "all", 0, {"neighbours": 3}),
        *((start, "linear", 5, seed, {}) for seed in range(3)), (others, "knn", "all", 0, {}),
    ):  # fmt: skip
        kind = PROTOCOLS[protocol]
        identity = Run(
            of.identity.key, "mae", "synthetic", made.summary.data_digest,
            made.summary.split_digest, protocol, kind.version, to_json(kind.settings()) | changed,
            shots, seed,
        )  # fmt: skip
        run = PlannedRun(of, "synthetic", protocol, shots, seed, identity)
        write_run(store, run, made.chips, lambda run, labels: share(0.4, 0, len(labels)))
    plain, changed, drawn = scores_of_start(store, record)
    assert [one.cell.protocol for one in (plain, changed, drawn)] == ["knn", "knn", "linear"]
    assert (plain.cell.n, changed.cell.n, drawn.cell.n) == (1, 1, 3)
    assert (plain.settings, changed.settings) == ("", "neighbours 3")
    assert plain.test_count == 1200
    assert plain.cell.mean == pytest.approx(480 / 1200)
    half = stats.t.ppf(0.975, 1199) * np.sqrt(0.4 * 0.6 / 1199)
    assert plain.cell.high - plain.cell.mean == pytest.approx(half, rel=0.003)  # ours adds a chip
    assert drawn.cell.low is None  # three draws of labelled chips


def test_a_card_counts_the_test_and_training_chips_in_the_pool(tmp_path):
    store, data = Store(tmp_path / "runs"), tmp_path / "data"
    link_synthetic(store)
    made = prepare("synthetic", tmp_path, store.prepared)
    write_description(store.root, "synthetic", made.chips, made.summary)
    chips = made.chips
    (data / "seen").mkdir(parents=True)
    wanted = [*np.flatnonzero(chips.is_test)[:3], *np.flatnonzero(~chips.is_test)[:2]]
    for number, index in enumerate(wanted):
        Image.fromarray(chips.chip(int(index))).save(data / "seen" / f"{number}.png")
    pool = prepare("folder:seen", data, store.prepared, pool=True)
    members = pool_members(["folder:seen"], lambda name: pool.summary)
    identity = identity_of("mae", pool=members)
    (unknown, *_) = seen_by(store, identity)
    assert "The store does not describe folder" in unknown
    write_description(store.root, "pool:folder:seen", pool.chips, pool.summary)
    (line, _) = seen_by(store, identity)
    assert "the pool holds 3 of its test chips and 2 of its training chips" in line
    split = pool_members(["synthetic:train"], lambda name: made.summary)
    labels, line, _ = seen_by(store, identity_of("supervised", pool=split))
    assert labels == "The labels of its pool."
    assert "no test chip and 400 of its training chips" in line


def test_weights_that_were_not_trained_here_have_seen_nothing_known(tmp_path):
    store = Store(tmp_path)
    assert list(seen_by(store, identity_of("random_init", recipe=None, pool=[]))) == [
        "Nothing: it was not trained."
    ]
    (line,) = seen_by(store, identity_of("given", recipe=None, pool=[]))
    assert line.startswith("Not recorded in the store")
    for source, wanted in (
        (GivenSource(file="a.pth", seen=["imagenet-1k", "x"], labels=True), "imagenet-1k, x, with"),
        (GivenSource(file="a.pth", seen=[]), "nothing."),
        (GivenSource(file="a.pth", labels=False), "without labels."),
    ):
        (line,) = seen_by(store, identity_of("given", recipe=None, pool=[]), source)
        assert line.startswith(f"As declared when it was imported: {wanted}")


def test_a_continued_encoder_says_that_its_start_has_seen_more_than_the_pool(tmp_path):
    start = {"version": 1, "digest": "ab" * 32, "layout": "mae"}
    line, *_ = seen_by(Store(tmp_path), identity_of("mae", init=start))
    assert line.startswith("It continues from given weights abababababab (layout mae).")
    assert "with labels, is not recorded in the store" in line
    assert not any("continues" in one for one in seen_by(Store(tmp_path), identity_of("mae")))
