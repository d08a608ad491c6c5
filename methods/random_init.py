"""Random initialisation: the encoder of MAE as it is before any training (a control).

Hidden: nothing.
Predicted: nothing. Under `few_shot` and `finetune` this is the row "from scratch".

Paper: none.
Source: none.
Differs from the source: nothing.
The encoder is the plain ViT with class token and fixed sin-cos positions, drawn as MAE draws it;
the encoders of the LoMaR family (relative positions) and of I-JEPA (no class token) differ from it.
"""

from dataclasses import dataclass

import torch

from ._method import Method
from ._registry import register
from ._sizes import EncoderConfig
from ._vit import Encoder, initialise


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


@register(label="Random init", paper="control", control=True)
class RandomInit(Method):
    """An untrained encoder."""

    def __init__(self, config: Config, encoder: EncoderConfig, rng: torch.Generator) -> None:
        """Build and draw the encoder."""
        super().__init__(config, encoder, rng)
        initialise(self, rng)

    @classmethod
    def build_encoder(
        cls, config: Config, encoder: EncoderConfig, drop_path: float = 0.0
    ) -> Encoder:
        """Return a ViT with class token and fixed sin-cos positions."""
        return Encoder(encoder, "absolute", drop_path=drop_path)
