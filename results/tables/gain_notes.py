"""Notes on gains: columns without one, controls, intervals that contain 0, and missing gains."""

from collections.abc import Iterable, Mapping

from ..leaderboard import Leaderboard
from ..notes import Note
from ..scores import Column, column_name
from ..statistics.intervals import Interval

NAMED = 4  # columns in a flag


def gain_notes(board: Leaderboard) -> list[Note]:
    """Return the notes on gains; of a table that does not show them, on columns without one."""
    gains = board.gains
    found = _without_gain(board)
    if gains is None:
        return found
    if gains.differences:
        over: dict[str, list[str]] = {}
        for row, control in gains.controls.items():
            over.setdefault(control, []).append(row)
        listed = "; ".join(f"{', '.join(rows)} over {control}" for control, rows in over.items())
        what = "the score minus that of the untrained encoder of the same architecture"
        if board.measure.lower_is_better:
            what = (
                "the score of the untrained encoder of the same architecture minus that of the row"
            )
        found.append(Note("Numbers", (
            f"Gain: {what} in the same column, over the evaluation seeds that both have, with the "
            "interval and the requirements of `compare` (`gain_low` and `gain_high` in JSON and "
            f"CSV): {listed}."
        )))  # fmt: skip
        found.append(Note("Numbers", _intervals(gains.differences)))
    alone = ", ".join(row for row in gains.trained if row not in gains.controls)
    if alone:
        found.append(Note("Numbers", (
            f"No gain for {alone}: the shown rows have no untrained control of this architecture, "
            "or several. Keep random_init in `controls`, and show it (-m random_init)."
        ), f"No gain for {alone}: no untrained control is shown."))  # fmt: skip
    missing = [
        (row, column)
        for row in gains.controls
        for column in board.columns
        if board.cell(row, column) and (row, column) not in gains.differences
    ]
    if missing:
        found.append(Note("Numbers", (
            f"No gain for {_by_row(missing)}: the row and its control share no finished run."
        )))  # fmt: skip
    return found


def _without_gain(board: Leaderboard) -> list[Note]:
    """Return a note on the columns in which no row is above its untrained encoder."""
    above: dict[Column, bool] = {}
    for (_, column), one in board.above_untrained.items():
        above[column] = above.get(column, False) or one
    columns = [column for column in board.columns if not above.get(column, True)]
    if not columns:
        return []
    tested = "tested " if len(above) < len(board.columns) else ""
    row = "checkpoint" if board.compares == "checkpoints" else "method"
    what = (
        f"No {row} is measurably better than its untrained encoder in {len(columns)} of "
        f"{len(above)} {tested}column{'s' * (len(above) > 1)}"
    )
    names = list(map(column_name, columns))
    short = ", ".join(names[:NAMED]) + f" and {len(names) - NAMED} more" * (len(names) > NAMED)
    text = f"{what} (the 95% interval of every gain contains 0 or is below): {', '.join(names)}."
    if any(cell.place and cell.column in columns for cell in board.cells):
        text += " Places there order rows that show no gain from pretraining."
    return [Note("Test", text, f"{what}: {short}.")]


def _intervals(gains: Mapping[tuple[str, Column], Interval]) -> str:
    """Return which gains may be 0, and the number of gains without an interval."""
    known = [(at, one.low, one.high) for at, one in gains.items()]
    near = [at for at, low, high in known if low is not None and low <= 0 <= (high or 0)]
    without = sum(low is None for _, low, _ in known)
    if without == len(known):
        return "No gain has a 95% interval."
    text = f"The 95% interval of the gain contains 0: {_by_row(near) or 'nowhere'}."
    return f"{text} Gains without an interval: {without} of {len(known)}." if without else text


def _by_row(cells: Iterable[tuple[str, Column]]) -> str:
    """Return `MAE in synthetic/knn/10, synthetic/knn/all; LoMaR in synthetic/knn/10`."""
    rows: dict[str, list[str]] = {}
    for row, column in cells:
        rows.setdefault(row, []).append(column_name(column))
    return "; ".join(f"{row} in {', '.join(names)}" for row, names in rows.items())
