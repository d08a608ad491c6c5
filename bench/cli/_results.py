"""Commands that say what the records of a grid mean: table, compare, paper."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ...results.compare import compare as compare_rows
from ...results.compare import comparison_text
from ...results.layout import LAYOUTS
from ...results.leaderboard import METRICS, RECALL, check_metric
from ...results.paper_sheets import paper_sheets
from ...results.published import papers, read_published
from ...results.render import FORMATS, STYLES, render, render_sheets
from ..against_paper import compare_with
from ..board import check_class, digests_of, leaderboard, notes, resolve_row, scores_of
from ..grid import read_grid
from ..outcomes import Outcomes
from ..plan import Plan, make_plan
from ..seeding import stream
from ..store import Store, write_atomic
from ._app import (
    DATA,
    RUNS,
    DataDir,
    Datasets,
    GridFile,
    Json,
    Methods,
    Protocols,
    RunsDir,
    Seeds,
    ShotsOf,
    app,
    err,
    filters,
    open_store,
    out,
    print_json,
)

Metric = Annotated[str, typer.Option(help=", ".join((*METRICS, f"{RECALL}CLASS")))]
Target = Annotated[Path | None, typer.Option("--out", help="write to this file")]


def outcomes_of(plan: Plan, store: Store, data: Path) -> Outcomes:
    """Return the predictions of a plan's finished runs."""
    return Outcomes(store, data, digests_of(plan))


def give(text: str, path: Path | None) -> None:
    """Print a text, or write it to a file."""
    if path:
        write_atomic(path, lambda temporary: temporary.write_text(text))
        err.print(f"written: {path}")
    else:
        out.file.write(text)


@app.command()
def table(
    grid: GridFile,
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    method: Methods = None,
    dataset: Datasets = None,
    protocol: Protocols = None,
    shots: ShotsOf = None,
    seed: Seeds = None,
    style: Annotated[str, typer.Option("--format", "-f", help=", ".join(FORMATS))] = "text",
    layout: Annotated[str, typer.Option(help=", ".join(LAYOUTS))] = "leaderboard",
    metric: Metric = "accuracy",
    sort: Annotated[
        str, typer.Option(help="rank, name, or a column such as mstar_soc/linear/10")
    ] = "rank",
    as_json: Json = False,
    path: Target = None,
) -> None:
    """Print the leaderboard of a grid: mean, 95 % interval, n, ties; failed cells are shown."""
    store = open_store(runs)
    made = make_plan(read_grid(grid), store, data, filters(method, dataset, protocol, shots, seed))
    check_class(made, metric)
    board = leaderboard(made, metric, outcomes_of(made, store, data), sort)
    give(render(board, "json" if as_json else style, layout), path)


@app.command()
def compare(
    grid: GridFile,
    first: Annotated[str, typer.Argument(metavar="A", help="method or row")],
    second: Annotated[str, typer.Argument(metavar="B", help="method or row")],
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    dataset: Datasets = None,
    protocol: Protocols = None,
    shots: ShotsOf = None,
    seed: Seeds = None,
    metric: Annotated[str, typer.Option(help=", ".join(METRICS))] = "accuracy",
    as_json: Json = False,
    path: Target = None,
) -> None:
    """Compare two methods on the runs they share: differences, intervals, tests, in plain words."""
    store = open_store(runs)
    made = make_plan(read_grid(grid), store, data, filters(None, dataset, protocol, shots, seed))
    check_metric(metric)
    rows = [resolve_row(made, name) for name in (first, second)]
    found = compare_rows(
        scores_of(made), rows[0], rows[1], metric, outcomes_of(made, store, data),
        stream(0, "statistics"),
    )  # fmt: skip
    if as_json:
        print_json([one.to_json() for one in found])
    else:
        give(comparison_text(found, rows[0], rows[1], metric), path)


@app.command()
def paper(
    grid: GridFile,
    name: Annotated[
        str, typer.Option("--paper", help=f"{', '.join(papers())}, or a TOML file like them")
    ] = "sar_jepa",
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    method: Methods = None,
    dataset: Datasets = None,
    protocol: Protocols = None,
    shots: ShotsOf = None,
    seed: Seeds = None,
    style: Annotated[str, typer.Option("--format", "-f", help=", ".join(STYLES))] = "text",
    as_json: Json = False,
    path: Target = None,
) -> None:
    """Show a paper's tables, published beside measured, with a verdict for each cell."""
    published = read_published(name)
    made = make_plan(
        read_grid(grid), open_store(runs), data, filters(method, dataset, protocol, shots, seed)
    )
    cells, orders, differences = compare_with(made, published)
    if as_json:
        print_json({
            "cells": [one.to_json() for one in cells], "orders": [asdict(one) for one in orders],
            "differences": differences,
        })  # fmt: skip
    else:
        sheets = paper_sheets(published, cells, orders, differences, notes(made))
        give(render_sheets(sheets, style), path)
