"""Given weights: an encoder that was pretrained elsewhere and is read from a file.

Hidden: nothing.
Predicted: nothing.

Paper: that of the file.
Source: the file; `bench/weights/` reads it.
Differs from the source: nothing. The tokens of nine layouts were compared with those of the
authors' code (`tests/parity/encoders/`). A chip has one channel; `channel` says which of the file's
channels it is.
It trains nothing, and it is not a control. Its config and its encoder describe a file of weights
completely, so that a pretraining without a recipe stands for it.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any

from torch import nn

from ._channels import InputChannels
from ._encoders import EncoderConfig, GivenConfig, InputConfig
from ._given import given_encoder
from ._method import Method, MethodConfigError
from ._registry import register


@dataclass(frozen=True)
class Config(InputConfig):
    """The file of weights, and the input that it expects.

    Attributes:
        digest: SHA-256 of the weights that are used (`bench/weights/digest.py`).
        layout: Layout of the file (`bench/weights/layouts/`).
        part: For a file with two encoders, the name of one.
    """

    digest: str = ""
    layout: str = ""
    part: str | None = None

    def __post_init__(self) -> None:
        """Refuse channels, means and deviations that do not fit together."""
        if self.channels < 1:
            raise MethodConfigError(f"channels is {self.channels}; it must be 1 or more")
        if self.channel is not None and not 0 <= self.channel < self.channels:
            raise MethodConfigError(
                f"channel is {self.channel}; the weights have channels 0 to {self.channels - 1}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise MethodConfigError(
                    f"{name} has {len(values)} values; give {self.channels}, one for each channel"
                )
            if not all(map(isfinite, values or ())):
                raise MethodConfigError(f"{name} is {values}; it must be finite")
        if self.std is not None and min(self.std) <= 0:
            raise MethodConfigError(f"std is {self.std}; deviations must be above 0")


@register(label="Given weights", paper="that of the file", family="given weights")
class Given(Method):
    """An encoder whose weights are those of a file."""

    trains = False

    @classmethod
    def build_encoder(cls, config: Config, encoder: Any, drop_path: float = 0.0) -> nn.Module:
        """Return the network of the file; an `EncoderConfig` gives one with stored positions."""
        if isinstance(encoder, EncoderConfig):
            encoder = GivenConfig(
                encoder.input_px, encoder.patch_px, encoder.width, encoder.depth, encoder.heads,
                hidden=4 * encoder.width,
            )  # fmt: skip
        return given_encoder(encoder, InputChannels.of(config), drop_path)
