"""A counter of floating-point operations that counts equal transformer blocks once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ...methods._relative import RelativeBlock


class FlopCounter:
    """Floating-point operations of some work.

    A ViT repeats one block many times, and I-JEPA's step is counted for 8 masks. On the meta device
    no values are needed, so blocks of the same structure and input shape are measured once, forward
    and backward; every one of them then adds the measured cost.
    """

    def __init__(self, *networks: nn.Module) -> None:
        """Replace the forward pass of each block of `networks`, all on the meta device."""
        self._costs: dict[object, tuple[int, int]] = {}  # of a block, forward and backward
        self._counter = FlopCounterMode(display=False)
        self._added = 0  # cost of all blocks, minus that of the measured ones
        parts: list[Any] = [part for network in networks for part in network.modules()]
        for block in parts:
            if type(block) in (Block, RelativeBlock):
                block.forward = partial(self._forward, block, block.forward, _structure(block))

    def gflop(self, work: Callable[[], Any]) -> float:
        """Do some work and return its GFLOP."""
        self._counter, self._added = FlopCounterMode(display=False), 0
        # Plain attention, because FlopCounterMode does not know the fused one of a CPU.
        with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH), self._counter:
            work()
        return (self._counter.get_total_flops() + self._added) / 1e9

    def add(self, flop: int) -> None:
        """Add a cost that is known."""
        self._added += flop

    def _forward(
        self, block: Block, forward: Callable[..., Tensor], structure: str, x: Tensor, **more: Any
    ) -> Tensor:
        if any(value is not None for value in more.values()):
            return forward(x, **more)
        key = structure, x.shape, x.dtype, x.requires_grad, torch.is_grad_enabled()
        if key not in self._costs:
            self._costs[key] = self._measure(forward, x)
        weight = next((one for one in block.parameters() if one.requires_grad), None)
        return _KnownCost.apply(self, self._costs[key], x, weight)

    def _measure(self, forward: Callable[..., Tensor], x: Tensor) -> tuple[int, int]:
        before = self._counter.get_total_flops()
        y = forward(x.detach().requires_grad_(x.requires_grad))
        between = self._counter.get_total_flops()
        if y.requires_grad:
            y.backward(torch.empty_like(y))
        after = self._counter.get_total_flops()
        self._added -= after - before
        return between - before, after - between


class _KnownCost(torch.autograd.Function):
    """A block that adds its cost and computes nothing; its output has the shape of its input."""

    @staticmethod
    def forward(ctx: Any, counter: FlopCounter, cost: tuple[int, int], x: Tensor, _: Any) -> Tensor:
        ctx.counter, ctx.backward_flop = counter, cost[1]
        counter.add(cost[0])
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.counter.add(ctx.backward_flop)
        return None, None, gradient, None


def _structure(block: Block) -> str:
    """Return everything but the input that decides the cost of a block."""
    settings = [
        (name, value) for part in block.modules() for name, value in vars(part).items()
        if isinstance(value, bool | int | float | str) and name != "training"
    ]  # fmt: skip
    weights = [(tuple(one.shape), one.requires_grad) for one in block.parameters()]
    return f"{block} {settings} {weights}"
