"""Batch normalisation over the whole batch where several processes share it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .ranks import Ranks


class SharedBatchNorm(nn.Module):
    """A batch normalisation whose mean and variance are those of all processes' chips.

    Holds the parts of the one that it replaces under their names. Unlike torch's SyncBatchNorm it
    works on a CPU too.
    """

    def __init__(self, replaced: _BatchNorm, gather: Callable[[Tensor], Tensor]) -> None:
        """Take weights, statistics and what follows the normalisation."""
        super().__init__()
        self.gather, self.eps, self.momentum = gather, replaced.eps, replaced.momentum
        self.weight, self.bias = replaced.weight, replaced.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(replaced, name))
        parts = (getattr(replaced, name, None) for name in ("drop", "act"))  # timm's
        self.after = nn.Sequential(*(part for part in parts if part is not None))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, *places), then apply what follows."""
        shape = (1, -1, *(1,) * (x.ndim - 2))
        if self.training or self.running_mean is None:
            axes = [0, *range(2, x.ndim)]
            count = x.numel() // x.shape[1]
            # Equal shares: the mean over processes of means is the mean over all chips.
            mean = self.gather(x.float().mean(axes)[None]).mean(0)
            centred = x.float() - mean.reshape(shape)
            parts = self.gather(centred.square().mean(axes)[None])
            variance = parts.mean(0)
            self._remember(mean.detach(), variance.detach(), count * len(parts))
        else:
            mean, variance = self.running_mean, self.running_var
            centred = x.float() - mean.reshape(shape)
        scaled = centred * torch.rsqrt(variance + self.eps).reshape(shape)
        if self.weight is not None:
            scaled = scaled * self.weight.reshape(shape) + self.bias.reshape(shape)
        return self.after(scaled.to(x.dtype))

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if self.running_mean is None:
            return
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / max(count - 1, 1), share)


def share_statistics(module: nn.Module, ranks: Ranks) -> None:
    """Replace every batch normalisation of a method that several processes train."""
    if ranks.count == 1:
        return
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(parent, name, SharedBatchNorm(child, ranks.gather))
