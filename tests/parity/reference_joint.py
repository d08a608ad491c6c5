"""The published code of joint-embedding methods, run with our views.

The networks of VICReg are ResNets only, so its loss and its expander are on our ViT, whose equality
with MAE's the other methods show.
"""

import importlib
import types

import numpy as np
import torch
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from parity.checkouts import code_of, importable
from parity.inputs import fill, sample
from parity.our_joint import STEPS, views, watch_joint
from parity.our_methods import ENCODER, RATE, Draw, Outcome
from sarbench.methods._vit import Encoder


class ClassToken(Encoder):
    """Our ViT, which returns the class token only, as the code of joint embedding expects."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the class token of each chip."""
        return super().forward(images)[:, 0]


class OneProcess:
    """The exchange of rows between processes, of which there is one."""

    @staticmethod
    def apply(rows: Tensor) -> tuple[Tensor]:
        """Return the rows of all processes."""
        return (rows,)


def vicreg_outcome() -> tuple[list[Draw], Outcome]:
    """Return results of ten steps of VICReg; nothing is drawn."""
    missing = {"torchvision": {}, "torchvision.datasets": {}, "augmentations": {}}
    with importable(code_of("vicreg"), **missing):
        module = importlib.import_module("main_vicreg")
    module.FullGatherLayer = OneProcess
    module.resnet.vit = lambda **_: (ClassToken(ENCODER), ENCODER.width)
    images = views("vicreg")
    options = types.SimpleNamespace(
        arch="vit", mlp=f"{4 * ENCODER.width}-" * 2 + str(4 * ENCODER.width),
        batch_size=len(images[0]), sim_coeff=25.0, std_coeff=25.0, cov_coeff=1.0,
    )  # fmt: skip
    network = module.VICReg(options).train().double()
    weights = {
        n.replace("projector.1.", "projector.norm1.").replace("projector.4.", "projector.norm4."): p
        for n, p in network.named_parameters()
    }
    fill(weights)
    first: dict[str, Tensor] = {}
    watch_joint(first, network.backbone.norm, network.projector)
    optimizer = torch.optim.SGD(param_groups_weight_decay(network, 1e-6), lr=RATE, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        loss = network(*images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [{"none": np.uint8(0)} for _ in range(STEPS)], results(first, losses, weights)


def results(
    first: dict[str, Tensor], losses: list[float], weights: dict[str, nn.Parameter]
) -> Outcome:
    """Return results in the form of a file."""
    return {
        **{n: {n: sample(values.float())} for n, values in first.items()},
        "losses": {"losses": np.float32(losses)},
        "weights": {n: sample(value.float()) for n, value in weights.items()},
    }
