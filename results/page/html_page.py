"""One self-contained HTML page from all that is known of a grid; everything shown is escaped."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files

from ..leaderboard import Cell, Leaderboard
from ..scores import Column, Shots
from ..statistics.units import OVER
from ..tables.caption import captions, metric_name
from ..tables.html import html_sheet
from ..tables.sheets import Sheet, format_cell, row_title

# Nothing is loaded from anywhere, whatever a record holds.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: an SVG element of ours, or a PNG."""

    title: str
    caption: str
    svg: str = ""
    png: bytes = b""


@dataclass(frozen=True)
class RunLine:
    """One run of the grid and where it came from."""

    method: str
    dataset: str
    protocol: str
    shots: Shots
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
    """What the page shows, in its order.

    Attributes:
        facts: Names and values at the top.
        boards: One leaderboard per metric, the first one open.
        failures: What failed, and why.
        skipped: What is not on the page, and why.
        again: Commands that make the numbers again.
        grid: Text of the grid file.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    boards: Sequence[Leaderboard]
    drawings: Sequence[Drawing]
    paper: Sequence[Sheet]
    runs: Sequence[RunLine]
    failures: Sequence[tuple[str, str]]
    skipped: Sequence[str] = ()
    again: str = ""
    grid: str = ""
    ranking: Sequence[str] = field(default_factory=tuple)


def report_page(report: Report) -> str:
    """Return the page as one HTML text without any reference to elsewhere."""
    own = files("sarbench.results.page")
    parts = {
        "Leaderboards": _boards(report),
        "Figures": map(_drawing, report.drawings),
        "Paper": (f'<div class="scroll">{html_sheet(one)}</div>' for one in report.paper),
        "Failures": _failures(report),
        "Runs": _runs(report.runs),
        "Again": _again(report),
    }
    kept = {name: "\n".join(part) for name, part in parts.items()}
    kept = {name: text for name, text in kept.items() if text}
    links = "".join(f'<a href="#{name.lower()}">{name}</a>' for name in kept)
    facts = "".join(f"<dt>{escape(n)}</dt><dd>{escape(v)}</dd>" for n, v in report.facts)
    sections = "\n".join(
        f'<section id="{name.lower()}"><h2>{name}</h2>\n{text}\n</section>'
        for name, text in kept.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n"
        f"<style>\n{(own / 'page.css').read_text('utf-8')}</style>\n</head>\n<body>\n"
        f"<h1>{escape(report.title)}</h1>\n<nav>{links}</nav>\n<dl>{facts}</dl>\n{sections}\n"
        f"<script>\n{(own / 'page.js').read_text('utf-8')}</script>\n</body>\n</html>\n"
    )


def _boards(report: Report) -> Iterator[str]:
    axes = {"dataset": 0, "protocol": 1}
    boxes = []
    for axis, place in axes.items():
        names = dict.fromkeys(str(c[place]) for board in report.boards for c in board.columns)
        boxes += [
            f'<label><input type="checkbox" checked data-axis="{axis}" value="{escape(name)}"> '
            f"{escape(name)}</label>"
            for name in names
        ]
    yield (
        '<div class="tools"><label>Rows with <input type="search" data-first data-tables='
        f'".board" aria-label="filter rows"></label>{"".join(boxes)}</div>'
    )
    yield '<p class="note">Click a column to sort by it, and a number to see its runs.</p>'
    for number, board in enumerate(report.boards):
        name = escape(metric_name(board.metric))
        is_open = " open" if number == 0 else ""
        yield f'<details class="print"{is_open}><summary>{name}</summary>'
        yield _board(board, number)
        yield from (f'<p class="note">{escape(line)}</p>' for line in captions(board))
        yield "</details>"
    yield from (f'<p class="note">{escape(line)}</p>' for line in report.ranking)


def _board(board: Leaderboard, number: int) -> str:
    heads = "".join(
        f'<th scope="col"{_place(c)}>{escape(c[0])}<br>{escape(c[1])}<br>{escape(str(c[2]))}<br>'
        f"{OVER[board.units[c]]}</th>"
        for c in board.columns
    )
    lines = [
        f'<div class="scroll"><table class="board sortable" id="board-{number}"><thead><tr>'
        f'<th scope="col">method</th>{heads}<th scope="col">mean<br>rank</th></tr></thead>'
    ]
    parts = ([r for r in board.rows if r not in board.controls], board.controls)
    for kind, rows in zip(("", ' class="controls"'), parts, strict=True):
        lines.append(f"<tbody{kind}>")
        for row in rows:
            cells = "".join(_cell(board, row, column) for column in board.columns)
            rank = board.mean_rank.get(row)
            value = "" if rank is None else f' data-value="{rank:.4g}"'
            text = "" if rank is None else f"{rank:.2f}"
            title = escape(row_title(board, row))
            lines.append(
                f'<tr><th scope="row">{title}</th>{cells}<td data-number{value}>{text}</td></tr>'
            )
        lines.append("</tbody>")
    return "\n".join([*lines, "</table></div>"])


def _place(column: Column) -> str:
    return f' data-dataset="{escape(column[0])}" data-protocol="{escape(column[1])}"'


def _cell(board: Leaderboard, row: str, column: Column) -> str:
    cell = board.cell(row, column)
    attributes = f"{_place(column)} data-number"
    if cell is not None:
        attributes += f' data-runs="{escape(_cell_name(row, column))}"'
        if cell.mean is not None:
            attributes += f' data-value="{cell.mean:.6g}" title="{escape(_details(cell))}"'
    text = escape(format_cell(cell))
    place = cell.place if cell else None
    text = f"<strong>{text}</strong>" if place == 1 else f"<u>{text}</u>" if place == 2 else text
    return f"<td{attributes}>{text}</td>"


def _cell_name(row: str, column: Column) -> str:
    return " | ".join((row, *map(str, column)))


def _details(cell: Cell) -> str:
    text = f"{cell.n} of {cell.expected} runs"
    if cell.low is not None and cell.high is not None:
        text += f"; interval {100 * cell.low:.1f} to {100 * cell.high:.1f} {OVER[cell.unit]}"
    if cell.p_best is not None:
        text += f"; corrected p against the best {cell.p_best:.3g}"
    return text


def _drawing(drawing: Drawing) -> str:
    picture = drawing.svg
    if drawing.png:
        data = base64.b64encode(drawing.png).decode()
        picture = f'<img alt="{escape(drawing.title)}" src="data:image/png;base64,{data}">'
    return (
        f"<figure><figcaption><b>{escape(drawing.title)}.</b> {escape(drawing.caption)}"
        f"</figcaption>{picture}</figure>"
    )


def _failures(report: Report) -> Iterator[str]:
    if not report.failures and not report.skipped:
        yield "<p>Nothing failed.</p>"
    if report.failures:
        lines = "".join(
            f'<tr><td>{escape(what)}</td><td class="bad">{escape(why)}</td></tr>'
            for what, why in report.failures
        )
        yield (
            f'<div class="scroll tall"><table class="words"><thead><tr><th>what</th><th>why</th>'
            f"</tr></thead><tbody>{lines}</tbody></table></div>"
        )
    yield from (f'<p class="note">Not on this page: {escape(text)}</p>' for text in report.skipped)


def _runs(runs: Sequence[RunLine]) -> Iterator[str]:
    heads = ("method", "data set", "protocol", "shots", "pretraining seed", "seed", "state",
             "accuracy", "wall s", "device", "commit", "key")  # fmt: skip
    yield (
        f'<details id="runs-part"><summary>{len(runs)} runs and where they came from</summary>'
        '<div class="tools"><label>Runs with all of <input type="search" id="runs-filter" '
        'data-tables="#runs-table" aria-label="filter runs"></label>'
        f'<span id="runs-table-count">{len(runs)} shown</span></div>'
        '<div class="scroll tall"><table class="sortable" id="runs-table"><thead><tr>'
        + "".join(f'<th scope="col">{head}</th>' for head in heads)
        + "</tr></thead><tbody>"
    )
    for run in runs:
        score = "" if run.score is None else f"{100 * run.score:.2f}"
        wall = "" if run.wall_s is None else f"{run.wall_s:.1f}"
        words = (run.dataset, run.protocol, run.shots, run.pretrain_seed, run.seed, run.state,
                 score, wall, run.device, run.commit[:10], run.key[:12])  # fmt: skip
        cell = _cell_name(run.method, (run.dataset, run.protocol, run.shots))
        cells = "".join(f"<td>{escape(str(word))}</td>" for word in words)
        yield (
            f'<tr data-cell="{escape(cell)}"><th scope="row">{escape(run.method)}</th>{cells}</tr>'
        )
    yield "</tbody></table></div></details>"


def _again(report: Report) -> Iterator[str]:
    if report.again:
        yield f"<pre>{escape(report.again)}</pre>"
    if report.grid:
        text = f"<pre>{escape(report.grid)}</pre>"
        yield f'<details class="print"><summary>The grid file</summary>{text}</details>'
