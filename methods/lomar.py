"""LoMaR: hide 80% of each small window, predict its pixels.

Hidden: a random 39 of the 49 patches of each of 4 windows (7 x 7 patches) per chip. A learned token
replaces them before the encoder, which encodes each window on its own.
Predicted: from its token, the pixels of each hidden patch, by one linear layer.

Paper: Chen et al., Efficient Self-supervised Vision Pretraining with Local Masked Reconstruction,
arXiv 2206.00790.
Source: junchen14/LoMaR at d9ca9c8, and its copy in waterdisappear/SAR-JEPA at 1f17f90.
Differs from the source:
- one channel, amplitude in [0, 1];
- every image has its own 4 windows; the source pairs images and windows wrongly: for most batch
  sizes an image gets the same window four times;
- parameters that the source creates and never uses are missing;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`, README): base rate
  1.5e-4, 400 epochs with 20 of warm-up, batch 4096, no change of contrast.
Unknown:
- the settings of the SAR-JEPA authors' run of LoMaR;
- whether they standardised the target patches: `standardise` is off, the default in the source's
  code; the command in its README switches it on.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ._encoders import ViTConfig
from ._gradients import standardise
from ._linear import Linear
from ._masked import MaskedPrediction, Prediction
from ._masking import hidden_except, random_order, windows
from ._method import MethodConfigError
from ._registry import register
from ._vit import Encoder, initialise, patchify, replaced, take


@dataclass(frozen=True)
class Config:
    """Defaults of the source."""

    window: int = 7  # side in patches
    windows: int = 4  # per image
    mask_ratio: float = 0.8  # share of a window's patches that is hidden
    standardise: bool = False  # each target patch to mean 0 and variance 1 ("norm_pix_loss")

    def __post_init__(self) -> None:
        """Refuse empty windows, and a mask that hides no patch or every patch."""
        if min(self.window, self.windows) < 1:
            raise MethodConfigError(
                f"window is {self.window} and windows is {self.windows}; both must be 1 or more"
            )
        if not 0 < int(self.window**2 * self.mask_ratio) < self.window**2:
            raise MethodConfigError(
                f"mask_ratio {self.mask_ratio} hides no patch or every patch of a window of "
                f"{self.window} x {self.window}; choose a value between 0 and 1"
            )


@register(label="LoMaR", paper="arXiv:2206.00790", family="masked pixel")
class LoMaR(MaskedPrediction):
    """Masked prediction in local windows; subclasses change the `target`."""

    positions = "relative"
    encoder: Encoder
    source_recipe: ClassVar = {  # the command in the README of junchen14/LoMaR at d9ca9c8
        "epochs": 400, "batch": 4096, "base_lr": 1.5e-4, "warmup_epochs": 20.0,
        "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.95,
        "crop_scale_min": 0.2, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.0,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: ViTConfig, rng: torch.Generator) -> None:
        """Build encoder and predictor."""
        super().__init__(config, encoder, rng)
        self.mask_token = nn.Parameter(torch.empty(1, 1, encoder.width))
        self.predictor = self.build_predictor(self.target_values())
        initialise(self, rng)

    def build_predictor(self, values: int) -> nn.Module:
        """Return the map from tokens to `values` target values."""
        return Linear(self.encoder_config.width, values)

    def target_values(self) -> int:
        """Return the number of target values of a patch."""
        return self.encoder_config.patch_px**2

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the pixels of each patch."""
        return patchify(images, self.encoder_config.patch_px)

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Encode each window with its hidden patches replaced; predict all its patches."""
        config, batch, area = self.config, len(images), self.config.window**2
        size = self.encoder_config
        patches = windows(size.patch_grid, config.window, config.windows, batch, rng, size.patch_px)
        rows = len(patches)  # R = B * windows, image after image
        visible = random_order(rows, area, rng)[:, int(area * config.mask_ratio) :]
        mask = hidden_except(visible, area)

        of_image = patches.reshape(batch, -1)  # (B, windows * M)
        tokens = self.encoder.embed(images, of_image).reshape(rows, area, -1)
        tokens = replaced(tokens, (mask, self.mask_token))
        target = take(self.target(images), of_image).reshape(rows, area, -1)
        return Prediction(
            predicted=self.predictor(self.encoder.encode(tokens))[:, 1:],
            target=standardise(target) if config.standardise else target,
            mask=mask,
            patches=patches,
            images=torch.arange(batch, device=images.device).repeat_interleave(config.windows),
        )
