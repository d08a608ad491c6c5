"""SimMIM: hide 60% of the patches in squares of 2 x 2, predict their pixels by one linear layer.

Hidden: a random 60% of the squares of 2 x 2 patches (32 x 32 px at 224 px). A learned token
replaces their patches before the encoder, which sees all others.
Predicted: from its token, the pixels of each hidden patch, by one linear layer; the loss is the
mean absolute difference.

Paper: Xie et al., SimMIM: A Simple Framework for Masked Image Modeling, CVPR 2022, arXiv
2111.09886.
Source: microsoft/SimMIM at d3e29bc, the configuration of ViT-B.
Differs from the source:
- one channel, amplitude in [0, 1], without subtracting a mean or dividing by a deviation;
- the encoder is that of `mae`, with fixed sin-cos positions; the source has relative position
  biases shared by all blocks, layer scale (0.1 at the start), no bias of keys and a drop path rate
  of 0.1;
- the first weights are drawn as those of `mae`, so both have the same untrained control; in the
  source they are truncated normal, smaller from block to block;
- the class token has weight decay, gradients are not clipped (source: at a norm of 5);
- the recipes `paper` and `quick` replace that of the source (`source_recipe`): rate 1e-4 for a
  batch of 512, 800 epochs with 10 of warm-up, batch 2048, beta 0.999, crops of 0.67 to 1 of the
  area; the rate of `source_recipe` falls on a cosine, in the source to a tenth after 700 epochs.
For SAR: the paper has natural images only. Each pixel is a target with its own speckle, which other
patches do not determine. SAR-JEPA's paper reports pixels below ratio gradients as a target (Table
4, known to us from secondary sources). The absolute difference is least at the median, which for
speckle of one look is 6% below the mean amplitude.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ._encoders import ViTConfig
from ._linear import Linear
from ._masked import MaskedPrediction, Prediction
from ._masking import hidden_except, random_order
from ._method import Batch, Loss, MethodConfigError
from ._registry import register
from ._vit import Encoder, initialise, patchify


@dataclass(frozen=True)
class Config:
    """Defaults of the source."""

    mask_ratio: float = 0.6  # share of the patches that is hidden
    unit: int = 2  # side of a square that is hidden as a whole, in patches

    def __post_init__(self) -> None:
        """Refuse a mask ratio outside (0, 1), and empty squares."""
        if not 0 < self.mask_ratio < 1:
            raise MethodConfigError(f"mask_ratio is {self.mask_ratio}; it must be between 0 and 1")
        if self.unit < 1:
            raise MethodConfigError(f"unit is {self.unit}; it must be 1 patch or more")


def _check_units(config: Config, encoder: ViTConfig) -> None:
    """Refuse squares that do not fill the patch grid, or of which all are hidden.

    Raises:
        MethodConfigError: One of them is found.
    """
    side = encoder.patch_grid[0]
    if side % config.unit:
        allowed = [n for n in range(1, side) if side % n == 0]
        raise MethodConfigError(
            f"unit is {config.unit} patches, which do not divide the {side} patches along a side "
            f"of {encoder.name}; set one of {', '.join(map(str, allowed))}"
        )
    count = (side // config.unit) ** 2
    if math.ceil(count * config.mask_ratio) == count:
        raise MethodConfigError(
            f"mask_ratio {config.mask_ratio} hides all {count} squares of {encoder.name}, whose "
            f"number is rounded up; set a lower mask_ratio or a unit below {config.unit} patches"
        )


def unit_masks(
    patch_grid: tuple[int, int], unit: int, ratio: float, images: int, rng: torch.Generator
) -> Bool[Tensor, "B N"]:
    """Return a mask of whole squares for each image; the number of hidden ones is rounded up."""
    rows, columns = (side // unit for side in patch_grid)
    count = rows * columns
    visible = random_order(images, count, rng)[:, math.ceil(count * ratio) :]
    squares = hidden_except(visible, count).reshape(images, rows, columns)
    return squares.repeat_interleave(unit, dim=1).repeat_interleave(unit, dim=2).flatten(1)


@register(label="SimMIM", paper="arXiv:2111.09886", family="masked pixel")
class SimMIM(MaskedPrediction):
    """Prediction from tokens of hidden patches; subclasses change `mask`, `target`, `loss`."""

    encoder: Encoder
    source_recipe: ClassVar = {  # simmim_pretrain__vit_base__img224__800ep.yaml, config.py, README
        "epochs": 800, "batch": 2048, "base_lr": 5e-5, "warmup_epochs": 10.0,
        "lr_start_share": 5e-3, "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.999,
        "crop_scale_min": 0.67, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.0,
    }  # fmt: skip

    def __init__(self, config: Any, encoder: ViTConfig, rng: torch.Generator) -> None:
        """Build encoder and linear layer; `config` is that of the subclass."""
        super().__init__(config, encoder, rng)
        self.check_mask()
        self.mask_token = nn.Parameter(torch.empty(1, 1, encoder.width))
        self.predictor = Linear(encoder.width, self.target_values())
        initialise(self, rng)

    def check_mask(self) -> None:
        """Refuse a mask that does not fit the patches of the encoder."""
        _check_units(self.config, self.encoder_config)

    def mask(self, images: int, rng: torch.Generator) -> Bool[Tensor, "B N"]:
        """Draw the mask of each image."""
        config = self.config
        grid = self.encoder_config.patch_grid
        return unit_masks(grid, config.unit, config.mask_ratio, images, rng)

    def target_values(self) -> int:
        """Return the number of target values of a patch."""
        return self.encoder_config.patch_px**2

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the pixels of each patch."""
        return patchify(images, self.encoder_config.patch_px)

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Encode each image with its hidden patches replaced; predict all patches."""
        mask = self.mask(len(images), rng)
        tokens = self.encoder.encode(self.encoder.embed(images, hidden=(mask, self.mask_token)))
        patches = tokens[:, int(self.encoder.has_class_token) :]
        return Prediction.of_images(self.predictor(patches), self.target(images), mask)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the mean absolute difference over the pixels of hidden patches."""
        prediction = self.predict(batch.views[0], rng)
        error = (prediction.predicted - prediction.target).abs().mean(-1)
        return (error * prediction.mask).sum() / prediction.mask.sum(), None
