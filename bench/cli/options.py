"""Options and folders that several commands share."""

from collections.abc import Callable, Iterable
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer

from ...methods import _folders
from ..data.registry import add_cards
from ..suggest import RequestError

RUNS = Path("runs")
DATA = Path("data")


def new_file(path: Path | None) -> Path | None:
    """Return a path for a new file, checked before any work starts.

    Raises:
        RequestError: It is a folder, or a part of it is a file.
    """
    if path is not None and path.is_dir():
        raise RequestError(f"--out {path} is a folder; give the name of a file")
    return path and new_folder(path.parent) / path.name


def new_folder(path: Path) -> Path:
    """Return a folder that exists or can be made.

    Raises:
        RequestError: A part of its path is a file.
    """
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise RequestError(f"--out cannot be below {nearest}, which is a file; give another path")
    return path


def _known_data(path: Path) -> Path:
    """Make the data sets of card files in the data folder known."""
    add_cards(path)
    return path


def _known_methods(ctx: typer.Context, value: list[Path] | None) -> list[Path]:
    """Make the methods of these folders known; return the folders that the command line names.

    The processes and jobs of the command inherit them.
    """
    try:
        _folders.set_folders(value or [])
    except _folders.MethodsFolderError:
        if not ctx.resilient_parsing:  # a shell completes the command line
            raise
    source = ctx.get_parameter_source("methods")
    return list(value or []) if source and source.name == "COMMANDLINE" else []


RunsDir = Annotated[
    Path, typer.Option("--runs", envvar="SARBENCH_RUNS", help="folder of the store of results")
]
DataDir = Annotated[
    Path,
    typer.Option(
        "--data", envvar="SARBENCH_DATA", help="folder of the data sets", callback=_known_data
    ),
]
MethodsDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--methods", metavar="DIR", envvar=_folders.VARIABLE, callback=_known_methods,
        help="folder with files of your own methods (repeatable)",
    ),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
PngFile = Annotated[
    Path | None, typer.Option("--out", callback=new_file, help="file to write (PNG)")
]


def set_parameters(command: Callable[..., Any], parameters: Iterable[Parameter]) -> None:
    """Give a command the arguments and options that Typer shows; required ones come first."""
    ordered = sorted(parameters, key=lambda one: one.default is not one.empty)
    # Typer reads the options from these two.
    command.__signature__ = Signature(ordered)  # pyright: ignore[reportAttributeAccessIssue]
    command.__annotations__ = {one.name: one.annotation for one in ordered}
