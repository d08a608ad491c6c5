"""The code of LeJEPA's page MINIMAL.md, run with our views and directions."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from parity.checkouts import code_of
from parity.inputs import fill
from parity.our_joint import DIRECTIONS, STEPS, directions, views
from parity.our_methods import ENCODER, RATE, Draw, Outcome
from parity.reference_joint import ClassToken, keep, results


def published() -> tuple[dict[str, Any], str]:
    """Return what the page defines, and its lines of the loss; sizes are those of our network."""
    page = (code_of("lejepa") / "MINIMAL.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    classes = next(block for block in blocks if "class SIGReg" in block)
    classes = classes[: classes.index("class HFDataset")].replace('device="cuda"', "**{}")
    classes = classes.replace("512", str(ENCODER.width)).replace("2048", str(4 * ENCODER.width))
    names = "inv_loss = ", "sigreg_loss = ", "lejepa_loss = "
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    loss = "\n".join(next(line for line in lines if line.startswith(name)) for name in names)
    from torchvision.ops import MLP

    made = {
        "torch": torch, "nn": nn, "MLP": MLP,
        "timm": SimpleNamespace(create_model=lambda *_, **__: ClassToken(ENCODER)),
    }  # fmt: skip
    exec(classes, made)
    return made, loss


@contextmanager
def drawing(step: int) -> Iterator[None]:
    """Let torch draw the directions of a step."""
    with mock.patch.object(torch, "randn", return_value=directions(step)):
        yield


def lejepa_outcome() -> tuple[list[Draw], Outcome]:
    """Return results of five steps of LeJEPA."""
    made, lines = published()
    network = made["ViTEncoder"](proj_dim=DIRECTIONS[0]).train().double()
    test = made["SIGReg"]().double()
    order = [n for n, part in network.proj.named_children() if not isinstance(part, nn.Dropout)]
    places = {theirs: str(ours) for ours, theirs in enumerate(order)}
    weights = {}
    for name, value in network.named_parameters():
        part, _, rest = name.partition(".")
        if part == "proj":
            layer, _, kind = rest.partition(".")
            norm = isinstance(network.proj[int(layer)], nn.BatchNorm1d)
            name = f"proj.{'norm' * norm}{places[layer]}.{kind}"
        weights[name] = value
    fill(weights)
    first: dict[str, Tensor] = {}
    network.backbone.norm.register_forward_hook(keep(first, "tokens"))
    images = torch.stack(views("lejepa"), dim=1)  # B V 1 H W
    optimizer = torch.optim.SGD(param_groups_weight_decay(network, 0.05), lr=RATE, momentum=0.9)
    losses = []
    for step in range(STEPS):
        _, proj = network(images)
        first.setdefault("predictions", proj.detach().flatten(0, 1))
        values = {"proj": proj, "sigreg": test, "cfg": SimpleNamespace(lamb=0.02)}
        with drawing(step):
            exec(lines, values)
        optimizer.zero_grad()
        values["lejepa_loss"].backward()
        optimizer.step()
        losses.append(values["lejepa_loss"].item())
    # Their rows are chip after chip, ours view after view.
    tokens = first["tokens"].unflatten(0, images.shape[:2]).transpose(0, 1).flatten(0, 1)
    first["tokens"] = tokens
    return [{"none": np.uint8(0)} for _ in range(STEPS)], results(first, losses, weights)
