"""Tiny encoders and simulated chips for the checks of a method."""

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
POOL = 10_000  # chips of a made-up pool; a batch has the last ones
CHIP_PX = 128  # side of a chip for a control without an input size
CLASSES = 2  # of the simulated chips, for methods that need labels


class ContractError(ValueError):
    """A method breaks the contract; the message says how, and what to do."""


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
    """Build the method with weights that are the same at every call."""
    more = {"classes": classes} if method.needs_labels else {}
    if method.has_chip_state:
        more["chips"] = POOL
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
    """Return a batch of simulated chips, with the views of the method.

    A single view of the encoder's input size is the whole chip.
    """
    px = method.encoder_config.input_px
    chips = made_up_chips(number, px)
    sides = torch.full((number,), px)
    views = []
    wanted = crops(method.sized_views(), Recipe(), px)
    for count, (side, augmentation) in enumerate(wanted):
        rng = torch_stream(number, "method checks", "views", count)
        plain = len(wanted) == 1 and side == px
        views.append(
            chips if plain else augment(chips[:, 0], sides, sides, side, augmentation, rng)
        )
    labels = torch.arange(number) % CLASSES if method.needs_labels else None
    return Batch(tuple(views), _last_rows(number), labels)


def _last_rows(number: int) -> Tensor:
    return torch.arange(POOL - number, POOL)


def empty_batch(method: Method, number: int) -> Batch:
    """Return a batch on the meta device, to count the operations of a step."""
    px = method.encoder_config.input_px
    views = tuple(
        torch.empty(number, 1, side, side, device="meta")
        for side, _ in crops(method.sized_views(), Recipe(), px)
    )
    labels = torch.arange(number) % CLASSES if method.needs_labels else None
    return Batch(views, _last_rows(number), labels)


def encoders_for(method: type[Method], *ours: EncoderConfig) -> tuple[AnyEncoder, ...]:
    """Return the encoders for the checks of a method: ours, and one of timm if it is allowed."""
    trained = method.evaluation_input == "encoder" and method.any_encoder
    return (*ours, TINY_TIMM) if trained else ours


def evaluation_input(method: type[Method], encoder: AnyEncoder | None) -> Tensor:
    """Return three inputs of the encoder in an evaluation."""
    if method.evaluation_input == "size":
        return torch.tensor([[128.0, 128.0], [96.0, 130.0], [54.0, 54.0]]).reshape(3, 1, 1, 2)
    return made_up_chips(3, encoder.input_px if encoder else CHIP_PX)
