"""The published target and loss of SARATR-X-v2 in the network of MAE, run with our inputs.

Its own network is not a ViT.
"""

import importlib
from typing import Any

from torch import Tensor, nn

from parity.checkouts import code_of, importable
from parity.inputs import chips
from parity.our_methods import ENCODER, IMAGES, Draw, Outcome
from parity.reference_methods import network_of, ten_steps
from sarbench.methods.multi_scale_structure import Config


def network() -> Any:
    """Return the network of MAE with the loss of SARATR-X-v2 on standardised chips.

    Its target is in double precision, because it is divided by the deviation of a patch, which is
    0.003 and more.
    """
    found = network_of("mae")
    with importable(code_of("multi_scale_structure") / "models"):
        found.structure = importlib.import_module("masked_autoencoder").MaskedAutoencoder()
    found.structure.decoder_patch_size = ENCODER.patch_px
    hogs = found.structure.hogs
    for name, maps in list(hogs.named_children()):
        setattr(hogs, name, InDouble(maps))
    mean, deviation = Config().mean, Config().deviation  # main_pretrain.py

    def loss(images: Tensor, predicted: Tensor, mask: Tensor) -> Tensor:
        return found.structure.forward_loss((images - mean) / deviation, None, predicted, mask)

    found.forward_loss = loss
    return found


class InDouble(nn.Module):
    """A map of the code in double precision, computed once, because all steps have one batch."""

    def __init__(self, maps: nn.Module) -> None:
        """Keep the code's module."""
        super().__init__()
        self.maps = maps.double()
        self.found: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Return the map of the only batch."""
        if self.found is None:
            self.found = self.maps(images.double())
        return self.found


def saratr_x_outcome() -> tuple[list[Draw], Outcome]:
    """Return masks and results of ten steps."""
    return ten_steps(network(), chips(IMAGES))
