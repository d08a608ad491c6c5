"""Speckle-MAE: hide 75% of the patches under added speckle, predict their pixels without it.

Hidden: a random 75% of the patches of each chip. Half of the chips get more speckle first.
Predicted: from the visible patches, the pixels of the hidden ones in the chip before speckle was
added, by MAE's decoder.

Paper: Liu et al., SARMAE: Masked Autoencoder for SAR Representation Learning, CVPR 2026, arXiv
2512.16635: its part against speckle (SARE), without the paired optical images (SARC).
Source: MiliLab/SARMAE at c657755.
Differs from the source:
- one loss: the source also draws features near those of a frozen DINOv3 of an optical image of the
  same place, and starts from weights of MAE on ImageNet;
- the speckle is that of `looks` looks (`_speckle.py`), which keeps the mean intensity. The source
  multiplies amplitude by exp(z), z normal with a deviation drawn for each chip, uniform up to 0.7;
  where it is below 0.05, by a gamma variable. Two looks change the logarithm of amplitude by the
  same mean square: sqrt(trigamma(2) / 4) = 0.40 = 0.7 / sqrt(3);
- one channel, amplitude in [0, 1]; the source has three equal channels in [-1, 1];
- gradients are not clipped (source: at a norm of 1);
- the recipes `paper` and `quick` replace that of the source (`source_recipe`, README): rate 1e-4
  for a batch of 4096, 300 epochs with 1 of warm-up, whole chips, no flip, no change of contrast.
Unknown: the noise of the paper, whose text we do not have.
For SAR: the target is not free of speckle, it has that of the sensor, which the method does not
remove. Added speckle is independent in each pixel of the input, that of a sensor is correlated over
its resolution cell. The numbers of looks are right for linear amplitude only.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ._masked import Prediction
from ._masking import draw
from ._method import MethodConfigError
from ._registry import register
from ._speckle import add_speckle
from .mae import MAE
from .mae import Config as MAEConfig


@dataclass(frozen=True)
class Config(MAEConfig):
    """Defaults of the source, with its mean strength of speckle."""

    looks: int = 2  # of the added speckle; fewer looks are stronger speckle
    share: float = 0.5  # of the chips, which get speckle

    def __post_init__(self) -> None:
        """Refuse less than one look, and a share outside (0, 1]."""
        super().__post_init__()
        if self.looks < 1:
            raise MethodConfigError(f"looks is {self.looks}; it must be a whole number from 1")
        if not 0 < self.share <= 1:
            raise MethodConfigError(
                f"share is {self.share}; it must be above 0 and at most 1 (mae adds no speckle)"
            )


@register(label="Speckle-MAE", paper="arXiv:2512.16635", family="masked pixel")
class SpeckleMAE(MAE):
    """MAE that sees more speckle than it predicts."""

    config: Config
    source_recipe: ClassVar = {  # README and train_mae_contrastive.py of the source
        "epochs": 300, "batch": 4096, "base_lr": 6.25e-6, "warmup_epochs": 1.0,
        "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.95,
        "crop_scale_min": 1.0, "crop_scale_max": 1.0, "flip": 0.0, "contrast": 0.0,
    }  # fmt: skip

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Encode visible patches under speckle; predict all patches as they were before."""
        chosen = draw((len(images),), rng)[:, None, None, None] < self.config.share
        seen = torch.where(chosen, add_speckle(images, self.config.looks, rng), images)
        return replace(super().predict(seen, rng), target=self.target(images))
