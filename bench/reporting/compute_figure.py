"""The figure of scores over the compute of the pretraining."""

from statistics import fmean

from ...results.figures.compute import Trained, compute_figure
from ...results.figures.gains import Measured
from ...results.leaderboard import Leaderboard
from ...results.record import PretrainRecord
from ...results.scores import column_name
from ..grid.sweeps import AT
from ..plan.plan import Plan
from .named_figure import NamedFigure, main_column

# The axis along a line: states of one training, else trainings of several lengths.
ALONG = {
    AT: " Lines join the states of one training, whose schedule is for all its steps.",
    "epochs": " Lines join rows that differ only in epochs.",
}
CAPTION = (
    "Compute: GFLOP of one chip in one step, forward and backward (matrix products and "
    "convolutions), times the chips seen (steps times batch); from the records and the same on "
    "every machine. Mean and 95% Student interval over the unit of each cell; dashed grey: "
    "controls."
)


def pretraining_tflop(record: PretrainRecord) -> float | None:
    """Return the TFLOP of a pretraining; None for a control and for records without compute.

    `step_gflop` is per chip and already the mean over the batch; every step sees a whole batch.
    """
    recipe = record.identity.get("recipe")
    if not recipe or not record.architecture or not record.architecture.step_gflop:
        return None
    return record.architecture.step_gflop * record.steps * recipe["batch"] / 1000


def compute_figures(plan: Plan, board: Leaderboard) -> tuple[list[NamedFigure], list[str]]:
    """Return the figure, if a pretrained row has compute, and reasons for missing parts."""
    column, costs, rows = main_column(board.columns), _costs(plan), []
    starts = {entry.planned.row: entry.planned for entry in plan.pretrain}
    swept = {name for start in starts.values() for name in start.axes}
    along = next((name for name in ALONG if name in swept), AT)
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
        return [], [f"score over compute: no finished pretraining with compute.{missing}"]
    metric = board.measure.title
    return [NamedFigure(
        "cost", f"{metric} over compute", CAPTION + joined + missing,
        lambda: compute_figure(rows, controls, metric, column_name(column)),
    )], []  # fmt: skip


def _costs(plan: Plan) -> dict[str, float]:
    """Return the TFLOP of one pretraining of each row, the mean over its seeds."""
    found: dict[str, list[float]] = {}
    for entry in plan.pretrain:
        if isinstance(entry.record, PretrainRecord):
            cost = pretraining_tflop(entry.record)
            if cost is not None:
                found.setdefault(entry.planned.row, []).append(cost)
    return {row: fmean(costs) for row, costs in found.items()}
