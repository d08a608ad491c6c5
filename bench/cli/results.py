"""Commands that say what the records of a grid mean: table, compare, paper, report, merge."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from ...results.compare import compare as compare_rows
from ...results.compare import comparison_text
from ...results.leaderboard import METRICS, RECALL, check_metric
from ...results.published.schema import papers, read_published
from ...results.published.sheets import paper_sheets
from ...results.tables.render import FORMATS, STYLES, render, render_sheets
from ...results.tables.sheets import LAYOUTS
from ..plan.plan import Filters
from ..reporting.leaderboard import (
    check_class,
    leaderboard,
    notes_of,
    outcomes_of,
    resolve_rows,
    scores_of,
    shared_columns,
)
from ..reporting.published import compare_with
from ..seeding import stream
from ..store.atomic import write_atomic
from ..store.records import Store
from ..verification.merge import merge as merge_stores
from .app import (
    RUNS,
    Json,
    Request,
    RunsDir,
    TargetError,
    app,
    err,
    grid_command,
    json_text,
    new_file,
    new_folder,
    open_store,
    out,
    print_json,
)

PaperName = Annotated[
    str, typer.Option("--paper", help=f"{', '.join(papers())}, or a TOML file like them")
]
TARGET_HELP = "write to this file, in the format of its suffix"
Target = Annotated[Path | None, typer.Option("--out", callback=new_file, help=TARGET_HELP)]
FORMAT_HELP = f"{', '.join(FORMATS)}; default: that of --out, or text"
Notes = Annotated[bool, typer.Option("--notes", help="add everything needed to judge the numbers")]
PAPER_HELP = f"{', '.join((*STYLES, 'json'))}; default: that of --out, or text"


SUFFIXES = {
    ".txt": "text", ".md": "markdown", ".tex": "latex", ".html": "html", ".csv": "csv",
    ".json": "json",
}  # fmt: skip


def chosen_format(
    style: str | None, as_json: bool, path: Path | None, allowed: Iterable[str]
) -> str:
    """Return the format that is asked for by name, or by the suffix of the file.

    Raises:
        TargetError: Name and suffix contradict each other, or the suffix says nothing.
    """
    asked = {name for name in (style, "json" if as_json else None) if name}
    if path:
        known = {suffix: name for suffix, name in SUFFIXES.items() if name in allowed}
        by_suffix = known.get(path.suffix.lower())
        if by_suffix is None and (path.suffix.lower() in SUFFIXES or not asked):
            listed = ", ".join(f"{suffix} ({name})" for suffix, name in known.items())
            raise TargetError(
                f"--out {path}: the suffix {path.suffix!r} names no format of this command; "
                f"known: {listed}"
            )
        asked |= {by_suffix} if by_suffix else set()
    if len(asked) > 1:
        where = f" and --out {path}" if path else ""
        raise TargetError(
            f"--format, --json{where} ask for different formats: {', '.join(sorted(asked))}; "
            "give one of them"
        )
    return asked.pop() if asked else "text"


def give(text: str, path: Path | None) -> None:
    """Print a text, or write it to a file."""
    if path:
        write_atomic(path, text)
        err.print(f"written: {path}")
    else:
        out.file.write(text)


@grid_command
def table(
    asked: Request,
    style: Annotated[str | None, typer.Option("--format", "-f", help=FORMAT_HELP)] = None,
    layout: Annotated[str, typer.Option(help=", ".join(LAYOUTS))] = "leaderboard",
    metric: Annotated[str, typer.Option(help=", ".join((*METRICS, f"{RECALL}CLASS")))] = "accuracy",
    sort: Annotated[
        str, typer.Option(help="rank, name, or a column such as mstar_soc/linear/10")
    ] = "rank",
    notes: Notes = False,
    as_json: Json = False,
    path: Target = None,
) -> None:
    """Print the leaderboard of a grid: mean, 95 % interval, n, ties; failed cells are shown."""
    style = chosen_format(style, as_json, path, FORMATS)
    made = asked.results()
    check_class(made, metric)
    board = leaderboard(made, metric, outcomes_of(made, asked.store), sort)
    give(render(board, style, layout, notes=notes), path)


@grid_command
def compare(
    asked: Request,
    first: Annotated[str, typer.Argument(metavar="A", help="method or row")],
    second: Annotated[str, typer.Argument(metavar="B", help="method or row")],
    metric: Annotated[str, typer.Option(help=", ".join(METRICS))] = "accuracy",
    notes: Notes = False,
    as_json: Json = False,
    path: Target = None,
) -> None:
    """Compare two methods on the runs they share: differences, intervals, tests, in plain words."""
    check_metric(metric)
    style = chosen_format(None, as_json, path, ("text", "json"))
    made = asked.plan()
    rows = resolve_rows(made, first, second)
    asked.refuse_nothing(made)
    whole = made if asked.part == Filters() else replace(asked, part=Filters()).plan()
    outcomes = outcomes_of(made, asked.store)
    found = compare_rows(
        scores_of(made), *rows, metric, outcomes, stream(0, "statistics"),
        compares=made.grid.compare, grid_columns=shared_columns(whole, *rows),
    )  # fmt: skip
    if style == "json":
        give(json_text([one.to_json() for one in found]), path)
    else:
        listed = notes_of(made, outcomes)
        give(comparison_text(found, *rows, metric, listed, full=notes), path)


@grid_command
def paper(
    asked: Request,
    name: PaperName = "sar_jepa",
    style: Annotated[str | None, typer.Option("--format", "-f", help=PAPER_HELP)] = None,
    notes: Notes = False,
    as_json: Json = False,
    path: Target = None,
) -> None:
    """Show a paper's tables, published next to measured, with a verdict for each cell."""
    style = chosen_format(style, as_json, path, (*STYLES, "json"))
    published = read_published(name)
    made = asked.results()
    listed = notes_of(made, outcomes_of(made, asked.store))
    cells, orders, differences = compare_with(made, published, scores_of(made))
    if style == "json":
        give(json_text({
            "cells": [one.to_json() for one in cells], "orders": [asdict(one) for one in orders],
            "differences": differences,
        }), path)  # fmt: skip
    else:
        sheets = paper_sheets(published, cells, orders, differences, listed)
        give(render_sheets(sheets, style, notes=notes), path)


