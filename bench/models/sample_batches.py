"""What the checks of a method run on: a tiny encoder and made-up chips."""

from typing import Any

import torch
from torch import Tensor

from ...methods._encoders import AnyEncoder, EncoderConfig, TimmConfig
from ...methods._method import Batch, Method
from ..augmentation.augment import augment
from ..augmentation.views import crops
from ..identity import Recipe
from ..seeding import torch_stream

TINY = EncoderConfig("check", 112, 8, 32, 2, 2)
TINY_224 = EncoderConfig("check_224", 224, 16, 32, 1, 2)
TINY_TIMM = TimmConfig("timm:test_resnet@64", 64)
CLASSES = 2  # of made-up chips, for methods that need labels


class ContractError(ValueError):
    """A method breaks the contract; the message says how and what to do."""


def config_of(method: type[Method]) -> Any:
    """Return the method's default configuration."""
    try:
        return method.Config()
    except TypeError as error:
        raise ContractError(f"Config needs a default for every field: {error}") from error


def build(
    method: type[Method],
    encoder: AnyEncoder | None = TINY,
    config: Any = None,
    classes: int = CLASSES,
) -> Any:
    """Return the method with weights from the fresh generator."""
    more = {"classes": classes} if method.needs_labels else {}
    return method(config or config_of(method), encoder, fresh_rng(), **more)


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


def sample_batch(method: Method, number: int) -> Batch:
    """Return a batch of made-up chips, cropped as the method asks.

    The one view of a method that asks for nothing special is the whole chip.
    """
    px = method.encoder_config.input_px
    chips = made_up_chips(number, px)
    sides = torch.full((number,), px)
    views = []
    asked = crops(type(method).views(method.config), Recipe(), px)
    for count, (side, augmentation) in enumerate(asked):
        rng = torch_stream(number, "method checks", "views", count)
        plain = len(asked) == 1 and side == px
        views.append(
            chips if plain else augment(chips[:, 0], sides, sides, side, augmentation, rng)
        )
    labels = torch.arange(number) % CLASSES if method.needs_labels else None
    return Batch(tuple(views), torch.arange(number), labels)


def empty_batch(method: Method, number: int) -> Batch:
    """Return a batch whose views have a shape and no memory, to count what a step computes."""
    px = method.encoder_config.input_px
    views = tuple(
        torch.empty(number, 1, side, side, device="meta")
        for side, _ in crops(type(method).views(method.config), Recipe(), px)
    )
    labels = torch.arange(number) % CLASSES if method.needs_labels else None
    return Batch(views, torch.arange(number), labels)


def encoders_for(method: type[Method], *ours: EncoderConfig) -> tuple[AnyEncoder, ...]:
    """Return the encoders that a method is checked on."""
    trained = method.evaluation_input == "encoder" and method.any_encoder
    return (*ours, TINY_TIMM) if trained else ours


def evaluation_input(method: type[Method], encoder: AnyEncoder) -> Tensor:
    """Return three of what the encoder is given when it is evaluated."""
    if method.evaluation_input == "size":
        return torch.tensor([[128.0, 128.0], [96.0, 130.0], [54.0, 54.0]]).reshape(3, 1, 1, 2)
    return made_up_chips(3, encoder.input_px)
