"""The levels between which a score is read: chance, and training on labels."""

from dataclasses import replace

from ...results.leaderboard import Leaderboard
from ...results.notes import Note
from ...results.scores import Column, column_name
from ..plan.plan import Plan

CEILING = "supervised"  # the method that is trained on labels
CHANCE, TRAINED = "Chance: ", "(pretrained with labels"  # are in these notes alone
MOST_VALUES = 2  # columns whose ceiling is written out


def reference_notes(plan: Plan, board: Leaderboard) -> list[Note]:
    """Return a note of chance and one of training on labels, where they are known."""
    texts = [_chance(plan, board), _ceiling(board)]
    return [Note("Numbers", text, text) for text in texts if text]


def without_levels(board: Leaderboard) -> Leaderboard:
    """Return a leaderboard without these notes, for scores on parts of the test chips.

    A part may hold one class only, so its chance is not that of all chips.
    """
    levels = CHANCE, TRAINED
    kept = [note for note in board.notes if not any(level in note.text for level in levels)]
    return replace(board, notes=kept)


def chance_of(plan: Plan, board: Leaderboard, dataset: str) -> float | None:
    """Return the score of guessing one of C classes; None if it is not known."""
    if board.measure.name not in ("accuracy", "balanced_accuracy") or dataset not in plan.data:
        return None
    return 1 / len(plan.data[dataset].classes)


def _chance(plan: Plan, board: Leaderboard) -> str:
    """Return the score without knowledge: one of C classes, or always the most frequent one."""
    metric = board.measure
    levels: dict[str, list[str]] = {}
    for dataset in dict.fromkeys(column.dataset for column in board.columns):
        chance = chance_of(plan, board, dataset)
        if chance is None:
            continue
        counts = plan.data[dataset].counts["test"].values()
        largest = max(counts) / sum(counts)
        level = f"{metric.text(chance)}%"
        if metric.name == "accuracy" and metric.text(largest) != metric.text(chance):
            level += f" (always its largest class: {metric.text(largest)}%)"
        levels.setdefault(level, []).append(dataset)
    parts = [f"{', '.join(names)} {level}" for level, names in levels.items()]
    return f"{CHANCE}{'; '.join(parts)}." if parts else ""


def _ceiling(board: Leaderboard) -> str:
    """Return the scores of training on labels, or the number of columns in which it is beaten."""
    cells = [cell for cell in board.cells if cell.name == CEILING and cell.mean is not None]
    row = cells[0].method if cells else ""
    own = {cell.column: cell.mean for cell in cells if cell.method == row and cell.mean is not None}
    if not own:
        return ""
    metric = board.measure
    beaten = {c for c, mean in own.items() if _above(board, c, metric.sign * mean)}
    values = ""
    if len(own) <= MOST_VALUES:
        listed = ", ".join(f"{metric.text(v)} in {column_name(c)}" for c, v in own.items())
        values = f": {listed}"
    if not beaten:
        return f"Ceiling: {row} {TRAINED}{values})."
    below = "above" if metric.lower_is_better else "below"
    return (
        f"{row} {TRAINED}{values}) is {below} another method in {len(beaten)} of {len(own)} "
        "columns, so it is not a ceiling there."
    )


def _above(board: Leaderboard, column: Column, level: float) -> bool:
    """Return whether a method without labels is better than a level in a column."""
    return any(
        board.measure.sign * cell.mean > level
        for cell in board.cells
        if cell.column == column and cell.mean is not None
        if not cell.control and cell.name != CEILING
    )
