"""A leaderboard as text, Markdown, LaTeX, HTML, CSV or JSON."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from textwrap import wrap
from typing import Any

from tabulate import tabulate

from ..leaderboard import Leaderboard, LeaderboardError
from ..notes import MORE, text_notes
from .html import html_sheet
from .latex import latex_document
from .sheets import Entry, Sheet, format_cell, lay_out

HEAD = 22  # most letters in a line of a header in text

__all__ = ["FORMATS", "format_cell", "render", "render_sheets"]


def render(
    board: Leaderboard, style: str, layout: str = "leaderboard", *, notes: bool = False
) -> str:
    """Return the leaderboard in one of FORMATS.

    Args:
        board: The leaderboard.
        style: The format; CSV and JSON are lists of cells, whatever the layout.
        layout: One of LAYOUTS.
        notes: Add the notes below the table.

    Raises:
        LeaderboardError: An unknown format or layout.
    """
    if style == "json":
        return json.dumps(board.to_json(), indent=1) + "\n"
    if style == "csv":
        return csv_text(board.to_json())
    return render_sheets(lay_out(board, layout), style, notes=notes)


def render_sheets(sheets: list[Sheet], style: str, *, notes: bool = False) -> str:
    """Return sheets as text, Markdown, LaTeX or HTML, with or without their notes.

    Raises:
        LeaderboardError: An unknown format.
    """
    if style not in STYLES:
        raise LeaderboardError(f"unknown format {style!r}; allowed: {', '.join(FORMATS)}")
    if notes:
        return STYLES[style](sheets)
    text = STYLES[style]([replace(sheet, notes=[]) for sheet in sheets])
    return text + f"{MORE}\n" if style == "text" and any(sheet.notes for sheet in sheets) else text


def _text(sheets: list[Sheet]) -> str:
    return _tables(sheets, "simple", _plain, "\n")


def _markdown(sheets: list[Sheet]) -> str:
    return _tables(sheets, "github", _marked_down, "<br>")


def _tables(sheets: list[Sheet], style: str, show: Callable[[Entry], str], line_end: str) -> str:
    parts = []
    for sheet in sheets:
        header = ["method", *(line_end.join(lines) for lines in _heads(sheet, style))]
        if style == "github":
            header = [_escape_markdown(title, keep="<>") for title in header]
        body = [[show(entry) for entry in line] for part in sheet.sections for line in part]
        table = tabulate(body, header, tablefmt=style, disable_numparse=True, stralign="right",
                         colalign=("left",))  # fmt: skip
        escape = str if style == "simple" else _escape_markdown
        blank = "\n\n" if style == "github" else "\n"
        title = f"### {_escape_markdown(sheet.title)}" if style == "github" else sheet.title
        titled = [title] if len(sheets) > 1 else []
        caption = blank.join(map(escape, sheet.caption))
        notes = text_notes([replace(note, text=escape(note.text)) for note in sheet.notes])
        parts.append("\n\n".join(filter(None, [*titled, table, caption, notes])))
    return "\n\n".join(parts) + "\n"


def _heads(sheet: Sheet, style: str) -> list[list[str]]:
    """Return the lines of the header of each column; in text long lines are wrapped and aligned."""
    if style != "simple":
        return [title.split("\n") for title in sheet.columns]
    columns: list[list[str]] = [[] for _ in sheet.columns]
    for head in sheet.heads:
        parts = [wrap(text, HEAD) for text, span in head for _ in range(span)]
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


def _escape_markdown(text: str, keep: str = "") -> str:
    """Return text that Markdown shows unchanged: none of it is markup or HTML."""
    text = " ".join(text.split())
    for sign, code in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text if sign in keep else text.replace(sign, code)
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
