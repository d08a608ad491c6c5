"""Figures of changed test chips: scores over severity, and drift of features against scores."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from statistics import fmean

from ...results.figures.drift import Drifted, drift_figure
from ...results.figures.gains import cut_intervals
from ...results.figures.swept import Family, severity_figure
from ...results.leaderboard import Leaderboard
from ...results.record import RunRecord
from ...results.scores import Column, column_name
from ...results.statistics.correlation import FEWEST_PAIRS, spearman
from ..augmentation.conditions import CLEAN, KINDS, by_kind
from ..plan.plan import Plan
from ..seeding import stream
from .named_figure import NamedFigure, figure_name, left_out, shown_rows
from .reference_levels import chance_of
from .swept_figures import measured, other_parts

NO_DRIFT = ("chip_size", "label_shuffle")  # controls that read no pixel, or no true label
MOST_LINES = 12  # methods in one panel
EOC = "mstar_eoc"  # begins the names of MSTAR's extended operating conditions
SEVERITY = (
    "One panel for each kind of condition, from {} to severe. Mean and, for methods, 95% Student "
    "interval over the unit of each cell; hollow: incomplete; dashed and grey: controls."
)
OF_EOC = (
    " MSTAR's extended operating conditions have other classes, so another chance level, and heads "
    "of their own; no line joins them."
)
DRIFT = (
    "Drift: 1 minus the mean cosine of the frozen features of clean and speckled test chips, as "
    "the protocol reads them. Rho: Spearman's correlation of drift and score over the methods, "
    "without the controls (grey)."
)


def condition_figures(plan: Plan, board: Leaderboard) -> list[NamedFigure]:
    """Return a figure of scores for each column with conditions, and one of drift with few shots.

    A column that has shifts only is in `swept_figures`.
    """
    groups: dict[tuple[str, ...], dict[str, Column]] = {}
    for column in board.columns:
        groups.setdefault(other_parts(column, "condition"), {})[column.condition] = column
    found = []
    for shared, columns in groups.items():
        kinds = by_kind(filter(None, columns))
        if set(kinds) - {"shift"}:
            found.append(_severity(plan, board, shared, columns, kinds))
        if "speckle" in kinds and "" in columns and isinstance(columns[""].shots, int):
            found += _drift(plan, board, columns, kinds["speckle"])
    return found


def _severity(
    plan: Plan,
    board: Leaderboard,
    shared: tuple[str, ...],
    columns: dict[str, Column],
    kinds: dict[str, list[str]],
) -> NamedFigure:
    """Return the scores over severity of one data set, protocol and number of shots."""
    rows = shown_rows(board, MOST_LINES + len(board.controls))
    clean = {CLEAN: columns[""]} if "" in columns else {}
    families = [
        _family(board, rows, KINDS[kind].axis,
                clean | {one.partition(":")[2]: columns[one] for one in conditions})
        for kind, conditions in kinds.items()
    ]  # fmt: skip
    wanted = next(iter(columns.values()))._replace(condition="")
    chance = chance_of(plan, board, wanted.dataset)
    families = [replace(family, chance=chance) for family in families]
    eoc = {
        column.dataset.removeprefix(f"{EOC}_"): column
        for column in board.columns
        if column.dataset.startswith(EOC) and column._replace(dataset=wanted.dataset) == wanted
    }
    if eoc and wanted.dataset.startswith("mstar_soc"):
        what = "extended operating conditions"
        families.append(_family(board, rows, what, eoc, ordered=False))
    metric, title = board.measure.title, ", ".join(shared)
    mildest = "clean" if clean else "mild (the grid has no clean column here)"
    caption = (
        SEVERITY.format(mildest)
        + (OF_EOC if not families[-1].ordered else "")
        + cut_intervals(one for family in families for one in family.scores)
        + left_out(board, rows)
    )
    name, heading = figure_name("conditions", *shared), f"{metric} by condition, {title}"
    draw = partial(severity_figure, families, metric, title, board.controls)
    return NamedFigure(name, heading, caption, draw)


def _family(
    board: Leaderboard,
    rows: list[str],
    what: str,
    columns: dict[str, Column],
    *,
    ordered: bool = True,
) -> Family:
    """Return the scores of rows in some columns, by their names at the ticks."""
    scores = [
        one
        for row in rows
        for number, column in enumerate(columns.values())
        if (one := measured(board, row, "", float(number), column))
    ]
    return Family(what, list(columns), scores, ordered)


def _drift(
    plan: Plan, board: Leaderboard, columns: dict[str, Column], conditions: list[str]
) -> Iterator[NamedFigure]:
    """Yield the drift of each row under speckle against its score on clean chips, if known."""
    clean, drifts, without = columns[""], _drifts(plan), dict[str, None]()
    points, texts = dict[str, list[Drifted]](), []
    for condition in conditions:
        pairs = [
            Drifted(row, drifts[row, columns[condition]], cell.mean, cell.control)
            for row in board.rows
            if (row, columns[condition]) in drifts
            if (cell := board.cell(row, clean)) is not None and cell.mean is not None
            if cell.name not in NO_DRIFT
        ]
        without |= {
            cell.method: None
            for cell in board.cells
            if cell.name in NO_DRIFT and (cell.method, columns[condition]) in drifts
        }
        methods = [one for one in pairs if not one.control]
        if not pairs:
            continue
        points[condition] = pairs
        if len(methods) < FEWEST_PAIRS:
            texts.append(f"{condition}: {len(methods)} methods are too few for rho")
            continue
        found = spearman(
            [one.drift for one in methods], [one.score for one in methods], stream(0, "statistics")
        )
        limits = "no interval"
        if found.low is not None and found.high is not None:
            limits = f"95% bootstrap interval over methods {found.low:.2f} to {found.high:.2f}"
        texts.append(f"{condition}: rho {found.rho:.2f} ({limits}; n = {len(methods)})")
    if points:
        name, metric = figure_name("drift", *other_parts(clean, "condition")), board.measure.title
        title = column_name(clean)
        left = f" Not drawn: {', '.join(without)} (drift without a meaning)." if without else ""
        yield NamedFigure(
            name, f"Drift under speckle and {metric.lower()}, {title}",
            f"{DRIFT} {'; '.join(texts)}.{left}",
            partial(drift_figure, points, metric, title, board.controls),
        )  # fmt: skip


def _drifts(plan: Plan) -> dict[tuple[str, Column], float]:
    """Return the mean drift of the runs of each row and column."""
    found: dict[tuple[str, Column], list[float]] = {}
    for entry in plan.runs:
        if isinstance(entry.record, RunRecord) and entry.record.drift is not None:
            run = entry.planned
            found.setdefault((run.pretraining.row, run.column), []).append(entry.record.drift)
    return {place: fmean(values) for place, values in found.items()}
