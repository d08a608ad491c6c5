"""A leaderboard as text, Markdown, LaTeX, HTML, CSV or JSON."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tabulate import tabulate

from ..leaderboard import Leaderboard, LeaderboardError
from ..notes import MORE, text_notes
from .blocks import blocks
from .html import html_sheet
from .latex import latex_document
from .sheets import Entry, Sheet, lay_out, wrapped


def render(
    board: Leaderboard,
    style: str,
    layout: str = "leaderboard",
    *,
    notes: bool = False,
    width: int | None = None,
) -> str:
    """Return the leaderboard in one of FORMATS.

    Args:
        board: The leaderboard.
        style: The format; CSV and JSON are lists of cells, whatever the layout.
        layout: One of LAYOUTS.
        notes: Add the notes below the table.
        width: Letters of a line of text; a wider table is printed as blocks of its columns.

    Raises:
        LeaderboardError: An unknown format or layout.
    """
    if style == "json":
        return json.dumps(board.to_json(), indent=1) + "\n"
    if style == "csv":
        return csv_text(board.to_json())
    return render_sheets(lay_out(board, layout), style, notes=notes, width=width)


def render_sheets(
    sheets: list[Sheet], style: str, *, notes: bool = False, width: int | None = None
) -> str:
    """Return sheets as text, Markdown, LaTeX or HTML, with or without their notes.

    Text that is given a width is in blocks of columns where a table is wider.

    Raises:
        LeaderboardError: An unknown format.
    """
    if style not in STYLES:
        raise LeaderboardError(f"unknown format {style!r}; allowed: {', '.join(FORMATS)}")
    shown = sheets if notes else [replace(sheet, notes=[]) for sheet in sheets]
    text = _text(shown, width) if style == "text" else STYLES[style](shown)
    more = style == "text" and not notes and any(sheet.notes for sheet in sheets)
    return text + f"{MORE}\n" * more


def _text(sheets: list[Sheet], width: int | None = None) -> str:
    def table(sheet: Sheet) -> str:
        return _table(sheet, "simple", _plain, "\n")

    def fits(sheet: Sheet) -> bool:
        return width is None or max(map(len, table(sheet).splitlines())) <= width

    def tables(sheet: Sheet) -> list[str]:
        found = blocks(sheet, fits)
        if len(found) == 1:
            return [table(sheet)]
        return [f"{block.title}\n\n{table(block)}" if block.title else table(block)
                for block in found]  # fmt: skip

    return _joined(sheets, tables, str, str, "\n")


def _markdown(sheets: list[Sheet]) -> str:
    return _joined(
        sheets,
        lambda sheet: [_table(sheet, "github", _marked_down, "<br>")],
        lambda title: f"### {_escape_markdown(title)}",
        _escape_markdown,
        "\n\n",
    )


def _joined(
    sheets: list[Sheet],
    tables: Callable[[Sheet], list[str]],
    heading: Callable[[str], str],
    escape: Callable[[str], str],
    blank: str,
) -> str:
    """Return the sheets as one text, each with its title if there are several."""
    parts = []
    for sheet in sheets:
        titled = [heading(sheet.title)] if len(sheets) > 1 else []
        caption = blank.join(map(escape, sheet.caption))
        notes = text_notes([replace(note, text=escape(note.text)) for note in sheet.notes])
        parts.append("\n\n".join(filter(None, [*titled, *tables(sheet), caption, notes])))
    return "\n\n".join(parts) + "\n"


def _table(sheet: Sheet, style: str, show: Callable[[Entry], str], line_end: str) -> str:
    heads = [[sheet.first_head], *_heads(sheet, style)]
    if style == "github":
        heads = [[_escape_markdown(line) for line in lines] for lines in heads]
    header = [line_end.join(lines) for lines in heads]
    body = [[show(entry) for entry in line] for part in sheet.sections for line in part]
    return tabulate(body, header, tablefmt=style, disable_numparse=True, stralign="right",
                    colalign=("left",))  # fmt: skip


def _heads(sheet: Sheet, style: str) -> list[list[str]]:
    """Return the lines of the header of each column; in text long lines are wrapped and aligned."""
    if style != "simple":
        return [title.split("\n") for title in sheet.columns]
    columns: list[list[str]] = [[] for _ in sheet.columns]
    for head in sheet.heads:
        parts = [wrapped(text) for text, span in head for _ in range(span)]
        most = max(map(len, parts), default=0)
        for column, lines in zip(columns, parts, strict=True):
            column += lines + [""] * (most - len(lines))
    return columns


def _plain(entry: Entry) -> str:
    text = " ".join(entry.text.split())
    return f"{text}  ({entry.place})" if entry.place else text


def _marked_down(entry: Entry) -> str:
    text = _escape_markdown(entry.text)
    return f"**{text}**" if entry.place == 1 else f"<u>{text}</u>" if entry.place == 2 else text


def _escape_markdown(text: str) -> str:
    """Return text that Markdown shows unchanged: none of it is markup or HTML."""
    text = " ".join(text.split())
    for sign, code in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, code)
    return re.sub(r"([\\`*_|\[\]#~])", r"\\\1", text)


def csv_text(rows: list[dict[str, Any]]) -> str:
    """Return rows of plain values as CSV with a header."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


STYLES: dict[str, Callable[[list[Sheet]], str]] = {
    "text": _text,
    "markdown": _markdown,
    "latex": latex_document,
    "html": lambda sheets: "\n".join(map(html_sheet, sheets)) + "\n",
}
FORMATS = (*STYLES, "csv", "json")
SUFFIXES = {
    ".txt": "text", ".md": "markdown", ".tex": "latex", ".html": "html", ".csv": "csv",
    ".json": "json",
}  # fmt: skip
