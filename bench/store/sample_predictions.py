"""Stored predictions of a method on a few chips, for figures."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from .run_predictions import DamagedPredictionsError

SAMPLES_FILE = "predictions.npz"  # in the folder of a pretraining
LARGEST = 2**26  # bytes of a file, and of its arrays in memory
# Kind of number and axes of each array.
ARRAYS = {
    "chips": ("f", "BHW"), "predicted": ("f", "RMP"), "target": ("f", "RMP"), "mask": ("b", "RM"),
    "patches": ("iu", "RM"), "images": ("iu", "R"), "kind": ("U", ""),
}  # fmt: skip


@dataclass(frozen=True)
class Predictions:
    """Targets and predictions on B chips, in R rows of M patches with P values each.

    A row is an image, or a window or block of it (`methods._method.Prediction`). A control has no
    rows.

    Attributes:
        chips: Inputs of the encoder, in [0, 1].
        predicted: Predicted values.
        target: Values that the method should predict.
        mask: True where the patch was hidden from the encoder.
        patches: Index of each patch on the patch grid, row-major.
        images: Index of the chip that each row belongs to.
        kind: `pixels`, `features` or `histograms`.
    """

    chips: Float[np.ndarray, "B H W"]
    predicted: Float[np.ndarray, "R M P"]
    target: Float[np.ndarray, "R M P"]
    mask: Bool[np.ndarray, "R M"]
    patches: Int[np.ndarray, "R M"]
    images: Int[np.ndarray, " R"]
    kind: str


def load(folder: Path) -> Predictions | None:
    """Read the predictions of a pretraining; None if the file is missing or damaged."""
    try:
        with np.load(folder / SAMPLES_FILE, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        kind = str(arrays.pop("kind"))
        return Predictions(**arrays, kind=kind)
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None


def check_stored(folder: Path) -> None:
    """Check the file of another user, if there is one, before it is copied.

    Raises:
        DamagedPredictionsError: The file is too large or holds other arrays than `Predictions`.
    """
    path = folder / SAMPLES_FILE
    if not path.exists():
        return
    try:
        if path.stat().st_size > LARGEST or _size(path) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 20} MB")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if set(arrays) != set(ARRAYS):
            raise ValueError(f"it holds {', '.join(sorted(arrays))}")
        sizes: dict[str, int] = {}
        for name, (kinds, axes) in ARRAYS.items():
            array = arrays[name]
            lengths = [
                sizes.setdefault(axis, size) for axis, size in zip(axes, array.shape, strict=True)
            ]
            if array.dtype.kind not in kinds or list(array.shape) != lengths:
                raise ValueError(f"{name} has shape {array.shape} and type {array.dtype}")
        images = arrays["images"]
        if images.size and not 0 <= images.min() <= images.max() < sizes["B"]:
            raise ValueError("a row has no chip")
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise DamagedPredictionsError(
            f"{SAMPLES_FILE} does not hold predictions of a pretraining ({error}); only figures "
            "need it: delete it in the other store and merge again"
        ) from error


def _size(path: Path) -> int:
    """Return the bytes that all arrays of a file take in memory."""
    with zipfile.ZipFile(path) as stored:
        return sum(one.file_size for one in stored.infolist())
