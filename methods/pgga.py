"""PGGA: hide nothing, predict the multi-scale gradient by ratio.

Hidden: nothing; the encoder sees the whole chip.
Predicted: from all tokens, the target of SAR-JEPA for every patch, by the predictor of SAR-JEPA.

Paper: Li et al., Predicting Gradient is Better, ISPRS J. 218 (2024) 326-338, Table 5 (known to us
from secondary sources).
Source: none; waterdisappear/SAR-JEPA names the weights and has no code for them.
Differs from the source: unknown, also in its recipe.
Unknown: the definition. Secondary sources call it PGCA, a "physics-guided contrastive architecture"
and, with masking, one of the two modules of SAR-JEPA; a folder of its weights is named
"reconstruction". We conclude that it is SAR-JEPA without masking. This is our reading, not the
authors' method: they may use windows, a mask ratio above 0, or a contrastive loss.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ._encoders import ViTConfig
from ._gradients import Halves
from ._masked import MaskedPrediction, Prediction, PredictorShape, check_predictor, shape_of
from ._method import Batch, Loss
from ._registry import register
from ._vit import Encoder, Predictor, initialise
from .sar_jepa import check_radii, ratio_target


@dataclass(frozen=True)
class Config:
    """The target of `sar_jepa`; lengths at 224 px."""

    radii_px: tuple[int, ...] = (5, 9, 13, 17)  # windows of 11, 19, 27 and 35 px
    halves: Halves = "overlap"  # of a window: both hold its middle row or column, or neither does
    predictor: PredictorShape | None = None  # width, blocks, heads; None = the source's

    def __post_init__(self) -> None:
        """Refuse radii below 1, and a predictor that cannot be built."""
        check_predictor(self.predictor)
        check_radii(self.radii_px, self.halves)


@register(
    label="PGGA", paper="10.1016/j.isprsjprs.2024.09.013", family="masked feature", unconfirmed=True
)
class PGGA(MaskedPrediction):
    """Regression of gradients from the whole chip."""

    positions = "relative"
    encoder: Encoder

    def __init__(self, config: Config, encoder: ViTConfig, rng: torch.Generator) -> None:
        """Build encoder and predictor."""
        super().__init__(config, encoder, rng)
        shape = shape_of(config.predictor, encoder)
        values = encoder.patch_px**2 * len(config.radii_px)
        self.predictor = Predictor(encoder.width, values, shape, "relative")
        initialise(self, rng)

    def predict(self, images: Float[Tensor, "B 1 H W"], rng: torch.Generator) -> Prediction:
        """Encode and predict all patches; nothing is drawn."""
        target = ratio_target(images, self.config.radii_px, self.config.halves, self.encoder_config)
        mask = torch.zeros(target.shape[:2], dtype=torch.bool, device=images.device)
        return Prediction.of_images(self.predictor(self.encoder(images))[:, 1:], target, mask)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the mean squared error over all patches, none being hidden."""
        prediction = self.predict(batch.views[0], rng)
        return (prediction.predicted - prediction.target).square().mean(), None
