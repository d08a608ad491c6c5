"""The application, its table of commands, and the two consoles."""

import json
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # without tab and line end

# Command -> (its file, the first line of its help). A file is imported when one of its commands
# runs or shows its own help, so `sarbench --help` and shell completion import no file.
COMMANDS = {
    "plan": ("grid", "Show the state of every pretraining and run of a grid, and why."),
    "run": ("grid", "Run what is missing of a grid on this machine."),
    "demo": ("grid", "Run the bundled demo grid on this machine and print its leaderboard."),
    "submit": ("slurm", "Submit what is missing of a grid to SLURM; returns at once."),
    "retry": ("slurm", "Submit the failed work of a grid again, with the runs that wait for it."),
    "cancel": ("slurm", "Cancel the SLURM jobs of a grid."),
    "status": ("status", "Show jobs, states and failures of a grid on the cluster."),
    "logs": ("status", "Print the paths and the last lines of a grid's job logs."),
    "table": ("results", "Print the leaderboard of a grid: means, 95% intervals, places, ties."),
    "compare": ("results", "Compare two methods on the runs they share, in plain words."),
    "paper": ("results", "Print a paper's tables with measured values and a verdict per cell."),
    "report": ("results", "Write an HTML page with leaderboards, figures, runs and failures."),
    "cite": (
        "cite",
        "Print BibTeX of the benchmark, and of the methods, data and weights of a grid.",
    ),
    "archive": (
        "records",
        "Write the records and predictions of a grid into one zip file, without weights.",
    ),
    "merge": (
        "records",
        "Copy records of other stores or archives into the store after checking them.",
    ),
    "check": ("records", "Recompute what records claim and list what is wrong."),
    "site": ("site", "Write a static site of leaderboards from archives."),
    "submit-check": ("site", "Check an archive and its declaration before they join a board."),
    "doctor": ("doctor", "Check this machine: versions, GPU, store, data, SLURM, a profile."),
    "weights": ("weights", "Inspect, import and export files of weights."),
    "features": ("weights", "Write the features of chips under the encoder of a file or of a key."),
    "export": ("export", "Write runs, predictions or splits as files for other tools."),
    "data": ("data", "List, describe, prepare, verify and draw data sets and pools."),
    "grids": ("grids", "List and show the bundled grids, and write a new grid."),
    "methods": ("methods", "List, draw, check and create methods."),
    "protocols": ("methods", "List evaluation protocols and show their settings."),
}


class Stopped(Exception):
    """The user pressed Ctrl-C."""


class Commands(TyperGroup):
    """The commands of the table, each imported when it is invoked."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        listed = {name: TyperCommand(name, help=text) for name, (_, text) in COMMANDS.items()}
        self.commands = listed | dict(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the file of a command and return the command."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else None, rest

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C reaches `main`, not Typer's own handler."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped from None
        except Exception as error:
            if hint := _repeat(error):
                error.message += hint  # type: ignore[attr-defined]
            raise


def _repeat(error: Any) -> str:
    """Return a hint if an option that takes one value, and may be repeated, was given several."""
    context = getattr(error, "ctx", None)
    if context is None or "unexpected extra argument" not in getattr(error, "message", ""):
        return ""
    given = [
        option.opts[0]
        for option in context.command.params
        if getattr(option, "multiple", False)
        and context.get_parameter_source(option.name).name == "COMMANDLINE"
    ]
    options = ", ".join(f"{one} A {one} B" for one in given)
    return f". An option takes one value; repeat it to give several: {options}" if given else ""


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class Terminal(Console):
    """A console that escapes control characters in text, because keys and paths come from files."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects; in a text, control characters are written as in Python."""
        super().print(*map(_escaped, objects), **options)


def _escaped(value: Any) -> Any:
    return CONTROL.sub(lambda one: ascii(one[0])[1:-1], value) if isinstance(value, str) else value


# Texts are printed as they are: `[v2]` and `:ship:` in a name stay.
out = Terminal(highlight=False, soft_wrap=True, emoji=False, markup=False)
err = Terminal(stderr=True, highlight=False, soft_wrap=True, emoji=False, markup=False)


@cache
def root() -> Any:
    """Return `sarbench` itself, made once in a process; it finds its commands by `load`."""
    return typer.main.get_command(app)


@cache
def load(name: str) -> Any:
    """Import the file of a command, whose decorators add it to `app`; return the command."""
    import_module(f".{COMMANDS[name][0]}", __package__)
    group: Any = typer.main.get_command(app)  # makes every command that was imported so far
    return group.commands[name]


def _print_version(given: bool) -> bool:
    if given:
        from importlib.metadata import version

        out.print(f"sarbench {version('sarbench')}")
        raise typer.Exit
    return given


@app.callback(help="Compare self-supervised pretraining methods for SAR target recognition.")
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="print the version"),
    ] = False,
) -> None:
    pass


def print_error(message: str) -> None:
    """Print an error message on the error stream."""
    err.print("error:", style="bold red", end=" ")
    err.print(message)


def warn(message: str) -> None:
    """Print a warning on the error stream."""
    err.print(f"warning: {message}", style="yellow")


def print_status(message: str) -> None:
    """Print a message about the work in progress on the error stream."""
    err.print(message)


def text_width(path: Path | None = None) -> int:
    """Return the width of a table: that of the terminal, or LINE in a file or a pipe."""
    from ...results.tables.blocks import LINE  # imports the tables

    return LINE if path else get_terminal_size((LINE, 0)).columns


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    out.file.write(json_text(value))


def json_text(value: Any) -> str:
    """Return a value as JSON, in the layout of all commands."""
    return json.dumps(value, indent=1) + "\n"
