"""The published code of the methods, run with our inputs."""

import importlib
from functools import partial
from typing import Any

import numpy as np
import torch
from timm.models import vision_transformer
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn
from torch.nn import functional

from parity.checkouts import Attributes, code_of, importable
from parity.inputs import chips, fill, rounded_chip, sample
from parity.our_methods import ENCODER, IMAGES, PREDICTOR, RATE, STEPS, Draw, Outcome


def block_without_scale(*values: Any, qk_scale: None = None, **named: Any) -> nn.Module:
    """Return timm's block, which has lost an argument that the references leave at its default."""
    return vision_transformer.Block(*values, **named)


def sizes(**more: Any) -> dict[str, Any]:
    """Return the sizes of our network by the names of MAE's code."""
    width, depth, heads = PREDICTOR
    return {
        "img_size": ENCODER.input_px, "patch_size": ENCODER.patch_px, "in_chans": 1,
        "embed_dim": ENCODER.width, "depth": ENCODER.depth, "num_heads": ENCODER.heads,
        "decoder_embed_dim": width, "decoder_depth": depth, "decoder_num_heads": heads,
        "norm_layer": partial(nn.LayerNorm, eps=1e-6), **more,
    }  # fmt: skip


def patches_of(images: Tensor) -> Tensor:
    """Return patches of one channel, where a reference cuts patches of three channels only."""
    px = ENCODER.patch_px
    return functional.unfold(images, kernel_size=px, stride=px).mT


def network_of(name: str) -> nn.Module:
    """Return the network of MAE, FG-MAE, LoMaR or SAR-JEPA, for chips of one channel."""
    if name == "fg_mae":
        with importable(code_of(name), kornia={}):
            module = importlib.import_module("models.mae.models_mae")
            network = module.MaskedAutoencoderViT(
                **sizes(feature="hog", hog_norm=True, norm_pix_loss=True)
            )
        # The code has a last layer for 2, 3 and 13 channels only, with 36 values for each.
        network.decoder_pred = nn.Linear(PREDICTOR[0], 36)
        return network
    if name == "mae":
        with importable(code_of(name)):
            module = importlib.import_module("models_mae")
            module.Block = block_without_scale
            network = module.MaskedAutoencoderViT(**sizes())
    else:
        with importable(code_of(name), easydict={"EasyDict": Attributes}):
            network = importlib.import_module("models_lomar").MaskedAutoencoderViT(**sizes())
    if name != "sar_jepa":
        network.patchify = patches_of
    return network


class Watched:
    """Draws and results of the network of a reference, in the order of our rows.

    Attributes:
        draws: The masks of each step.
        first: Tokens, predictions and targets of the first step.
    """

    def __init__(self, network: Any) -> None:
        """Watch the functions of a network."""
        self.draws: list[Draw] = []
        self.first: dict[str, Tensor] = {}
        # Row k shows image k modulo the batch; ours are image after image.
        self.rows = (torch.arange(4 * IMAGES) % IMAGES).argsort(stable=True)
        if hasattr(network, "generate_window_patches"):
            self.masking = network.generate_window_patches
            network.generate_window_patches = self.windows
        else:
            self.rows = torch.arange(IMAGES)
            self.masking = network.random_masking
            network.random_masking = self.whole
        self.loss = network.forward_loss
        network.forward_loss = self.loss_and_target
        network.norm.register_forward_hook(lambda _, __, tokens: self.keep("tokens", tokens))

    def keep(self, name: str, values: Tensor) -> None:
        """Keep values of the first step."""
        self.first.setdefault(name, values.detach()[self.rows])

    def whole(self, *values: Any) -> Any:
        """Record the order of the patches, visible ones first."""
        result = self.masking(*values)
        self.draws.append({"order": np.uint8(result[2].argsort(dim=1))})
        return result

    def windows(self, *values: Any) -> Any:
        """Record windows, and the order of their patches, hidden ones first."""
        result = self.masking(*values)
        windows, hidden = (part[self.rows] for part in result[1:])
        order = hidden.int().argsort(dim=1, descending=True, stable=True)
        self.draws.append({"windows": np.uint8(windows), "order": np.uint8(order)})
        return result

    def loss_and_target(self, source: Tensor, predicted: Tensor, mask: Tensor, *more: Any) -> Any:
        """Record predictions and targets.

        The target t is a local variable, but the gradient of the loss of a prediction of 0, with
        all n patches of P values hidden, is -2 t / (n P).
        """
        nothing = torch.zeros_like(predicted, requires_grad=True)
        loss = self.loss(source, nothing, torch.ones_like(mask, dtype=torch.float32), *more)
        (gradient,) = torch.autograd.grad(loss, nothing)
        self.keep("predictions", predicted)
        self.keep("targets", gradient * (-predicted.numel() / 2))
        return self.loss(source, predicted, mask, *more)


def targets_in_double(images: Tensor) -> Tensor:
    """Return the targets of SAR-JEPA's first step without the rounding of its convolutions."""
    network = network_of("sar_jepa")
    for filters in (part for n, part in network.named_children() if n.startswith("sarfeature")):
        filters.double().register_forward_pre_hook(lambda _, inputs: inputs[0].double())
    watched = Watched(network)
    torch.default_generator.manual_seed(0)
    network(images)
    return watched.first["targets"].float()


def masked_outcome(name: str) -> tuple[list[Draw], Outcome]:
    """Return masks and results of ten steps of MAE, FG-MAE, LoMaR or SAR-JEPA."""
    images, ratio = chips(IMAGES), {"mask_ratio": 0.7} if name == "fg_mae" else {}
    draws, found = ten_steps(network_of(name), images, **ratio)
    if name == "sar_jepa":
        found["targets in float32"] = {"targets in float32": found["targets"]["targets"]}
        found["targets"] = {"targets": sample(targets_in_double(images))}
    return draws, found


def ten_steps(network: Any, *inputs: Tensor, **options: Any) -> tuple[list[Draw], Outcome]:
    """Return masks and results of ten steps of a network in the form of MAE's code."""
    network.train()
    weights = {n: value for n, value in network.named_parameters() if value.requires_grad}
    fill(weights)
    watched, losses = Watched(network), []
    # Groups and optimiser as in the main file of each reference.
    optimizer = torch.optim.AdamW(
        param_groups_weight_decay(network, 0.05), lr=RATE, betas=(0.9, 0.95)
    )
    for step in range(STEPS):
        torch.default_generator.manual_seed(step)
        loss = network(*inputs, **options)[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return watched.draws, {
        **{n: {n: sample(values)} for n, values in watched.first.items()},
        "losses": {"losses": np.float32(losses)},
        "weights": {n: sample(value) for n, value in weights.items()},
    }


def histograms() -> np.ndarray:
    """Return FG-MAE's histograms (9, 2, 28), not normalised, of the upper cells of a chip."""
    layer = network_of("fg_mae").hog
    layer.norm_out = False
    return layer(rounded_chip())[1][0, 0, :, :2].numpy()
