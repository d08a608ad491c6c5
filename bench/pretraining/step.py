"""One training step of a method."""

import math

import torch
from torch import Tensor

from ...methods._method import Batch, Method
from .distributed import ALONE, Ranks

NOT_FINITE_PIXELS = "the batch holds pixels that are not finite"


class NonFiniteLossError(ValueError):
    """A loss, or a weight, that is NaN or infinite; the message names the cause."""


def train_step(
    method: Method,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    rng: torch.Generator,
    ranks: Ranks = ALONE,
    precision: str = "fp32",
) -> float:
    """Compute the loss of a batch and its gradients, move the weights, and run `after_step`.

    Args:
        method: In training mode.
        optimizer: Of the method's trainable weights.
        batch: This process's share.
        rng: On the batch's device; draws the mask.
        ranks: The processes that share the batch.
        precision: Of the forward pass, "fp32" or "bf16".

    Returns:
        The loss before the step, its mean over all processes.

    Raises:
        NonFiniteLossError: The loss is NaN or infinite; the weights have not moved.
    """
    loss, kept = _forward(method, batch, rng, precision)
    value = ranks.mean(float(loss.item()), str(loss.device))
    if not math.isfinite(value):
        raise NonFiniteLossError(f"the loss is {value}: {_cause(method, batch)}")
    _move(method, optimizer, batch, ranks, loss, kept)
    return value


def queue_step(
    method: Method,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    rng: torch.Generator,
    ranks: Ranks = ALONE,
    precision: str = "fp32",
) -> Tensor:
    """Do a step as `train_step` does, without waiting for the device.

    Returns:
        This process's loss before the step, on the device. The caller checks that it is finite.
    """
    loss, kept = _forward(method, batch, rng, precision)
    _move(method, optimizer, batch, ranks, loss, kept)
    return loss.detach()


def _forward(
    method: Method, batch: Batch, rng: torch.Generator, precision: str
) -> tuple[Tensor, Tensor | None]:
    device = batch.index.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        return method.loss(batch, rng)


def _move(
    method: Method,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    ranks: Ranks,
    loss: Tensor,
    kept: Tensor | None,
) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    ranks.mean_gradients(method)
    optimizer.step()
    if type(method).after_step is not Method.after_step:  # else nothing reads the rows
        with torch.no_grad():
            everyone = ranks.gather(batch.index)
            kept = None if kept is None else ranks.gather(kept.detach())
            method.after_step(batch.progress, everyone, kept)


def check_weights(method: Method) -> None:
    """Check that every weight is finite.

    Raises:
        NonFiniteLossError: One is not.
    """
    weights = dict(method.named_parameters())
    finite = torch.stack([weight.isfinite().all() for weight in weights.values()]).tolist()
    bad = [name for name, good in zip(weights, finite, strict=True) if not good]
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise NonFiniteLossError(f"the weights {bad[0]}{more} are not finite: lower base_lr")


def cause_seen_later(method: Method, batch: Batch) -> str:
    """Return the reason for a loss that was seen after the weights had moved with it.

    Args:
        method: The method, some steps later.
        batch: The batch of that loss, drawn again.
    """
    if not _pixels_are_finite(batch):
        return NOT_FINITE_PIXELS
    return (
        f"its images are finite, so lower base_lr, or check the logarithms, roots and divisions "
        f"in the loss of {method.name}"
    )


def _cause(method: Method, batch: Batch) -> str:
    """Return the reason for a loss that is not finite."""
    if not _pixels_are_finite(batch):
        return NOT_FINITE_PIXELS
    try:
        check_weights(method)
    except NonFiniteLossError as error:
        return str(error)
    return (
        f"images and weights are finite, so the loss of {method.name} is at fault: check its "
        "logarithms, roots and divisions"
    )


def _pixels_are_finite(batch: Batch) -> bool:
    return all(bool(view.isfinite().all()) for view in batch.views)
