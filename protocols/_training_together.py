"""The training of several classifiers as one batched model, for runs that differ in their seed."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from ._settings import FewShot
from ._training import Classifier, batches, precision_of
from ._types import LabelledImages, NotConvergedError, Predictions

Weights = dict[str, Tensor]


def train_together(
    make_encoder: Callable[[float], nn.Module],
    images: LabelledImages,
    episodes: Sequence[Int[np.ndarray, " S"]],
    rngs: Sequence[torch.Generator],
    settings: FewShot,
) -> list[list[Predictions]]:
    """Train one classifier per episode, all at once; predict as `train_and_predict` does.

    The draws of each episode, and the results up to rounding, are those of `train_and_predict`.

    Args:
        make_encoder: Returns a new encoder with pretrained weights for a drop path rate.
        images: The data set.
        episodes: Indices of the labelled training chips, the same number in each.
        rngs: CPU generator of each episode; draws its head and its orders.
        settings: The protocol.

    Raises:
        NotConvergedError: A loss, or a score, is not finite.
        RuntimeError: The encoder draws random numbers, or does what cannot be batched.
    """
    device = images.train.device
    supports = torch.from_numpy(np.stack(episodes))
    models = [
        Classifier(_after_seed(make_encoder, rng), images.classes, settings, rng).to(device).train()
        for rng in rngs
    ]
    weights, buffers = stack_module_state(models)  # pyright: ignore[reportArgumentType]
    model = models[0]
    del models
    optimizer = torch.optim.AdamW(
        list(weights.values()), betas=settings.betas, weight_decay=settings.weight_decay
    )

    def logits_of(weights: Weights, buffers: Weights, chips: Tensor) -> Tensor:
        return functional_call(model, (weights, buffers), (chips,))

    batched = vmap(logits_of, randomness="error")
    schedule = list(settings.rates(supports.shape[1]))
    for epoch, rates in enumerate(schedule):
        orders = [batches(supports.shape[1], settings.batch, rng) for rng in rngs]
        losses = []
        for lr, *positions in zip(rates, *orders, strict=False):  # the last may be incomplete
            for group in optimizer.param_groups:
                group["lr"] = lr
            rows = supports.gather(1, torch.stack(positions)).to(device)  # (E, B)
            with precision_of(device, settings):
                logits = batched(weights, buffers, images.train[rows])
            labels = images.train_labels[rows].long()
            loss = cross_entropy(logits.float().mT, labels, reduction="none").mean(1)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            losses.append(loss.detach())
        if not torch.stack(losses).isfinite().all():  # once an epoch, because it waits
            raise NotConvergedError(
                f"a loss is not finite in epoch {epoch} of {len(schedule)}; check the encoder's "
                f"weights, or set a learning rate below {settings.lr:g}"
            )
    model.eval()
    found = [[] for _ in episodes]
    with torch.no_grad(), precision_of(device, settings):
        for number, of_episode in enumerate(found):  # one after the other, with less memory
            state = {name: values[number] for name, values in (weights | buffers).items()}
            for test in images.tests:
                parts = test.split(settings.eval_batch)
                logits = [functional_call(model, state, (part,)).float() for part in parts]
                of_episode.append(Predictions.of_logits(torch.cat(logits)))
    return found


def _after_seed(make_encoder: Callable[[float], nn.Module], rng: torch.Generator) -> nn.Module:
    """Return an encoder, after the draw that `train_and_predict` makes for draws of encoders."""
    torch.randint(2**63 - 1, (), generator=rng)
    return make_encoder(0.0)
