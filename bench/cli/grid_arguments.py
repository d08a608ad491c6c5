"""The arguments that all commands on a grid share."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import typer

from ..data.find_set import store_at
from ..data.names import full_name, placed, stored_name
from ..data.set_descriptions import add_stored_cards
from ..grid.schema import Grid, bundled_grids, read_grid
from ..grid.trials import tuning_grid
from ..grid.validate import validate
from ..method_facts.method_info import describe
from ..plan.archived import archived_grid, read_plan
from ..plan.filters import Filters
from ..plan.plan import Plan, make_plan
from ..store.archive import GRID, SUFFIX, ArchivedStore, unpacked
from ..store.records import Store
from ..suggest import RequestError
from .app import app
from .completion import complete_dataset, complete_grid, complete_method, complete_protocol
from .options import DATA, RUNS, DataDir, MethodsDirs, RunsDir, set_parameters

Many = list[str] | None

ARCHIVE_READERS = (  # GRID may be one
    "plan", "table", "compare", "paper", "report", "check", "cite", "export runs",
    "export predictions",
)  # fmt: skip
GRID_HELP = (
    "grid file (TOML), archive (.zip; to read) or name of a bundled grid: "
    f"{', '.join(bundled_grids())}"
)
GridName = Annotated[
    Path, typer.Argument(help=GRID_HELP, metavar="GRID", autocompletion=complete_grid)
]
MORE = "(repeatable)"
SEED_HELP = f"only this evaluation seed, of every pretraining seed {MORE}"
CONDITION_HELP = f"only this condition of the test chips: clean, shift:4, ... {MORE}"
PIXELS_HELP = "version of a set, by the first digits of its pixel digest, if the store has several"


@dataclass(frozen=True)
class Request:
    """A grid, a part of it, and the folders of store and data.

    Attributes:
        path: The grid file, or an archive.
        runs: The store's folder as the user gave it.
        data: The folder of the data sets.
        part: The filters.
        versions: Name of a set -> start of the pixel digest of its version.
        archived: The store in an archive.
        tuning: True for the trials of [tune] instead of the grid.
        methods: Folders of methods that the command line names.
    """

    path: Path
    runs: Path
    data: Path
    part: Filters = field(default_factory=Filters)
    versions: Mapping[str, str] = field(default_factory=dict)
    archived: ArchivedStore | None = None
    tuning: bool = False
    methods: tuple[Path, ...] = ()

    @cached_property
    def grid(self) -> Grid:
        """The grid, read strictly; the data sets of card files in the store are known before.

        Raises:
            RequestError: Its trials are wanted, but it is not tuned.
        """
        add_stored_cards(self.store.root)
        if self.archived:
            return archived_grid(self.archived)
        grid = read_grid(self.file)
        if not self.tuning:
            return grid
        methods = describe(grid.method_names(), self.store.root)
        validate(grid, methods, self.store.root)
        trials = tuning_grid(grid, methods)
        if trials is None:
            raise RequestError(
                f"{self.path} has no trials, because it has no section [tune]; add one, or leave "
                "out --tuning"
            )
        return trials

    def trials(self, made: Plan) -> "Request":
        """Return the request of the trials of a plan."""
        labels = [entry.planned.label for entry in made.pretrain] if self.part.methods else []
        part = Filters(tuple(dict.fromkeys(labels)))
        return replace(self, part=part, tuning=True)

    @property
    def file(self) -> Path:
        """The grid file."""
        return self.archived.root / GRID if self.archived else self.path

    @property
    def of_archive(self) -> bool:
        """True if an archive is read instead of a grid and a store."""
        return self.path.suffix.lower() == SUFFIX

    @cached_property
    def store(self) -> Store:
        """The store of all results."""
        return self.archived or store_at(self.runs)

    def plan(self, *, published: bool = False) -> Plan:
        """Compare the grid with the store as it is now; the plan of an archive is stored.

        `published` is that of `make_plan`.
        """
        if self.archived:
            return read_plan(self.archived, self.part)
        return make_plan(
            self.grid, self.store, self.data, self.part, self.versions, published=published
        )

    def command(self, name: str) -> str:
        """Return another command on this grid and store, for a message."""
        words = ["sarbench", name, self.path]
        words += [] if self.runs == RUNS else ["--runs", self.runs]
        words += [word for folder in self.methods for word in ("--methods", folder)]
        return shlex.join(map(str, words)) + " --tuning" * self.tuning

    def results(self) -> Plan:
        """Return the plan for a command that shows results.

        Raises:
            RequestError: The store holds no result of this part of the grid.
        """
        made = self.plan()
        self.check_results(made)
        return made

    def check_results(self, made: Plan) -> None:
        """Check that the store holds a result of a plan.

        Raises:
            RequestError: It holds none; the message says why and what to do.
        """
        if not made.counts().keys() & {"done", "failed", "stale"}:
            raise RequestError(_explain_no_results(made, self.store))


def _explain_no_results(made: Plan, store: Store) -> str:
    """Return why a store has no result of a plan, and what to do."""
    if isinstance(store, ArchivedStore):
        return f"{store.path} holds no result of this part of its grid; leave out some filters"
    if not store.root.is_dir():
        return f"no store at {store.root}; name its folder with --runs or SARBENCH_RUNS"
    runs = len(store.keys("evaluate"))
    text = f"the store {store.root} holds {runs} runs, none of this grid"
    if unknown := [name for name in made.needs() if name not in made.data]:
        listed = shlex.join(unknown)
        return (
            f"{text}: it does not know {listed}, so it cannot match results. Name the folder of "
            f"the data with --data and run `sarbench data prepare {listed}`"
        )
    return f"{text}. Run it with `sarbench run` or name another store with --runs"


def _request(
    grid: GridName,
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    methods: MethodsDirs = None,
    method: Annotated[
        Many,
        typer.Option(
            "-m", "--method", help=f"only this method {MORE}", autocompletion=complete_method
        ),
    ] = None,
    dataset: Annotated[
        Many,
        typer.Option(
            "-d", "--dataset", help=f"only this data set {MORE}", autocompletion=complete_dataset
        ),
    ] = None,
    protocol: Annotated[
        Many,
        typer.Option(
            "-p", "--protocol", help=f"only this protocol {MORE}", autocompletion=complete_protocol
        ),
    ] = None,
    shots: Annotated[
        Many, typer.Option("-k", "--shots", help=f"only this number of shots {MORE}")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option("-s", "--seed", help=SEED_HELP)] = None,
    condition: Annotated[Many, typer.Option("--condition", help=CONDITION_HELP)] = None,
    pixels: Annotated[
        Many, typer.Option("--pixels", metavar="SET=DIGEST", help=PIXELS_HELP)
    ] = None,
    tuning: Annotated[
        bool, typer.Option("--tuning", help="the trials of \\[tune] instead of the grid")
    ] = False,
) -> Request:
    part = Filters(
        tuple(method or ()), tuple(map(placed, dataset or ())), tuple(protocol or ()),
        tuple(shots or ()), tuple(seed or ()), tuple(condition or ()),
    )  # fmt: skip
    folders = tuple(methods or ())
    return Request(grid, runs, data, part, _versions(pixels or []), tuning=tuning, methods=folders)


def _versions(given: list[str]) -> dict[str, str]:
    """Return the digests of `--pixels SET=DIGEST`, by the full name of the set."""
    pairs = [one.rpartition("=") for one in given]
    for name, _, digest in pairs:
        if not name or not digest:
            raise typer.BadParameter(f"--pixels takes SET=DIGEST, got {name or digest!r}")
    return {stored_name(full_name(name)): digest for name, _, digest in pairs}


def _check_archive(request: Request, command: str) -> None:
    """Refuse what an archive cannot be used for.

    Raises:
        RequestError: The command writes, or an option names another store or other data.
    """
    path = request.path
    if command not in ARCHIVE_READERS:
        raise RequestError(
            f"{path} is an archive, which `sarbench {command}` cannot use. Archives are read by "
            f"{', '.join(ARCHIVE_READERS)}, and `sarbench merge {path}` copies one into a store; "
            f"give `sarbench {command}` the grid file"
        )
    unset = (
        ("runs", request.runs, RUNS),
        ("data", request.data, DATA),
        ("pixels", request.versions, {}),
        ("tuning", request.tuning, False),
    )
    for name, value, default in unset:
        if value != default and str(value) != os.environ.get(f"SARBENCH_{name.upper()}"):
            raise RequestError(
                f"{path} is an archive, which holds its own records and descriptions of data; "
                f"leave out --{name}"
            )


@contextmanager
def opened(request: Request) -> Iterator[Request]:
    """Yield a request, of an archive with its store."""
    if not request.of_archive:
        yield request
        return
    with unpacked(request.path) as store:
        yield replace(request, archived=store)


def grid_command(
    command: Callable[..., None], group: typer.Typer = app, name: str = ""
) -> Callable[..., None]:
    """Add a command on a grid: its first argument is a `Request`, the others are its options.

    Args:
        command: The function.
        group: The group of the command.
        name: Its full name, such as `export runs`, if that is not the name of the function.
    """
    shared = signature(_request).parameters
    own = list(signature(command).parameters.values())[1:]
    name = name or command.__name__

    @wraps(command)
    def called(**given: Any) -> None:
        request = _request(**{name: given.pop(name) for name in shared})
        if request.of_archive:
            _check_archive(request, name)
        with opened(request) as ready:
            command(ready, **given)

    set_parameters(called, [*shared.values(), *own])  # GRID before all
    return group.command(name.split()[-1])(called)
