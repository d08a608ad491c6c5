"""Our joint-embedding methods with the weights and the views of the reference."""

from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional

from parity.inputs import chips, sample, weight
from parity.our_methods import CASES, RATE, TEMPERATURES, Draw, Outcome, build, weights_of
from sarbench.bench.pretraining.optimisation import make_optimizer
from sarbench.bench.pretraining.step import train_step
from sarbench.methods import lejepa
from sarbench.methods._method import Batch

CHIPS = 4
STEPS = 5  # in double precision
VIEWS = {
    "vicreg": (2, 0),
    "dino": (2, 2),
    "lejepa": (4, 0),
}  # method -> large and small views of each chip
SMALL_PX = 96
DIRECTIONS = (16, 256)  # of LeJEPA: length and number


def views(name: str) -> list[Tensor]:
    """Return the views of a method: chips, and central parts of other chips.

    They and the networks are of double precision. Chips hardly differ before a training, so that
    batch normalisation enlarges rounding errors a hundred times.
    """
    large, small = VIEWS[name]
    whole = list(chips(CHIPS * (large + small)).double().split(CHIPS))
    place = slice(64, 64 + SMALL_PX)
    return [*whole[:large], *(part[:, :, place, place] for part in whole[large:])]


def joint_outcome(name: str, draws: Sequence[Draw]) -> Outcome:
    """Return tokens and predictions of the first step, losses and weights of all."""
    images, rng = tuple(views(name)), torch.Generator()
    method, _ = build(name)
    weights = weights_of(name, method.double())
    first: dict[str, Tensor] = {}
    watch_joint(first, method, name)
    optimizer = make_optimizer(method, CASES[name].recipe)
    for group in optimizer.param_groups:
        group["lr"] = RATE
    losses = []
    for step in range(len(draws)):
        batch = Batch(images, torch.arange(CHIPS), progress=step / len(draws))
        with mock.patch.object(lejepa, "random_directions", return_value=directions(step)):
            losses.append(train_step(method, optimizer, batch, rng))
    return {
        **{quantity: {quantity: sample(values)} for quantity, values in first.items()},
        "losses": {"losses": torch.tensor(losses).numpy()},
        "weights": {theirs: sample(value) for theirs, value in weights.items()},
    }


def directions(step: int) -> Tensor:
    """Return the directions along which LeJEPA tests normality in a step."""
    return functional.normalize(weight(f"directions {step}", DIRECTIONS).double(), dim=0)


def watch_joint(found: dict[str, Tensor], method: Any, name: str) -> None:
    """Keep tokens, predictions and targets of the first step."""

    def keep(quantity: str, values: Tensor) -> None:
        found.setdefault(quantity, values.detach().clone())

    method.encoder.norm.register_forward_hook(lambda _, __, made: keep("tokens", made))
    if name == "vicreg":
        method.expander.register_forward_hook(lambda _, __, made: keep("predictions", made))
    if name == "lejepa":
        method.projector.register_forward_hook(lambda _, __, made: keep("predictions", made))
    if name == "dino":
        method.head.register_forward_hook(
            lambda head, _, made: keep("predictions", method.head.logits(made))
        )
        method.target_head.register_forward_hook(
            lambda head, _, made: keep("targets", dino_targets(head.logits(made)))
        )


def dino_targets(logits: Tensor) -> Tensor:
    """Return the probabilities of the first step, whose centre is 0."""
    return (logits / TEMPERATURES[0]).softmax(dim=1)
