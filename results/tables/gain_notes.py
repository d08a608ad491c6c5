"""Notes on the gains of a table: controls, intervals that contain 0, and missing gains."""

from collections.abc import Iterable, Mapping

from ..leaderboard import Leaderboard
from ..notes import Note
from ..scores import Column, column_name
from ..statistics.intervals import Interval


def gain_notes(board: Leaderboard) -> list[Note]:
    """Return the notes on gains; none for a table without them."""
    gains = board.gains
    if gains is None:
        return []
    found: list[Note] = []
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
