"""Low-rank updates of linear layers (LoRA, Hu et al., arXiv 2106.09685), and a head."""

import re
from collections.abc import Callable, Iterator
from copy import copy
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.parametrize import register_parametrization

from ._settings import Lora, kinds_in, missing_layers
from ._training import Classifier, train_and_predict
from ._types import LabelledImages, Predictions

# The kind of a linear layer by the end of its name. Some networks of timm have q, k and v, or the
# two halves of a gated MLP, as layers of their own.
KINDS = {
    "qkv": re.compile(r"attn\.(qkv|[qkv]|kv|[qkv]_proj)$"),
    "proj": re.compile(r"attn\.proj$"),
    "fc1": re.compile(r"mlp\.fc1(_g|_x)?$"),
    "fc2": re.compile(r"mlp\.fc2$"),
}


class NoLinearLayersError(ValueError):
    """An encoder without the linear layers that are to be updated."""


class LowRank(nn.Module):
    """The update s B A of a weight (O, I), with A of R rows and s = alpha / R.

    A is drawn from N(0, 1 / I) and B is 0 (section 4.1 of the paper), so that the first outputs are
    those of the frozen weight.
    """

    def __init__(self, layer: nn.Linear, settings: Lora, rng: torch.Generator) -> None:
        """Draw A from `rng`, a CPU generator."""
        super().__init__()
        drawn = torch.randn(settings.rank, layer.in_features, generator=rng)
        drawn = drawn.to(layer.weight.device) / layer.in_features**0.5
        self.down = nn.Parameter(drawn)  # A
        self.up = nn.Parameter(drawn.new_zeros(layer.out_features, settings.rank))  # B
        self.scale = settings.alpha / settings.rank

    def forward(self, weight: Float[Tensor, "O I"]) -> Float[Tensor, "O I"]:
        """Return the updated weight."""
        return weight + self.scale * (self.up @ self.down)

    def added_output(self, x: Float[Tensor, "*rows I"]) -> Float[Tensor, "*rows O"]:
        """Return what the update adds to an output, without the product B A."""
        return linear(linear(x, self.down), self.scale * self.up)


def run(
    make_encoder: Callable[[float], nn.Module],
    images: LabelledImages,
    episode: Int[np.ndarray, " _"],
    rng: torch.Generator,
    settings: Lora,
) -> list[Predictions]:
    """Train updates and head; predict each set of test chips after the last epoch.

    Arguments as in `train_and_predict`.

    Raises:
        NoLinearLayersError: The encoder has no such layers.
    """
    groups = partial(add_updates, settings=settings, rng=rng)
    return train_and_predict(make_encoder, 0.0, groups, images, episode, rng, settings)


def add_updates(classifier: Classifier, settings: Lora, rng: torch.Generator) -> list[dict]:
    """Freeze the encoder, add the updates, and return the weights that are trained.

    The encoder is in evaluation mode, so that no running statistic of it changes either.

    Raises:
        NoLinearLayersError: The encoder has no such layers.
    """
    classifier.encoder.requires_grad_(False).eval()
    if reason := missing_layers(settings.layers, kinds_of(classifier.encoder)):
        raise NoLinearLayersError(reason)
    trained = list(classifier.head.parameters())
    for layer in list(layers_of(classifier.encoder, settings.layers)):
        trained += _update(layer, settings, rng).parameters()
    return [
        {
            "params": [one for one in trained if (one.ndim > 1) == decays],
            "lr_scale": 1.0,
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for decays in (True, False)
    ]


def _update(layer: nn.Linear, settings: Lora, rng: torch.Generator) -> LowRank:
    """Add an update to a layer.

    A call adds B (A x), because the gradient of B A would cost as much as that of W. Code that
    reads `layer.weight` without a call gets W + s B A.
    """
    update = LowRank(layer, settings, rng)
    frozen = copy(layer)
    frozen._parameters = dict(layer._parameters)  # the copy shares them with the layer
    register_parametrization(layer, "weight", update)
    layer.forward = lambda input: frozen(input) + update.added_output(input)
    return update


def layers_of(encoder: nn.Module, layers: str) -> Iterator[nn.Linear]:
    """Yield the linear layers of a kind or group of kinds, in the order of the network."""
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Linear) and _kind(name) in kinds_in(layers):
            yield module


def kinds_of(encoder: nn.Module) -> list[str]:
    """Return the kinds of linear layers that an encoder has and that can be updated."""
    named = encoder.named_modules()
    found = {_kind(name) for name, module in named if isinstance(module, nn.Linear)}
    return [kind for kind in KINDS if kind in found]


def _kind(name: str) -> str | None:
    return next((kind for kind, pattern in KINDS.items() if pattern.search(name)), None)
