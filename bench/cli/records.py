"""Commands that check records: check, merge."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..grid.schema import GridError
from ..plan.plan import Filters
from ..store.records import Store
from ..verification.check import Checked, CheckError, Tell, check_plan, check_store, refuse_no_store
from ..verification.merge import merge as merge_stores
from .app import app, out, print_json
from .options import RUNS, Json, RunsDir, open_store
from .progress import Task, progress
from .request import Request, grid_command

SILENT_S = 2.0  # a check that takes longer shows its progress


@grid_command
def check(request: Request, as_json: Json = False) -> None:
    """Recompute what records claim and list what is wrong.

    GRID may also be the folder of a store, which is then checked whole.
    """
    task = Task("checking", None, "records")
    with progress(SILENT_S) as shown:
        shown.add(task)

        def tell(done: int, total: int) -> None:
            task.done, task.total = done, total
            shown.update(task)

        found = _check(request, tell)
    if as_json:
        print_json(found.to_json())
    else:
        for finding in found.findings:
            out.print(finding.line(), markup=False)
        out.print(found.summary(), markup=False)
    raise typer.Exit(1 if found.findings else 0)


def _check(request: Request, tell: Tell) -> Checked:
    if request.path.expanduser().is_dir():
        if request.part != Filters() or request.versions:
            raise CheckError("a store is checked whole; filters are for the runs of a grid")
        return check_store(open_store(request.path), tell)
    try:
        grid = request.grid
    except GridError as error:
        more = "" if request.path.exists() else "; nor is it the folder of a store"
        raise CheckError(f"{error}{more}") from error
    refuse_no_store(request.store)
    found = check_plan(request.plan(), request.store, tell)
    if not found.pretrainings + found.runs + len(found.findings):
        raise CheckError(f"the store {request.store.root} holds no record of the grid {grid.name}")
    return found


@app.command()
def merge(
    other: Annotated[
        Path, typer.Argument(metavar="OTHER_RUNS", help="folder of the other user's store")
    ],
    runs: RunsDir = RUNS,
    trial: Annotated[
        bool, typer.Option("--dry-run", help="only print what would be copied")
    ] = False,
    allow_unscored: Annotated[
        bool,
        typer.Option(
            "--allow-unscored", help="copy runs too whose test labels this store does not know"
        ),
    ] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Copy another user's records into the store after checking them.

    Conflicts are listed. Nothing is overwritten.
    """
    found = merge_stores(
        Store(other.expanduser().resolve()), open_store(runs),
        trial=trial, allow_unscored=allow_unscored,
    )  # fmt: skip
    if as_json:
        print_json(asdict(found))
    else:
        added = "would be added" if trial else "added"
        out.print(f"{len(found.added)} {added}, {len(found.same)} present before, "
                  f"{len(found.conflicts)} conflicts, {len(found.refused)} refused")  # fmt: skip
        for word, lines in (("conflict", found.conflicts), ("refused", found.refused),
                            ("unscored", found.unscored)):  # fmt: skip
            for what, why in lines:
                out.print(f"  {word}: {what}: {why}", markup=False)
    raise typer.Exit(1 if found.conflicts or found.refused else 0)
