"""The input channels of given weights, for chips of one channel."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ._encoders import INPUT, InputConfig


class InputChannels(InputConfig):
    """The channels that the first layer takes, and their normalisation."""

    @classmethod
    def of(cls, given: InputConfig) -> "InputChannels":
        """Return the channels of an input."""
        return cls(*(getattr(given, name) for name in INPUT))

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
        used = slice(None) if self.channel is None else slice(self.channel, self.channel + 1)
        weight = weight[:, used]
        if self.mean is not None:
            bias = bias - weight.sum((2, 3)) @ weight.new_tensor(self.mean[used])
        return weight.sum(1, keepdim=True), bias

    def expand(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C H W"]:
        """Return the normalised channels of chips, for layers that pad them with zeros."""
        images = images.expand(-1, self.channels, -1, -1)
        if self.mean is not None:
            images = images - images.new_tensor(self.mean)[:, None, None]
        if self.std is not None:
            images = images / images.new_tensor(self.std)[:, None, None]
        if self.channel is None:
            return images
        only = torch.zeros(self.channels, 1, 1, dtype=images.dtype, device=images.device)
        only[self.channel] = 1
        return images * only


ONE_CHANNEL = InputChannels()
