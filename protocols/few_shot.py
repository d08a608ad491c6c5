"""The SAR-JEPA paper's fine-tuning: encoder and head, trained on k labelled chips per class."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from ._settings import FewShot
from ._training import Classifier, train_and_predict
from ._types import LabelledImages, Predictions


def run(
    make_encoder: Callable[[float], nn.Module],
    images: LabelledImages,
    episode: Int[np.ndarray, " _"],
    rng: torch.Generator,
    settings: FewShot,
) -> list[Predictions]:
    """Train everything on one episode; predict each set of test chips after the last epoch.

    No epoch and no learning rate is selected. Arguments as in `train_and_predict`.
    """
    return train_and_predict(make_encoder, 0.0, _groups, images, episode, rng, settings)


def _groups(classifier: Classifier) -> list[dict]:
    """Return all weights as one group; biases and norms decay too, as in the source."""
    return [{"params": list(classifier.parameters()), "lr_scale": 1.0}]
