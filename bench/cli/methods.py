"""Commands on methods and protocols."""

import shlex
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from ...methods import _registry
from ...protocols import PROTOCOLS
from ..data.find_set import store_at
from ..method_facts.method_info import MethodInfo, describe
from ..suggest import unknown
from .app import COMMANDS, app, err, out, print_error, print_json
from .completion import complete_dataset, complete_encoder, complete_method, complete_protocol
from .options import DATA, RUNS, DataDir, Json, MethodsDirs, PngFile, RunsDir
from .print_table import names_column, print_table
from .progress import Bar, progress

methods = typer.Typer(no_args_is_help=True, help=COMMANDS["methods"][1])
protocols = typer.Typer(no_args_is_help=True, help=COMMANDS["protocols"][1])
app.add_typer(methods, name="methods")
app.add_typer(protocols, name="protocols")

FOLDER_HELP = "folder to write to; default: the current folder"
STEPS_HELP = "training steps before the picture; default: 100, or as many as fit into 6 s"
MethodName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="method; `methods ls` lists them", autocompletion=complete_method
    ),
]
ProtocolName = Annotated[
    str,
    typer.Argument(metavar="NAME", help=", ".join(PROTOCOLS), autocompletion=complete_protocol),
]


@methods.command("ls")
def list_methods(runs: RunsDir = RUNS, folders: MethodsDirs = None, as_json: Json = False) -> None:
    """List the methods and controls that are found, broken ones with their error."""
    found, broken = {}, {}
    for name in _registry.names():
        try:
            found |= describe([name], store_at(runs).root)
        except Exception as error:  # a plug-in may raise anything; the others are listed
            broken[name] = f"{type(error).__name__}: {error}"
    if as_json:
        print_json({"methods": [asdict(info) for info in found.values()], "broken": broken})
        return
    names = names_column(_registry.names())
    paper = Column("paper", overflow="fold")
    table = Table(names, "label", "family", "version", "notes", paper, box=None, pad_edge=False)
    for info in found.values():
        values = info.name, info.label, info.family, str(info.version), _notes(info), info.paper
        table.add_row(*values)
    print_table(table)
    for name, reason in broken.items():
        print_error(f"{name} cannot be imported: {reason}")
    if broken:
        raise typer.Exit(1)


def _notes(info: MethodInfo) -> str:
    """Return the restrictions of a method in words."""
    notes = ["definition open"] * info.unconfirmed + ["needs labels"] * info.needs_labels
    if len(info.protocols) < len(PROTOCOLS):
        notes.append(f"only {' '.join(info.protocols)}")
    return ", ".join(notes)


@methods.command("show")
def show_method(
    name: MethodName,
    dataset: Annotated[
        str,
        typer.Option(
            "-d", "--dataset", help="data set of the chips", autocompletion=complete_dataset
        ),
    ] = "synthetic",
    encoder: Annotated[
        str, typer.Option(help="encoder size", autocompletion=complete_encoder)
    ] = "vit_nano",
    steps: Annotated[int | None, typer.Option(min=0, help=STEPS_HELP)] = None,
    path: PngFile = None,
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    folders: MethodsDirs = None,
) -> None:
    """Draw chips with their masks, targets and predictions into a PNG file."""
    _registry.module_of(name)  # an unknown name is an error before torch is imported
    from ..contract.preview import STEPS, check_drawable, draw_method

    check_drawable(name, encoder)
    path = path or Path(f"{name}.png")
    store = store_at(runs)
    from .data import prepare_all

    chips = prepare_all([dataset], data, store)[0]
    length = "up to 6 s" if steps is None else f"{steps} steps"
    err.print(f"{name}: building {encoder}, training for {length}, drawing")
    bar = Bar(f"training {name}", STEPS if steps is None else steps, "steps")
    with progress() as shown:
        shown.add(bar)

        def on_step(done: int) -> None:
            bar.done = done
            shown.update(bar)

        done = draw_method(name, encoder, chips, steps, path, on_step)
    out.print(f"written: {path} (after {done} steps; --steps N sets their number)")


@methods.command("check")
def check_method(name: MethodName, folders: MethodsDirs = None) -> None:
    """Check that a method fulfils the contract, and explain each failure."""
    _registry.module_of(name)
    from ..contract.checks import run_checks

    problems: list[str] = []
    for check, problem in run_checks(_registry.get(name)):
        out.print(f"{'ok    ' if problem is None else 'FAILED'} {check}")
        if problem is not None:
            out.print(f"       {'same error' if problem in problems else problem}")
            problems.append(problem)
    failed = len(problems)
    err.print(f"{name}: {failed} checks failed" if failed else f"{name} fulfils the contract")
    raise typer.Exit(1 if failed else 0)


@methods.command("new")
def new_method(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name of the new method")],
    folder: Annotated[Path, typer.Option("--folder", help=FOLDER_HELP)] = Path(),
    folders: MethodsDirs = None,
) -> None:
    """Write a skeleton of a method that already runs; no file is overwritten."""
    from ..contract.skeleton import is_bundled, write_skeleton

    path = write_skeleton(name, folder)
    out.print(f"written: {path}")
    where = "" if is_bundled(path.parent) else f" --methods {shlex.quote(str(path.parent))}"
    out.print(f"next: sarbench methods check {name}{where}")
    if where:
        out.print(
            f"plan, run and submit take --methods too; SARBENCH_METHODS={path.parent.absolute()} "
            "makes it known to every command"
        )


@protocols.command("ls")
def list_protocols(as_json: Json = False) -> None:
    """List the protocols and their versions."""
    if as_json:
        print_json([{"name": n, "version": p.version} for n, p in PROTOCOLS.items()])
        return
    table = Table("name", "version", "description", box=None, pad_edge=False)
    for name, protocol in PROTOCOLS.items():
        table.add_row(name, str(protocol.version), (protocol.settings.__doc__ or "").split("\n")[0])
    out.print(table)


@protocols.command("show")
def show_protocol(name: ProtocolName, as_json: Json = False) -> None:
    """Print every setting of a protocol."""
    if name not in PROTOCOLS:
        print_error(unknown("protocol", name, PROTOCOLS))
        raise typer.Exit(2)
    protocol = PROTOCOLS[name]
    settings = protocol.settings()
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    if as_json:
        print_json({"name": name, "version": protocol.version, "settings": values})
        return
    out.print(f"{name}, version {protocol.version}: {type(settings).__doc__}")
    for key, value in values.items():
        out.print(f"  {key} = {value}")
