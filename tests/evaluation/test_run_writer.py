"""The files of a run: the first predictions count, and a damaged file is replaced."""

import hashlib

import numpy as np
import pytest
import torch
from made_chips import chips_from
from stores import provenance

from sarbench.bench.evaluation.run_writer import RunWriter
from sarbench.bench.identity import Run, to_json
from sarbench.bench.store.atomic import npz
from sarbench.bench.store.records import Store
from sarbench.protocols import PROTOCOLS
from sarbench.protocols._types import Predictions
from sarbench.results.score_metrics import auc, probabilities

CHIPS = chips_from(
    np.zeros((120, 2, 2), np.uint8), name="bars", labels=np.arange(120) % 4,
    classes=tuple("abcd"), is_test=np.arange(120) % 3 > 0,
)  # fmt: skip
LABELS = CHIPS.labels[CHIPS.is_test]
CLASSES = (LABELS + (np.arange(len(LABELS)) % 3 == 0)) % 4


def run_of(name: str) -> Run:
    protocol = PROTOCOLS[name]
    return Run("p" * 64, "mae", "bars", CHIPS.data_digest, CHIPS.split_digest, name,
               protocol.version, to_json(protocol.settings()), 5, 0)  # fmt: skip


def predictions(seed: int) -> Predictions:
    rng = torch.Generator().manual_seed(seed)
    return Predictions.of_logits(torch.randn(len(LABELS), 4, generator=rng))


def write(store: Store, given: Predictions, protocol: str = "linear"):
    writer = RunWriter(CHIPS, store, "w" * 64, pytest.fail)
    return writer.write(run_of(protocol), np.arange(20), given, provenance())


def path_of(store: Store, protocol: str = "linear"):
    return store.folder("evaluate", run_of(protocol).key) / "predictions.npz"


def test_metrics_are_those_of_the_stored_scores(tmp_path):
    store, given = Store(tmp_path), predictions(0)
    record = write(store, given)
    half = given.scores.astype(np.float16)
    assert record.metrics["auc"] == auc(LABELS, probabilities(half))
    assert set(record.metrics) == {"top_2", "top_3", "auc", "calibration_error", "nll"}
    assert record.predictions_digest == hashlib.sha256(path_of(store).read_bytes()).hexdigest()
    assert set(write(store, given, "knn").metrics) == {"top_2", "top_3", "auc"}


def test_the_predictions_of_the_first_process_count(tmp_path):
    store = Store(tmp_path)
    first = write(store, predictions(0))
    store.record("evaluate", first.key).unlink()
    second = write(store, predictions(1))
    assert (second.metrics, second.accuracy) == (first.metrics, first.accuracy)
    assert second.predictions_digest == first.predictions_digest


@pytest.mark.parametrize("content", [b"PK", npz(classes=CLASSES[:5], scores=np.ones(5))])
def test_damaged_predictions_are_replaced(tmp_path, content):
    store = Store(tmp_path)
    path_of(store).parent.mkdir(parents=True)
    path_of(store).write_bytes(content)
    assert write(store, predictions(0)).metrics
    assert path_of(store).read_bytes() != content


def test_predictions_of_an_older_sarbench_count_without_metrics_of_scores(tmp_path):
    store = Store(tmp_path)
    path_of(store).parent.mkdir(parents=True)
    scores = np.ones(len(LABELS), np.float32)
    path_of(store).write_bytes(npz(classes=CLASSES.astype(np.int16), scores=scores))
    record = write(store, predictions(0))
    assert record.metrics == {}
    assert record.accuracy == np.mean(CLASSES == LABELS)
