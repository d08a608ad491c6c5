"""Masks, targets and predictions of a few chips, stored next to the encoder."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..store.atomic import npz, write_atomic
from ..store.sample_predictions import SAMPLES_FILE, Predictions

if TYPE_CHECKING:  # a report needs this file without torch
    from torch import Generator, Tensor

    from ...methods._method import Method


def sample_of(
    method: "Method", images: "Float[Tensor, 'B 1 H W']", rng: "Generator"
) -> Predictions:
    """Return what a method, trained or not, hides and predicts on chips.

    Args:
        method: Any method or control; its training mode does not change.
        images: Chips at the encoder's input size, on the method's device.
        rng: On the same device; draws the mask.
    """
    import torch

    from ...methods._masked import MaskedPrediction

    chips = images[:, 0].float().cpu().numpy()
    if not isinstance(method, MaskedPrediction):
        values, places = np.zeros((0, 0, 0), np.float32), np.zeros((0, 0), np.int64)
        return Predictions(chips, values, values, places > 0, places, np.zeros(0, int), "pixels")
    was_training = method.training
    method.eval()
    with torch.no_grad():
        made = method.predict(images, rng)
    method.train(was_training)
    values = {name: getattr(made, name).float().cpu().numpy() for name in ("predicted", "target")}
    places = {name: getattr(made, name).cpu().numpy() for name in ("mask", "patches", "images")}
    return Predictions(chips, **values, **places, kind=method.target_kind)


def write_predictions(
    method: "Method",
    images: "Float[Tensor, 'B 1 H W']",
    rng: "Generator",
    folder: Path,
    warn: Callable[[str], None],
) -> None:
    """Write a trained method's predictions into its folder; the predictor itself is not stored."""
    try:
        made = sample_of(method, images, rng)
    except Exception as error:  # code of a plug-in; its trained encoder must not be lost
        warn(
            f"the report will not show what {method.name} predicts: {type(error).__name__}: {error}"
        )
        return
    write_atomic(folder / SAMPLES_FILE, npz(**vars(made) | {"kind": np.array(made.kind)}))
