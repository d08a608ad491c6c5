"""The options that all commands on a file of weights share."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Annotated, Any

import typer

from ..given_file import MOST_PX, Stated
from ..suggest import RequestError
from .options import set_parameters


def _stated(
    heads: Annotated[
        int | None, typer.Option(min=1, help="attention heads of a block; default: width / 64")
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(help="encoder of a file with two: target_encoder (default), encoder"),
    ] = None,
    input_px: Annotated[
        int | None,
        typer.Option("--input-px", min=1, max=MOST_PX, help="side of the input; resizes positions"),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="read the file as this network of timm: timm:NAME or timm:NAME@PX"),
    ] = None,
    channel: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="channel that holds the chip, the others their mean; default: the chip is every "
            "channel",
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(help="subtracted from each channel: 0.5, or 0.485,0.456,0.406, or none"),
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="divides each channel then, written as --mean")
    ] = None,
) -> Stated:
    return Stated(
        heads, input_px, part, encoder, channel, _numbers("mean", mean), _numbers("std", std)
    )


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """Return the numbers of an option; `none` gives none.

    Raises:
        RequestError: The text is something else.
    """
    if text is None or text == "none":
        return None if text is None else ()
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise RequestError(
            f"--{name} is {text!r}; write a number, one for each channel with commas between "
            "them, or none"
        ) from None


def with_stated(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Stated`, which is its first argument."""
    shared = signature(_stated).parameters
    own = list(signature(command).parameters.values())[1:]

    @wraps(command)
    def called(**given: Any) -> None:
        command(_stated(**{name: given.pop(name) for name in shared}), **given)

    set_parameters(called, [*own, *shared.values()])
    return called
