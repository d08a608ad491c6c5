"""Random initialisation: the encoder of a method before any training (a control).

Hidden: nothing.
Predicted: nothing. Under `few_shot` and `finetune` this is training from scratch.

Paper: none.
Source: none.
Differs from the source: nothing.
Scores of untrained encoders of different kinds differ by many points, so each method is compared
with the control of its own kind. `like` names a method; the weights are then its first weights at
the same seed. A grid adds one control for each kind of encoder in it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ._encoders import AnyEncoder
from ._method import Method, MethodConfigError
from ._registry import UnknownMethodError, get, register
from ._vit import initialise


@dataclass(frozen=True)
class Config:
    """The kind of encoder."""

    like: str | None = None  # a method; None = class token and fixed positions, or timm's network

    def __post_init__(self) -> None:
        """Refuse a method that trains no encoder."""
        if self.like is not None:
            method_like(self.like)


def method_like(like: str) -> type[Method]:
    """Return the method whose untrained encoder is the control.

    Raises:
        MethodConfigError: The method is unknown, or is a control itself.
    """
    try:
        method = get(like)
    except UnknownMethodError as error:
        raise MethodConfigError(f"like: {error}") from error
    if method.control:
        raise MethodConfigError(f"like is {like!r}; it must name a method that trains an encoder")
    return method


@register(label="Random init", paper="control", control=True, version=2)
class RandomInit(Method):
    """An untrained encoder."""

    def __init__(self, config: Config, encoder: AnyEncoder, rng: torch.Generator) -> None:
        """Build the method of `like` and keep its encoder."""
        super().__init__(config, encoder, rng)
        if config.like is None:
            initialise(self, rng)
        else:
            method = method_like(config.like)
            self.encoder = method(method.Config(), encoder, rng).encoder

    @classmethod
    def build_encoder(cls, config: Any, encoder: Any, drop_path: float = 0.0) -> nn.Module:
        """Return the encoder of the method of `like`."""
        if config.like is None:
            return super().build_encoder(config, encoder, drop_path)
        method = method_like(config.like)
        return method.build_encoder(method.Config(), encoder, drop_path)
