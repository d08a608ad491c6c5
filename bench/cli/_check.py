"""The command that checks records: check."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..check import Checked, CheckError, Tell, check_plan, check_store, refuse_no_store
from ..grid import GridError
from ..plan import Filters
from ._app import DATA, RUNS, DataDir, Json, Request, RunsDir, app, bar, open_store, out, print_json

SILENT_S = 2.0  # a check that takes longer shows its progress


@app.command()
def check(
    what: Annotated[
        Path, typer.Argument(metavar="GRID_OR_STORE", help="grid file (TOML), or a store")
    ],
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    as_json: Json = False,
) -> None:
    """Compute again what records claim: digests, scores, labelled chips; list what is wrong."""
    with ExitStack() as stack:
        found = _checked(what, runs, data, _progress(stack))
    if as_json:
        print_json(found.to_json())
    else:
        for finding in found.findings:
            out.print(finding.line(), markup=False)
        out.print(found.summary(), markup=False)
    raise typer.Exit(1 if found.findings else 0)


def _checked(what: Path, runs: Path, data: Path, tell: Tell) -> Checked:
    if what.expanduser().is_dir():
        return check_store(open_store(what), tell)
    asked = Request(what, runs, data, Filters())
    try:
        grid = asked.grid
    except GridError as error:
        more = "" if what.exists() else "; it is not the folder of a store either"
        raise CheckError(f"{error}{more}") from error
    refuse_no_store(asked.store)
    found = check_plan(asked.plan(), asked.store, tell)
    if not found.pretrainings + found.runs + len(found.findings):
        raise CheckError(f"the store {asked.store.root} holds no record of the grid {grid.name}")
    return found


def _progress(stack: ExitStack) -> Tell:
    """Return what shows progress, on the error stream, once a check takes long."""
    started, progress = time.monotonic(), bar("records")
    task = progress.add_task("checking", total=None)

    def tell(done: int, total: int) -> None:
        if time.monotonic() - started > SILENT_S:
            if not progress.live.is_started:
                stack.enter_context(progress)
            progress.update(task, completed=done, total=total)

    return tell
