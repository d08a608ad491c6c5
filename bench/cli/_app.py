"""What all commands share: the application, options, consoles."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from typer.core import TyperGroup

from ..plan import Filters
from ..store import Store, StoreError


class Stopped(Exception):
    """The user pressed Ctrl-C."""


class Commands(TyperGroup):
    """The commands; Ctrl-C reaches `main`, which typer would answer itself."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Compare self-supervised pretraining methods for SAR target recognition.",
)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

GridFile = Annotated[Path, typer.Argument(help="grid file (TOML)", metavar="GRID")]
RunsDir = Annotated[
    Path, typer.Option("--runs", envvar="SARBENCH_RUNS", help="the store of all results")
]
DataDir = Annotated[
    Path, typer.Option("--data", envvar="SARBENCH_DATA", help="the folder of the data sets")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON, for machines")]
Methods = Annotated[list[str] | None, typer.Option("-m", "--method", help="only this method")]
Datasets = Annotated[list[str] | None, typer.Option("-d", "--dataset", help="only this data set")]
Protocols = Annotated[list[str] | None, typer.Option("-p", "--protocol", help="only this protocol")]
ShotsOf = Annotated[list[str] | None, typer.Option("-k", "--shots", help="only these shots")]
Seeds = Annotated[list[int] | None, typer.Option("-s", "--seed", help="only this seed")]

RUNS = Path("runs")
DATA = Path("data")


def filters(
    methods: list[str] | None,
    datasets: list[str] | None,
    protocols: list[str] | None,
    shots: list[str] | None,
    seeds: list[int] | None,
) -> Filters:
    """Gather the five filter options."""
    return Filters(
        tuple(methods or ()), tuple(datasets or ()), tuple(protocols or ()), tuple(shots or ()),
        tuple(seeds or ()),
    )  # fmt: skip


def complain(message: str) -> None:
    """Print an error, in the words of the exception."""
    err.print("error:", style="bold red", end=" ")
    err.print(message, markup=False)


def print_json(value: Any) -> None:
    """Print a value for machines."""
    out.file.write(json.dumps(value, indent=1) + "\n")


def open_store(runs: Path) -> Store:
    """Return the store; its folder is made when something is written."""
    root = runs.expanduser().resolve()
    there = next(path for path in (root, *root.parents) if path.exists())
    if not there.is_dir():
        raise StoreError(f"{there} is a file; name a folder with --runs or SARBENCH_RUNS")
    return Store(root)


def bar(unit: str) -> Progress:
    """Return a progress display that vanishes when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )
