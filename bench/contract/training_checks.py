"""Checks of the loss and of a short training."""

from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ...methods._encoders import SIZES
from ...methods._method import Method
from ..method_facts.sample_batches import (
    TINY,
    TINY_224,
    TINY_TIMM,
    ContractError,
    build,
    encoders_for,
    fresh_rng,
    made_up_chips,
    sample_batch,
)
from ..pretraining.collapse import COLLAPSED, feature_spread
from ..pretraining.step import train_step

LEAST_BATCH = 4  # chips of the smallest batch that a method must take
STEPS = 20  # of the short training
AVERAGED = 5  # losses whose means are compared


def loss_is_one_finite_number(method: type[Method]) -> None:
    """The loss of a batch is one finite number, at every input size, for 4 chips or more."""
    encoders = encoders_for(method, TINY, TINY_224, SIZES["vit_nano"])
    for encoder_config, number in [(TINY, 5), *((one, LEAST_BATCH) for one in encoders)]:
        loss = _loss(build(method, encoder_config), number)
        if loss.ndim != 0 or not torch.isfinite(loss):
            raise ContractError(
                f"the loss of {number} chips of {encoder_config.input_px} px must be one finite "
                f"number, got {loss.detach()}"
            )


def loss_is_a_function_of_the_rng(method: type[Method]) -> None:
    """The same weights, buffers, batch and generator give the same loss."""
    built = build(method)
    state = {name: value.clone() for name, value in built.state_dict().items()}
    losses = []
    for _ in range(2):
        built.load_state_dict(state)
        losses.append(_loss(built, LEAST_BATCH).item())
    if losses[0] != losses[1]:
        raise ContractError(
            f"equal generators give losses {losses[0]} and {losses[1]}; draw with generator=rng, "
            "and keep no state outside of buffers"
        )


def gradients_reach_the_encoder(method: type[Method]) -> None:
    """Every weight of the encoder gets a gradient; weights without requires_grad get none."""
    built = build(method).train()
    for name, weight in built.encoder.named_parameters():
        if not weight.requires_grad:
            raise ContractError(
                f"encoder.{name} is not trained (requires_grad is False); every weight of the "
                "encoder must be"
            )
    _loss(built, LEAST_BATCH).backward()
    for name, weight in built.named_parameters():
        if not weight.requires_grad and weight.grad is not None:
            raise ContractError(
                f"{name} has requires_grad False and gets a gradient; use it under torch.no_grad()"
            )
        reached = weight.grad is not None and bool(weight.grad.ne(0).any())
        if name.startswith("encoder.") and not reached:
            raise ContractError(
                f"{name} gets no gradient from the loss; use the weight, and do not detach its "
                "output"
            )


def twenty_steps_lower_the_loss(method: type[Method]) -> None:
    """Twenty steps on one batch with one mask lower the loss by 10%.

    The means of the first and of the last steps are compared, because a moving target changes the
    task between two steps. With a queue the batch soon meets its own chips, so the loss may fall
    only in a second training without `after_step`.
    """
    _, losses = _trained(method)
    first, last = fmean(losses[:AVERAGED]), fmean(losses[-AVERAGED:])
    if not (_falls(losses) or _falls(_trained(method, update=False)[1])):
        raise ContractError(
            f"in {STEPS} steps on one batch the loss goes from {first:.4g} to {last:.4g} (means of "
            f"{AVERAGED} steps); it must fall by 10%: a method that cannot overfit 4 chips does "
            "not learn from more"
        )


def _falls(losses: list[float]) -> bool:
    """Return whether losses fall by 10%, by means or from first to last."""
    ends = [(fmean(losses[:AVERAGED]), fmean(losses[-AVERAGED:])), (losses[0], losses[-1])]
    return any(last < first - 0.1 * abs(first) for first, last in ends)


def features_do_not_collapse(method: type[Method]) -> None:
    """After forty steps the features of different chips still differ."""
    chips = made_up_chips(8)
    before = feature_spread(build(method).encoder, chips)
    after = feature_spread(_trained(method, 2 * STEPS)[0].encoder, chips)
    if after < COLLAPSED * before:
        raise ContractError(
            f"the spread of features over chips falls from {before:.3g} to {after:.3g} in "
            f"{2 * STEPS} steps: every chip gets the same features; add what keeps them apart "
            "(negatives, a moving target, a stopped gradient)"
        )


def after_step_leaves_trained_weights_alone(method: type[Method]) -> None:
    """`after_step` runs from start to end of training and changes no trained weight."""
    built = build(method)
    before = {name: weight.clone() for name, weight in built.named_parameters()}
    for number in (LEAST_BATCH, LEAST_BATCH + 2):
        batch = sample_batch(built, number)
        with torch.no_grad():
            _, kept = checked(built.loss(batch, fresh_rng()), number)
            for progress in (0.0, 0.5, 1.0):
                built.after_step(progress, batch.index, kept)
        for name, weight in built.named_parameters():
            if not torch.isfinite(weight).all():
                raise ContractError(f"after_step makes {name} non-finite")
            if weight.requires_grad and not torch.equal(weight, before[name]):
                raise ContractError(
                    f"after_step with {number} chips changes {name}, which the optimiser trains; "
                    "change buffers and weights without requires_grad only"
                )


def any_encoder_means_any(method: type[Method]) -> None:
    """A method with `any_encoder` trains a convolutional network too."""
    built = build(method, TINY_TIMM).train()
    _loss(built, LEAST_BATCH).backward()
    if not all(weight.grad is not None for weight in built.encoder.parameters()):
        raise ContractError(
            f"some weights of {TINY_TIMM.name} get no gradient from the loss; set any_encoder = "
            "False if the method needs an encoder of a certain kind"
        )


def _loss(built: Method, number: int) -> Tensor:
    return checked(built.loss(sample_batch(built, number), fresh_rng()), number)[0]


def checked(found: Any, number: int) -> tuple[Tensor, Tensor | None]:
    """Return loss and rows.

    Raises:
        ContractError: `found` is not such a pair, or has too few rows.
    """
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], Tensor):
        raise ContractError(
            f"loss must return (loss, rows to remember or None), got {type(found).__name__}"
        )
    if found[1] is not None and len(found[1]) != number:
        raise ContractError(
            f"loss must return one row to remember for each of {number} chips, got {len(found[1])}"
        )
    return found


def _trained(
    method: type[Method], steps: int = STEPS, *, update: bool = True
) -> tuple[Method, list[float]]:
    """Return a method after a few steps on one batch, and the loss before each and after all.

    With `update` off, `after_step` does nothing.
    """
    built = build(method).train()
    if not update:
        built.after_step = lambda *unused: None
    batch = sample_batch(built, LEAST_BATCH)
    trained = [weight for weight in built.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-3)
    losses = [
        train_step(built, optimizer, replace(batch, progress=step / (steps + 1)), fresh_rng())
        for step in range(steps + 1)
    ]
    return built, losses
