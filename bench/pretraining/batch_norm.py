"""Batch normalisation over a batch that several processes share."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SharedBatchNorm(nn.Module):
    """Batch normalisation by the mean and variance over the chips of all processes.

    Its parameters and buffers have the names of the layer that it replaces. Unlike torch's
    SyncBatchNorm it works on a CPU too.
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, replaced: _BatchNorm, gather: Callable[[Tensor], Tensor]) -> None:
        """Take over weights, statistics, and timm's dropout and activation."""
        super().__init__()
        self.gather = gather
        self.eps, self.momentum = replaced.eps, replaced.momentum
        self.weight, self.bias = replaced.weight, replaced.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(replaced, name))
        parts = (getattr(replaced, name, None) for name in ("drop", "act"))  # timm's
        self.after = nn.Sequential(*(part for part in parts if part is not None))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, *places), then apply dropout and activation."""
        shape = (1, -1, *(1,) * (x.ndim - 2))
        mean, variance = self.running_mean, self.running_var
        if self.training or mean is None or variance is None:
            axes = [0, *range(2, x.ndim)]
            # Shares are equal, so the mean of the processes' means is the mean over all chips.
            mean = self.gather(x.float().mean(axes)[None]).mean(0)
            parts = self.gather((x.float() - mean.reshape(shape)).square().mean(axes)[None])
            variance = parts.mean(0)
            self._update_statistics(mean, variance, len(parts) * x.numel() // x.shape[1])
        scaled = (x.float() - mean.reshape(shape)) * (variance + self.eps).rsqrt().reshape(shape)
        if self.weight is not None:
            scaled = scaled * self.weight.reshape(shape) + self.bias.reshape(shape)
        return self.after(scaled.to(x.dtype))

    @torch.no_grad()
    def _update_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        buffers: Any = self.running_mean, self.running_var, self.num_batches_tracked
        if buffers[0] is None:
            return
        buffers[2].add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(buffers[2])
        buffers[0].lerp_(mean, share)
        buffers[1].lerp_(variance * count / max(count - 1, 1), share)  # unbiased, as in torch


def share_statistics(module: nn.Module, gather: Callable[[Tensor], Tensor]) -> None:
    """Replace every batch normalisation of a module by a shared one, in place."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(parent, name, SharedBatchNorm(child, gather))
