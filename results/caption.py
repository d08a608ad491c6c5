"""The sentences under a leaderboard: what the numbers are, and what was tested."""

from collections.abc import Iterable, Sequence

from .leaderboard import RECALL, Leaderboard
from .scores import Column, column_name
from .ties import ALPHA

# What an interval covers, by what it is over.
COVERS = {
    "seeds": (
        "over evaluation seeds: the draw of the labelled chips and of the head, for these "
        "pretrained encoders and these test images; another pretraining or other test images may "
        "move a number by more"
    ),
    "pretraining seeds": (
        "over pretraining seeds, each the mean of its evaluation seeds: pretraining again, for "
        "these test images"
    ),
}


def metric_name(metric: str) -> str:
    """Return `Balanced accuracy`, `Recall of BTR70`."""
    if metric.startswith(RECALL):
        return f"Recall of {metric[len(RECALL) :]}"
    return metric.replace("_", " ").capitalize().replace("f1", "F1")


def captions(board: Leaderboard) -> list[str]:
    """Return what the numbers mean, and everything a reader has to know to judge them."""
    return [_numbers(board), *_tests(board), _marks(board), *board.notes]


def _numbers(board: Leaderboard) -> str:
    shown = [cell for cell in board.cells if cell.mean is not None]
    parts = [f"{metric_name(board.metric)} in percent."]
    units = [unit for unit in COVERS if any(c.unit == unit and c.low is not None for c in shown)]
    if units:
        parts.append(
            "Mean ± half the 95 % Student interval " + "; or ".join(COVERS[u] for u in units) + "."
        )
    if any(cell.low is None for cell in shown):
        parts.append("No ±: one run, so nothing is known of its spread.")
    evaluation, pretraining = (numbers(seeds) for seeds in board.seeds)
    parts.append(f"Evaluation seeds {evaluation}; pretraining seeds {pretraining}.")
    if any(not cell.complete for cell in board.cells):
        parts.append("a/b: a of b runs are there; such a cell is neither ranked nor tested.")
    return " ".join(parts)


def _tests(board: Leaderboard) -> list[str]:
    placed = {c: rows for c, rows in board.standing.items() if rows}
    untested = [c for c in board.columns if not placed.get(c)]
    told = [c for c, rows in placed.items() if any(s.place for s in rows.values())]
    sentences = []
    if told:
        chips = [c for c in told if any(s.over_chips for s in placed[c].values())]
        how = "a two-sided sign-flip permutation test over paired seeds"
        if chips:
            how += f" (over test chips, near-duplicates together, for {_list(chips)})"
        sentences.append(
            f"Bold (1): the best of a column and every method not separated from it by {how}, "
            f"Holm-corrected over the column as it is shown, at {ALPHA:.0%}; underlined (2): the "
            "same among the rest. Sharing a place means that no difference was shown, not that "
            "there is none. Of columns of truly equal methods more than 5 % separate some pair "
            "(about 10 % with seven methods and ten seeds), because the best is picked by the "
            "same data."
        )
    for column, rows in placed.items():
        if column not in told:
            pairs = max(s.pairs for s in rows.values())
            smallest = next(iter(rows.values())).smallest_p
            sentences.append(
                f"{column_name(column)}: with {pairs} pair(s) and {len(rows)} methods the "
                f"corrected p cannot go below {smallest:.2g}, so nothing is marked."
            )
    if untested and len(board.rows) - len(board.controls) > 1:
        sentences.append(f"Not tested (incomplete, or one run each): {_list(untested)}.")
    return sentences


def _marks(board: Leaderboard) -> str:
    parts = ["Mean rank: over the columns in which a method is complete."]
    if board.controls:
        parts.append("*: a control, not a method; it takes no part in ranks and tests.")
        above = [column_name(c) for c in board.columns if _control_wins(board, c)]
        if above:
            parts.append(f"A control is above every method in: {', '.join(above)}.")
    if board.unconfirmed:
        parts.append("†: the paper leaves part of its definition open.")
    return " ".join(parts)


def _control_wins(board: Leaderboard, column: Column) -> bool:
    cells = [cell for cell in board.cells if cell.column == column and cell.mean is not None]
    methods = [cell.mean or 0.0 for cell in cells if not cell.control]
    controls = [cell.mean or 0.0 for cell in cells if cell.control]
    return bool(methods and controls) and max(controls) > max(methods)


def _list(columns: Iterable[Column]) -> str:
    return ", ".join(column_name(column) for column in columns)


def numbers(seeds: Sequence[int]) -> str:
    """Return `0-9`, or the numbers one by one where they do not follow each other."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))
