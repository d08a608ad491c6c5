"""Equal transformer blocks, run once on the meta device."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ...methods._relative_positions import RelativeBlock


class EqualBlocks:
    """Blocks of a network on the meta device, where an output is a shape without values.

    A ViT repeats one block many times. Blocks of the same structure at the same input shape are run
    once, forward and backward. After that they compute nothing and add the measured operations to
    `skipped_flop`.
    """

    def __init__(self, network: nn.Module) -> None:
        """Replace the forward pass of each block of `network`."""
        self.counter = FlopCounterMode(display=False)  # measures while it is entered by the caller
        self.skipped_flop = 0
        self._costs: dict[object, tuple[int, int]] = {}  # forward, backward
        parts: list[Any] = list(network.modules())
        for block in parts:
            if type(block) in (Block, RelativeBlock):
                block.forward = partial(self._forward, block, block.forward, _structure(block))

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
        """Run a block and return its operations, which `_KnownCost` then adds."""
        before = self.counter.get_total_flops()
        y = forward(x.detach().requires_grad_(x.requires_grad))
        between = self.counter.get_total_flops()
        if y.requires_grad:
            y.backward(torch.empty_like(y))
        after = self.counter.get_total_flops()
        self.skipped_flop -= after - before
        return between - before, after - between


class _KnownCost(torch.autograd.Function):
    """A block that adds its cost and computes nothing; its output has the shape of its input."""

    @staticmethod
    def forward(ctx: Any, blocks: EqualBlocks, cost: tuple[int, int], x: Tensor, _: Any) -> Tensor:
        ctx.blocks, ctx.backward_flop = blocks, cost[1]
        blocks.skipped_flop += cost[0]
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.blocks.skipped_flop += ctx.backward_flop
        return None, None, gradient, None


def _structure(block: Block) -> str:
    """Return everything but the input that decides the cost of a block."""
    settings = [
        (name, value) for part in block.modules() for name, value in vars(part).items()
        if isinstance(value, bool | int | float | str) and name != "training"
    ]  # fmt: skip
    weights = [(tuple(one.shape), one.requires_grad) for one in block.parameters()]
    return f"{block} {settings} {weights}"
