"""Background: no network; the feature is the chip without its middle (a control).

Hidden: nothing.
Predicted: nothing. A control for clutter, chip processing and anything else that gives the class
away without the target.

Paper: none.
Source: none.
Differs from the source: nothing.
Left out is the middle square with 3/4 of the chip's side, which holds targets and shadows of MSTAR
(docs/probes.md has the measurement). The pixels are left out, not filled, so that a feature has no
trace of them.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ._encoders import EncoderConfig
from ._method import MethodConfigError
from ._registry import register
from .raw_pixels import Flatten, RawPixels, in_middle


@dataclass(frozen=True)
class Config:
    """The square around the target.

    Attributes:
        side_share: Its side relative to that of the chip.
    """

    side_share: float = 0.75

    def __post_init__(self) -> None:
        """Refuse a square that is empty or the whole chip."""
        if not 0 < self.side_share < 1:
            raise MethodConfigError(
                f"side_share is {self.side_share}; it must be above 0 and below 1"
            )


class Part(Flatten):
    """Chips to one token each: the pixels inside or outside their middle, row by row."""

    def __init__(self, side_share: float, *, inside: bool) -> None:
        """Keep the square, and the side of its edge that is left out."""
        super().__init__()
        self.side_share, self.inside = side_share, inside

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 D"]:
        """Return the pixels."""
        return images[..., in_middle(images, self.side_share) == self.inside]


@register(label="Background only", paper="control", control=True)
class Background(RawPixels):
    """The chip without target and shadow."""

    inside = False

    @classmethod
    def build_encoder(
        cls, config: Config, encoder: EncoderConfig | None, drop_path: float = 0.0
    ) -> Part:
        """Return the encoder without weights."""
        return Part(config.side_share, inside=cls.inside)
