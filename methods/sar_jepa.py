"""SAR-JEPA: hide 80% of each small window, predict the multi-scale gradient by ratio.

Hidden: a random 39 of the 49 patches of each of 4 windows (7 x 7 patches) per chip, replaced by a
learned token before the encoder.
Predicted: from the tokens of the window, the norm of the log ratio of opposite half-window means at
4 radii, for every pixel of the hidden patches, by 8 blocks.

Paper: Li et al., Predicting Gradient is Better: Exploring Self-Supervised Learning for SAR ATR with
a Joint-Embedding Predictive Architecture, ISPRS J. 218 (2024) 326-338, arXiv 2311.15153.
Source: waterdisappear/SAR-JEPA at 1f17f90.
Differs from the source:
- as `lomar`: an image has its own 4 windows, in the source often one window four times;
- at input sizes other than 224 px, the radii scale with the input;
- 200 epochs, as in the paper; the source's script trains 300 by default.
Unknown: whether the published weights are trained with halves that share the centre row or column
(the released code, our default) or not (the paper's figure): `halves`.
"""

from dataclasses import dataclass
from typing import get_args

from jaxtyping import Float
from torch import Tensor

from ._encoders import ViTConfig
from ._gradients import Halves, multi_scale_ratio_gradient
from ._method import MethodConfigError
from ._registry import register
from ._vit import patchify
from .lomar_sar import Config as LoMaRSARConfig
from .lomar_sar import LoMaRSAR


@dataclass(frozen=True)
class Config(LoMaRSARConfig):
    """Defaults of the released code; lengths at 224 px."""

    radii_px: tuple[int, ...] = (5, 9, 13, 17)  # windows of 11, 19, 27 and 35 px
    halves: Halves = "overlap"  # of a window: both hold its middle row or column, or neither does

    def __post_init__(self) -> None:
        """Refuse radii below 1 and unknown halves."""
        super().__post_init__()
        check_radii(self.radii_px, self.halves)


def check_radii(radii_px: tuple[int, ...], halves: str) -> None:
    """Refuse radii below 1 and unknown halves.

    Raises:
        MethodConfigError: One of them is found.
    """
    if not radii_px or min(radii_px) < 1:
        raise MethodConfigError(f"radii_px is {radii_px}; it must be one or more radii >= 1")
    if halves not in get_args(Halves):
        raise MethodConfigError(f"halves is {halves!r}; it must be one of {get_args(Halves)}")


def scaled_radii(radii_px: tuple[int, ...], encoder: ViTConfig) -> tuple[int, ...]:
    """Return the radii at the encoder's input size, halves rounded up (112 px: 3, 5, 7, 9)."""
    return tuple(max(1, int(encoder.scaled_px(radius) + 0.5)) for radius in radii_px)


def ratio_target(
    images: Float[Tensor, "B 1 H W"],
    radii_px: tuple[int, ...],
    halves: Halves,
    encoder: ViTConfig,
) -> Float[Tensor, "B N P"]:
    """Return the gradient norms of each patch, radius after radius; radii at 224 px."""
    gradients = multi_scale_ratio_gradient(images, scaled_radii(radii_px, encoder), halves)
    return patchify(gradients, encoder.patch_px)


@register(label="SAR-JEPA", paper="10.1016/j.isprsjprs.2024.09.013", family="masked feature")
class SARJEPA(LoMaRSAR):
    """LoMaR-SAR with ratio gradients as the target."""

    config: Config

    def target_values(self) -> int:
        """Return one value per pixel and radius."""
        return self.encoder_config.patch_px**2 * len(self.config.radii_px)

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the gradient norms of each patch, radius after radius."""
        return ratio_target(images, self.config.radii_px, self.config.halves, self.encoder_config)
