"""The published code of MaskFeat, run with our inputs."""

import importlib
import logging
import random
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from parity.checkouts import code_of, importable
from parity.inputs import chips, fill, sample
from parity.our_methods import ENCODER, IMAGES, RATE, STEPS, Draw, Outcome
from parity.reference_protocols import Configuration
from sarbench.methods._vit import sincos_positions

MASKS = 20_000  # of which the share of masks that hide each patch is stored


class Registry:
    """The part of fvcore's registry that the code needs."""

    def register(self) -> Any:
        """Return a decorator that changes nothing."""
        return lambda kind: kind


def stubs(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is missing, or imports too much, by module."""
    norms = ("NaiveSyncBatchNorm1d", "NaiveSyncBatchNorm3d")
    return {
        "slowfast": {"__path__": [str(folder / "slowfast")]},
        "slowfast.models": {"__path__": [str(folder / "slowfast" / "models")]},
        "slowfast.models.build": {"MODEL_REGISTRY": Registry()},
        "slowfast.models.nonlocal_helper": {"Nonlocal": None},
        "slowfast.datasets": {"__path__": [str(folder / "slowfast" / "datasets")]},
        "slowfast.datasets.rand_augment": {"rand_augment_transform": None},
        "slowfast.datasets.random_erasing": {"RandomErasing": None},
        "slowfast.utils": {"__path__": []},
        "slowfast.utils.logging": {"get_logger": logging.getLogger},
        "slowfast.utils.misc": {}, "slowfast.utils.weight_init_helper": {},
        "fvcore": {}, "fvcore.common": {}, "fvcore.common.config": {"CfgNode": Configuration},
        "pytorchvideo": {}, "pytorchvideo.layers": {},
        "pytorchvideo.layers.swish": {"Swish": None},
        "pytorchvideo.layers.batch_norm": dict.fromkeys(norms),
        "pytorchvideo.losses": {},
        "pytorchvideo.losses.soft_target_cross_entropy": {"SoftTargetCrossEntropyLoss": object},
        "cv2": {}, "detectron2": {}, "detectron2.layers": {"ROIAlign": None},
    }  # fmt: skip


class OneChannel(nn.Module):
    """The histograms of the code, which has three channels, for one."""

    def __init__(self, histograms: nn.Module) -> None:
        """Keep the code's module."""
        super().__init__()
        self.histograms = histograms

    def forward(self, images: Tensor) -> Tensor:
        """Return those of the first of three equal channels."""
        return self.histograms(images.expand(-1, 3, -1, -1))[:, :1]


def published() -> tuple[Any, Any, Any]:
    """Return the network for one channel with our positions, its loss, and what draws a mask."""
    folder = code_of("maskfeat")
    with importable(folder, **stubs(folder)):
        options = importlib.import_module("slowfast.config.defaults").get_cfg()
        path = folder / "configs" / "masked_ssl" / "in1k_VIT_B_MaskFeat_PT.yaml"
        options.update_from(yaml.safe_load(path.read_text("utf-8")))
        options.DATA.INPUT_CHANNEL_NUM = [1]
        options.MVIT.EMBED_DIM, options.MVIT.DEPTH = ENCODER.width, ENCODER.depth
        options.MVIT.NUM_HEADS, options.MASK.PRETRAIN_DEPTH = ENCODER.heads, [ENCODER.depth - 1]
        network = importlib.import_module("slowfast.models.masked").MaskMViT(options)
        measure = importlib.import_module("slowfast.models.losses").MultipleMSELoss()
        rows, columns = ENCODER.patch_grid
        hidden = round(rows * columns * 0.4)
        masks = importlib.import_module("slowfast.datasets.transform").MaskingGenerator(
            ENCODER.patch_grid, num_masking_patches=hidden, min_num_patches=hidden // 5
        )  # as in slowfast/datasets/imagenet.py
    network.hogs[0] = OneChannel(network.hogs[0])
    network.pred_head.projections[0] = nn.Linear(ENCODER.width, 36)
    positions = sincos_positions(ENCODER.patch_grid, ENCODER.width)
    network.pos_embed.requires_grad_(False)[0, 1:] = positions
    network.pos_embed[0, 0] = 0
    return network.train(), measure, masks


def maskfeat_outcome() -> tuple[list[Draw], Outcome]:
    """Return masks and results of ten steps of MaskFeat."""
    network, measure, masks = published()
    # The last norm is a part of its last layer.
    weights = {
        n.replace("pred_head.transforms.0.0.", "norm."): value
        for n, value in network.named_parameters()
        if value.requires_grad
    }
    fill(weights)
    images = chips(IMAGES)
    first: dict[str, Tensor] = {}

    def keep(_: nn.Module, __: Any, tokens: Tensor) -> None:
        first.setdefault("tokens", tokens.detach())

    network.pred_head.transforms[0][0].register_forward_hook(keep)
    optimizer = torch.optim.AdamW(
        param_groups_weight_decay(network, 0.05), lr=RATE, betas=(0.9, 0.999)
    )
    draws, losses = [], []
    for step in range(STEPS):
        mask = drawn(masks, IMAGES, step)
        draws.append({"mask": np.uint8(mask.reshape(IMAGES, -1))})
        if step == 0:
            with torch.no_grad():
                hidden = torch.from_numpy(mask).float()
                ((first["predictions"],), _) = network([images, None, hidden], return_all=True)
                # Targets are those of hidden patches.
                (_, ((target, *_),)) = network([images, None, torch.ones_like(hidden)])
            first["targets"] = target.unflatten(0, (IMAGES, -1))
        found, wanted = network([images, None, torch.from_numpy(mask).float()])
        loss, _ = measure(found, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return draws, {
        **{n: {n: sample(values)} for n, values in first.items()},
        "losses": {"losses": np.float32(losses)},
        "weights": {n: sample(value) for n, value in weights.items()},
    }


def drawn(masks: Any, number: int, seed: int) -> np.ndarray:
    """Return masks (B, rows, columns) that the code draws with Python's generator."""
    rng = random.Random(seed)
    with mock.patch.multiple(random, uniform=rng.uniform, randint=rng.randint):
        return np.stack([masks() for _ in range(number)])


def block_statistics() -> dict[str, np.ndarray]:
    """Return statistics of many masks of the code.

    They are the share of masks that hide each patch, the number of masks that hide n patches, and
    the mean number of borders between a hidden patch and the patch below it that is not.
    """
    masks = drawn(published()[2], MASKS, 0)
    return {
        "shares": masks.mean(0).astype(np.float32),
        "counts": np.bincount(masks.sum((1, 2))).astype(np.uint16),
        "borders": np.float32((masks[:, 1:] != masks[:, :-1]).sum((1, 2)).mean()),
    }
