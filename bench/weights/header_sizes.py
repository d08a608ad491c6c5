"""Limits of the sizes in the header of our own files, checked before a network is built."""

from dataclasses import fields
from typing import get_args

from ...methods._encoders import (
    AnyEncoder,
    EncoderConfig,
    EncoderError,
    InputConfig,
    TimmConfig,
    encoder_named,
)
from .vit_sizes import DEEPEST

MOST = {"depth": DEEPEST, "stem_blocks": DEEPEST, "input_px": 9999}
MOST_ELSE = 2**15
MOST_VALUES = 2**28  # of a table of positions: 1 GiB
MAY_BE_0 = ("registers", "stem_blocks", "stem_hidden")


def check_sizes(encoder: AnyEncoder) -> None:
    """Refuse an encoder that cannot be built.

    Raises:
        EncoderError: A size has another type or is out of its limits, or sizes do not fit together.
    """
    for field in fields(encoder):
        value = getattr(encoder, field.name)
        if field.type is int:
            low, high = int(field.name not in MAY_BE_0), MOST.get(field.name, MOST_ELSE)
            if type(value) is not int or not low <= value <= high:
                _refuse(field.name, value, f"a whole number from {low} to {high}")
        elif field.type in (bool, str):
            if type(value) is not field.type:
                _refuse(field.name, value, "text" if field.type is str else "true or false")
        elif field.name == "input":
            if not isinstance(value, InputConfig | None):
                _refuse(field.name, value, "channels, mean and deviation")
        elif value not in get_args(field.type):
            _refuse(field.name, value, " or ".join(get_args(field.type)))
    if isinstance(encoder, TimmConfig):
        if not isinstance(encoder_named(encoder.name), TimmConfig):
            _refuse("name", encoder.name, "timm:NAME or timm:NAME@PX")
        return
    factor = 4 if isinstance(encoder, EncoderConfig) else 1  # of sines and cosines
    if encoder.width % encoder.heads or encoder.width % factor:
        _refuse("width", encoder.width, f"a multiple of its heads, {encoder.heads}, and of 4")
    if encoder.input_px % encoder.patch_px:
        _refuse("input_px", encoder.input_px, f"a multiple of its patches, {encoder.patch_px} px")
    if encoder.patch_grid[0] ** 2 * encoder.width > MOST_VALUES:
        _refuse("input_px", encoder.input_px, "smaller, for fewer patches")


def _refuse(name: str, value: object, allowed: str) -> None:
    raise EncoderError(f"{name} is {str(value)[:80]}; it must be {allowed}")
