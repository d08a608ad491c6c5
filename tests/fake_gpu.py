"""A GPU without a GPU: its tensors have shapes, types and a device, and no values.

An operation that mixes devices fails, and so does one that needs a value, for which a GPU would be
waited for. Tensors of the host keep their values. There is no backward pass.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.cuda.amp import common
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sarbench.bench.pretraining import batches, distributed
from sarbench.bench.pretraining.pixels import DevicePixels

GPU = "cuda:0"


class FakeGPU(TorchDispatchMode):
    """Does without values what asks for the GPU or gets a tensor from it."""

    def __init__(self) -> None:
        super().__init__()
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)

    def __enter__(self) -> "FakeGPU":
        self._fake.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._fake.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        if any(map(_there, tree_leaves((args, kwargs)))):
            return func(*args, **(kwargs or {}))
        with unset_fake_temporarily():
            return func(*args, **(kwargs or {}))


def _there(argument: object) -> bool:
    if isinstance(argument, torch.device):
        return argument.type == "cuda"
    return isinstance(argument, FakeTensor)


class Generator(torch.Generator):
    """A generator that says it is on the GPU."""

    device = property(lambda self: torch.device(GPU))

    def __new__(cls, device: str) -> "Generator":
        return super().__new__(cls, "cpu")

    def __init__(self, device: str) -> None:
        pass


def move(module: nn.Module) -> None:
    """Move a module to the GPU; torch would swap tensors, which fake ones do not allow."""
    for part in module.modules():
        for name, one in part._parameters.items():
            if one is not None:
                part._parameters[name] = nn.Parameter(one.detach().to(GPU), one.requires_grad)
        for name, one in part._buffers.items():
            part._buffers[name] = None if one is None else one.to(GPU)


def use_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a training use the GPU."""
    monkeypatch.setattr(distributed, "StepGenerator", Generator)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(batches, "pixels_of", lambda pool, device, *_: DevicePixels(pool, device))
    monkeypatch.setattr(common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
