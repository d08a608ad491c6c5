"""Target only: no network; the feature is the middle of the chip (a control).

Hidden: nothing.
Predicted: nothing. The complement of `background`: its square is kept, and all else is left out.

Paper: none.
Source: none.
Differs from the source: nothing.
"""

from ._encoders import EncoderConfig
from ._registry import register
from .background import Config, Part
from .raw_pixels import RawPixels


@register(label="Target only", paper="control", control=True)
class TargetOnly(RawPixels):
    """Target and shadow without the rest of the chip."""

    @classmethod
    def build_encoder(
        cls, config: Config, encoder: EncoderConfig | None, drop_path: float = 0.0
    ) -> Part:
        """Return the encoder without weights."""
        return Part(config.side_share, inside=True)
