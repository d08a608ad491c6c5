"""Checks that all state of a training is in its files: encoder, checkpoint, random streams."""

import io
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import safetensors.torch
import torch

from ...methods._encoders import AnyEncoder
from ...methods._method import Method
from ..method_facts.sample_batches import (
    TINY,
    ContractError,
    build,
    config_of,
    encoders_for,
    evaluation_input,
    fresh_rng,
    sample_batch,
)
from ..pretraining.step import train_step
from .training_checks import LEAST_BATCH
from .unsaved_state import same_bits, unsaved_differences

PROGRESS = (0.0, 0.3, 0.6, 0.999)  # of the steps of a training that is resumed
STOPPED_AFTER = 2  # of these steps


class _Training:
    """A short training, with another batch and another mask in each step."""

    def __init__(self, method: type[Method], encoder: AnyEncoder) -> None:
        self.method = build(method, encoder).train()
        trained = [weight for weight in self.method.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=2e-3)
        self._batch = sample_batch(self.method, LEAST_BATCH)

    def train(self, *steps: int) -> list[float]:
        """Train some steps of `PROGRESS`; return the loss before each."""
        losses = []
        for step in steps:
            batch = replace(self._batch, index=self._batch.index - step, progress=PROGRESS[step])
            losses.append(train_step(self.method, self.optimizer, batch, fresh_rng(step)))
        return losses

    def save(self) -> bytes:
        """Return the content of a checkpoint."""
        buffer = io.BytesIO()
        torch.save([self.method.state_dict(), self.optimizer.state_dict()], buffer)
        return buffer.getvalue()

    def load(self, content: bytes) -> None:
        """Set the state of a checkpoint."""
        method, optimizer = torch.load(io.BytesIO(content), weights_only=True)
        self.method.load_state_dict(method, strict=True)
        self.optimizer.load_state_dict(optimizer)


def global_random_state_is_left_alone(method: type[Method]) -> None:
    """Building and training draw from the given generator, never from a global one."""
    before = _global_states()
    built = build(method)
    _check_states(before, "the constructor")
    if not method.trains:
        return
    batch = sample_batch(built, LEAST_BATCH)
    _, kept = built.loss(batch, fresh_rng())
    _check_states(before, "loss")
    with torch.no_grad():
        built.after_step(0.0, batch.index, None if kept is None else kept.detach())
    _check_states(before, "after_step")


def encoder_reloads_strictly(method: type[Method]) -> None:
    """The encoder's weights, saved and loaded into `build_encoder`, give the same tokens.

    They are saved before any step and after two steps of training.
    """
    for encoder_config in encoders_for(method, TINY):
        if not method.trains:
            _check_reloaded(method, build(method, encoder_config).encoder, encoder_config, "")
            continue
        training = _Training(method, encoder_config)
        _check_reloaded(method, training.method.encoder, encoder_config, "")
        training.method.train()
        training.train(0, 1)
        when = " after 2 steps of training"
        _check_reloaded(method, training.method.encoder, encoder_config, when)


def training_resumes_with_the_same_bits(method: type[Method]) -> None:
    """A training that is stopped and resumed ends with the bits of an uninterrupted one."""
    later = range(STOPPED_AFTER, len(PROGRESS))
    for encoder_config in encoders_for(method, TINY):
        straight, resumed = (_Training(method, encoder_config) for _ in range(2))
        straight.train(*range(STOPPED_AFTER))
        content = straight.save()
        losses = straight.train(*later)
        try:
            resumed.load(content)
        except (RuntimeError, pickle.UnpicklingError) as error:
            raise ContractError(
                f"a new method cannot load the checkpoint of a trained one: {error}; make every "
                "buffer and weight in __init__, and keep only tensors in state_dict()"
            ) from error
        found = _difference(straight.method, losses, resumed.method, resumed.train(*later))
        if found:
            cause = _cause(method, encoder_config, straight.method, losses, resumed.method)
            raise ContractError(
                f"a training that is stopped after {STOPPED_AFTER} steps and resumed differs from "
                f"an uninterrupted one in {found}: {cause}"
            )


def _difference(one: Method, losses: list[float], other: Method, others: list[float]) -> str:
    """Return the first difference between two trainings, or nothing."""
    for step, (first, second) in enumerate(zip(losses, others, strict=True), 1):
        if first != second:
            return f"the loss of step {len(PROGRESS) - len(losses) + step} ({first}, {second})"
    second = other.state_dict()
    names = (name for name, value in one.state_dict().items() if not _same(value, second[name]))
    return next(names, "")


def _same(one: Any, other: Any) -> bool:
    tensors = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
    return same_bits(one, other) if tensors else bool(one == other)


def _cause(
    method: type[Method],
    encoder_config: AnyEncoder,
    straight: Method,
    losses: list[float],
    resumed: Method,
) -> str:
    """Return why a resumed training differs, and what to do."""
    names = unsaved_differences(straight, resumed)
    if names:
        return (
            f"state_dict() does not hold {names}. Keep all state that a step changes in buffers: "
            "register_buffer(name, tensor), without persistent=False"
        )
    again = _Training(method, encoder_config)
    repeated = again.train(*range(len(PROGRESS)))[STOPPED_AFTER:]
    if _difference(straight, losses, again.method, repeated):
        return (
            "two uninterrupted trainings from the same rng differ too. Draw with generator=rng, "
            "and keep no state in the class or the module"
        )
    return "state_dict() does not hold all state. Keep what a step changes in buffers"


def _check_reloaded(method: type[Method], trained: Any, encoder: AnyEncoder, when: str) -> None:
    """Save and load an encoder as for an evaluation, and compare its tokens."""
    trained.eval()
    weights = {name: t.detach().cpu().contiguous() for name, t in trained.state_dict().items()}
    state = safetensors.torch.load(safetensors.torch.save(weights))
    fresh: Any = method.build_encoder(config_of(method), encoder).eval()
    try:
        fresh.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ContractError(
            f"build_encoder does not build what __init__ trains: {error}"
        ) from error
    images = evaluation_input(method, encoder)
    with torch.no_grad():
        same = torch.equal(trained(images), fresh(images))
    if not same:
        names = unsaved_differences(trained, fresh)
        raise ContractError(
            f"the reloaded encoder gives other tokens{when}"
            + (f"; its state_dict() does not hold {names}" if names else "")
            + ". Make everything that it computes with a parameter or a buffer (without "
            "persistent=False), or set it in build_encoder"
        )


def _global_states() -> dict[str, bytes]:
    """Return the states of the global random generators.

    That of Python is left out, because the type checks of our tests draw from it.
    """
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
    }


def _check_states(before: dict[str, bytes], place: str) -> None:
    for library, state in _global_states().items():
        if state != before[library]:
            advice = (
                "after_step gets no generator: draw in loss with generator=rng, and return the "
                "numbers as rows"
                if place == "after_step"
                else "give generator=rng to every draw (dropout takes none and cannot be used)"
            )
            raise ContractError(
                f"the global random state has moved: {place} draws from that of {library}; {advice}"
            )
