"""What the checks of a method run on: a tiny encoder and made-up chips."""

from typing import Any

import torch
from torch import Tensor

from ..methods import EncoderConfig
from ..methods._method import Method
from .seeding import torch_stream

TINY = EncoderConfig("check", 112, 8, 32, 2, 2, 32, 1, 2)
TINY_224 = EncoderConfig("check_224", 224, 16, 32, 1, 2, 32, 1, 2)


class ContractError(ValueError):
    """A method breaks the contract; the message says how and what to do."""


def config_of(method: type[Method]) -> Any:
    """Return the method's default configuration."""
    try:
        return method.Config()
    except TypeError as error:
        raise ContractError(f"Config needs a default for every field: {error}") from error


def predicts_patches(method: type[Method]) -> bool:
    """Return whether a method is masked prediction, so that `predict` may be called."""
    return method.predict is not Method.predict


def build(method: type[Method], encoder: EncoderConfig = TINY) -> Method:
    """Return the method with weights from the fresh generator."""
    return method(config_of(method), encoder, fresh_rng())


def fresh_rng(seed: int = 0) -> torch.Generator:
    """Return a generator that is the same at every call."""
    return torch_stream(seed, "method checks")


def made_up_chips(number: int, side_px: int = TINY.input_px) -> Tensor:
    """Return chips (B, 1, H, W): a bright smooth spot in speckled clutter, amplitude in [0, 1]."""
    rng = torch_stream(number, "method checks", "chips")
    axis = torch.linspace(-1, 1, side_px)
    centre = torch.rand(number, 2, 1, generator=rng) - 0.5
    rows, columns = (axis - centre).square().unbind(1)
    spot = torch.exp(-8 * (rows[:, :, None] + columns[:, None, :]))
    speckle = torch.rand(number, side_px, side_px, generator=rng).clamp(min=1e-6).log().neg().sqrt()
    return ((0.1 + 0.4 * spot) * speckle).clamp(max=1)[:, None]


def evaluation_input(method: type[Method], encoder: EncoderConfig) -> Tensor:
    """Return three of what the encoder is given when it is evaluated."""
    if method.evaluation_input == "size":
        return torch.tensor([[128.0, 128.0], [96.0, 130.0], [54.0, 54.0]]).reshape(3, 1, 1, 2)
    return made_up_chips(3, encoder.input_px)
