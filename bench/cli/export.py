"""Commands that write runs, predictions and splits as files for other tools."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..suggest import RequestError
from .app import COMMANDS, app, err
from .grid_arguments import Request, grid_command
from .options import new_file
from .splits import export_splits

if TYPE_CHECKING:  # `--help` needs no pandas
    from pandas import DataFrame

export = typer.Typer(no_args_is_help=True, help=COMMANDS["export"][1])
app.add_typer(export, name="export")
export.command("splits")(export_splits)

SUFFIXES = (".csv", ".parquet")
File = Annotated[
    Path, typer.Option("--out", callback=new_file, help=f"file to write ({' or '.join(SUFFIXES)})")
]


def _write(frame: "DataFrame", path: Path) -> None:
    """Write a data frame as its suffix says, whole or not at all."""
    from ..store.atomic import write_atomic

    def write(temporary: Path) -> None:
        if path.suffix.lower() == ".csv":
            frame.to_csv(temporary, index=False)
        else:  # a column has one type there
            frame.astype({"shots": str}).to_parquet(temporary, index=False)

    write_atomic(path, write)
    err.print(f"written: {path} ({len(frame)} lines)")


def _check(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise RequestError(
            f"--out {path}: the suffix {path.suffix!r} is not a format of this command; allowed: "
            f"{', '.join(SUFFIXES)}"
        )


@partial(grid_command, group=export, name="export runs")
def export_runs(request: Request, path: File) -> None:
    """Write a table with one line for each finished run."""
    from ..python.frames import run_frame
    from ..python.rows import rows_of_plan
    from ..reporting.leaderboard import predictions_of

    _check(path)
    made = request.results()
    predictions_of(made, request.store)  # refuses records that do not follow from their predictions
    _write(run_frame(rows_of_plan(made).runs), path)


@partial(grid_command, group=export, name="export predictions")
def export_predictions(request: Request, path: File) -> None:
    """Write a table with one line for each test chip of each finished run."""
    from ..python.frames import prediction_frame
    from ..python.rows import rows_of_plan
    from ..reporting.leaderboard import predictions_of

    _check(path)
    made = request.results()
    found = predictions_of(made, request.store)
    _write(prediction_frame(rows_of_plan(made).runs, found), path)
