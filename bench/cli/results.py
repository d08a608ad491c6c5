"""Commands that show the results of a grid: table, compare, paper, report."""

import shlex
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from ...results.compare import compare as compare_rows
from ...results.compare import comparison_text
from ...results.leaderboard import Leaderboard
from ...results.metric import BUILT_IN, RECALL
from ...results.published.sheets import paper_sheets
from ...results.scores import Column
from ...results.tables.part_scores import OF_CLASSES, PartScores, PartWords, part_lines, part_sheets
from ...results.tables.render import FORMATS, STYLES, SUFFIXES, csv_text, render, render_sheets
from ...results.tables.sheets import LAYOUTS
from ..plan.filters import Filters
from ..reporting.breakdown import BY, breakdown, words_of
from ..reporting.class_recalls import class_recalls
from ..reporting.leaderboard import (
    check_class,
    leaderboard,
    notes_of,
    predictions_of,
    resolve_rows,
    scores_of,
    shared_columns,
)
from ..reporting.metric_values import chosen_metric, records_of, with_metric
from ..reporting.published import compare_with, papers, read_published
from ..reporting.reference_levels import without_levels
from ..seeding import stream
from ..store.archive import MANIFEST
from ..store.atomic import write_atomic
from ..suggest import RequestError
from ..verification.declaration import manifest_digest
from .app import err, json_text, out, print_status, text_width
from .completion import complete_method
from .grid_arguments import Request, grid_command
from .options import Json, new_file, new_folder
from .progress import stages

PaperName = Annotated[
    str, typer.Option("--paper", help=f"{', '.join(papers())}, or a TOML file of the same schema")
]
METRIC_HELP = f"{', '.join(BUILT_IN)}, or one of an installed package"
TARGET_HELP = "file to write; its suffix gives the format"
Target = Annotated[Path | None, typer.Option("--out", callback=new_file, help=TARGET_HELP)]
FORMAT_HELP = f"{', '.join(FORMATS)}; default: that of --out, or text"
Notes = Annotated[bool, typer.Option("--notes", help="add everything needed to judge the numbers")]
CLASS_HELP = "show the recall of each class instead, one table for each column"
BY_HELP = f"show the accuracy by a fact about the test chips instead: {', '.join(BY)}"
GAIN_HELP = "add the difference from the untrained encoder of the same architecture"
REPORT_HELP = "folder to write; with --figure, the file (.svg, .pdf or .png)"
FIGURE_HELP = "draw only this figure of the page; a wrong name lists those that GRID has"
FIGURE_SUFFIXES = (".svg", ".pdf", ".png")
FILTER_OPTIONS = {
    "methods": "-m", "datasets": "-d", "protocols": "-p", "shots": "-k", "seeds": "-s",
    "conditions": "--condition",
}  # fmt: skip
PAPER_HELP = f"{', '.join((*STYLES, 'json'))}; default: that of --out, or text"


def chosen_format(
    style: str | None, as_json: bool, path: Path | None, allowed: Iterable[str]
) -> str:
    """Return the format given by name, or by the suffix of the file.

    Raises:
        RequestError: Name and suffix name different formats, or the suffix names none.
    """
    given = {name for name in (style, "json" if as_json else None) if name}
    if path:
        known = {suffix: name for suffix, name in SUFFIXES.items() if name in allowed}
        by_suffix = known.get(path.suffix.lower())
        if by_suffix is None and (path.suffix.lower() in SUFFIXES or not given):
            listed = ", ".join(f"{suffix} ({name})" for suffix, name in known.items())
            raise RequestError(
                f"--out {path}: the suffix {path.suffix!r} is not a format of this command; "
                f"allowed: {listed}"
            )
        given |= {by_suffix} if by_suffix else set()
    if len(given) > 1:
        where = f" and --out {path}" if path else ""
        raise RequestError(
            f"--format, --json{where} name different formats: {', '.join(sorted(given))}; "
            "give one of them"
        )
    return given.pop() if given else "text"


