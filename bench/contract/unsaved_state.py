"""State of a method that its checkpoint does not hold: attributes and non-persistent buffers."""

import pickle
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Same = Callable[[Tensor, Tensor], bool]
DEPTH = 4  # of objects inside objects that are compared
NAMED = 5  # differences that a message lists
_OF_TORCH = vars(nn.Module()).keys()


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same shape, type and bits."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    first, second = (t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (one, other))
    return torch.equal(first, second)


def nearly_same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors differ by rounding only."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    return torch.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True)


def unsaved_differences(one: nn.Module, other: nn.Module, same: Same = same_bits) -> str:
    """Return the names of unsaved state that differs between two copies, for a message.

    It is a hint: modules of different types and objects that cannot be compared are left out.
    """
    found = []
    twins = dict(other.named_modules())
    for path, module in one.named_modules():
        twin = twins.get(path)
        if twin is None or type(twin) is not type(module):
            continue
        first, second = _unsaved(module), _unsaved(twin)
        for name in dict.fromkeys((*first, *second)):
            here, there = name in first, name in second
            if here != there or not _equal(first[name], second[name], same, DEPTH):
                found.append(f"{path}.{name}".lstrip("."))
    more = [f"{len(found) - NAMED} more"] if len(found) > NAMED else []
    return ", ".join([*found[:NAMED], *more])


def _unsaved(module: nn.Module) -> dict[str, Any]:
    """Return the plain attributes and non-persistent buffers of one module."""
    plain = {name: value for name, value in vars(module).items() if name not in _OF_TORCH}
    buffers = {name: module._buffers[name] for name in module._non_persistent_buffers_set}
    return plain | buffers


def _equal(one: Any, other: Any, same: Same, depth: int) -> bool:
    if one is other or depth == 0:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return same(one, other)
    if callable(one):  # a function or a network
        return True
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(
            _equal(value, other[key], same, depth - 1) for key, value in one.items()
        )
    if isinstance(one, (list, tuple, deque)):
        return len(one) == len(other) and all(
            _equal(*pair, same, depth - 1) for pair in zip(one, other, strict=True)
        )
    if isinstance(one, torch.Generator):
        return torch.equal(one.get_state(), other.get_state())
    if hasattr(one, "__dict__") and type(one).__eq__ is object.__eq__:
        return _equal(vars(one), vars(other), same, depth - 1)
    try:
        return pickle.dumps(one) == pickle.dumps(other)
    except Exception:  # not every object of a plug-in can be pickled
        return True
