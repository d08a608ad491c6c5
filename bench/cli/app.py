"""What all commands share: the application, options, consoles."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from inspect import Signature, signature
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

from ..data.names import full_name
from ..grid.schema import Grid, bundled_grids, read_grid
from ..plan.plan import Filters, Plan, make_plan
from ..store.records import Store, StoreError


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
)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class NoResultsError(LookupError):
    """A store without any result of the grid."""


class TargetError(ValueError):
    """A file or folder that cannot be written where it was asked for."""


def new_file(path: Path | None) -> Path | None:
    """Check, before any work is done, that a file can be written there.

    Raises:
        TargetError: A folder has the name, or something above it is no folder.
    """
    if path is not None and path.is_dir():
        raise TargetError(f"--out {path} is a folder; give the name of a file")
    return path and new_folder(path.parent) / path.name


def new_folder(path: Path) -> Path:
    """Check that a folder is there or can be made.

    Raises:
        TargetError: It, or something above it, is no folder.
    """
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise TargetError(f"--out cannot be below {nearest}, which is a file; give another place")
    return path


Picture = Annotated[
    Path | None, typer.Option("--out", callback=new_file, help="picture to write (PNG)")
]


@app.callback(help="Compare self-supervised pretraining methods for SAR target recognition.")
def _root() -> None:
    """Keep the command name required: Typer drops it when only one command is registered."""


RunsDir = Annotated[
    Path, typer.Option("--runs", envvar="SARBENCH_RUNS", help="the store of all results")
]
DataDir = Annotated[
    Path, typer.Option("--data", envvar="SARBENCH_DATA", help="the folder of the data sets")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON, for machines")]
Many = list[str] | None

GRID_HELP = f"grid file (TOML), or the name of a bundled grid: {', '.join(bundled_grids())}"
RUNS = Path("runs")
DATA = Path("data")


@dataclass(frozen=True)
class Request:
    """The arguments shared by all commands on a grid: the grid, a part of it, and the folders.

    Attributes:
        path: The grid file.
        runs: The store's folder as it was given.
        data: The folder of the data sets.
        part: The runs that are asked for.
        versions: Name of a set -> start of the pixel digest of its version.
    """

    path: Path
    runs: Path
    data: Path
    part: Filters
    versions: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def grid(self) -> Grid:
        """The grid, read strictly."""
        return read_grid(self.path)

    @cached_property
    def store(self) -> Store:
        """The store of all results."""
        return open_store(self.runs)

    def plan(self) -> Plan:
        """Return the plan as things stand now."""
        return make_plan(self.grid, self.store, self.data, self.part, self.versions)

    def command(self, name: str) -> str:
        """Return another command on this grid and store, to be printed."""
        where = "" if self.runs == RUNS else f" --runs {self.runs}"
        return f"sarbench {name} {self.path}{where}"

    def results(self) -> Plan:
        """Return the plan for a command that shows results.

        Raises:
            NoResultsError: The store holds no result of this part of the grid.
        """
        made = self.plan()
        self.refuse_nothing(made)
        return made

    def refuse_nothing(self, made: Plan) -> None:
        """Refuse a plan of which the store holds no result.

        Raises:
            NoResultsError: With the reason, and what to do.
        """
        if not made.counts().keys() & {"done", "failed", "stale"}:
            raise NoResultsError(_why_nothing(made, self.store))


def _why_nothing(made: Plan, store: Store) -> str:
    """Return why a store has nothing to show of a plan, and what to do."""
    if not store.root.is_dir():
        return f"there is no store at {store.root}; name it with --runs or SARBENCH_RUNS"
    runs = len(store.keys("evaluate"))
    text = f"the store {store.root} holds {runs} runs, none of them of this grid"
    if unknown := [name for name in made.needs() if name not in made.data]:
        listed = " ".join(unknown)
        return (
            f"{text}: it does not know {listed}, so no result can be matched. Name the folder of "
            f"the data with --data and run `sarbench data prepare {listed}`"
        )
    return f"{text}. Run it with `sarbench run` or name another store with --runs"


def _request(
    grid: Annotated[Path, typer.Argument(help=GRID_HELP, metavar="GRID")],
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    method: Annotated[Many, typer.Option("-m", "--method", help="only this method")] = None,
    dataset: Annotated[Many, typer.Option("-d", "--dataset", help="only this data set")] = None,
    protocol: Annotated[Many, typer.Option("-p", "--protocol", help="only this protocol")] = None,
    shots: Annotated[Many, typer.Option("-k", "--shots", help="only these shots")] = None,
    seed: Annotated[
        list[int] | None, typer.Option("-s", "--seed", help="only this evaluation seed")
    ] = None,
    pixels: Annotated[
        Many,
        typer.Option("--pixels", metavar="SET=DIGEST", help="of a set that the store has twice"),
    ] = None,
) -> Request:
    part = Filters(
        tuple(method or ()), tuple(dataset or ()), tuple(protocol or ()), tuple(shots or ()),
        tuple(seed or ()),
    )  # fmt: skip
    return Request(grid, runs, data, part, _versions(pixels or []))


def _versions(given: list[str]) -> dict[str, str]:
    """Return the digests of `--pixels SET=DIGEST`, by the full name of the set."""
    pairs = [one.rpartition("=") for one in given]
    for name, _, digest in pairs:
        if not name or not digest:
            raise typer.BadParameter(f"--pixels takes SET=DIGEST, got {name or digest!r}")
    return {full_name(name): digest for name, _, digest in pairs}


def grid_command(command: Callable[..., None]) -> Callable[..., None]:
    """Add a command on a grid: its first argument is a `Request`, the rest are its own options."""
    shared = signature(_request).parameters
    own = list(signature(command).parameters.values())[1:]

    @wraps(command)
    def called(**given: Any) -> None:
        command(_request(**{name: given.pop(name) for name in shared}), **given)

    # arguments that must be given come first, GRID before all
    parameters = sorted([*shared.values(), *own], key=lambda one: one.default is not one.empty)
    # Typer reads the options from these two.
    called.__signature__ = Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return app.command()(called)


def complain(message: str) -> None:
    """Print an error, in the words of the exception."""
    err.print("error:", style="bold red", end=" ")
    err.print(message, markup=False)


def warn(message: str) -> None:
    """Say something on the error stream that stops nothing."""
    err.print(f"warning: {message}", markup=False, style="yellow")


def print_json(value: Any) -> None:
    """Print a value for machines."""
    out.file.write(json_text(value))


def json_text(value: Any) -> str:
    """Return a value as JSON, as every command writes it."""
    return json.dumps(value, indent=1) + "\n"


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
