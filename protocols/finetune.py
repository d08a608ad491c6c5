"""Fine-tuning on all labels by today's recipe (ours): layer decay, warm-up, cosine, drop path."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from ._settings import Finetune
from ._training import Classifier, train_and_predict
from ._types import LabelledImages, Predictions


class NoLayersError(ValueError):
    """An encoder without layer numbers."""


def run(
    make_encoder: Callable[[float], nn.Module],
    images: LabelledImages,
    episode: Int[np.ndarray, " _"],
    rng: torch.Generator,
    settings: Finetune,
) -> list[Predictions]:
    """Train everything; predict each set of test chips after the last epoch.

    Arguments as in `train_and_predict`.

    Raises:
        NoLayersError: The encoder has no layer numbers.
    """
    groups = partial(parameter_groups, settings=settings)
    return train_and_predict(
        make_encoder, settings.drop_path, groups, images, episode, rng, settings
    )


def parameter_groups(classifier: Classifier, settings: Finetune) -> list[dict]:
    """Return the weights by layer; each layer has `layer_decay` times the rate of the next one.

    `encoder.layer_numbers()` gives the layers, by timm's grouping, and the number of the head,
    which has the full rate. The final norm of our ViT has the head's number. One-dimensional
    weights do not decay.

    Raises:
        NoLayersError: The encoder has no layer numbers.
    """
    encoder: Any = classifier.encoder
    if not hasattr(encoder, "layer_numbers"):
        raise NoLayersError(
            f"{type(encoder).__name__} has no layer_numbers(), which finetune needs for rates "
            "that fall layer by layer; add it (the layer of each weight by its name, and that of "
            "a head), or remove 'finetune' from the method's `protocols`"
        )
    numbers, last = encoder.layer_numbers()
    layer_of = {f"encoder.{name}": layer for name, layer in numbers.items()}
    groups: dict[tuple[int, bool], list[nn.Parameter]] = defaultdict(list)
    for name, weight in classifier.named_parameters():
        groups[layer_of.get(name, last), weight.ndim > 1].append(weight)
    return [
        {
            "params": weights,
            "lr_scale": settings.layer_decay ** (last - layer),
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (layer, decays), weights in groups.items()
    ]
