"""The published training loop of I-JEPA, run with our inputs."""

import importlib
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from parity.checkouts import code_of, importable
from parity.inputs import chips, fill, sample
from parity.our_methods import ENCODER, IMAGES, MOMENTUM, RATE, STEPS, Draw, Outcome


class Chips:
    """The data loader of I-JEPA's loop: the same chips at every step, with its own masks."""

    def __init__(self, collator: Callable[[list[Any]], Any]) -> None:
        """Keep the function that draws masks."""
        self.collator = collator
        self.draws: list[Draw] = []

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[Any]:
        for step in range(STEPS):
            torch.default_generator.manual_seed(step)
            made = self.collator([(chip, 0) for chip in chips(IMAGES)])
            (context,), targets = made[1:]
            # Theirs are block after block, ours image after image.
            targets = torch.stack(targets, dim=1).flatten(0, 1)
            self.draws.append({"context": np.uint8(context), "targets": np.uint8(targets)})
            yield made

    def set_epoch(self, epoch: int) -> None:
        """Do nothing; the chips have no order."""


def i_jepa_outcome(
    name: str = "i_jepa", make_head: Callable[[], nn.Module] | None = None, **options: Any
) -> tuple[list[Draw], Outcome]:
    """Return masks and results of an epoch of ten steps of I-JEPA's own training loop.

    A loop that is built on it may have a third network, and more options.
    """
    loaders: list[Chips] = []
    wrapped: list[nn.Module] = []  # encoder, predictor, target encoder, head, target head
    first: dict[str, Tensor] = {}
    losses: list[float] = []
    weights: dict[str, nn.Parameter] = {}

    def keep(name: str, values: Tensor) -> None:
        first.setdefault(name, values.detach().clone())

    def loader(*, collator: Any, **_: Any) -> tuple[None, Chips, Chips]:
        loaders.append(Chips(collator))
        return None, loaders[0], loaders[0]

    def wrap(network: nn.Module, **_: Any) -> nn.Module:
        wrapped.append(network)
        return network

    def keep_tokens(_: nn.Module, __: Any, tokens: Tensor) -> None:
        if tokens.requires_grad:  # those of the target encoder do not
            keep("tokens", tokens)

    def networks(**_: Any) -> tuple[nn.Module, ...]:
        vit = sys.modules["src.models.vision_transformer"]
        norm = partial(nn.LayerNorm, eps=1e-6)
        shape = {"embed_dim": ENCODER.width, "depth": 2, "num_heads": 4, "norm_layer": norm}
        encoder = vit.VisionTransformer(img_size=[ENCODER.input_px], in_chans=1, **shape)
        predictor = vit.VisionTransformerPredictor(196, predictor_embed_dim=24, **shape)
        parts = {"encoder": encoder, "predictor": predictor}
        parts |= {"head": make_head()} if make_head else {}
        for part, network in parts.items():
            named = network.named_parameters()
            weights.update({f"{part}.{n}": value for n, value in named if value.requires_grad})
        fill(weights)
        encoder.norm.register_forward_hook(keep_tokens)
        return tuple(parts.values())

    def loss(predicted: Tensor, target: Tensor) -> Tensor:
        for name, values in {"predictions": predicted, "targets": target}.items():
            keep(name, values.unflatten(0, (-1, IMAGES)).transpose(0, 1).flatten(0, 1))
        found = functional.smooth_l1_loss(predicted, target)
        losses.append(found.item())
        return found

    stubs = {
        "src.transforms": {"make_transforms": lambda **_: None},
        "src.datasets.imagenet1k": {"make_imagenet1k": loader},
    }
    with importable(code_of(name), **stubs), tempfile.TemporaryDirectory() as folder:
        train = importlib.import_module("src.train")
        train.init_model = networks
        train.DistributedDataParallel = wrap
        train.F = types.SimpleNamespace(layer_norm=functional.layer_norm, smooth_l1_loss=loss)
        train.main(i_jepa_options(folder) | options)
    averages = {
        f"{part}.{n}": value
        for part, network in zip(("encoder", "head"), wrapped[2::2], strict=False)
        for n, value in network.named_parameters()
    }
    return loaders[0].draws, {
        **{n: {n: sample(values)} for n, values in first.items()},
        "losses": {"losses": np.float32(losses)},
        "weights": {n: sample(value) for n, value in weights.items()}
        | {f"target_{n}": sample(value) for n, value in averages.items() if n in weights},
    }


def i_jepa_options(folder: str) -> dict[str, dict[str, Any]]:
    """Return the configuration of I-JEPA's loop: its masks, a constant rate, ten steps."""
    return {
        "meta": {
            "use_bfloat16": False, "model_name": "", "load_checkpoint": False,
            "read_checkpoint": None, "copy_data": False, "pred_depth": 2, "pred_emb_dim": 24,
        },
        "data": {
            "use_gaussian_blur": False, "use_horizontal_flip": False,
            "use_color_distortion": False, "color_jitter_strength": 0.0, "batch_size": IMAGES,
            "pin_mem": False, "num_workers": 0, "root_path": "", "image_folder": "",
            "crop_size": ENCODER.input_px, "crop_scale": (0.3, 1.0),
        },
        "mask": {
            "allow_overlap": False, "patch_size": 16, "num_enc_masks": 1, "min_keep": 10,
            "enc_mask_scale": (0.85, 1.0), "num_pred_masks": 4, "pred_mask_scale": (0.15, 0.2),
            "aspect_ratio": (0.75, 1.5),
        },
        "optimization": {
            "ema": (MOMENTUM, 1.0), "ipe_scale": 1.0, "weight_decay": 0.04,
            "final_weight_decay": 0.04, "epochs": 1, "warmup": 0, "start_lr": RATE, "lr": RATE,
            "final_lr": RATE,
        },
        "logging": {"folder": folder, "write_tag": "parity"},
    }  # fmt: skip
