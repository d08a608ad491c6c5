"""MAE: hide 75% of the patches, predict their pixels.

Hidden: a random 75% of the patches of each chip.
Predicted: from the tokens of the visible patches, the pixels of the hidden ones, by a decoder.

Paper: He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022, arXiv 2111.06377.
Source: facebookresearch/mae.
Differs from the source:
- one channel, amplitude in [0, 1], without subtracting a mean or dividing by a deviation;
- the recipes `paper` and `quick` replace that of the source (`source_recipe`, PRETRAIN.md): base
  rate 1.5e-4, 800 epochs with 40 of warm-up, batch 4096, no change of contrast.
Unknown:
- the settings of the SAR-JEPA authors' run;
- whether they standardised the target patches: `standardise` is off, the default in the source's
  code; the command in its PRETRAIN.md switches it on.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._encoders import ViTConfig
from ._gradients import standardise
from ._masked import MaskedPrediction, Prediction, PredictorShape, check_predictor, shape_of
from ._masking import hidden_except, random_order
from ._method import MethodConfigError
from ._registry import register
from ._vit import Encoder, Trunk, initialise, patchify, sincos_positions


@dataclass(frozen=True)
class Config:
    """Defaults of the source."""

    mask_ratio: float = 0.75  # share of the patches that is hidden
    standardise: bool = False  # each target patch to mean 0 and variance 1 ("norm_pix_loss")
    predictor: PredictorShape | None = None  # of the decoder; None = the source's

    def __post_init__(self) -> None:
        """Refuse a mask ratio outside (0, 1), and a decoder that cannot be built."""
        check_predictor(self.predictor)
        if not 0 < self.mask_ratio < 1:
            raise MethodConfigError(f"mask_ratio is {self.mask_ratio}; it must be between 0 and 1")


class Decoder(Trunk):
    """A decoder from the tokens of visible patches to values of all patches."""

    positions: Tensor

    def __init__(self, encoder: ViTConfig, values: int, shape: PredictorShape) -> None:
        """Build a decoder to `values` values per patch."""
        super().__init__(encoder.width, values, shape, "absolute")
        self.mask_token = torch.nn.Parameter(torch.empty(1, 1, shape[0]))
        positions = sincos_positions(encoder.patch_grid, shape[0])
        self.register_buffer("positions", positions, persistent=False)

    def arranged(
        self, tokens: Float[Tensor, "B N D"], visible: Int[Tensor, "B V"]
    ) -> Float[Tensor, "B T W"]:
        """Return the input of the blocks: embedded tokens, or the mask token, in patch order.

        Tokens before those of the visible patches come first.
        """
        first = tokens.shape[1] - visible.shape[1]  # 1 for a class token
        class_token, known = self.embed(tokens).split([first, visible.shape[1]], dim=1)
        count, width = self.positions.shape
        patches = self.mask_token.to(known.dtype).expand(len(tokens), count, width)
        patches = patches.scatter(1, visible[..., None].expand_as(known), known) + self.positions
        return torch.cat([class_token, patches], dim=1)

    def forward(
        self, tokens: Float[Tensor, "B N D"], visible: Int[Tensor, "B V"]
    ) -> Float[Tensor, "B M P"]:
        """Return the values of all M patches."""
        return self.decode(self.arranged(tokens, visible))[:, -len(self.positions) :]


@register(label="MAE", paper="arXiv:2111.06377", family="masked pixel")
class MAE(MaskedPrediction):
    """Autoencoder over visible patches; subclasses change the `target`."""

    encoder: Encoder
    source_recipe: ClassVar = {  # PRETRAIN.md and main_pretrain.py of the source; paper, Table 8
        "epochs": 800, "batch": 4096, "base_lr": 1.5e-4, "warmup_epochs": 40.0,
        "weight_decay": 0.05, "beta1": 0.9, "beta2": 0.95,
        "crop_scale_min": 0.2, "crop_scale_max": 1.0, "flip": 0.5, "contrast": 0.0,
    }  # fmt: skip

    def __init__(self, config: Config, encoder: ViTConfig, rng: torch.Generator) -> None:
        """Build encoder and decoder."""
        super().__init__(config, encoder, rng)
        shape = shape_of(config.predictor, encoder)
        self.decoder = Decoder(encoder, self.target_values(), shape)
        initialise(self, rng)

    def target_values(self) -> int:
        """Return the number of target values of a patch."""
        return self.encoder_config.patch_px**2

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the pixels of each patch."""
        pixels = patchify(images, self.encoder_config.patch_px)
        return standardise(pixels) if self.config.standardise else pixels

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Encode the visible patches of each image; predict all patches."""
        rows, columns = self.encoder_config.patch_grid
        count = rows * columns
        order = random_order(len(images), count, rng)
        visible = order[:, : int(count * (1 - self.config.mask_ratio))]
        tokens = self.encoder.encode(self.encoder.embed(images, visible))
        mask = hidden_except(visible, count)
        return Prediction.of_images(self.decoder(tokens, visible), self.target(images), mask)