def write_or_print(text: str, path: Path | None) -> None:
    """Print a text, or write it to a file."""
    if path:
        write_atomic(path, text)
        err.print(f"written: {path}")
    else:
        out.file.write(text)


@grid_command
def table(
    request: Request,
    style: Annotated[str | None, typer.Option("--format", "-f", help=FORMAT_HELP)] = None,
    layout: Annotated[str, typer.Option(help=", ".join(LAYOUTS))] = "leaderboard",
    metric: Annotated[str, typer.Option(help=f"{METRIC_HELP}, or {RECALL}CLASS")] = "accuracy",
    sort: Annotated[
        str, typer.Option(help="rank, name, or a column such as mstar_soc/linear/10")
    ] = "rank",
    gain: Annotated[bool, typer.Option("--gain", help=GAIN_HELP)] = False,
    per_class: Annotated[bool, typer.Option("--per-class", help=CLASS_HELP)] = False,
    by: Annotated[str | None, typer.Option("--by", help=BY_HELP)] = None,
    notes: Notes = False,
    as_json: Json = False,
    path: Target = None,
) -> None:
    """Print the leaderboard of a grid: means, 95% intervals, places, ties.

    Failed and missing runs are shown in their cells.
    """
    style = chosen_format(style, as_json, path, FORMATS)
    if (per_class or by) and (metric, gain, layout) != ("accuracy", False, "leaderboard"):
        raise RequestError(
            "--per-class shows recalls only and --by accuracies, so --metric, --gain and --layout "
            "have no effect; leave them out"
        )
    if per_class and by:
        raise RequestError("--per-class and --by are two tables; give one of them")
    if by:
        words_of(by)  # before any record is read
    made = request.results()
    check_class(made, metric)
    predictions = predictions_of(made, request.store)
    board = leaderboard(made, metric, predictions, sort, gain=gain)
    if per_class:
        found = class_recalls(scores_of(made), predictions)
        text = _part_text(board, found, OF_CLASSES, style, notes=notes, width=text_width(path))
        write_or_print(text, path)
        return
    if by:
        found, without = breakdown(scores_of(made), predictions, by)
        for dataset in without:
            print_status(f"{dataset} is left out: the store does not have this fact of its chips")
        board = without_levels(board)
        text = _part_text(board, found, words_of(by), style, notes=notes, width=text_width(path))
        write_or_print(text, path)
        return
    write_or_print(render(board, style, layout, notes=notes, width=text_width(path)), path)


def _part_text(
    board: Leaderboard,
    found: dict[Column, PartScores],
    words: PartWords,
    style: str,
    *,
    notes: bool,
    width: int,
) -> str:
    if style in STYLES:
        return render_sheets(part_sheets(board, found, words), style, notes=notes, width=width)
    lines = part_lines(found, words)
    return json_text(lines) if style == "json" else csv_text(lines)


@grid_command
def compare(
    request: Request,
    first: Annotated[
        str,
        typer.Argument(metavar="A", help="first method or row", autocompletion=complete_method),
    ],
    second: Annotated[
        str,
        typer.Argument(metavar="B", help="second method or row", autocompletion=complete_method),
    ],
    metric: Annotated[str, typer.Option(help=METRIC_HELP)] = "accuracy",
    notes: Notes = False,
    as_json: Json = False,
    path: Target = None,
) -> None:
    """Compare two methods on the runs they share, in plain words.

    Prints differences, intervals and tests.
    """
    style = chosen_format(None, as_json, path, ("text", "json"))
    made = request.plan()
    rows = resolve_rows(made, first, second)
    request.check_results(made)
    measure = chosen_metric(records_of(made), metric)
    whole = made if request.part == Filters() else replace(request, part=Filters()).plan()
    predictions = predictions_of(made, request.store)
    both = [score for score in scores_of(made) if score.method in rows]
    scores, more = with_metric(both, measure, predictions)
    found = compare_rows(
        scores, *rows, measure, predictions, stream(0, "statistics"),
        compares=made.grid.compare, grid_columns=shared_columns(whole, *rows),
    )  # fmt: skip
    if style == "json":
        write_or_print(json_text([one.to_json() for one in found]), path)
    else:
        listed = [*notes_of(made, predictions), *more]
        write_or_print(comparison_text(found, *rows, measure, listed, full=notes), path)


