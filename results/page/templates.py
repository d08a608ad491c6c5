"""The templates of our pages, with what they share; every text is escaped."""

import base64
import re
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from ..leaderboard import Cell, Leaderboard
from ..metric import Metric
from ..scores import Column, column_name, labels_in_words, order_of_labels
from ..statistics.units import OVER
from ..tables.caption import caption, notes
from ..tables.html import html_notes, html_sheet
from ..tables.sheets import column_head, format_cell, format_gain, row_title

CODE = re.compile("`([^`]+)`")  # in a docstring


def render_page(template: str, *, title: str, **values: Any) -> str:
    """Return a page of a template of this folder."""
    return _environment().get_template(template).render(title=title, **values)


def _read(name: str) -> str:
    return (files("sarbench.results.page") / name).read_text("utf-8")


@cache
def _environment() -> Any:
    import jinja2  # no other output needs it
    from markupsafe import Markup, escape

    script = f"\n{_read('page.js')}"
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    made.globals |= {
        "base64": lambda png: base64.b64encode(png).decode(),
        "caption": caption,
        "cell_name": _cell_name,
        "choices": _choices,
        "code": lambda text: Markup(CODE.sub(r"<code>\1</code>", str(escape(text)))),
        "column_head": column_head,
        "column_name": column_name,
        "css": Markup(_read("page.css")),
        "decimals": _decimals,
        "details": _details,
        "format_cell": format_cell,
        "format_gain": format_gain,
        "html_notes": lambda listed: Markup(html_notes(listed)),
        "html_sheet": lambda sheet: Markup(html_sheet(sheet)),
        "js": Markup(script),
        "js_hash": f"sha256-{digest}",
        "labels_in_words": labels_in_words,
        "notes": notes,
        "row_title": row_title,
    }
    return made


def _choices(boards: Sequence[Leaderboard], axis: str) -> list[str]:
    """Return the values of a part of the columns, as the page shows them."""
    columns = [column for board in boards for column in board.columns]
    if axis == "shots":
        shots = sorted({column.shots for column in columns}, key=order_of_labels)
        return [labels_in_words(one) for one in shots]
    return list(dict.fromkeys(getattr(column, axis) or "clean" for column in columns))


def _cell_name(row: str, column: Column) -> str:
    return f"{row} | {column_name(column)}"


def _details(cell: Cell, metric: Metric) -> str:
    text = f"{cell.n} of {cell.expected} runs"
    if cell.low is not None and cell.high is not None:
        text += f"; interval {metric.limits(cell.low, cell.high)} {OVER[cell.unit]}"
    if cell.p_best is not None:
        text += f"; corrected p against the best {cell.p_best:.3g}"
    return text


def _decimals(value: float | None, digits: int, scale: int = 1) -> str:
    return "" if value is None else f"{scale * value:.{digits}f}"
