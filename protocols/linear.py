"""Linear probing: BatchNorm without affine and a linear head on frozen features.

All runs of one encoder on one data set (seeds x shots) train together. Runs with equally many
chips train in lockstep as one weight (R, C, D). Each has its own support set, initial head and
batch order, so the result is that of training it alone (`tests/protocols/test_linear.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import batch_norm, one_hot
from torch.optim.adamw import adamw

from ._settings import Linear
from ._support_sets import of_equal_size
from ._training import batches, head_weight
from ._types import BadFeaturesError, Features, Predictions

CHUNK_VALUES = 1_000_000  # feature values of a chunk: 4 MB, which fit into the cache
ADAM_EPS = 1e-8


@dataclass
class _Heads:
    """The classifiers of R runs in lockstep."""

    weight: Float[Tensor, "R C D"]
    bias: Float[Tensor, "R C 1"]
    mean: Float[Tensor, "R D"]  # of BatchNorm at test time
    variance: Float[Tensor, "R D"]

    def logits(self, inputs: Float[Tensor, "R B D"]) -> Float[Tensor, "R C B"]:
        """Return the scores of normalised features."""
        return torch.baddbmm(self.bias, self.weight, inputs.mT)


def run(
    features: Features,
    episodes: Sequence[Int[np.ndarray, " _"]],
    rngs: Sequence[torch.Generator],
    settings: Linear,
) -> list[list[Predictions]]:
    """Train one head per episode; return its predictions for each set of test chips.

    Args:
        features: The data set under a frozen encoder.
        episodes: Indices of the labelled training chips of each run.
        rngs: One CPU generator for each run; draws the head, then the order of each epoch, the
            same for a GPU.
        settings: The protocol.

    Raises:
        BadFeaturesError: A batch would have a single chip.
        NotConvergedError: A head became NaN or infinite.
    """
    for episode in episodes:
        if min(len(episode), settings.batch) < 2:
            raise BadFeaturesError(
                f"a batch of linear needs 2 labelled chips, for the variance of BatchNorm, got "
                f"{len(episode)} chips and batches of {settings.batch}; set more shots or a larger "
                "`batch`"
            )
    width = features.train.shape[1]
    predictions: dict[int, list[Predictions]] = {}

    def most(size: int) -> int:
        return CHUNK_VALUES // (min(size, settings.batch) * width)

    for runs in of_equal_size(episodes, most):
        support = torch.from_numpy(np.stack([episodes[i] for i in runs]))
        heads = _train(features, support, [rngs[i] for i in runs], settings)
        of_tests = [_predict(test, heads, settings) for test in features.tests]
        predictions |= zip(runs, map(list, zip(*of_tests, strict=True)), strict=True)
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
    bias = weight.new_zeros(len(rngs), features.classes, 1)
    mean = weight.new_zeros(len(rngs), width)
    heads = _Heads(weight, bias, mean, torch.ones_like(mean))
    step = _adamw([weight, bias], settings)
    targets = one_hot(features.train_labels.long(), features.classes).to(weight.dtype)
    for rates in settings.rates(support.shape[1]):
        order = _epoch(support, rngs, settings.batch, device)
        for lr, rows in zip(rates, order, strict=False):  # the last may be incomplete
            inputs = _normalised(features.train, rows, heads, settings)
            # The gradient of the mean cross-entropy over the batch, in closed form.
            error = (heads.logits(inputs).softmax(1) - targets[rows].mT) / rows.shape[1]
            step([error @ inputs, error.sum(2, keepdim=True)], lr)
    return heads


def _adamw(weights: list[Tensor], settings: Linear) -> Callable[[list[Tensor], float], None]:
    """Return the step (gradients, rate) of AdamW on the stacks of all heads, in place.

    AdamW moves each value alone, so each head as if it were the only one. This is the function
    behind `torch.optim.AdamW`; the class would import torch's compiler, which takes 3 s.
    """
    means, squares = ([torch.zeros_like(one) for one in weights] for _ in range(2))
    counts = [torch.zeros(()) for _ in weights]

    def step(gradients: list[Tensor], lr: float) -> None:
        adamw(
            weights, gradients, means, squares, [], counts, amsgrad=False, maximize=False,
            foreach=False, beta1=settings.betas[0], beta2=settings.betas[1], lr=lr, eps=ADAM_EPS,
            weight_decay=settings.weight_decay,
        )  # fmt: skip

    return step


def _epoch(
    support: Int[Tensor, "R S"],
    rngs: Sequence[torch.Generator],
    batch: int,
    device: torch.device,
) -> Iterator[Int[Tensor, "R B"]]:
    """Yield the training chips of each step, each run in its own order."""
    orders = [torch.stack(batches(support.shape[1], batch, rng)) for rng in rngs]
    chips = [support[index, order] for index, order in enumerate(orders)]
    yield from torch.stack(chips, dim=1).to(device)  # once an epoch, because it waits


def _normalised(
    train: Float[Tensor, "N D"], rows: Int[Tensor, "R B"], heads: _Heads, settings: Linear
) -> Float[Tensor, "R B D"]:
    """Return a batch of each run, normalised by its own statistics; update the running ones."""
    runs, size = rows.shape
    # With the runs as R x D channels, one call of torch's BatchNorm serves them all. index_select
    # is twice as fast as indexing.
    inputs = train.index_select(0, rows.T.flatten()).view(size, -1)  # B, R x D
    normalised = batch_norm(
        inputs,
        heads.mean.view(-1),  # updated in place
        heads.variance.view(-1),
        training=True,
        momentum=settings.norm_momentum,
        eps=settings.norm_eps,
    )
    return normalised.view(size, runs, -1).transpose(0, 1)


def _predict(test: Float[Tensor, "M D"], heads: _Heads, settings: Linear) -> Iterator[Predictions]:
    """Yield the predictions of each head by the running statistics."""
    mean, scale = heads.mean[:, None], torch.rsqrt(heads.variance + settings.norm_eps)[:, None]
    rows = max(1, CHUNK_VALUES // scale.numel())
    logits = [heads.logits((part - mean).mul_(scale)) for part in test.split(rows)]
    yield from (Predictions.of_logits(one.T) for one in torch.cat(logits, dim=2))
