"""Linear layers whose matrix products are oneDNN's on a CPU that is not Intel's.

torch takes those of MKL, which uses AVX-512 on Intel's processors only. There MKL is faster; on
other processors with AVX-512, oneDNN's are twice as fast (tests/benchmarks/README.md). Small
products are left to torch.
"""

import math
import os
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.flop_counter import register_flop_formula

# Products that oneDNN and torch keep compiled, one for each shape; by default 1,024 of each. Those
# of a method whose shapes change with every step (I-JEPA) take much memory, and fewer take time
# where shapes come again (tests/benchmarks/README.md). Read at the first product.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "512")
os.environ.setdefault("LRU_CACHE_CAPACITY", "128")

# Rows x inputs x outputs; below it a call of oneDNN takes more time than its product saves.
LEAST = 20_000_000

# Not documented; torch's own compiler calls it.
AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _is_intel() -> bool:
    """Return whether Linux says that the first processor is Intel's."""
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            return b"GenuineIntel" in file.read(500)  # all of it is long on a large machine
    except OSError:
        return False


ONEDNN = AVAILABLE and not (torch.backends.mkl.is_available() and _is_intel())

if AVAILABLE:

    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def _flop(x: Any, weight: Any, *others: Any, out_shape: Any, **more: Any) -> int:
        """Return 2 R I O, because torch's counter does not know this product."""
        return 2 * math.prod(x) * weight[0]


def on_cpu(*tensors: Tensor) -> bool:
    """Return whether oneDNN's products are used: in single precision on a CPU."""
    single = all(one.device.type == "cpu" and one.dtype == torch.float32 for one in tensors)
    return ONEDNN and single and not torch.is_autocast_enabled("cpu")


def linear(
    x: Float[Tensor, "*rows I"], weight: Float[Tensor, "O I"], bias: Float[Tensor, " O"] | None
) -> Float[Tensor, "*rows O"]:
    """Return x W^T + b, as torch's function of that name."""
    if x.numel() * len(weight) >= LEAST and on_cpu(x, weight):
        return _OneDNN.apply(x, weight, bias)
    return functional.linear(x, weight, bias)


class Linear(nn.Linear):
    """A linear layer that calls `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the values of each row."""
        return linear(input, self.weight, self.bias)


def replace_linear(module: nn.Module) -> None:
    """Let the linear layers of a module, of timm too, call `linear`."""
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = Linear


class _OneDNN(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        rows, of_rows = x.flatten(0, -2), gradient.flatten(0, -2)
        of_weight = None
        if need_weight:  # the first factor is copied: take the narrow one
            narrow = rows.shape[1] < of_rows.shape[1]
            first, second = (rows, of_rows) if narrow else (of_rows, rows)
            of_weight = _product(first.T, second.T)
            of_weight = of_weight.T if narrow else of_weight
        return (
            _product(gradient, weight.T) if need_x else None,
            of_weight,
            of_rows.sum(0) if need_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
