"""Low-pass: hide 80% of each small window, predict the low-passed pixels.

Hidden: a random 39 of the 49 patches of each of 4 windows (7 x 7 patches) per chip, replaced by a
learned token before the encoder.
Predicted: from the tokens of the window, the pixels of the hidden patches in the chip without its
high frequencies, by 8 blocks.

Paper: Li et al., Predicting Gradient is Better, ISPRS J. 218 (2024) 326-338, Table 4 (known to us
from secondary sources).
Source: none; waterdisappear/SAR-JEPA names the weights and has no code for them.
Differs from the source: unknown.
Unknown: the filter and the network. Ours are the low-frequency target of PixMIM (Liu et al., arXiv
2303.02416) and LoMaR-SAR. PixMIM keeps 40 cycles per image at 224 px. This limit does not scale
with the input, because a cycle per image is the same detail of the scene at every input size.
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

    cycles_per_image: float = 40.0  # highest frequency that the target keeps

    def __post_init__(self) -> None:
        """Refuse a filter below one cycle per image."""
        super().__post_init__()
        if self.cycles_per_image < 1:
            raise MethodConfigError(
                f"cycles_per_image is {self.cycles_per_image}; it must be 1 or more"
            )


@register(
    label="Low-pass",
    paper="10.1016/j.isprsjprs.2024.09.013",
    family="masked feature",
    unconfirmed=True,
)
class LowPass(LoMaRSAR):
    """LoMaR-SAR with low-passed pixels as the target."""

    config: Config

    def target(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N P"]:
        """Return the low-passed pixels of each patch."""
        return patchify(
            low_pass(images, self.config.cycles_per_image), self.encoder_config.patch_px
        )
