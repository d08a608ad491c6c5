"""The report of a grid as one HTML page that loads nothing; every text is escaped."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from ..leaderboard import Cell, Leaderboard
from ..metric import Metric
from ..scores import Column, column_name
from ..statistics.units import OVER
from ..tables.caption import caption, notes
from ..tables.html import html_notes, html_sheet
from ..tables.sheets import Sheet, column_head, format_cell, row_title


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: our own SVG element, or a PNG."""

    title: str
    caption: str
    svg: str = ""
    png: bytes = b""


@dataclass(frozen=True)
class RunLine:
    """One run of the grid with its provenance."""

    method: str
    column: Column
    pretrain_seed: int
    seed: int
    state: str
    score: float | None
    wall_s: float | None
    device: str
    commit: str
    key: str


@dataclass(frozen=True)
class Report:
    """Content of the page, from top to bottom.

    Attributes:
        facts: Names and values.
        boards: One leaderboard per metric; the first one is open.
        paper: Comparison with published values.
        about: Sentences below the title.
        failures: Failed pretrainings and runs, with reasons.
        skipped: Parts that are missing on the page, with reasons.
        commands: Commands that reproduce the numbers.
        grid: Text of the grid file.
        ranking: Sentences below the leaderboards.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    boards: Sequence[Leaderboard]
    drawings: Sequence[Drawing]
    paper: Sequence[Sheet]
    runs: Sequence[RunLine]
    failures: Sequence[tuple[str, str]]
    about: str = ""
    skipped: Sequence[str] = ()
    commands: str = ""
    grid: str = ""
    ranking: Sequence[str] = ()


def report_page(report: Report) -> str:
    """Return the page as one HTML text without references to other files."""
    import jinja2  # no other output needs it
    from markupsafe import Markup

    page, css, js = (
        (files("sarbench.results.page") / f"page.{ending}").read_text("utf-8")
        for ending in ("html", "css", "js")
    )
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(page).render(
        report=report,
        css=Markup(css),
        js=Markup(js),
        over=OVER,
        base64=lambda png: base64.b64encode(png).decode(),
        caption=caption,
        cell_name=_cell_name,
        column_head=column_head,
        column_name=column_name,
        decimals=_decimals,
        details=_details,
        format_cell=format_cell,
        html_notes=lambda listed: Markup(html_notes(listed)),
        html_sheet=lambda sheet: Markup(html_sheet(sheet)),
        notes=notes,
        row_title=row_title,
    )


def _cell_name(row: str, column: Column) -> str:
    return f"{row} | {column_name(column)}"


def _details(cell: Cell, metric: Metric) -> str:
    text = f"{cell.n} of {cell.expected} runs"
    if cell.low is not None and cell.high is not None:
        limits = f"{metric.text(cell.low)} to {metric.text(cell.high)}"
        text += f"; interval {limits} {OVER[cell.unit]}"
    if cell.p_best is not None:
        text += f"; corrected p against the best {cell.p_best:.3g}"
    return text


def _decimals(value: float | None, digits: int, scale: int = 1) -> str:
    return "" if value is None else f"{scale * value:.{digits}f}"
