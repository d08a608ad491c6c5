"""SAR-JEPA (Gaussian): hide 80% of each small window, predict Gaussian-weighted ratio gradients.

Hidden: a random 39 of the 49 patches of each of 4 windows (7 x 7 patches) per chip, replaced by a
learned token before the encoder.
Predicted: as in `sar_jepa`, but the half-window means have Gaussian weights.

Paper: Li et al., Predicting Gradient is Better, ISPRS J. 218 (2024) 326-338, Table 4 (known to us
from secondary sources).
Source: waterdisappear/SAR-JEPA at 1f17f90, an unused part of the target.
Differs from the source: as `sar_jepa`. Halves are disjoint in both.
Unknown: the widths of the Gaussians in Table 4. Ours are those of the released code, sigma =
0.3 (r - 1) + 0.8.
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

    radii_px: tuple[int, ...] = (5, 9, 13, 17)  # of the windows, which have Gaussian weights

    def __post_init__(self) -> None:
        """Refuse radii below 1."""
        super().__post_init__()
        check_radii(self.radii_px, "disjoint")


@register(
    label="SAR-JEPA (Gaussian)",
    paper="10.1016/j.isprsjprs.2024.09.013",
    family="masked feature",
    unconfirmed=True,
)
class SARJEPAGauss(LoMaRSAR):
    """LoMaR-SAR with Gaussian-weighted ratio gradients as the target."""

    config: Config

    def target_values(self) -> int:
        """Return one value per pixel and radius."""
        return self.encoder_config.patch_px**2 * len(self.config.radii_px)

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the gradient norms of each patch, radius after radius."""
        radii_px = scaled_radii(self.config.radii_px, self.encoder_config)
        return patchify(gaussian_ratio_gradient(images, radii_px), self.encoder_config.patch_px)
