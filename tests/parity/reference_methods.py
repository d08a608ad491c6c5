"""The published code of the methods, run with our inputs."""

import importlib
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.models import vision_transformer
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn
from torch.nn import functional

from parity.checkouts import Attributes, checkout, importable
from parity.inputs import chips, rounded_chip, sample, weight
from parity.our_methods import ENCODER, IMAGES, MOMENTUM, PREDICTOR, RATE, STEPS, Draw, Outcome

CHECKOUTS = {  # method -> environment variable, repository and commit, folder of the code
    "mae": ("MAE_REFERENCE", "facebookresearch/mae at efb2a80", ""),
    "fg_mae": ("FGMAE_REFERENCE", "zhu-xlab/FGMAE at 1144e55", "src/pretrain_ssl"),
    "lomar": ("LOMAR_REFERENCE", "junchen14/LoMaR at d9ca9c8", ""),
    "sar_jepa": ("SARJEPA_REFERENCE", "waterdisappear/SAR-JEPA at 1f17f90", "Pretraining"),
    "i_jepa": ("IJEPA_REFERENCE", "facebookresearch/ijepa at 52c1ae9", ""),
}


def code_of(name: str) -> Path:
    """Return the folder of a method's published code.

    Raises:
        MissingCheckoutError: It is not on this machine.
    """
    return checkout(*CHECKOUTS[name])


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


def fill(weights: dict[str, nn.Parameter]) -> None:
    """Set the first values of the weights."""
    with torch.no_grad():
        for name, value in weights.items():
            value.copy_(weight(name.removeprefix("target_"), tuple(value.shape)))


class Watched:
    """What the network of a reference draws and computes, in the order of our rows.

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
    network = network_of(name).train()
    weights = {n: value for n, value in network.named_parameters() if value.requires_grad}
    fill(weights)
    images, watched, losses = chips(IMAGES), Watched(network), []
    ratio = {"mask_ratio": 0.7} if name == "fg_mae" else {}
    # Groups and optimiser as in the main file of each reference.
    optimizer = torch.optim.AdamW(
        param_groups_weight_decay(network, 0.05), lr=RATE, betas=(0.9, 0.95)
    )
    for step in range(STEPS):
        torch.default_generator.manual_seed(step)
        loss = network(images, **ratio)[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if name == "sar_jepa":
        watched.first["targets in float32"] = watched.first["targets"]
        watched.first["targets"] = targets_in_double(images)
    return watched.draws, {
        **{n: {n: sample(values)} for n, values in watched.first.items()},
        "losses": {"losses": np.float32(losses)},
        "weights": {n: sample(value) for n, value in weights.items()},
    }


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


def i_jepa_outcome() -> tuple[list[Draw], Outcome]:
    """Return masks and results of an epoch of ten steps of I-JEPA's own training loop."""
    loaders: list[Chips] = []
    first: dict[str, Tensor] = {}
    losses: list[float] = []
    weights: dict[str, nn.Parameter] = {}

    def keep(name: str, values: Tensor) -> None:
        first.setdefault(name, values.detach().clone())

    def loader(*, collator: Any, **_: Any) -> tuple[None, Chips, Chips]:
        loaders.append(Chips(collator))
        return None, loaders[0], loaders[0]

    def networks(**_: Any) -> tuple[nn.Module, nn.Module]:
        vit = sys.modules["src.models.vision_transformer"]
        norm = partial(nn.LayerNorm, eps=1e-6)
        shape = {"embed_dim": ENCODER.width, "depth": 2, "num_heads": 4, "norm_layer": norm}
        encoder = vit.VisionTransformer(img_size=[ENCODER.input_px], in_chans=1, **shape)
        predictor = vit.VisionTransformerPredictor(196, predictor_embed_dim=24, **shape)
        for part, network in {"encoder": encoder, "predictor": predictor}.items():
            named = network.named_parameters()
            weights.update({f"{part}.{n}": value for n, value in named if value.requires_grad})
        fill(weights)
        predictor.register_forward_pre_hook(lambda _, inputs: keep("tokens", inputs[0]))
        return encoder, predictor

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
    with importable(code_of("i_jepa"), **stubs), tempfile.TemporaryDirectory() as folder:
        train = importlib.import_module("src.train")
        train.init_model = networks
        train.DistributedDataParallel = lambda network, **_: network
        train.F = types.SimpleNamespace(layer_norm=functional.layer_norm, smooth_l1_loss=loss)
        train.main(i_jepa_options(folder))
        saved = torch.load(Path(folder) / "parity-latest.pth.tar", weights_only=True)
    target = {
        n: saved["target_encoder"][n.removeprefix("encoder.")]
        for n in weights
        if n.startswith("encoder.")
    }
    return loaders[0].draws, {
        **{n: {n: sample(values)} for n, values in first.items()},
        "losses": {"losses": np.float32(losses)},
        "weights": {n: sample(value) for n, value in weights.items()}
        | {f"target_{n}": sample(value) for n, value in target.items()},
    }


def histograms() -> np.ndarray:
    """Return FG-MAE's histograms (9, 2, 28), not normalised, of the upper cells of a chip."""
    layer = network_of("fg_mae").hog
    layer.norm_out = False
    return layer(rounded_chip())[1][0, 0, :, :2].numpy()


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


def results(name: str) -> tuple[list[Draw], Outcome]:
    """Return masks and results of ten steps of a method's published code.

    Raises:
        MissingCheckoutError: The code is not on this machine.
    """
    return i_jepa_outcome() if name == "i_jepa" else masked_outcome(name)
