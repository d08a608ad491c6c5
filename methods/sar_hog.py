"""SAR-HOG: hide 80% of each small window, predict histograms of the gradient by ratio.

Hidden: a random 39 of the 49 patches of each of 4 windows (7 x 7 patches) per chip, replaced by a
learned token before the encoder.
Predicted: from the tokens of the window, histograms of the ratio gradient of each hidden patch (9
directions x 2 x 2 cells), by 8 blocks.

Paper: Li et al., Predicting Gradient is Better, ISPRS J. 218 (2024) 326-338, Table 4 (known to us
from secondary sources). The feature is from Song et al., SAR-HOG, Remote Sensing 8(8):683, 2016.
Source: waterdisappear/SAR-JEPA at 1f17f90, an unused part of the target.
Differs from the source:
- as `sar_jepa`;
- in patches other than 16 px, the cell scales with the patch.
Unknown:
- the radius, and whether there are several: `radius_px` is one radius, 5;
- whether halves overlap: `halves`, as in `sar_jepa`.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ._gradients import BINS, Halves, orientation_histograms, ratio_gradients
from ._masked import part_of_patch
from ._registry import register
from ._vit import patchify
from .lomar_sar import Config as LoMaRSARConfig
from .lomar_sar import LoMaRSAR
from .sar_jepa import check_radii, scaled_radii


@dataclass(frozen=True)
class Config(LoMaRSARConfig):
    """Defaults of the released code where it has them; the radius at 224 px."""

    radius_px: int = 5  # half width of the window of the ratio gradient
    halves: Halves = "overlap"  # of a window: both hold its middle row or column, or neither does
    cell_px: int = 8  # in patches of 16 px

    def __post_init__(self) -> None:
        """Refuse a radius below 1."""
        super().__post_init__()
        check_radii((self.radius_px,), self.halves)


@register(
    label="SAR-HOG",
    paper="10.1016/j.isprsjprs.2024.09.013",
    family="masked feature",
    unconfirmed=True,
)
class SARHOG(LoMaRSAR):
    """LoMaR-SAR with histograms of ratio gradients as the target."""

    target_kind = "histograms"
    config: Config

    def target_values(self) -> int:
        """Return the number of bins times the cells of a patch."""
        return BINS * (self.encoder_config.patch_px // self._cell_px()) ** 2

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the histograms of the cells of each patch, bin after bin."""
        (radius_px,) = scaled_radii((self.config.radius_px,), self.encoder_config)
        gradients = ratio_gradients(images, radius_px, self.config.halves)
        cells = orientation_histograms(gradients, self._cell_px())
        return patchify(cells, self.encoder_config.patch_px // self._cell_px())

    def _cell_px(self) -> int:
        return part_of_patch("cell_px", self.config.cell_px, self.encoder_config)
