"""The comparison with a paper as sheets, published beside measured."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from ..scores import column_name
from ..tables.sheets import Entry, Sheet, format_cell
from .schema import Published
from .verdicts import MARGIN, CheckedCell, CheckedOrder

VERDICTS = (
    "Verdicts: reproduced = equivalence is shown: the difference and half its 95 % interval are "
    "together within {margin:.0f} points; differs = the published value is outside our 95 % "
    "prediction interval (and equivalence is not shown); undecided = neither, or one run of ours. "
    "The interval takes the published value for a mean of {seeds} seeds (of one run where it is "
    "one) of one checkpoint. With one pretraining seed of ours it knows the spread of evaluation "
    "seeds only, and the verdict is about two checkpoints; with several it is over pretraining "
    "seeds. The paper's own spread is not known and is taken for ours."
)


def paper_sheets(
    paper: Published,
    cells: Sequence[CheckedCell],
    orders: Sequence[CheckedOrder],
    differences: Sequence[str],
    notes: Sequence[str],
) -> list[Sheet]:
    """Return each table as printed, its verdicts, and the statements about order."""
    sheets = []
    for table, of_table in groupby(cells, lambda cell: cell.table):
        listed = list(of_table)
        title = f"Table {table}, {paper.tables[table].title}"
        for protocol in dict.fromkeys(cell.protocol for cell in listed):
            part = [cell for cell in listed if cell.protocol == protocol]
            sheets.append(_side_by_side(f"{title}: {protocol}, published / measured", part))
        sheets.append(_verdicts(f"{title}: verdicts", paper, listed))
    if orders:
        sheets.append(_orders(orders))
    first = [_summary(cells), _loose(differences)]
    caption = [
        *first,
        VERDICTS.format(seeds=paper.seeds, margin=100 * MARGIN),
        _legend(paper),
        paper.note,
        *notes,
    ]
    last = sheets[-1]
    sheets[-1] = Sheet(last.title, last.heads, last.sections, [*last.caption, *caption])
    return sheets


def _summary(cells: Sequence[CheckedCell]) -> str:
    counts = Counter(cell.verdict for cell in cells if cell.published)
    total = sum(counts.values())
    return f"{total} published values: " + ", ".join(f"{n} {v}" for v, n in counts.items()) + "."


def _loose(differences: Sequence[str]) -> str:
    if not differences:
        return "No difference in set-up is known."
    listed = " ".join(f"({n}) {text}" for n, text in enumerate(differences, start=1))
    return (
        f"The set-up differs from the paper's in {len(differences)} known ways, so that no verdict "
        f"here is a verdict on the paper: {listed}"
    )


def _legend(paper: Published) -> str:
    grades = "; ".join(f"{grade} = {text}" for grade, text in paper.grades.items())
    sources = "; ".join(f"{name} = {text}" for name, text in paper.sources.items())
    return f"{paper.citation}, {paper.url}. Grades: {grades}. Sources: {sources}."


def _side_by_side(title: str, cells: Sequence[CheckedCell]) -> Sheet:
    columns = list(dict.fromkeys(cell.column for cell in cells))
    names = [(name, len(list(run))) for name, run in groupby(columns, lambda c: c[0])]
    rows = list(dict.fromkeys((cell.label, cell.row) for cell in cells))
    place = {(cell.label, cell.row, cell.column): cell for cell in cells}
    lines = []
    for label, row in rows:
        shown = label if row in (None, label) else f"{label} ({row})"
        line = [Entry(shown)]
        for column in columns:
            cell = place.get((label, row, column))
            line.append(Entry(_both(cell) if cell else "? / -"))
        lines.append(line)
    return Sheet(title, [names, [(f"{c[2]} shots", 1) for c in columns]], [lines],
                 ["?: no published value is known to us. -: not measured. The letter is the "
                  "grade of the evidence for the published value."])  # fmt: skip


def _both(cell: CheckedCell) -> str:
    value = cell.published
    published = f"{value.value:.1f} {value.grade}" if value else "?"
    measured = format_cell(cell.cell) if cell.cell and cell.cell.mean is not None else "-"
    return f"{published} / {measured}"


def _verdicts(title: str, paper: Published, cells: Sequence[CheckedCell]) -> Sheet:
    heads = ["where", "published", "sources", "measured", "verdict", "why", "note"]
    lines = []
    for cell in cells:
        value = cell.published
        lines.append([
            Entry(cell.label),
            Entry(column_name(cell.column)),
            Entry(f"{value.value:.1f} ({value.grade})" if value else "?"),
            Entry(", ".join(value.sources) if value else ""),
            Entry(format_cell(cell.cell) if cell.cell else "-"),
            Entry(cell.verdict, 1 if cell.verdict == "reproduced" else None),
            Entry(cell.reason),
            Entry(value.note or "" if value else ""),
        ])  # fmt: skip
    return Sheet(title, [[(head, 1) for head in heads]], [lines], [])


def _orders(orders: Sequence[CheckedOrder]) -> Sheet:
    sections = []
    for statement, cases in groupby(orders, lambda order: (order.statement, order.grade)):
        listed = list(cases)
        counts = Counter(case.verdict for case in listed)
        summary = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        lines = [[Entry(f"{statement[0]} ({statement[1]})"), *[Entry("")] * 3, Entry(summary)]]
        for case in listed:
            if case.difference is None:
                continue
            lines.append([
                Entry(f"{case.higher} above {case.lower}"),
                Entry(column_name(case.column)),
                Entry(f"{100 * case.difference:+.1f}"),
                Entry("" if case.p_holm is None else f"{case.p_holm:.3g}"),
                Entry(case.verdict),
            ])  # fmt: skip
        sections.append(lines)
    heads = ["where", "difference", "p (Holm)", "verdict"]
    return Sheet("Order of methods", [[(head, 1) for head in heads]], sections,
                 ["Differences in points, Holm-corrected within each statement: over pretraining "
                  "seeds where both sides have several, else over labelled chips of these "
                  "checkpoints; `in the mean only`: the test shows nothing."])  # fmt: skip
