"""Build a method with an encoder and run it once on the meta device."""

import warnings
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ...methods import _registry
from ...methods._encoders import encoder_from_json
from ...methods._masking import MaskingError
from ...methods._method import Method, MethodConfigError
from ...methods._timm import TimmModelError, UnknownTimmModelError
from ...protocols.lora import kinds_of
from ..identity import from_json
from .equal_blocks import EqualBlocks
from .sample_batches import build, evaluation_input, fresh_rng, sample_batch
from .setups import Fit, MethodSetup

CHIPS = 2
OPERANDS = torch.Tensor, torch.Generator


class Shapes(TorchDispatchMode):
    """Compute only the shape of a result where any operand is on the meta device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: D105
        given = (args, kwargs or {})
        operands = [one for one in tree_leaves(given) if isinstance(one, OPERANDS)]
        on_meta = [isinstance(one, torch.Tensor) and one.is_meta for one in operands]
        if any(on_meta) and not all(on_meta):
            given = tree_map(_to_meta, given)
        return func(*given[0], **given[1])


def _to_meta(value: object) -> object:
    if isinstance(value, torch.Generator):  # there are no values to draw
        return None
    return value.to("meta") if isinstance(value, torch.Tensor) else value


def find_fit(setup: MethodSetup) -> Fit:
    """Return the facts of a method's encoder, or the reason why the method refuses it.

    Weights are on the meta device; chips, masks and targets are real until a weight is involved.
    Code that needs real tensors fails too, so any error but a refusal by the method is confirmed
    with real weights.
    """
    method = _registry.get(setup.method)
    try:
        with Shapes(), warnings.catch_warnings(action="ignore"):
            return _run_once(method, setup, "meta")
    except UnknownTimmModelError as error:
        return Fit(problem=str(error), unknown=True)
    except (MethodConfigError, MaskingError, TimmModelError) as error:
        return Fit(problem=str(error), passing=_is_of_machine(error))
    except Exception:  # confirmed below
        try:
            with warnings.catch_warnings(action="ignore"):
                return _run_once(method, setup, "cpu")
        except Exception as error:  # a plug-in may raise anything
            problem = f"{type(error).__name__}: {error}"
            return Fit(problem=problem, passing=_is_of_machine(error))


def _is_of_machine(error: BaseException | None) -> bool:
    """Return whether an error, or its cause, is about memory or files and may not come again."""
    if error is None:
        return False
    memory = "allocate memory" in str(error) or "out of memory" in str(error)
    return memory or isinstance(error, MemoryError | OSError) or _is_of_machine(error.__cause__)


@torch.no_grad()
def _run_once(method: type[Method], setup: MethodSetup, device: str) -> Fit:
    config = from_json(method.Config, setup.config)
    size = encoder_from_json(setup.encoder) if setup.encoder else None
    with torch.device(device):
        built = build(method, size, config)
    if size and method.trains:
        if device == "meta":
            EqualBlocks(built)
        built.loss(sample_batch(built, CHIPS), fresh_rng())
    encoder = built.encoder.eval()
    tokens = encoder(evaluation_input(method, size)[:1])
    return Fit(
        has_class_token=bool(encoder.has_class_token),
        width=int(encoder.width),
        architecture=_architecture(encoder),
        patches=tokens.shape[1] - int(encoder.has_class_token),
        linear_layers=kinds_of(encoder),
    )


def _architecture(encoder: Any) -> str:
    """Return the class of an encoder and, if it has the attribute, the kind of its positions."""
    name = type(encoder).__name__
    if not hasattr(encoder, "positions"):
        return name
    kind = "relative" if encoder.positions is None else "absolute"
    return f"{name}, {kind} positions"
