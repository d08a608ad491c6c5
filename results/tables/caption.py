"""Caption and notes of a leaderboard: meaning of the numbers, tests, limits of the claims."""

from collections.abc import Iterable, Sequence
from math import inf

from ..cells import CHIP_METRICS, NoInterval
from ..leaderboard import Cell, Leaderboard
from ..metric import Metric
from ..notes import Note, flags
from ..places import ALPHA
from ..scores import Column, column_name
from ..statistics.units import FEWEST_PRETRAINED, OVER, Unit, covers
from .gain_notes import gain_notes

INCOMPLETE = "Incomplete cells (a/b: a of b runs finished) are not ranked or tested."


def caption(board: Leaderboard, notes: Sequence[Note]) -> list[str]:
    """Return the lines below a table: the numbers, the marks, and the flags of its notes."""
    return [_numbers_line(board), *_marks_line(board), *flags(notes)]


def notes(board: Leaderboard) -> list[Note]:
    """Return everything that a reader needs to judge the numbers."""
    return [
        *_numbers(board), *gain_notes(board), *_test(board), *_ranks(board), *_rows(board),
        *board.notes,
    ]  # fmt: skip


def _numbers_line(board: Leaderboard) -> str:
    name = board.measure.heading
    if not (_units(board, controls=False) or _units(board, controls=True)):
        return f"{name}: mean without an interval."
    over, unit = "over the unit in the head of its column", shared_unit(board)
    if unit:
        over = OVER[unit]
        if unit.startswith("pretrain_seeds"):
            over = over.replace("over ", f"over {len(board.seeds[1])} ", 1)
    scope = ", of checkpoints, not methods" if board.compares == "checkpoints" else ""
    return f"{name}{scope}: mean ± half-width of the 95% interval {over}."


def shared_unit(board: Leaderboard) -> Unit | None:
    """Return the unit of all columns and intervals, or None if they differ; a caption says it."""
    found = _units(board, controls=False) or _units(board, controls=True)
    units = found | set(board.units.values())
    return units.pop() if found and len(units) == 1 else None


def _units(board: Leaderboard, *, controls: bool) -> set[Unit]:
    return {c.unit for c in board.cells if c.low is not None and c.control == controls}


def _marks_line(board: Leaderboard) -> list[str]:
    parts = []
    if board.gains and board.gains.differences:
        unit = ", in points" if board.measure.is_fraction else ""
        fall = " (a fall is a gain)" if board.measure.lower_is_better else ""
        parts.append(f"(+d): gain over the untrained encoder of the same architecture{unit}{fall}")
    places = {cell.place for cell in board.cells}
    if 1 in places:
        test = "Student's test" if board.compares == "checkpoints" else "Tukey's test"
        parts.append(f"bold or (1): shares first place at {ALPHA:.0%} ({test})")
    elif reason := _no_places(board):
        parts.append(f"not ranked: {reason}")
    if 2 in places:
        parts.append("underlined or (2): shares second place")
    if board.controls:
        own: dict[str, list[str]] = {}
        for row, over in _other_units(board).items():
            if row in board.controls:
                own.setdefault(over, []).append(row)
        listed = [f", ± of {', '.join(rows)} {over}" for over, rows in own.items()]
        parts.append(f"*: control, not ranked{''.join(listed)}")
    if board.unconfirmed:
        parts.append("†: not fully defined by its paper")
    if any(board.cell(row, column) is None for row in board.rows for column in board.columns):
        parts.append("n/a: not applicable")
    line = "; ".join(parts)
    return [f"{line[0].upper()}{line[1:]}."] if line else []


