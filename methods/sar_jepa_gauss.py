"""SAR-JEPA (Gaussian): hide 80 % of each small window, predict Gaussian-weighted ratio gradients.

Hidden: in each of 4 windows of 7 x 7 patches per chip, a random 39 of the 49, replaced by a learned
token before the encoder.
Predicted: as `sar_jepa`, the half-window means being weighted by a Gaussian.

Paper: Li et al., Predicting Gradient is Better, ISPRS J. 218 (2024), Table 4 (secondary sources).
Source: waterdisappear/SAR-JEPA at 1f17f90, a disused part of the target.
Differs from the source: as `sar_jepa`; halves are disjoint, as there.
Unknown:
- whether the published row used these widths, sigma = 0.3 (r - 1) + 0.8 (paper_facts 2.2).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ._gradients import gaussian_ratio_gradient
from ._registry import register
from ._vit import patchify
from .lomar_sar import Config as LoMaRSARConfig
from .lomar_sar import LoMaRSAR
from .sar_jepa import check_radii, scaled_radii


@dataclass(frozen=True)
class Config(LoMaRSARConfig):
    """Defaults of the released code; lengths at 224 px."""

    radii_px: tuple[int, ...] = (5, 9, 13, 17)

    def __post_init__(self) -> None:
        """Refuse radii that make no window."""
        super().__post_init__()
        check_radii(self.radii_px, "disjoint")


@register(label="SAR-JEPA (Gaussian)", paper="10.1016/j.isprsjprs.2024.09.013", unconfirmed=True)
class SARJEPAGauss(LoMaRSAR):
    """LoMaR-SAR with another target."""

    config: Config

    def target_values(self) -> int:
        """Return one value per pixel and radius."""
        return self.encoder_config.patch_px**2 * len(self.config.radii_px)

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the gradient norms of each patch, radius after radius."""
        radii_px = scaled_radii(self.config.radii_px, self.encoder_config)
        return patchify(gaussian_ratio_gradient(images, radii_px), self.encoder_config.patch_px)
