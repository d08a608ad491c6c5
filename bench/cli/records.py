"""Commands that check, merge and archive records: check, merge, archive."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..data.find_set import store_at
from ..grid.schema import GridError, grid_file
from ..plan.archive_members import members_of
from ..plan.filters import Filters
from ..plan.parts import open_parts
from ..plan.plan import Plan, counted
from ..store.archive import SUFFIX, ArchivedStore, unpacked, write_archive
from ..store.joined import JoinedStore
from ..store.records import Store
from ..suggest import RequestError
from ..verification.check import (
    Checked,
    OnProgress,
    check_plan,
    check_store,
    refuse_false_runs,
    refuse_no_store,
)
from ..verification.grid_findings import check_against_grid
from ..verification.merge import Merged
from ..verification.merge import merge as merge_stores
from .app import app, out, print_json
from .grid_arguments import MORE, Request, grid_command
from .options import RUNS, Json, RunsDir, new_file
from .progress import Bar, progress

SILENT_S = 2.0  # a check that takes longer shows its progress


@grid_command
def check(request: Request, as_json: Json = False) -> None:
    """Recompute what records claim and list what is wrong.

    GRID may also be an archive, or the folder of a store, which is then checked whole.
    """
    with checking() as on_progress:
        found = _check(request, on_progress)
    if as_json:
        print_json(found.to_json())
    else:
        for finding in found.findings:
            out.print(finding.line())
        out.print(found.summary())
        if found.unweighted:
            out.print(found.without_weights())
        if request.of_archive:
            out.print("weights were not checked: an archive holds none")
        if request.archived and request.archived.classes:
            out.print("scores of single chips were not checked: this archive holds none")
    raise typer.Exit(1 if found.findings else 0)


@contextmanager
def checking() -> Iterator[OnProgress]:
    """Yield the function that shows the progress of a check."""
    with progress(SILENT_S) as shown:
        yield shown.follow(Bar("checking", None, "records"))


def _check(request: Request, on_progress: OnProgress) -> Checked:
    if request.path.expanduser().is_dir():
        if request.part != Filters() or request.versions:
            raise RequestError("a store is checked whole; filters are for the runs of a grid")
        return check_store(store_at(request.path), on_progress)
    try:
        grid = request.grid
    except GridError as error:
        if request.path.exists():
            raise
        raise RequestError(f"{request.path} is neither a store nor a grid: {error}") from error
    refuse_no_store(request.store)
    made, weights = request.plan(), not request.of_archive
    found = check_plan(made, request.store, on_progress, weights=weights)
    if request.archived:
        found += Checked(0, 0, check_against_grid(made, request.archived))
    if made.tuning:
        found += check_plan(made.tuning, request.store, on_progress, weights=weights)
    if found.empty:
        raise RequestError(f"{request.store.shown} holds no record of the grid {grid.name}")
    return found


@app.command()
def merge(
    others: Annotated[
        list[Path], typer.Argument(metavar="STORE_OR_ZIP", help="other stores, or archives")
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
    """Copy records of other stores or archives into the store after checking them.

    Conflicts are listed. Nothing is overwritten.
    """
    found = Merged()
    with ExitStack() as opened:
        stores = [
            _with_scores(opened.enter_context(unpacked(other, whole=True)))
            if _is_archive(other)
            else Store(other.resolve())
            for other in (path.expanduser() for path in others)
        ]
        for store in stores:
            found.extend(
                merge_stores(store, store_at(runs), dry_run=dry_run, allow_unscored=allow_unscored)
            )
    if as_json:
        print_json(asdict(found))
    else:
        added = "would be added" if dry_run else "added"
        out.print(f"{len(found.added)} {added}, {len(found.same)} present before, "
                  f"{len(found.conflicts)} conflicts, {len(found.refused)} refused")  # fmt: skip
        for word, lines in (("conflict", found.conflicts), ("refused", found.refused),
                            ("unscored", found.unscored)):  # fmt: skip
            for what, why in lines:
                out.print(f"  {word}: {what}: {why}")
        if found.unweighted:
            out.print(
                f"{len(found.unweighted)} pretrainings are without weights: their runs count as "
                "done, new runs of them need the weights"
            )
        if found.completed:
            out.print(f"{len(found.completed)} of those present before lacked files: {added} too")
        for name in dict.fromkeys(found.grouped):
            out.print(
                f"{name}: its groups of near duplicates {'would be' if dry_run else 'were'} added, "
                "so intervals and tests over its test chips change"
            )
    raise typer.Exit(1 if found.conflicts or found.refused else 0)


def _with_scores(store: ArchivedStore) -> ArchivedStore:
    """Return an archive that can be merged.

    Raises:
        RequestError: It has no scores of single chips, which a record describes.
    """
    if store.classes:
        raise RequestError(
            f"{store.path} was made with --no-scores, so its runs cannot be merged; make it again "
            "without that option, or join archives with `sarbench archive GRID --from`"
        )
    return store


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == SUFFIX and not path.is_dir()


@grid_command
def archive(
    request: Request,
    path: Annotated[Path, typer.Option("--out", callback=new_file, help="file to write (.zip)")],
    replace: Annotated[bool, typer.Option("--replace", help="replace an existing archive")] = False,
    no_scores: Annotated[
        bool,
        typer.Option(
            "--no-scores",
            help="leave out the scores of chips, most of the size; records keep their metrics, but "
            "merge needs the scores",
        ),
    ] = False,
    no_pictures: Annotated[
        bool,
        typer.Option("--no-pictures", help="leave out the predictions that a report draws"),
    ] = False,
    parts: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="FILE.zip", help=f"take runs from this archive too {MORE}"),
    ] = None,
) -> None:
    """Write the records and predictions of a grid into one zip file, without weights.

    With --from, runs may be in archives of parts of the grid, and the store may be missing.

    `table`, `compare`, `paper`, `report`, `plan`, `check` and `merge` read it without a store.
    """
    from ..reporting.leaderboard import predictions_of  # imports scipy

    if path.suffix.lower() != SUFFIX:
        raise RequestError(f"--out {path}: the name of an archive ends with {SUFFIX}")
    if path.exists() and not replace:
        raise RequestError(f"{path} exists; give another --out, or add --replace")
    grid = request.grid  # refuses a wrong file first
    content = grid_file(request.path).read_bytes()
    kept = {"scores": not no_scores, "pictures": not no_pictures}
    if not parts:
        made = request.results()
        predictions_of(made, request.store)  # refuses false records
        if no_scores:  # the metrics of scores cannot be checked later
            with checking() as on_progress:
                refuse_false_runs(made, request.store, on_progress)
        write_archive(path, members_of(made, request.store, content, **kept))
        _print_written(path, made)
        return
    if folders := [str(part) for part in parts if part.is_dir()]:
        raise RequestError(
            f"--from takes archives (.zip), but {', '.join(folders)} is a folder; name a store "
            "with --runs, or make an archive of it with `sarbench archive`"
        )
    with open_parts(request.store, [part.expanduser() for part in parts]) as opened:
        store = opened.store
        made = opened.plan(grid, request.data, request.part, request.versions)
        if made.open_trials:
            raise RequestError(
                "the sources do not have every trial of [tune], so the chosen recipes are not "
                "known; make an archive of the trials (`sarbench archive` with --tuning) and add "
                "it with --from"
            )
        _refuse_parts(made, store, no_scores)
        with checking() as on_progress:
            refuse_false_runs(made, store, on_progress)
        write_archive(path, members_of(made, store, content, **kept))
        _print_written(path, made)
        taken = Counter(
            store.holding("evaluate", str(entry.key))[0].shown
            for entry in made.runs
            if entry.record
        )
        listed = [f"{taken[one.shown]} of {one.shown}" for one in store.used]
        out.print(f"runs: {', '.join(listed)} (one in several counts once)")


def _refuse_parts(made: Plan, store: JoinedStore, no_scores: bool) -> None:
    """Refuse sources without a run of the grid, or without scores that were asked for.

    Raises:
        RequestError: The message says what to do.
    """
    keys = [str(entry.key) for entry in made.runs if entry.record]
    if not keys:
        stale = [entry for entry in made.runs if entry.state == "stale"]
        why = f"; {len(stale)} are {stale[0].reason}" if stale else ""
        raise RequestError(
            f"{store.shown} has no run of this part of the grid{why}; give the grid that the "
            "archives were made of, leave out filters, or name the store with --runs"
        )
    if no_scores:
        return
    if lacking := [key for key in keys if store.only_classes(key)]:
        places = {str(one.shown) for key in lacking for one in store.holding("evaluate", key)}
        raise RequestError(
            f"{len(lacking)} of {len(keys)} runs are without the scores of single chips (in "
            f"{', '.join(sorted(places))}), so the archive can only be without them: add "
            "--no-scores, or make those archives again with scores"
        )


def _print_written(path: Path, made: Plan) -> None:
    done = made.counts().pop("done", 0)
    missing = {state: count for state, count in made.counts().items() if state != "done"}
    size = path.stat().st_size
    out.print(f"written: {path} ({done} runs, {size / 1e6:.2g} MB, without weights)")
    if missing:
        out.print(f"of {len(made.runs)} runs, the archive lacks: {counted(missing)}")
