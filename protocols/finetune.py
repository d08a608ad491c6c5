"""Today's fine-tuning recipe on all labels: layer decay, warm-up, cosine, drop path (ours)."""

import re
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from ._encoder import LabelledImages, Predictions
from ._settings import Finetune
from ._training import Classifier, train_and_predict

BLOCK = re.compile(r"encoder\.blocks\.(\d+)\.")
AFTER_BLOCKS = ("head.", "encoder.norm.")


class NoBlocksError(ValueError):
    """An encoder whose weights do not say which layer they belong to."""


def run(
    make_encoder: Callable[[float], nn.Module],
    images: LabelledImages,
    episode: Int[np.ndarray, " _"],
    rng: torch.Generator,
    settings: Finetune,
) -> Predictions:
    """Train everything and return the predictions after the last epoch.

    Arguments as in `train_and_predict`.

    Raises:
        NoBlocksError: The encoder has no weights named `blocks.<i>.*`.
    """
    groups = partial(parameter_groups, settings=settings)
    return train_and_predict(
        make_encoder, settings.drop_path, groups, images, episode, rng, settings
    )


def parameter_groups(classifier: Classifier, settings: Finetune) -> list[dict]:
    """Return the weights by layer; the rate falls by `layer_decay` with each one downwards.

    Layer 0 is what precedes the blocks, block i is layer i + 1, and the last layer, at the full
    rate, is the head with the final norm (`norm.*`). One-dimensional weights do not decay.

    Raises:
        NoBlocksError: No weight of the encoder is named `blocks.<i>.*`.
    """
    named = list(classifier.named_parameters())
    blocks = [int(match[1]) for name, _ in named if (match := BLOCK.match(name))]
    if not blocks:
        raise NoBlocksError(
            "finetune lowers the rate layer by layer and needs weights named 'blocks.<i>.*'; this "
            f"{type(classifier.encoder).__name__} has {', '.join(n for n, _ in named[:5])}, ..."
        )
    last = max(blocks) + 2
    groups: dict[tuple[int, bool], list[nn.Parameter]] = defaultdict(list)
    for name, weight in named:
        match = BLOCK.match(name)
        layer = int(match[1]) + 1 if match else last if name.startswith(AFTER_BLOCKS) else 0
        groups[layer, weight.ndim > 1].append(weight)
    return [
        {
            "params": weights,
            "lr_scale": settings.layer_decay ** (last - layer),
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (layer, decays), weights in groups.items()
    ]
