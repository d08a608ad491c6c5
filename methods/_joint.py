"""Parts of joint-embedding methods: what views change, small crops, a projector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ._method import MethodConfigError, View

FULL_PX = 224  # the input for which sides of small crops are given


@dataclass(frozen=True)
class ViewChanges:
    """The random changes of views, as fields of a method's `Config`.

    None stands for the value of the recipe, for `looks` for no added speckle, and is left out of
    the identity. docs/views.md says what each change means.
    """

    crop_scale: tuple[float, float] | None = None  # share of the chip's area in a crop
    flip: float | None = None  # probability of a left-right flip
    contrast: float | None = None  # largest relative change
    looks: int | None = None  # of speckle that multiplies each view

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            MethodConfigError: One is.
        """
        check_crop_scale("crop_scale", self.crop_scale)
        for name in ("flip", "contrast"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, float) and 0 <= value <= 1):
                raise MethodConfigError(
                    f"{name} is {value!r}; it must be a decimal number from 0.0 to 1.0; write it "
                    "with a point, or leave it out for the value of the recipe"
                )
        if self.looks is not None and (type(self.looks) is not int or self.looks < 1):
            raise MethodConfigError(
                f"looks is {self.looks!r}; it must be a whole number from 1; leave it out for "
                "views without added speckle"
            )

    def view(self, **more: Any) -> View:
        """Return a view with these changes; `more` are its other fields, or replace them."""
        changes = {
            "crop_scale": self.crop_scale, "flip": self.flip, "contrast": self.contrast,
            "looks": self.looks,
        }  # fmt: skip
        return View(**(changes | more))


@dataclass(frozen=True)
class SmallCrops(ViewChanges):
    """Large and small crops; `crop_scale` is that of large ones."""

    large: int = 2  # number of large crops
    small: int = 8  # number of small crops
    small_scale: tuple[float, float] = (0.05, 0.4)  # share of the chip's area
    small_px: int = 96  # at an input of 224 px; rounded to whole patches

    def __post_init__(self) -> None:
        """Refuse values outside their ranges.

        Raises:
            MethodConfigError: One is.
        """
        super().__post_init__()
        check_crop_scale("small_scale", self.small_scale)
        if self.large < 2 or self.small < 0 or not 1 <= self.small_px <= FULL_PX:
            raise MethodConfigError(
                f"large, small and small_px are {self.large}, {self.small} and {self.small_px}; "
                f"there must be 2 or more large crops and 0 or more small ones, of 1 to {FULL_PX} "
                f"px at an input of {FULL_PX} px"
            )

    def views(self) -> tuple[View, ...]:
        """Return the crops, large ones first."""
        large = self.view(count=self.large)
        share = self.small_px / FULL_PX
        small = self.view(count=self.small, share=share, crop_scale=self.small_scale)
        return (large, small) if self.small else (large,)


def check_crop_scale(name: str, scale: tuple[float, float] | None) -> None:
    """Refuse shares of a chip's area outside of their range.

    Raises:
        MethodConfigError: They are not two numbers 0 < smallest <= largest <= 1.
    """
    if scale is None:
        return
    two = isinstance(scale, tuple) and len(scale) == 2 and all(type(s) is float for s in scale)
    if not two or not 0 < scale[0] <= scale[1] <= 1:
        raise MethodConfigError(
            f"{name} is {scale!r}; it must be [smallest, largest] share of a chip's area, two "
            "decimal numbers above 0.0 and up to 1.0, such as [0.2, 1.0]"
        )


@torch.no_grad()
def check_sides(encoder: nn.Module, views: Sequence[View], name: str) -> None:
    """Refuse views of a size that a network cannot encode.

    Args:
        encoder: The network; one chip of each size is encoded.
        views: With sides in pixels.
        name: Name of the network in the message.

    Raises:
        MethodConfigError: It cannot encode one of them.
    """
    device = next(encoder.parameters()).device
    was_training = encoder.training
    encoder.eval()  # no statistics move
    for side in sorted({view.size for view in views if view.size is not None}):
        try:
            encoder(torch.zeros(1, 1, side, side, device=device))
        except (AssertionError, RuntimeError, ValueError, TypeError) as error:
            raise MethodConfigError(
                f"small crops have {side} px, and {name} takes chips of its own size only; use a "
                f"network that takes other sizes (vit_nano, timm:resnet18), or set small_px = "
                f"{FULL_PX}, so that small crops are enlarged to the input of the network"
            ) from error
    encoder.train(was_training)


def projector(width: int, hidden: int, outputs: int, bias: bool = True) -> nn.Sequential:
    """Return three linear layers, the first two with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
        nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
        nn.Linear(hidden, outputs, bias=bias),
    )  # fmt: skip


def full_precision(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return values of half precision in single precision, and others as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