def _numbers(board: Leaderboard) -> list[Note]:
    shown = [cell for cell in board.cells if cell.mean is not None]
    known = [cell for cell in shown if cell.low is not None]
    texts = [f"{board.measure.heading}, mean over the runs of a cell."]
    if board.compares == "checkpoints":
        texts.append("The table compares checkpoints. It makes no claim about their methods.")
    units: dict[Unit, set[int]] = {}
    for cell in known:
        if cell.unit in board.units.values():
            units.setdefault(cell.unit, set()).add(board.draws.get(cell.column, 0))
    texts += [
        f"± is the half-width of the 95% Student interval {covers(unit, draws)}."
        for unit, draws in units.items()
    ]
    texts += [
        f"{row} is not pretrained with several seeds; its interval is {over}."
        for row, over in _other_units(board).items()
    ]
    if board.metric not in CHIP_METRICS:
        names = " and ".join(name.replace("_", " ") for name in CHIP_METRICS)
        texts.append(f"Only {names} have intervals and tests over test chips.")
    columns: dict[NoInterval, dict[Column, None]] = {}
    for cell in shown:
        if cell.no_interval:
            columns.setdefault(cell.no_interval, {})[cell.column] = None
    texts += [f"No interval in {_list(where)}: {why}." for why, where in columns.items()]
    evaluation, pretraining = map(_seeds, board.seeds)
    texts.append(f"Evaluation seeds {evaluation}; pretraining seeds {pretraining}.")
    return [*(Note("Numbers", text) for text in texts), *_beyond(board, known), *_incomplete(board)]


def _beyond(board: Leaderboard, known: Sequence[Cell]) -> list[Note]:
    """Return a note if an interval passes the ends of a scale from 0 to 1."""
    passes = [one for one in known if (one.low or 0) < 0 or (one.high or 0) > 1]
    if not (board.measure.is_fraction and passes):
        return []
    flag = "Some intervals pass 0 or 100%: they are symmetric, and wide with few draws."
    return [Note("Numbers", flag, flag)]


def _incomplete(board: Leaderboard) -> list[Note]:
    """Return a note for runs without a score."""
    failed, stale = (sum(getattr(c, name) for c in board.cells) for name in ("failed", "stale"))
    expected = sum(cell.expected for cell in board.cells)
    missing = expected - failed - stale - sum(cell.n for cell in board.cells)
    counts = {"failed": failed, "stale": stale, "missing": missing}
    listed = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    if not listed:
        return []
    flag = f"Incomplete: of {expected} runs {listed}."
    text = f"Of {expected} runs: {listed}. {INCOMPLETE}"
    if stale:
        text += (
            " Stale runs were stored with another version or digest; `sarbench plan` lists them."
        )
    return [Note("Numbers", text, flag)]


def _other_units(board: Leaderboard) -> dict[str, str]:
    """Return the units of the intervals of each row that has other ones than its columns."""
    rows: dict[str, dict[str, None]] = {}
    for cell in board.cells:
        if cell.low is not None and cell.unit != board.units.get(cell.column):
            rows.setdefault(cell.method, {})[OVER[cell.unit]] = None
    return {row: " or ".join(over) for row, over in rows.items()}


def _no_places(board: Leaderboard) -> str:
    """Return the reason why a table without places has none; empty without a method."""
    if not _methods(board):
        return ""
    if len(_methods(board)) == 1:
        return "only one method"
    if _one_checkpoint(board):
        return f"fewer than {FEWEST_PRETRAINED} pretraining seeds"
    if not any(cell.complete and not cell.control for cell in board.cells):
        return "no row is complete"
    return "no column has two rows that can be tested"


def _one_checkpoint(board: Leaderboard) -> bool:
    """Return whether the table shows methods by too few checkpoints to rank them."""
    if board.compares == "checkpoints" or len(_methods(board)) < 2:
        return False
    complete = [cell for cell in board.cells if cell.complete and not cell.control]
    return bool(complete) and all(c.pretrain_seeds < FEWEST_PRETRAINED for c in complete)


def _methods(board: Leaderboard) -> list[str]:
    return [row for row in board.rows if row not in board.controls]


