"""Sheets as HTML tables with escaped texts."""

from collections.abc import Sequence
from html import escape

from ..notes import Note, by_subject
from .sheets import Entry, Sheet

LONG = 24  # letters; a column with a longer text is set as prose


def html_sheet(sheet: Sheet) -> str:
    """Return a table with its caption and notes; cells carry their sort values."""
    body = [line for section in sheet.sections for line in section]
    wordy = [any(len(entry.text) > LONG for entry in column) for column in zip(*body, strict=True)]
    lines = ['<table class="sheet">', f"<caption>{escape(sheet.title)}</caption>", "<thead>"]
    last = len(sheet.heads) - 1
    for number, head in enumerate(sheet.heads):
        title = escape(sheet.first_head) if number == last else ""
        cells = [f'<th scope="col">{title}</th>' if title else "<td></td>"]
        for text, span in head:
            if number == last:
                kind = _kind(wordy[len(cells)]) if wordy else ""
                cells += [f'<th scope="col"{kind}>{escape(text)}</th>'] * span
            else:
                cells.append(f'<th scope="colgroup" colspan="{span}">{escape(text)}</th>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</thead>")
    for number, section in enumerate(sheet.sections):
        kind = "" if number == 0 else ' class="controls"'
        lines.append(f"<tbody{kind}>")
        for title, *entries in section:
            row = f'<th scope="row">{escape(title.text)}</th>'
            row += "".join(map(_cell, entries, wordy[1:]))
            lines.append(f"<tr>{row}</tr>")
        lines.append("</tbody>")
    lines.append("</table>")
    lines += [f'<p class="note">{escape(line)}</p>' for line in sheet.caption]
    return "\n".join([*lines, html_notes(sheet.notes)])


def html_notes(notes: Sequence[Note]) -> str:
    """Return notes by subject in a box that opens on a click; empty without notes."""
    lines = []
    for subject, texts in by_subject(notes).items():
        items = "".join(f"<li>{escape(text)}</li>" for text in texts)
        lines.append(f"<h4>{subject}</h4><ul>{items}</ul>")
    if not lines:
        return ""
    return "\n".join(['<details class="notes"><summary>Notes</summary>', *lines, "</details>"])


def _kind(wordy: bool) -> str:
    return ' class="text"' if wordy else ""


def _cell(entry: Entry, wordy: bool) -> str:
    value = "" if entry.value is None else f' data-value="{entry.value:.6g}"'
    text = escape(entry.text)
    if entry.place == 1:
        text = f"<strong>{text}</strong>"
    elif entry.place == 2:
        text = f"<u>{text}</u>"
    return f"<td{_kind(wordy)}{value}>{text}</td>"
