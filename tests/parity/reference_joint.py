"""The published code of joint-embedding methods, run with our views.

The networks of VICReg are ResNets only, so its loss and its expander are on our ViT, whose equality
with MAE's the other methods show.
"""

import importlib
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from parity.checkouts import code_of, importable
from parity.inputs import fill, sample
from parity.our_joint import STEPS, VIEWS, views
from parity.our_methods import ENCODER, HEAD, MOMENTUM, RATE, TEMPERATURES, Draw, Outcome
from sarbench.methods._vit import Encoder, positions_of, sincos_positions


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


def keep(found: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    """Return a hook that keeps the first output of a module."""

    def hook(module: nn.Module, given: Any, made: Tensor) -> None:
        found.setdefault(name, made.detach().clone())

    return hook


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
    network.backbone.norm.register_forward_hook(keep(first, "tokens"))
    network.projector.register_forward_hook(keep(first, "predictions"))
    optimizer = torch.optim.SGD(param_groups_weight_decay(network, 1e-6), lr=RATE, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        loss = network(*images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [{"none": np.uint8(0)} for _ in range(STEPS)], results(first, losses, weights)


def dino_network(module: Any) -> nn.Module:
    """Return DINO's network with our fixed positions, also for small crops."""
    vit = module.vits.VisionTransformer(
        img_size=[ENCODER.input_px], in_chans=1, embed_dim=ENCODER.width, depth=ENCODER.depth,
        num_heads=ENCODER.heads, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    table = sincos_positions(ENCODER.patch_grid, ENCODER.width)
    vit.pos_embed.requires_grad_(False).zero_()

    def positions(tokens: Tensor, width: int, height: int) -> Tensor:
        image = torch.empty(1, 1, width, height)
        rows = positions_of(table.to(tokens.dtype), image, ENCODER.patch_px)
        return torch.cat([torch.zeros(1, ENCODER.width, dtype=tokens.dtype), rows])[None]

    vit.interpolate_pos_encoding = positions
    head = module.DINOHead(ENCODER.width, HEAD[2], hidden_dim=HEAD[0], bottleneck_dim=HEAD[1])
    return module.utils.MultiCropWrapper(vit, head).train().double()


def dino_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights of a network of DINO by our names."""
    names = {
        "backbone.": "encoder.",
        "head.mlp.": "head.layers.",
        "last_layer.weight_v": "last.weight",
    }
    found = {}
    for name, value in network.named_parameters():
        if name.endswith(("pos_embed", "weight_g")):
            continue
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        found[name] = value
    return found


def dino_outcome() -> tuple[list[Draw], Outcome]:
    """Return results of five steps of DINO, each of them an epoch of its schedules."""
    missing = {name: {} for name in ("torchvision", "torchvision.datasets", "torchvision.models")}
    missing["torchvision"] = {
        "datasets": None,
        "transforms": None,
        "models": types.SimpleNamespace(),
    }
    with importable(code_of("dino"), **missing):
        module = importlib.import_module("main_dino")
    module.dist = types.SimpleNamespace(all_reduce=lambda _: None, get_world_size=lambda: 1)
    student, teacher = dino_network(module), dino_network(module)
    weights, targets = dino_weights(student), dino_weights(teacher)
    fill(weights)
    fill(targets)
    criterion = module.DINOLoss(HEAD[2], sum(VIEWS["dino"]), *TEMPERATURES, 3, STEPS).double()
    optimizer = torch.optim.AdamW(
        module.utils.get_params_groups(student), lr=RATE, weight_decay=0.04
    )
    momenta = module.utils.cosine_scheduler(MOMENTUM, 1, 1, STEPS)
    first: dict[str, Tensor] = {}
    student.backbone.norm.register_forward_hook(keep(first, "tokens"))
    student.head.register_forward_hook(keep(first, "predictions"))
    images, losses = views("dino"), []
    for step in range(STEPS):
        made = teacher(images[:2])
        chosen = ((made - criterion.center) / criterion.teacher_temp_schedule[step]).softmax(dim=1)
        first.setdefault("targets", chosen.detach())
        loss = criterion(student(images), made, step)
        entropy = -(chosen * chosen.log()).sum(dim=1).mean()  # ours is without it
        optimizer.zero_grad()
        loss.backward()
        module.utils.cancel_gradients_last_layer(step, student, 1)
        optimizer.step()
        losses.append(loss.item() - entropy.item())
        with torch.no_grad():
            for target, source in zip(teacher.parameters(), student.parameters(), strict=True):
                target.mul_(momenta[step]).add_((1 - momenta[step]) * source)
    everything = weights | {f"target_{name}": value for name, value in targets.items()}
    return [{"none": np.uint8(0)} for _ in range(STEPS)], results(first, losses, everything)


def results(
    first: dict[str, Tensor], losses: list[float], weights: dict[str, nn.Parameter]
) -> Outcome:
    """Return results in the form of a file."""
    return {
        **{n: {n: sample(values.float())} for n, values in first.items()},
        "losses": {"losses": np.float32(losses)},
        "weights": {n: sample(value.float()) for n, value in weights.items()},
    }
