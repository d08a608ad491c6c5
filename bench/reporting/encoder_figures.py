"""Features and attention of finished encoders, computed once and kept in the store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int

from ..data.find_set import Splits, open_set
from ..data.packed import Summary
from ..evaluation.evaluate import Evaluation
from ..identity import Pretraining, Resources
from ..store.atomic import npz, write_atomic
from ..store.records import Store
from .attention import (
    ATTENTION_CHIPS,
    SHOWN_CHIPS,
    attention_distances,
    places_by_tsne,
    uniform_distance,
)

VERSION = 1  # of the stored arrays; raised when their computation changes


def places_of(
    rows: dict[str, Pretraining], dataset: Summary, store: Store
) -> tuple[dict[str, Float[np.ndarray, "M 2"]], Int[np.ndarray, " M"], tuple[str, ...]]:
    """Return the t-SNE coordinates of test chips for each encoder, their labels, class names.

    Raises:
        NotPreparedError: Coordinates are missing, and so are the pixels to compute them.
    """
    chosen = _evenly(sum(dataset.counts["test"].values()), SHOWN_CHIPS)
    places = {}
    for row, identity in rows.items():

        def make(identity: Pretraining = identity) -> dict[str, np.ndarray]:
            chips = open_set(dataset.name, dataset, store.root)
            evaluation = Evaluation(identity, chips, store, Resources())
            tests = np.flatnonzero(chips.is_test)
            read = evaluation.features(tests[chosen], ["default"])  # readout of `linear`
            return {"places": places_by_tsne(read["default"].double().cpu().numpy())}

        path = _kept(store, "tsne", identity, dataset)
        places[row] = _cached(path, make)["places"]
    return places, _test_labels(dataset, store)[chosen], dataset.classes


def _test_labels(dataset: Summary, store: Store) -> Int[np.ndarray, " M"]:
    split = Splits([store.root]).find(dataset.name, dataset.data_digest, dataset.split_digest)
    if split is not None:
        return split.test_labels
    chips = open_set(dataset.name, dataset, store.root)
    return chips.labels[chips.is_test]


def attention_of(
    rows: dict[str, Pretraining], dataset: Summary, store: Store
) -> tuple[dict[str, Float[np.ndarray, "L h"]], dict[str, float]]:
    """Return the attention distances of each encoder, and those of uniform attention, in pixels.

    Raises:
        NotPreparedError: Distances are missing, and so are the pixels to compute them.
    """
    chosen = _evenly(sum(dataset.counts["test"].values()), ATTENTION_CHIPS)
    distances, uniform = {}, {}
    for row, identity in rows.items():
        size = cast(dict[str, Any], identity.encoder)
        grid = (size["input_px"] // size["patch_px"],) * 2
        uniform[row] = uniform_distance(grid, size["patch_px"], class_token=True)

        def make(
            identity: Pretraining = identity, grid: Any = grid, size: Any = size
        ) -> dict[str, np.ndarray]:
            chips = open_set(dataset.name, dataset, store.root)
            evaluation = Evaluation(identity, chips, store, Resources())
            images = next(evaluation.inputs(np.flatnonzero(chips.is_test)[chosen]))
            encoder = evaluation.make_encoder().eval()
            return {"px": attention_distances(encoder, images, grid, size["patch_px"])}

        path = _kept(store, "attention", identity, dataset)
        distances[row] = _cached(path, make)["px"]
    return distances, uniform


def _evenly(count: int, wanted: int) -> Int[np.ndarray, " K"]:
    return np.linspace(0, count - 1, min(count, wanted)).astype(np.int64)


def _kept(store: Store, what: str, identity: Pretraining, dataset: Summary) -> Path:
    name = f"{what}-{VERSION}-{identity.key[:24]}-{dataset.data_digest[:12]}.npz"
    return store.root / "pictures" / name


def _cached(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of a file; compute and store them if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError):
        arrays = make()
        write_atomic(path, npz(**arrays))
        return arrays
