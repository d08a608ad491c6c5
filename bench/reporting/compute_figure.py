"""The figure of scores over the compute of the pretraining."""

from functools import partial
from statistics import fmean

from ...results.figures.compute import Trained, compute_figure
from ...results.figures.gains import Measured, cut_intervals
from ...results.leaderboard import Leaderboard
from ...results.record import PretrainRecord
from ...results.scores import Column, column_name
from ..grid.sweeps import AT
from ..plan.plan import Plan
from .named_figure import NamedFigure, figure_name, main_column
from .swept_figures import other_parts

EQUAL = 1.05  # largest ratio of the compute of pretrainings that have the same
# The axis along a line: states of one training, else trainings of several lengths.
ALONG = {
    AT: " Lines join the states of one training, whose schedule is for all its steps.",
    "epochs": " Lines join rows that differ only in epochs.",
}
CAPTION = (
    "Compute: GFLOP of one chip in one step, forward and backward (matrix products and "
    "convolutions), times the chips seen (steps times batch); from the records and the same on "
    "every machine. Mean and, for methods, 95% Student interval over the unit of each cell; dashed "
    "grey: controls."
)


def pretraining_tflop(record: PretrainRecord) -> float | None:
    """Return the TFLOP of a pretraining; None for a control and for records without compute.

    `step_gflop` is per chip and already the mean over the batch; every step sees a whole batch.
    """
    recipe = record.identity.get("recipe")
    if not recipe or not record.architecture or not record.architecture.step_gflop:
        return None
    return record.architecture.step_gflop * record.steps * recipe["batch"] / 1000


def compute_figures(
    plan: Plan, board: Leaderboard, *, every: bool = False
) -> tuple[list[NamedFigure], list[str]]:
    """Return the figure of one column, if a pretrained row has compute, and reasons without one.

    Args:
        plan: The grid against its store.
        board: Scores of one metric.
        every: Add a figure of each column, named for it.
    """
    costs, column = _costs(plan), main_column(board.columns)
    metric = board.measure.title
    if len(costs) > 1 and max(costs.values()) < EQUAL * min(costs.values()):
        each = f"{fmean(costs.values()):.3g} TFLOP"
        return [], [f"cost: every pretraining has the same compute, {each}"]
    found, reason = _figure(plan, board, column, costs, "cost", f"{metric} over compute")
    if found is None:
        return [], [reason]
    named = [found]
    for other in board.columns if every else []:
        parts = other_parts(other)
        heading = f"{metric} over compute, {', '.join(parts)}"
        more, _ = _figure(plan, board, other, costs, figure_name("cost", *parts), heading)
        named += [more] if more else []
    return named, []


def _figure(
    plan: Plan, board: Leaderboard, column: Column, costs: dict[str, float], name: str, heading: str
) -> tuple[NamedFigure | None, str]:
    """Return the figure of a column, or None and the reason."""
    starts = {entry.planned.row: entry.planned for entry in plan.pretrain}
    swept = {name for start in starts.values() for name in start.axes}
    along = next((name for name in ALONG if name in swept), AT)
    rows: list[Trained] = []
    controls: dict[str, float] = {}
    without: list[str] = []
    for row in board.rows:
        cell = board.cell(row, column)
        if cell is None or cell.mean is None:
            continue
        if cell.control:
            controls[row] = cell.mean
        elif row not in costs:
            without.append(row)
        else:
            start = starts[row]
            others = [f"{name} {value}" for name, value in start.axes.items() if name != along]
            score = Measured(row, costs[row], cell.mean, cell.low, cell.high)
            rows.append(Trained(score, start.label, ", ".join(others)))
    joined = ALONG[along] if any(along in starts[one.score.row].axes for one in rows) else ""
    missing = f" Without compute in their records: {'; '.join(without)}." if without else ""
    if not rows:
        return None, f"score over compute: no finished pretraining with compute.{missing}"
    caption = CAPTION + joined + cut_intervals(one.score for one in rows) + missing
    title = column_name(column)
    draw = partial(compute_figure, rows, controls, board.measure.title, title)
    return NamedFigure(name, heading, caption, draw), ""


def _costs(plan: Plan) -> dict[str, float]:
    """Return the TFLOP of one pretraining of each row, the mean over its seeds."""
    found: dict[str, list[float]] = {}
    for entry in plan.pretrain:
        if isinstance(entry.record, PretrainRecord):
            cost = pretraining_tflop(entry.record)
            if cost is not None:
                found.setdefault(entry.planned.row, []).append(cost)
    return {row: fmean(costs) for row, costs in found.items()}
