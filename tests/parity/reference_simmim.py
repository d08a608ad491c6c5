"""The published code of SimMIM, run with our inputs."""

import importlib
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from parity.checkouts import code_of, importable
from parity.inputs import chips, fill, sample
from parity.our_methods import ENCODER, IMAGES, RATE, STEPS, Draw, Outcome
from sarbench.methods._vit import sincos_positions


def one_bias(attention: Any) -> None:
    """Let an attention read its biases from one of three parts, as timm has it.

    The code has one of queries and one of values; its keys have none, and get none here.
    """
    width = attention.proj.in_features
    for name in ("q_bias", "v_bias"):
        del attention._parameters[name]
    attention.qkv.bias = nn.Parameter(torch.empty(3 * width))
    parts = {
        "q_bias": property(lambda self: self.qkv.bias[:width]),
        "v_bias": property(lambda self: self.qkv.bias[2 * width :]),
    }
    attention.__class__ = type("OneBias", (type(attention),), parts)


def network_and_masks() -> tuple[nn.Module, Any]:
    """Return the network for chips of one channel with our positions, and what draws a mask."""
    px = ENCODER.patch_px
    unused = {"data.data_finetune": {"build_loader_finetune": None}}
    with importable(code_of("simmim"), **unused):
        module = importlib.import_module("models.simmim")
        masks = importlib.import_module("data.data_simmim").MaskGenerator(
            ENCODER.input_px, mask_patch_size=32, model_patch_size=px, mask_ratio=0.6
        )
    encoder = module.VisionTransformerForSimMIM(
        img_size=ENCODER.input_px, patch_size=px, in_chans=1, num_classes=0,
        embed_dim=ENCODER.width, depth=ENCODER.depth, num_heads=ENCODER.heads, qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6), use_mean_pooling=False,
    )  # fmt: skip
    positions = sincos_positions(ENCODER.patch_grid, ENCODER.width)
    encoder.pos_embed.requires_grad_(False)[0, 1:] = positions
    encoder.pos_embed[0, 0] = 0
    for block in encoder.blocks:
        one_bias(block.attn)
    network = module.SimMIM(encoder, encoder_stride=px)
    # The code has a last layer for 3 channels only.
    network.decoder[0] = nn.Conv2d(ENCODER.width, px**2, kernel_size=1)
    return network.train(), masks


def simmim_outcome() -> tuple[list[Draw], Outcome]:
    """Return masks and results of ten steps of SimMIM."""
    network, masks = network_and_masks()
    weights = {n: value for n, value in network.named_parameters() if value.requires_grad}
    fill(weights)
    images, px = chips(IMAGES), ENCODER.patch_px
    first: dict[str, Tensor] = {}

    def keep(name: str, values: Tensor) -> None:
        first.setdefault(name, values.detach())

    network.encoder.norm.register_forward_hook(lambda _, __, found: keep("tokens", found))
    network.decoder.register_forward_hook(lambda _, __, found: keep("predictions", found))
    # The groups of its main file also leave out the class token, which is not one-dimensional.
    optimizer = torch.optim.AdamW(
        param_groups_weight_decay(network, 0.05), lr=RATE, betas=(0.9, 0.999)
    )
    draws, losses = [], []
    permutation = np.random.default_rng(0).permutation
    for _ in range(STEPS):
        with mock.patch.object(np.random, "permutation", permutation):
            mask = np.stack([masks() for _ in range(IMAGES)])
        draws.append({"mask": np.uint8(mask.reshape(IMAGES, -1))})
        loss = network(images, torch.from_numpy(mask))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    cut = partial(nn.functional.unfold, kernel_size=px, stride=px)
    first["predictions"] = cut(first["predictions"]).mT
    first["targets"] = cut(images).mT
    return draws, {
        **{n: {n: sample(values)} for n, values in first.items()},
        "losses": {"losses": np.float32(losses)},
        "weights": {n: sample(value) for n, value in weights.items()},
    }
