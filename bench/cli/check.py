"""The command that checks records: check."""

import time
from contextlib import ExitStack

import typer

from ..grid.schema import GridError
from ..plan.plan import Filters
from ..verification.check import Checked, CheckError, Tell, check_plan, check_store, refuse_no_store
from .app import Json, Request, bar, err, grid_command, open_store, out, print_json

SILENT_S = 2.0  # a check that takes longer shows its progress


@grid_command
def check(asked: Request, as_json: Json = False) -> None:
    """Compute again what records claim and list what is wrong; GRID may be a store too."""
    with ExitStack() as stack:
        found = _checked(asked, _progress(stack))
    if as_json:
        print_json(found.to_json())
    else:
        for finding in found.findings:
            out.print(finding.line(), markup=False)
        out.print(found.summary(), markup=False)
    raise typer.Exit(1 if found.findings else 0)


def _checked(asked: Request, tell: Tell) -> Checked:
    if asked.path.expanduser().is_dir():
        if asked.part != Filters() or asked.versions:
            raise CheckError("a store is checked whole; filters are for the runs of a grid")
        return check_store(open_store(asked.path), tell)
    try:
        grid = asked.grid
    except GridError as error:
        more = "" if asked.path.exists() else "; it is not the folder of a store either"
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
        if err.is_terminal and time.monotonic() - started > SILENT_S:
            if not progress.live.is_started:
                stack.enter_context(progress)
            progress.update(task, completed=done, total=total)

    return tell