def _test(board: Leaderboard) -> list[Note]:
    if len(_methods(board)) < 2:
        return []
    if _one_checkpoint(board):
        return [Note("Test", (
            "No places and no mean ranks: one checkpoint does not represent its method. A ranking "
            f"of methods needs {FEWEST_PRETRAINED} pretraining seeds or more (`seeds` under "
            '[pretrain]). To compare these checkpoints, set compare = "checkpoints" in the grid. '
            "Rows are sorted by score."
        ))]  # fmt: skip
    placed: dict[Column, list[Cell]] = {}
    for cell in board.cells:
        if cell.place is not None or cell.p_best is not None:
            placed.setdefault(cell.column, []).append(cell)
    texts = []
    if placed:
        metric, unit = board.measure, ", in points" if board.measure.is_fraction else ""
        limits = ", ".join(
            f"{column_name(c)} {_smallest(cells, metric)}" for c, cells in placed.items()
        )
        texts += [
            "Bold or (1): the best row of a column, and every row that does not differ "
            f"significantly from it by {_test_name(board, placed)} at {ALPHA:.0%}. Underlined or "
            "(2): the same among the remaining rows.",
            "Rows that share a place may still differ: the test found no difference, which does "
            "not show that there is none.",
            f"Smallest significant difference from the best of a column{unit}: {limits}.",
        ]
    untested = [column for column in board.columns if column not in placed]
    if untested:
        texts.append(
            f"Not tested: {_list(untested)}. A test needs two complete rows that can be ranked; "
            "a test over test chips also needs enough predictions, draws and groups."
        )
    return [Note("Test", text) for text in texts]


def _test_name(board: Leaderboard, placed: Iterable[Column]) -> str:
    units: set[Unit] = {board.units[column] for column in placed}
    if board.compares == "checkpoints":
        over = " or ".join(OVER[unit].removeprefix("over ") for unit in sorted(units))
        return f"Student's test over {over}, Holm-corrected over the shown rows of the column,"
    text = "Tukey's range test over the pretraining seeds of all methods of the column"
    if "pretrain_seeds+chips" in units:
        text += " (in columns with all labels over test chips as well)"
    return text


def _smallest(cells: Sequence[Cell], metric: Metric) -> str:
    limits = [c.smallest_difference for c in cells if c.smallest_difference is not None]
    low, high = metric.text(min(limits)), metric.text(max(limits))
    return low if low == high else f"{low} to {high}"


def _ranks(board: Leaderboard) -> list[Note]:
    if board.mean_rank:
        text = (
            f"The mean rank is over {len(board.rank_columns)} of {len(board.columns)} columns: "
            "those that are tested and that every ranked row completes. It ranks means, also those "
            "that share a place: it orders the rows and tests nothing."
        )
    elif any(cell.rankable for cell in board.cells):
        text = "No mean rank: no tested column is complete for every ranked row."
    else:
        return []
    return [Note("Test", text)]


def _rows(board: Leaderboard) -> list[Note]:
    found = []
    if board.controls:
        text = "*: a control, which learns nothing. Controls are not ranked or tested."
        above = {row: _list(_won(board, row)) for row in board.controls}
        listed = "; ".join(f"{row} in {where}" for row, where in above.items() if where)
        if listed:
            below = "below" if board.measure.lower_is_better else "above"
            text += f" Controls {below} every method: {listed}."
        found.append(Note("Rows", text))
    names = {cell.method: cell.name or cell.method for cell in board.cells}
    if board.broken:
        listed = ", ".join(dict.fromkeys(names[row] for row in board.broken if row in names))
        text = f"‡: fails its contract (`sarbench methods check {listed}`)"
        found.append(Note("Rows", f"{text}. Such rows are not ranked or tested.", f"{text}."))
    if board.unconfirmed:
        text = "†: the paper does not define the method completely."
        found.append(Note("Methods", text))
    return found


def _won(board: Leaderboard, control: str) -> list[Column]:
    """Return the columns in which a control is better than every method."""
    best: dict[Column, float] = {}
    sign = board.measure.sign
    for cell in board.cells:
        if cell.mean is not None and not cell.control:
            best[cell.column] = max(sign * cell.mean, best.get(cell.column, -inf))
    cells = [board.cell(control, column) for column in best]
    return [c.column for c in cells if c and c.mean is not None and sign * c.mean > best[c.column]]


def _list(columns: Iterable[Column]) -> str:
    return ", ".join(column_name(column) for column in columns)


def _seeds(seeds: Sequence[int]) -> str:
    """Return `0-9` for consecutive seeds, else a list such as `0, 2, 5`."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))
