import io
from hashlib import sha256

import numpy as np
import pytest

from sarbench.bench.store import run_predictions
from sarbench.bench.store.atomic import npz
from sarbench.bench.store.run_predictions import read_predictions, to_store

CLASSES = np.array([2, 0, 1])
SCORES = np.log(np.array([[0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.25, 0.5, 0.25]], np.float32))


def stored(tmp_path, **arrays):
    content = npz(**arrays)
    path = tmp_path / "predictions.npz"
    path.write_bytes(content)
    return path, sha256(content).hexdigest()


def test_the_scores_of_all_classes_are_kept_in_half_precision(tmp_path):
    given = stored(tmp_path, **to_store(CLASSES, np.asfortranarray(SCORES)))
    found = read_predictions(*given)
    np.testing.assert_array_equal(found["scores"], SCORES.astype(np.float16))
    assert (found["classes"].dtype, found["scores"].dtype) == (np.int16, np.float16)
    with np.load(io.BytesIO(given[0].read_bytes())) as file:
        np.testing.assert_array_equal(file["scores"], found["scores"])
    quick = read_predictions(*given, ("classes",))
    np.testing.assert_array_equal(quick["classes"], CLASSES)


def test_a_score_below_the_range_of_half_precision_stays_finite():
    scores = np.array([[0, -1e6]], np.float32)
    assert to_store(np.array([0]), scores)["scores"].tolist() == [[0, -65504]]


def test_of_too_many_scores_those_of_the_predicted_classes_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(run_predictions, "MOST_SCORES", 8)
    found = read_predictions(*stored(tmp_path, **to_store(CLASSES, SCORES)))
    np.testing.assert_allclose(np.exp(found["scores"].astype(float)), [0.8, 0.6, 0.5], rtol=1e-3)


@pytest.mark.parametrize("scores", [np.ones(3, np.float32), np.ones((3, 2), np.float16)])
def test_older_files_are_read_too(tmp_path, scores):
    given = stored(tmp_path, classes=CLASSES.astype(np.int16), scores=scores)
    np.testing.assert_array_equal(read_predictions(*given)["scores"], scores)
