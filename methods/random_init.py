"""Random initialisation: the encoder of a method before any training (a control).

Hidden: nothing.
Predicted: nothing. Under `few_shot` and `finetune` this is training from scratch.

Paper: none.
Source: none.
Differs from the source: nothing.
Scores of untrained encoders of different kinds differ by many points, so each method is compared
with the control of its own kind. `like` names a method; the weights are then its first weights at
the same seed. A grid adds one control for each kind of encoder in it, and one for each architecture
of given weights (`like = "given"`), which has their channels and normalisation.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from ._encoders import INPUT, AnyEncoder
from ._method import Method, MethodConfigError
from ._registry import UnknownMethodError, get, register
from ._vit import initialise


@dataclass(frozen=True)
class Config:
    """The kind of encoder, and the input of given weights that it is the control of.

    Attributes:
        like: A method; None = class token and fixed positions, or timm's network.
        channels: As in the `Config` of `like`, which must have it; None = its default.
        channel: The same.
        mean: The same.
        std: The same.
    """

    like: str | None = None
    channels: int | None = None
    channel: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a method that has no encoder of its own, and an input that it does not have."""
        if self.like is not None:
            method_like(self.like)
        if given := [name for name in INPUT if getattr(self, name) is not None]:
            method = method_like(self.like) if self.like is not None else None
            known = {field.name for field in fields(method.Config)} if method else set()
            if unknown := sorted(set(given) - known):
                raise MethodConfigError(
                    f"{', '.join(unknown)}: like is {self.like!r}, whose encoder has no such "
                    "setting; leave it out"
                )
            config_like(self)


def config_like(config: Config) -> Any:
    """Return the configuration of the method of `like`: its defaults, with the given input."""
    values = {name: getattr(config, name) for name in INPUT}
    given = {name: value for name, value in values.items() if value is not None}
    return method_like(str(config.like)).Config(**given)


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
            self.encoder = method(config_like(config), encoder, rng).encoder

    @classmethod
    def build_encoder(cls, config: Any, encoder: Any, drop_path: float = 0.0) -> nn.Module:
        """Return the encoder of the method of `like`."""
        if config.like is None:
            return super().build_encoder(config, encoder, drop_path)
        method = method_like(config.like)
        return method.build_encoder(config_like(config), encoder, drop_path)