@grid_command
def report(
    asked: Request,
    folder: Annotated[Path, typer.Option("--out", callback=new_folder, help="folder to write")],
    name: Annotated[str, typer.Option("--paper", help="paper to stand beside, or none")] = (
        "sar_jepa"
    ),
    encoders: Annotated[bool, typer.Option(help="t-SNE and attention: runs the encoders")] = True,
) -> None:
    """Write one HTML page with leaderboards, figures, the paper, every run and what failed."""
    from ..reporting.html_report import write_report  # matplotlib, which no other command needs

    published = None if name == "none" else read_published(name)
    with err.status("report") as status:
        page = write_report(
            asked.results(), asked.store, asked.path, folder, published,
            encoders=encoders, tell=lambda text: status.update(f"{text} ..."),
        )  # fmt: skip
    out.print(f"written: {page} (with figures/, leaderboard.* and paper.* beside it)")


@app.command()
def merge(
    other: Annotated[Path, typer.Argument(metavar="OTHER_RUNS", help="another store")],
    runs: RunsDir = RUNS,
    trial: Annotated[bool, typer.Option("--dry-run", help="only say what would happen")] = False,
    allow_unscored: Annotated[
        bool, typer.Option("--allow-unscored", help="take runs whose test labels are not known")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take another user's records into the store: validated, conflicts shown, none overwritten."""
    found = merge_stores(
        Store(other.expanduser().resolve()), open_store(runs),
        trial=trial, allow_unscored=allow_unscored,
    )  # fmt: skip
    if as_json:
        print_json(asdict(found))
    else:
        done = "would be added" if trial else "added"
        out.print(f"{len(found.added)} {done}, {len(found.same)} here already, "
                  f"{len(found.conflicts)} conflicts, {len(found.refused)} refused")  # fmt: skip
        for word, lines in (("conflict", found.conflicts), ("refused", found.refused),
                            ("unscored", found.unscored)):  # fmt: skip
            for what, why in lines:
                out.print(f"  {word}: {what}: {why}", markup=False)
    raise typer.Exit(1 if found.conflicts or found.refused else 0)
