"""The comparison with a paper as sheets: published next to measured."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from ..notes import Note, flags
from ..scores import column_name
from ..tables.sheets import Entry, Sheet, format_cell
from .schema import Published
from .verdicts import MARGIN, CheckedCell, CheckedOrder

VERDICTS = (
    "Reproduced: equivalence is shown, because the difference and the half-width of its 95% "
    "interval are together within {margin:.0f} points.",
    "Differs: the published value is outside our 95% prediction interval, and equivalence is not "
    "shown. Undecided: neither is the case, or we have one run only.",
    "The interval treats the published value as a mean of {seeds} evaluation seeds of one "
    "checkpoint (of one run where the table says so). The spread of the paper is not known; ours "
    "serves for both.",
    "With one pretraining seed on our side the interval covers evaluation seeds only, and the "
    "verdict is about two checkpoints. With several it covers pretraining seeds.",
)
ORDERS = (
    "p is Holm-corrected within each statement. The test is over pretraining seeds where both rows "
    "have several, and over draws of labelled chips of these checkpoints elsewhere. `in the mean "
    "only`: the test found no difference."
)


def paper_sheets(
    paper: Published,
    cells: Sequence[CheckedCell],
    orders: Sequence[CheckedOrder],
    differences: Sequence[str],
    notes: Sequence[Note],
) -> list[Sheet]:
    """Return the tables of the paper, their verdicts and the statements of order as sheets."""
    sheets = []
    for table, of_table in groupby(cells, lambda cell: cell.table):
        listed = list(of_table)
        title = f"Table {table}, {paper.tables[table].title}"
        for protocol in dict.fromkeys(cell.protocol for cell in listed):
            part = [cell for cell in listed if cell.protocol == protocol]
            sheets.append(_side_by_side(f"{title}: {protocol}, published / measured", part))
        if (verdicts := _verdicts(f"{title}: verdicts", listed)).sections != [[]]:
            sheets.append(verdicts)
    if orders:
        sheets.append(_orders(orders))
    meaning = [text.format(seeds=paper.seeds, margin=100 * MARGIN) for text in VERDICTS]
    everything = [
        *(Note("Verdicts", text) for text in meaning),
        *([Note("Verdicts", ORDERS)] if orders else []),
        *_differences(differences),
        *_sources(paper),
        *notes,
    ]
    last = sheets[-1]
    caption = [*last.caption, _summary(cells), *flags(everything)]
    sheets[-1] = replace(last, caption=caption, notes=everything)
    return sheets


def _summary(cells: Sequence[CheckedCell]) -> str:
    counts = Counter(cell.verdict for cell in cells if cell.published)
    total = sum(counts.values())
    return f"{total} published values: " + ", ".join(f"{n} {v}" for v, n in counts.items()) + "."


def _differences(differences: Sequence[str]) -> list[Note]:
    if not differences:
        return [Note("Methods", "No difference in set-up is known.")]
    count = f"{len(differences)} known difference{'s' * (len(differences) > 1)}"
    text = f"The set-up has {count} from the paper, so no verdict here is about the paper itself."
    listed = [f"({n}) {one}" for n, one in enumerate(differences, start=1)]
    flag = f"Set-up: {count} from the paper; no verdict is about the paper itself."
    return [Note("Methods", text, flag),
            *(Note("Methods", one) for one in listed)]  # fmt: skip


def _sources(paper: Published) -> list[Note]:
    grades = "; ".join(f"{grade} = {text}" for grade, text in paper.grades.items())
    sources = "; ".join(f"{name} = {text}" for name, text in paper.sources.items())
    texts = (f"{paper.citation}, {paper.url}.", f"Grades: {grades}.", f"Sources: {sources}.")
    return [Note("Provenance", text) for text in (*texts, paper.note)]


def _side_by_side(title: str, cells: Sequence[CheckedCell]) -> Sheet:
    columns = list(dict.fromkeys(cell.column for cell in cells))
    names = [(name, len(list(run))) for name, run in groupby(columns, lambda c: c.dataset)]
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
    return Sheet(title, [names, [(f"{c.shots} shots", 1) for c in columns]], [lines],
                 ["Letter: grade of the evidence for the published value; ?: no published value is "
                  "known; -: not measured."])  # fmt: skip


def _both(cell: CheckedCell) -> str:
    value = cell.published
    published = f"{value.value:.1f} {value.grade}" if value else "?"
    measured = format_cell(cell.cell) if cell.cell and cell.cell.mean is not None else "-"
    return f"{published} / {measured}"


def _verdicts(title: str, cells: Sequence[CheckedCell]) -> Sheet:
    """List the published values with a verdict; those that the grid leaves out stand above."""
    heads = ["published", "measured", "verdict", "why", "sources", "note"]
    lines = []
    for cell in cells:
        value, left_out = cell.published, cell.cell is None and cell.verdict == "not measured"
        if value is None or left_out:
            continue
        lines.append([
            Entry(f"{cell.label}, {column_name(cell.column)}"),
            Entry(f"{value.value:.1f} ({value.grade})"),
            Entry(format_cell(cell.cell) if cell.cell else "-"),
            Entry(cell.verdict),
            Entry(cell.reason),
            Entry(", ".join(value.sources)),
            Entry(value.note or ""),
        ])  # fmt: skip
    return Sheet(title, [[(head, 1) for head in heads]], [lines], [])


def _orders(orders: Sequence[CheckedOrder]) -> Sheet:
    sections = []
    for statement, cases in groupby(orders, lambda order: (order.statement, order.grade)):
        listed = list(cases)
        counts = Counter(case.verdict for case in listed)
        summary = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        lines = [[Entry(f"{statement[0]} ({statement[1]})"), *[Entry("")] * 2, Entry(summary)]]
        for case in listed:
            if case.difference is None:
                continue
            lines.append([
                Entry(f"{case.higher} above {case.lower}, {column_name(case.column)}"),
                Entry(f"{100 * case.difference:+.1f}"),
                Entry("" if case.p_holm is None else f"{case.p_holm:.3g}"),
                Entry(case.verdict),
            ])  # fmt: skip
        sections.append(lines)
    heads = ["difference", "p (Holm)", "verdict"]
    return Sheet(
        "Order of methods",
        [[(head, 1) for head in heads]],
        sections,
        ["Differences in points; p is Holm-corrected within each statement."],
    )
