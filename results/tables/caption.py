"""The sentences under a leaderboard: what the numbers are, and what was tested."""

from collections.abc import Iterable, Sequence

from ..cells import CHIP_METRICS
from ..leaderboard import RECALL, Cell, Leaderboard
from ..scores import Column, column_name
from ..statistics.units import FEWEST_PRETRAINED, OVER, Unit, covers
from ..ties import ALPHA

SHARED = (
    "Sharing a place means that no difference was shown, not that there is none. Smallest "
    "difference that could have been shown, in points: "
)


def metric_name(metric: str) -> str:
    """Return `Balanced accuracy`, `Recall of BTR70`."""
    if metric.startswith(RECALL):
        return f"Recall of {metric[len(RECALL) :]}"
    return metric.replace("_", " ").capitalize().replace("f1", "F1")


def captions(board: Leaderboard) -> list[str]:
    """Return what the numbers mean, and everything a reader has to know to judge them."""
    return [_numbers(board), *_tests(board), *_marks(board), *board.notes]


def _numbers(board: Leaderboard) -> str:
    shown = [cell for cell in board.cells if cell.mean is not None]
    parts = [f"{metric_name(board.metric)} in percent."]
    if board.compares == "checkpoints":
        parts.append("Compares checkpoints: nothing is claimed of the methods that made them.")
    known = [cell for cell in shown if cell.low is not None]
    units: dict[Unit, set[int]] = {}
    for cell in known:
        if cell.unit in board.units.values():
            units.setdefault(cell.unit, set()).add(board.draws.get(cell.column, 0))
    if units:
        listed = "; or ".join(covers(unit, draws) for unit, draws in units.items())
        parts.append(f"Mean ± half the 95% Student interval {listed}.")
    parts += _other_units(board, known)
    if board.metric not in CHIP_METRICS:
        names = " and ".join(name.replace("_", " ") for name in CHIP_METRICS)
        parts.append(f"No interval and no test is over test chips; only {names} have those.")
    parts += _without_interval(shown)
    evaluation, pretraining = (numbers(seeds) for seeds in board.seeds)
    parts.append(f"Evaluation seeds {evaluation}; pretraining seeds {pretraining}.")
    if any(cell.n and not cell.complete for cell in board.cells):
        parts.append("a/b: a of b runs are there; such a cell is neither ranked nor tested.")
    if any(cell.mean is None and cell.stale and not cell.failed for cell in board.cells):
        parts.append("stale: stored with another version or digest; `sarbench plan` says which.")
    return " ".join(parts)


def _without_interval(shown: Sequence[Cell]) -> list[str]:
    """Return a sentence for each reason why cells have no interval, with their columns."""
    columns: dict[str, dict[Column, None]] = {}
    for cell in shown:
        if cell.no_interval:
            columns.setdefault(cell.no_interval, {})[cell.column] = None
    return [f"No ± in {_list(where)}: {why}." for why, where in columns.items()]


def _other_units(board: Leaderboard, known: Sequence[Cell]) -> list[str]:
    """Return a sentence for rows whose interval is not over what their column says."""
    rows: dict[str, dict[Unit, None]] = {}
    for cell in known:
        if cell.unit != board.units.get(cell.column):
            rows.setdefault(cell.method, {})[cell.unit] = None
    return [
        f"{row} is not pretrained with several seeds: its ± is "
        + " or ".join(OVER[unit] for unit in units)
        + "."
        for row, units in rows.items()
    ]


def _tests(board: Leaderboard) -> list[str]:
    rows = [row for row in board.rows if row not in board.controls]
    if len(rows) < 2:
        return []
    complete = [c for c in board.cells if c.complete and not c.control]
    sentences = []
    few = all(cell.pretrain_seeds < FEWEST_PRETRAINED for cell in complete)
    if complete and few and board.compares == "methods":
        sentences.append(
            f"No places and no mean ranks: one checkpoint is not a method, which takes "
            f"{FEWEST_PRETRAINED} pretraining seeds or more (`seeds` under [pretrain]); to compare "
            'these checkpoints, set compare = "checkpoints" in the grid. Rows are in the order of '
            "their scores."
        )
        return sentences
    placed: dict[Column, list[Cell]] = {}
    for cell in board.cells:
        if cell.place is not None or cell.p_best is not None:
            placed.setdefault(cell.column, []).append(cell)
    if placed:
        sentences.append(
            "Bold (1): the best of a column and every row not separated from it by "
            f"{_test_name(board, placed)} at {ALPHA:.0%}; underlined (2): the same among the rest. "
            + SHARED
            + ", ".join(f"{column_name(c)} {_smallest(cells)}" for c, cells in placed.items())
            + "."
        )
    untested = [column for column in board.columns if column not in placed]
    if untested:
        sentences.append(
            "Not tested (fewer than two complete rows that may be ranked, or too few predictions, "
            f"draws or groups for a test over test chips): {_list(untested)}."
        )
    return sentences


def _test_name(board: Leaderboard, placed: Iterable[Column]) -> str:
    units: set[Unit] = {board.units[column] for column in placed}
    if board.compares == "checkpoints":
        over = " or ".join(OVER[unit].removeprefix("over ") for unit in sorted(units))
        return f"Student's test over {over}, Holm-corrected over the column as it is shown,"
    text = "Tukey's range test over the pretraining seeds of all methods of the column"
    if "pretrain_seeds+chips" in units:
        text += " (with all labels over test chips as well)"
    return text


def _smallest(cells: Sequence[Cell]) -> str:
    limits = [100 * c.smallest_difference for c in cells if c.smallest_difference is not None]
    low, high = f"{min(limits):.1f}", f"{max(limits):.1f}"
    return low if low == high else f"{low} to {high}"


def _marks(board: Leaderboard) -> list[str]:
    parts = []
    if board.mean_rank:
        parts.append(
            f"Mean rank: over the {len(board.rank_columns)} of {len(board.columns)} columns that "
            "are tested and that every ranked row completes."
        )
    elif any(cell.rankable for cell in board.cells):
        parts.append("No mean rank: no tested column is complete for every ranked row.")
    if board.controls:
        parts.append("*: a control, not a method; it takes no part in ranks and tests.")
        above = {row: _list(_won(board, row)) for row in board.controls}
        listed = "; ".join(f"{row} in {where}" for row, where in above.items() if where)
        if listed:
            parts.append(f"Controls above every method: {listed}.")
    if board.unconfirmed:
        parts.append("†: the paper leaves part of its definition open.")
    names = {cell.method: cell.name or cell.method for cell in board.cells}
    if board.broken:
        listed = ", ".join(dict.fromkeys(names[row] for row in board.broken if row in names))
        parts.append(
            f"‡ fails its contract: sarbench methods check {listed}; it takes no part in ranks and "
            "tests."
        )
    return [" ".join(parts)] if parts else []


def _won(board: Leaderboard, control: str) -> list[Column]:
    """Return the columns in which a control is above every method."""
    best: dict[Column, float] = {}
    for cell in board.cells:
        if cell.mean is not None and not cell.control:
            best[cell.column] = max(cell.mean, best.get(cell.column, 0.0))
    cells = [board.cell(control, column) for column in best]
    return [c.column for c in cells if c and c.mean is not None and c.mean > best[c.column]]


def _list(columns: Iterable[Column]) -> str:
    return ", ".join(column_name(column) for column in columns)


def numbers(seeds: Sequence[int]) -> str:
    """Return `0-9`, or the numbers one by one where they do not follow each other."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))
