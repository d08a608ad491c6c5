"""The input channels of given weights, for chips of one channel."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class InputChannels:
    """The channels that the first layer takes, and their normalisation.

    Attributes:
        count: Their number.
        chosen: Index of the one that a chip is given to, while the others hold their mean; None =
            the chip is every channel.
        mean: Subtracted from each channel; None = 0.
        std: Divides each channel then; None = 1.
    """

    count: int = 1
    chosen: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def kernel(self, projection: nn.Module) -> tuple[Float[Tensor, "D 1 p p"], Float[Tensor, " D"]]:
        """Return the kernel and the bias of a patch embedding for one channel.

        Patches are not padded, so the sum over channels of the kernel, divided by the deviations,
        gives the tokens of the normalised channels; the means become part of the bias. That costs a
        third of three channels.
        """
        given: Any = projection
        weight, bias = given.weight, given.bias  # D C p p, D
        if self.std is not None:
            weight = weight / weight.new_tensor(self.std)[:, None, None]
        # A channel that holds its mean is 0 once it is normalised.
        used = slice(None) if self.chosen is None else slice(self.chosen, self.chosen + 1)
        weight = weight[:, used]
        if self.mean is not None:
            bias = bias - weight.sum((2, 3)) @ weight.new_tensor(self.mean[used])
        return weight.sum(1, keepdim=True), bias

    def expand(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C H W"]:
        """Return the normalised channels of chips, for layers that pad them with zeros."""
        images = images.expand(-1, self.count, -1, -1)
        if self.mean is not None:
            images = images - images.new_tensor(self.mean)[:, None, None]
        if self.std is not None:
            images = images / images.new_tensor(self.std)[:, None, None]
        if self.chosen is None:
            return images
        only = torch.zeros(self.count, 1, 1, dtype=images.dtype, device=images.device)
        only[self.chosen] = 1
        return images * only


ONE_CHANNEL = InputChannels()