@grid_command
def paper(
    request: Request,
    name: PaperName = "sar_jepa",
    style: Annotated[str | None, typer.Option("--format", "-f", help=PAPER_HELP)] = None,
    notes: Notes = False,
    as_json: Json = False,
    path: Target = None,
) -> None:
    """Print a paper's tables with measured values and a verdict per cell."""
    style = chosen_format(style, as_json, path, (*STYLES, "json"))
    published = read_published(name)
    made = request.results()
    listed = notes_of(made, predictions_of(made, request.store))
    cells, orders, differences = compare_with(made, published, scores_of(made))
    if style == "json":
        write_or_print(json_text({
            "cells": [one.to_json() for one in cells], "orders": [asdict(one) for one in orders],
            "differences": differences,
        }), path)  # fmt: skip
    else:
        sheets = paper_sheets(published, cells, orders, differences, listed)
        write_or_print(render_sheets(sheets, style, notes=notes, width=text_width(path)), path)


@grid_command
def report(
    request: Request,
    target: Annotated[Path, typer.Option("--out", help=REPORT_HELP)],
    name: Annotated[str, typer.Option("--paper", help="paper to compare with, or none")] = (
        "sar_jepa"
    ),
    encoders: Annotated[
        bool, typer.Option(help="draw t-SNE and attention, which runs the encoders")
    ] = True,
    figure: Annotated[
        str | None, typer.Option("--figure", metavar="NAME", help=FIGURE_HELP)
    ] = None,
) -> None:
    """Write an HTML page with leaderboards, figures, runs and failures.

    With --figure, draw one figure of the page and print its title and caption.
    """
    if figure is not None:
        _report_figure(request, figure, target)
        return
    folder = new_folder(target)
    from ..reporting.html_report import write_report  # imports matplotlib

    published = None if name == "none" else read_published(name)
    with stages("report") as on_step:
        page = write_report(
            request.results(), request.store, request.file, folder, published,
            encoders=encoders, on_step=on_step,
        )  # fmt: skip
    out.print(f"written: {page} (with figures/ and tables next to it)")


def _report_figure(request: Request, name: str, target: Path) -> None:
    """Draw one figure into a file.

    Raises:
        RequestError: The suffix is not a format of figures, or the grid has no such figure.
    """
    new_file(target)
    if target.suffix.lower() not in FIGURE_SUFFIXES:
        raise RequestError(
            f"--out {target}: the suffix {target.suffix!r} is not a format of figures; allowed: "
            f"{', '.join(FIGURE_SUFFIXES)}"
        )
    from ..reporting.html_report import write_figure  # imports matplotlib

    words = [request.path.name, "--figure", name, *_filter_words(request.part)]
    about = {"Description": shlex.join(["sarbench", "report", *words])}
    if request.of_archive:
        digest = manifest_digest(request.path)
        about["Source"] = f"{request.path.name}, SHA-256 of its {MANIFEST}: {digest}"
    drawn = write_figure(request.results(), request.store, name, target, about)
    out.file.write(f"{drawn.title}\n\n{drawn.caption}\n")
    err.print(f"written: {target}")


def _filter_words(part: Filters) -> list[str]:
    """Return the options of a command that give its filters."""
    return [word for name, option in FILTER_OPTIONS.items() for value in getattr(part, name)
            for word in (option, str(value))]  # fmt: skip
