"""Commands that check records: check, merge."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..grid.schema import GridError
from ..plan.plan import Filters
from ..store.records import Store
from ..suggest import RequestError
from ..verification.check import (
    Checked,
    OnProgress,
    check_plan,
    check_store,
    refuse_no_store,
)
from ..verification.merge import merge as merge_stores
from .app import app, out, print_json
from .grid_arguments import Request, grid_command
from .options import RUNS, Json, RunsDir, open_store
from .progress import Bar, progress

SILENT_S = 2.0  # a check that takes longer shows its progress


@grid_command
def check(request: Request, as_json: Json = False) -> None:
    """Recompute what records claim and list what is wrong.

    GRID may also be the folder of a store, which is then checked whole.
    """
    bar = Bar("checking", None, "records")
    with progress(SILENT_S) as shown:
        shown.add(bar)

        def on_progress(done: int, total: int) -> None:
            bar.done, bar.total = done, total
            shown.update(bar)

        found = _check(request, on_progress)
    if as_json:
        print_json(found.to_json())
    else:
        for finding in found.findings:
            out.print(finding.line(), markup=False)
        out.print(found.summary(), markup=False)
    raise typer.Exit(1 if found.findings else 0)


def _check(request: Request, on_progress: OnProgress) -> Checked:
    if request.path.expanduser().is_dir():
        if request.part != Filters() or request.versions:
            raise RequestError("a store is checked whole; filters are for the runs of a grid")
        return check_store(open_store(request.path), on_progress)
    try:
        grid = request.grid
    except GridError as error:
        if request.path.exists():
            raise
        raise RequestError(f"{request.path} is neither a store nor a grid: {error}") from error
    refuse_no_store(request.store)
    found = check_plan(request.plan(), request.store, on_progress)
    if found.empty:
        raise RequestError(
            f"the store {request.store.root} holds no record of the grid {grid.name}"
        )
    return found


@app.command()
def merge(
    other: Annotated[
        Path, typer.Argument(metavar="OTHER_RUNS", help="folder of the other user's store")
    ],
    runs: RunsDir = RUNS,
    dry_run: Annotated[
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
        dry_run=dry_run, allow_unscored=allow_unscored,
    )  # fmt: skip
    if as_json:
        print_json(asdict(found))
    else:
        added = "would be added" if dry_run else "added"
        out.print(f"{len(found.added)} {added}, {len(found.same)} present before, "
                  f"{len(found.conflicts)} conflicts, {len(found.refused)} refused")  # fmt: skip
        for word, lines in (("conflict", found.conflicts), ("refused", found.refused),
                            ("unscored", found.unscored)):  # fmt: skip
            for what, why in lines:
                out.print(f"  {word}: {what}: {why}", markup=False)
    raise typer.Exit(1 if found.conflicts or found.refused else 0)
