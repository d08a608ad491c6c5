"""Low-pass: hide 80 % of each small window, predict the low-passed pixels.

Hidden: in each of 4 windows of 7 x 7 patches per chip, a random 39 of the 49, replaced by a learned
token before the encoder.
Predicted: the pixels of the hidden patches of the chip without its high frequencies, by 8 blocks
over the tokens of the window.

Paper: Li et al., Predicting Gradient is Better, ISPRS J. 218 (2024), Table 4 (secondary sources).
Source: none; the released repository names the weights and has no code for them.
Differs from the source: cannot be said.
Unknown: the filter and the network. Taken to be the low-frequency target of PixMIM (Liu et al.,
arXiv 2303.02416) on LoMaR-SAR (paper_facts 2.6). PixMIM keeps 40 cycles per image at 224 px; a
cycle per image is the same detail of the scene at any input size, so it is not scaled.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ._gradients import low_pass
from ._method import MethodConfigError
from ._registry import register
from ._vit import patchify
from .lomar_sar import Config as LoMaRSARConfig
from .lomar_sar import LoMaRSAR


@dataclass(frozen=True)
class Config(LoMaRSARConfig):
    """Defaults of LoMaR-SAR and PixMIM."""

    cycles_per_image: float = 40.0

    def __post_init__(self) -> None:
        """Refuse a filter that lets nothing pass."""
        super().__post_init__()
        if self.cycles_per_image < 1:
            raise MethodConfigError(
                f"cycles_per_image must be 1 or more, got {self.cycles_per_image}"
            )


@register(label="Low-pass", paper="10.1016/j.isprsjprs.2024.09.013", unconfirmed=True)
class LowPass(LoMaRSAR):
    """LoMaR-SAR with another target."""

    config: Config

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the low-passed pixels of each patch."""
        return patchify(
            low_pass(images, self.config.cycles_per_image), self.encoder_config.patch_px
        )
