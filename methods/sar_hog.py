"""SAR-HOG: hide 80 % of each small window, predict histograms of the gradient by ratio.

Hidden: in each of 4 windows of 7 x 7 patches per chip, a random 39 of the 49, replaced by a learned
token before the encoder.
Predicted: 9 directions x 2 x 2 cells of the ratio gradient of each hidden patch, by 8 blocks over
the tokens of the window.

Paper: Li et al., Predicting Gradient is Better, ISPRS J. 218 (2024), Table 4 (secondary sources);
the feature is that of Song et al., SAR-HOG, Remote Sensing 8(8):683, 2016.
Source: waterdisappear/SAR-JEPA at 1f17f90, a disused part of the target.
Differs from the source: as `sar_jepa`; the cell scales with the input too.
Unknown:
- which radius, and whether one or several: `radius_px`, 5, one scale;
- overlapping or disjoint halves: `halves`, as `sar_jepa`.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ._gradients import BINS, Halves, orientation_histograms, ratio_gradients
from ._method import MethodConfigError
from ._registry import register
from ._vit import patchify
from .lomar_sar import Config as LoMaRSARConfig
from .lomar_sar import LoMaRSAR
from .sar_jepa import check_radii, scaled_radii


@dataclass(frozen=True)
class Config(LoMaRSARConfig):
    """Defaults of the released code where it has them; lengths at 224 px."""

    radius_px: int = 5
    halves: Halves = "overlap"
    cell_px: int = 8

    def __post_init__(self) -> None:
        """Refuse a radius that makes no window and a cell that does not divide a patch."""
        super().__post_init__()
        check_radii((self.radius_px,), self.halves)
        if self.cell_px not in (2, 4, 8, 16):
            raise MethodConfigError(
                f"cell_px must be 2, 4, 8 or 16, dividing a patch at 224 px; got {self.cell_px}"
            )


@register(label="SAR-HOG", paper="10.1016/j.isprsjprs.2024.09.013", unconfirmed=True)
class SARHOG(LoMaRSAR):
    """LoMaR-SAR with another target."""

    config: Config

    def target_values(self) -> int:
        """Return bins times cells of a patch."""
        return BINS * (self.encoder_config.patch_px // self._cell_px()) ** 2

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the histograms of the cells of each patch, bin after bin."""
        (radius_px,) = scaled_radii((self.config.radius_px,), self.encoder_config)
        gradients = ratio_gradients(images, radius_px, self.config.halves)
        cells = orientation_histograms(gradients, self._cell_px())
        return patchify(cells, self.encoder_config.patch_px // self._cell_px())

    def _cell_px(self) -> int:
        return round(self.encoder_config.scaled_px(self.config.cell_px))
