"""One training step of a method."""

import math

import torch

from ...methods._method import Batch, Method
from .distributed import ALONE, Ranks


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
    device = batch.index.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        loss, kept = method.loss(batch, rng)
    value = ranks.mean(float(loss.item()), str(device))
    if not math.isfinite(value):
        raise NonFiniteLossError(f"the loss is {value}: {_cause(method, batch)}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    ranks.mean_gradients(method)
    optimizer.step()
    if type(method).after_step is not Method.after_step:  # else nothing reads the rows
        with torch.no_grad():
            everyone = ranks.gather(batch.index)
            kept = None if kept is None else ranks.gather(kept.detach())
            method.after_step(batch.progress, everyone, kept)
    return value


def check_weights(method: Method) -> None:
    """Check that every weight is finite.

    Raises:
        NonFiniteLossError: One is not.
    """
    bad = [name for name, weight in method.named_parameters() if not weight.isfinite().all()]
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise NonFiniteLossError(f"the weights {bad[0]}{more} are not finite: lower base_lr")


def _cause(method: Method, batch: Batch) -> str:
    """Return the reason for a loss that is not finite."""
    if not all(view.isfinite().all() for view in batch.views):
        return "the batch holds pixels that are not finite"
    try:
        check_weights(method)
    except NonFiniteLossError as error:
        return str(error)
    return (
        f"images and weights are finite, so the loss of {method.name} is at fault: check its "
        "logarithms, roots and divisions"
    )
