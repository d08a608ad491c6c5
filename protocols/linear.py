"""Linear probing: BatchNorm without affine and a linear head on frozen features.

All runs of one encoder on one data set (seeds x shots) train together. Runs with equally many
chips step in lockstep as one (R, C, D) weight; each has its own support set, initial head and
batch order, so the result is that of training them one by one (`tests/test_protocols_linear.py`).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from ._encoder import BadFeaturesError, Features, Predictions
from ._settings import Linear
from ._training import batches, head_weight

CHUNK_VALUES = 4_000_000  # feature values gathered at a time; bounds memory, not a number


@dataclass
class _Heads:
    """The classifiers of R runs in lockstep."""

    weight: Float[Tensor, "R C D"]
    bias: Float[Tensor, "R 1 C"]
    mean: Float[Tensor, "R 1 D"]  # of BatchNorm at test time
    variance: Float[Tensor, "R 1 D"]

    def logits(self, inputs: Float[Tensor, "R B D"]) -> Float[Tensor, "R B C"]:
        """Return the scores of normalised features."""
        return torch.baddbmm(self.bias, inputs, self.weight.mT)


def run(
    features: Features,
    episodes: Sequence[Int[np.ndarray, " _"]],
    rngs: Sequence[torch.Generator],
    settings: Linear,
) -> list[Predictions]:
    """Train one head per episode and return its predictions, in the order of the episodes.

    Args:
        features: The data set under a frozen encoder.
        episodes: Indices of the labelled training chips of each run.
        rngs: One CPU generator per run; draws the head, then the order of each epoch, so a GPU
            sees the same batches.
        settings: The protocol.

    Raises:
        BadFeaturesError: A run has a single chip, of which BatchNorm knows no variance.
        NotConvergedError: A head is no longer finite.
    """
    lockstep: dict[int, list[int]] = defaultdict(list)
    for index, episode in enumerate(episodes):
        if len(episode) < 2:
            raise BadFeaturesError(f"linear needs 2 labelled chips or more, got {len(episode)}")
        lockstep[len(episode)].append(index)
    width = features.train.shape[1]
    predictions: dict[int, Predictions] = {}
    for size, runs in lockstep.items():
        together = max(1, CHUNK_VALUES // (min(size, settings.batch) * width))
        for first in range(0, len(runs), together):
            chunk = runs[first : first + together]
            support = torch.from_numpy(np.stack([episodes[i] for i in chunk]))
            heads = _train(features, support, [rngs[i] for i in chunk], settings)
            predictions |= zip(chunk, _predict(features.test, heads, settings), strict=True)
    return [predictions[index] for index in range(len(episodes))]


def _train(
    features: Features,
    support: Int[Tensor, "R S"],
    rngs: Sequence[torch.Generator],
    settings: Linear,
) -> _Heads:
    """Train R heads on S chips each."""
    device, width = features.train.device, features.train.shape[1]
    shape = (features.classes, width)
    weight = torch.stack([head_weight(shape, settings.head_std, rng) for rng in rngs]).to(device)
    bias = weight.new_zeros(len(rngs), 1, features.classes)
    mean = weight.new_zeros(len(rngs), 1, width)
    heads = _Heads(weight, bias, mean, torch.ones_like(mean))
    targets = one_hot(features.train_labels.long(), features.classes).to(weight.dtype)
    # AdamW acts on each value alone: on the stack of all heads it is AdamW on each of them.
    optimizer = torch.optim.AdamW(
        [weight, bias],
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    for epoch in range(settings.epochs):
        optimizer.param_groups[0]["lr"] = settings.lr_at(epoch)
        for rows in _epoch(support, rngs, settings.batch, device):
            inputs = _normalise(features.train[rows], heads, settings)
            # The gradient of the mean cross-entropy over the batch, in closed form.
            error = (heads.logits(inputs).softmax(-1) - targets[rows]) / rows.shape[1]
            weight.grad = error.mT @ inputs
            bias.grad = error.sum(1, keepdim=True)
            optimizer.step()
    return heads


def _epoch(
    support: Int[Tensor, "R S"],
    rngs: Sequence[torch.Generator],
    batch: int,
    device: torch.device,
) -> Iterator[Int[Tensor, "R B"]]:
    """Yield the training chips of each step, every run in its own order."""
    orders = [batches(support.shape[1], batch, rng) for rng in rngs]
    for rows in torch.stack([torch.stack(order) for order in orders], dim=1):
        yield support.gather(1, rows).to(device)


def _normalise(
    inputs: Float[Tensor, "R B D"], heads: _Heads, settings: Linear
) -> Float[Tensor, "R B D"]:
    """Normalise a training batch by its own statistics, in place, and update the running ones."""
    variance, mean = torch.var_mean(inputs, dim=1, correction=0, keepdim=True)
    size = inputs.shape[1]
    heads.mean.lerp_(mean, settings.norm_momentum)
    # BatchNorm divides by the biased variance but remembers the unbiased one.
    heads.variance.lerp_(variance * (size / (size - 1)), settings.norm_momentum)
    return inputs.sub_(mean).mul_(torch.rsqrt(variance + settings.norm_eps))


def _predict(test: Float[Tensor, "M D"], heads: _Heads, settings: Linear) -> Iterator[Predictions]:
    """Yield the predictions of each head by the running statistics."""
    scale = torch.rsqrt(heads.variance + settings.norm_eps)
    rows = max(1, CHUNK_VALUES // scale.numel())
    logits = [heads.logits((part - heads.mean) * scale) for part in test.split(rows)]
    yield from map(Predictions.of_logits, torch.cat(logits, dim=1))
