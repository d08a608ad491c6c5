"""Check that two processes train like one."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...methods._method import Batch, Method
from ..method_facts.sample_batches import ContractError, build, sample_batch
from ..pretraining.batch_norm import share_statistics
from ..pretraining.distributed import ALONE, Ranks
from ..pretraining.step import train_step
from .training_checks import LEAST_BATCH, checked
from .two_threads import in_two_threads
from .unsaved_state import NAMED, nearly_same, unsaved_differences

STEPS = 3  # that two processes train together


def halves_with_gather_equal_the_whole(method: type[Method]) -> None:
    """Two processes with half a batch each train three steps like one with the whole."""
    whole, *halves = (build(method).train() for _ in range(3))
    batch = sample_batch(whole, 2 * LEAST_BATCH)
    wanted = _trace(whole, batch, ALONE)
    found = in_two_threads(lambda ranks: _trace(halves[ranks.rank], batch, ranks))
    for step, one, *parts in zip(range(1, STEPS + 1), wanted, *found, strict=True):
        if step == 1:
            _check_first_step(one, parts)
        problem = _state_problem(one, parts)
        if problem:
            names = unsaved_differences(whole, halves[0], nearly_same)
            raise ContractError(
                f"in step {step} {problem}: several processes would not train like one. "
                "`after_step` must compute from its arguments, which are those of the whole "
                "batch, and from buffers; `loss` must change no attribute and no buffer, but "
                "return rows for `after_step`"
                + (f". Attributes that differ too: {names}" if names else "")
            )


@dataclass(frozen=True)
class _Step:
    """One step of a process: its loss, rows to remember, gradients, and state afterwards."""

    loss: float
    rows: Tensor | None
    gradients: dict[str, Tensor | None]
    state: dict[str, Tensor]


def _trace(built: Any, batch: Batch, ranks: Ranks) -> list[_Step]:
    """Train a few steps with this process's share of a batch."""
    own_loss, kept, steps = built.loss, [], []

    def loss(batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        found = checked(own_loss(batch, rng), len(batch.index))
        kept.append(None if found[1] is None else found[1].detach())
        return found

    built.loss = loss
    if ranks.count > 1:
        share_statistics(built, ranks.gather)
    rows = ranks.share(len(batch.index))
    own = replace(
        batch,
        views=tuple(view[rows] for view in batch.views),
        index=batch.index[rows],
        labels=None if batch.labels is None else batch.labels[rows],
        gather=ranks.gather,
    )
    trained = [weight for weight in built.parameters() if weight.requires_grad]
    # Not AdamW, whose first steps turn rounding of a gradient near 0 into a step of full length.
    # Short steps, because batch normalisation after an untrained encoder enlarges rounding too.
    optimizer = torch.optim.SGD(trained, lr=1e-3)
    for step in range(STEPS):
        now = replace(own, progress=step / STEPS)
        rng = ranks.stream(step, "method checks", device="cpu")
        value = train_step(built, optimizer, now, rng, ranks)
        moved = {n: p for n, p in built.named_parameters() if not p.requires_grad}
        state = {n: t.detach().clone() for n, t in {**dict(built.named_buffers()), **moved}.items()}
        gradients = {n: p.grad for n, p in built.named_parameters()}  # zero_grad makes new ones
        steps.append(_Step(value, kept[-1], gradients, state))
    return steps


def _check_first_step(whole: _Step, parts: list[_Step]) -> None:
    """Compare loss, gradients and rows before any state has changed."""
    advice = (
        "several processes would not train like one. Draw with `draw` or `random_order` of "
        "sarbench.methods, which know their part of the batch, and use batch.gather for the rows "
        "of other chips"
    )
    loss = parts[0].loss
    if not math.isclose(loss, whole.loss, rel_tol=1e-3, abs_tol=1e-5):
        raise ContractError(
            f"the loss of a batch is {whole.loss:.6g}, the mean of its halves with gather "
            f"{loss:.6g}: {advice}"
        )
    scale = max(float(g.abs().max()) for g in whole.gradients.values() if g is not None)
    for name, one in whole.gradients.items():
        other = parts[0].gradients[name]
        if (one is None) != (other is None):
            raise ContractError(f"{name} gets a gradient in one process only: {advice}")
        if (
            one is not None
            and other is not None
            and not torch.allclose(one, other, rtol=1e-2, atol=1e-4 * scale)
        ):
            raise ContractError(
                f"the gradient of {name} differs between halves and whole: {advice}"
            )
    rows = [part.rows for part in parts if part.rows is not None]
    if whole.rows is not None and not nearly_same(whole.rows, torch.cat(rows)):
        raise ContractError(f"the rows to remember differ between halves and whole: {advice}")


def _state_problem(whole: _Step, parts: list[_Step]) -> str:
    """Return the difference between the loss or the state of halves and whole, or nothing."""
    loss = parts[0].loss
    if not math.isclose(loss, whole.loss, rel_tol=1e-3, abs_tol=1e-5):
        return f"the loss of a batch is {whole.loss:.6g}, the mean of its halves {loss:.6g}"
    names = [
        name
        for name, value in whole.state.items()
        if not all(nearly_same(value, part.state[name]) for part in parts)
    ]
    return f"the state of halves and whole differs in {', '.join(names[:NAMED])}" if names else ""
