"""Figures of a report, drawn from a plan and its store."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
from matplotlib.figure import Figure

from ...methods._encoders import EncoderConfig, encoder_from_json
from ...results.figures.confusion import confusion_figure, recall_figure
from ...results.figures.critical_difference import ranks_figure
from ...results.figures.encoders import attention_figure, features_figure
from ...results.figures.scores import cost_figure, shots_figure
from ...results.figures.training import training_figure
from ...results.leaderboard import Leaderboard
from ...results.metrics import confusion
from ...results.scores import Column, Score, by_column, column_name
from ...results.statistics.interquartile import interquartile_mean
from ...results.statistics.ranks import TooFewBlocksError, rank_methods
from ..data.prepare import NotPreparedError
from ..plan.plan import Plan
from ..store.atomic import read_lines
from ..store.records import Store
from ..store.sample_predictions import load
from .chip_predictions import ChipPredictions
from .method_figures import draw_predictions

T = TypeVar("T")
MOST_ROWS = 14  # in one figure: the best methods and every control


@dataclass(frozen=True)
class Drawn:
    """A figure or a PNG with its file name, title and caption."""

    name: str
    title: str
    caption: str
    figure: Figure | None = None
    png: bytes = b""


def score_figures(
    plan: Plan, store: Store, predictions: ChipPredictions, board: Leaderboard
) -> tuple[list[Drawn], list[str]]:
    """Return the figures of records, histories and predictions, and reasons for missing ones."""
    drawn: list[Drawn] = []
    skipped: list[str] = []
    rows = shown_rows(board)
    if len(rows) < len(board.rows):
        skipped.append(
            f"{len(board.rows) - len(rows)} of {len(board.rows)} rows in the figures; the methods "
            "of best rank and all controls are drawn"
        )

    def add(figure: Figure | None, name: str, title: str, caption: str, missing: str) -> None:
        if figure is None:
            skipped.append(missing)
        else:
            drawn.append(Drawn(name, title, caption, figure))

    add(
        shots_figure(board, rows), "shots", "Accuracy over labelled chips",
        "Mean and 95% Student interval over the unit of each cell; hollow: incomplete; dashed "
        "grey: controls.",
        "score over shots: no protocol has two numbers of shots",
    )  # fmt: skip
    _add_ranks(board, drawn, skipped)
    add(
        cost_figure(board, _hours(plan), _most_labels(board.columns), rows),
        "cost", "Accuracy and cost",
        "Recorded wall time of one process for one pretraining. Other load on the machine "
        "increases it.",
        "accuracy and cost: too few finished pretrainings",
    )  # fmt: skip
    _add_classes(plan, predictions, board, rows, drawn, skipped)
    add(
        training_figure(_only(_histories(plan, store), rows)), "training", "Training curves",
        "Loss of each pretraining. Methods have different targets, so their losses cannot be "
        "compared.",
        "training curves: no history with two epochs",
    )  # fmt: skip
    return drawn, skipped


def shown_rows(board: Leaderboard) -> list[str]:
    """Return the rows to draw, in the order of the board."""
    methods = [row for row in board.rows if row not in board.controls]
    return [*methods[: max(1, MOST_ROWS - len(board.controls))], *board.controls]


def _only(values: dict[str, T], rows: Sequence[str]) -> dict[str, T]:
    return {row: values[row] for row in rows if row in values}


def _add_ranks(board: Leaderboard, drawn: list[Drawn], skipped: list[str]) -> None:
    rows = [row for row in board.rows if row in board.mean_rank]
    if not rows:
        skipped.append(
            "critical-difference diagram: no method is ranked (this needs 3 pretraining seeds or "
            "more, and a tested column that every ranked method completes)"
        )
        return
    if len(rows) > MOST_ROWS:
        skipped.append(f"critical-difference diagram: {len(rows)} methods are too many to read")
        return
    blocks = []
    for column in board.rank_columns:
        cells = [board.cell(row, column) for row in rows]
        blocks.append([cell.mean for cell in cells if cell is not None])
    try:
        ranking = rank_methods(rows, np.array(blocks, dtype=np.float64).reshape(-1, len(rows)))
    except TooFewBlocksError as error:
        skipped.append(f"critical-difference diagram: {error}")
        return
    drawn.append(Drawn("ranks", "Mean ranks", (
        f"Over {ranking.blocks} blocks (columns of the table); Friedman p = "
        f"{ranking.friedman_p:.2g}; bars join methods within Nemenyi's critical difference. Blocks "
        "of one data set share test chips and are not independent, so the true critical difference "
        "is larger. The diagram is a description, not a test."
    ), ranks_figure(ranking)))  # fmt: skip


def _most_labels(columns: Sequence[Column]) -> Column:
    """Return the clean column with most labels, of `linear` if there is one."""

    def labels(column: Column) -> tuple[bool, bool, float]:
        count = np.inf if column.shots == "all" else float(column.shots)
        return not column.condition, column.protocol == "linear", count

    return max(columns, key=labels)


def _hours(plan: Plan) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for entry in plan.pretrain:
        start = entry.planned
        if entry.record and start.identity and start.identity.recipe:
            found.setdefault(start.row, []).append(entry.record.provenance.wall_s / 3600)
    return {row: float(np.mean(hours)) for row, hours in found.items()}


def _histories(plan: Plan, store: Store) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for entry in plan.pretrain:
        start = entry.planned
        if entry.key and start.row not in found and not plan.methods[start.method].control:
            lines = read_lines(store.history(entry.key))
            points = [(float(p["epoch"]), float(p["loss"])) for p in lines if p.get("loss")]
            if points:
                found[start.row] = points
    return found


def _add_classes(
    plan: Plan,
    predictions: ChipPredictions,
    board: Leaderboard,
    rows: Sequence[str],
    drawn: list[Drawn],
    skipped: list[str],
) -> None:
    """Add confusion and recall of each data set, in its column with most labels."""
    names = dict.fromkeys(column.dataset for column in board.columns)
    for number, dataset in enumerate(names):
        column = _most_labels([c for c in board.columns if c.dataset == dataset])
        matrices: dict[str, np.ndarray] = {}
        classes: tuple[str, ...] = ()
        for entry in plan.runs:
            run = entry.planned
            if run.column != column or entry.record is None:
                continue
            if run.pretraining.row not in rows:
                continue
            predicted, known = predictions.predicted(entry.key), predictions.labels(dataset)
            if predicted is None or known is None:
                continue
            labels, classes = known
            matrix = confusion(labels, predicted.astype(np.int64), len(classes))
            row = run.pretraining.row
            matrices[row] = matrices.get(row, 0) + matrix
        if not matrices:
            skipped.append(f"confusion and recall on {dataset}: no predictions are stored")
            continue
        ordered = {row: matrices[row] for row in rows if row in matrices}
        where = f"{column_name(column)}, sum over all seeds"
        note = "Rows are shares of a true class, summed over seeds, which share test chips."
        drawn.append(Drawn(f"confusion-{number}", f"Confusion on {dataset}", note,
                           confusion_figure(ordered, classes, where)))  # fmt: skip
        recalls = {
            row: np.diag(matrix) / np.maximum(matrix.sum(axis=1), 1)
            for row, matrix in ordered.items()
        }
        drawn.append(Drawn(f"recall-{number}", f"Recall of each class on {dataset}", where,
                           recall_figure(recalls, classes, board.controls, where)))  # fmt: skip


def interquartile_means(board: Leaderboard, scores: Sequence[Score]) -> list[str]:
    """Return a sentence with the interquartile mean of each method over the shared columns."""
    grouped = by_column(scores)
    rows = [row for row in board.rows if row not in board.controls]

    def whole(row: str, column: Column) -> bool:
        cell = board.cell(row, column)
        return cell is not None and cell.complete and cell.n > 1

    shown = [r for r in rows if any(whole(r, c) for c in board.columns)]
    columns = [c for c in board.columns if shown and all(whole(row, c) for row in shown)]
    if not columns:
        return []
    parts, most = [], 0
    for row in shown:
        runs: dict[int, list[float]] = {}
        for score in (score for column in columns for score in grouped[column][row]):
            runs.setdefault(score.pretrain_seed, []).append(score.values[board.metric])
        found = interquartile_mean([np.array(of_seed) for of_seed in runs.values()])
        limits = "one pretraining seed, no interval"
        if found.low is not None and found.high is not None:
            limits = f"{100 * found.low:.1f} to {100 * found.high:.1f}, {found.n} seeds"
        most = max(most, found.n)
        parts.append(f"{row} {100 * found.mean:.1f} ({limits})")
    listed = ", ".join(map(column_name, columns))
    how = ", with the 95% Student interval over pretraining seeds" if most > 1 else ""
    return [
        f"Interquartile mean of {board.metric.replace('_', ' ')}: the middle half of the runs of "
        f"each pretraining seed in all columns{how}: {'; '.join(parts)}. Columns: {listed}."
    ]


def encoder_figures(plan: Plan, store: Store) -> tuple[list[Drawn], list[str]]:
    """Draw t-SNE of features and attention distances of the first encoder of each row."""
    from .encoder_figures import attention_of, places_of, with_encoder

    drawn: list[Drawn] = []
    skipped: list[str] = []
    every = with_encoder(plan, store)
    rows = dict(list(every.items())[:MOST_ROWS])
    if not rows:
        return [], ["t-SNE and attention distances: no weights are here (an archive holds none)"]
    datasets = [plan.data[name] for name in _datasets(plan) if name in plan.data]
    for number, dataset in enumerate(datasets):
        try:
            places, labels, classes = places_of(rows, dataset, store)
        except NotPreparedError as error:
            skipped.append(f"t-SNE on {dataset.name}: {error}")
            continue
        title = f"{dataset.name}: {len(labels)} test chips"
        drawn.append(Drawn(f"features-{number}", f"Features on {dataset.name}", (
            "t-SNE of frozen features of test chips (readout as in the linear protocol). Sizes of "
            "groups and distances between groups have no meaning, and t-SNE can show groups in "
            "data without groups."
        ), features_figure(places, labels, classes, title)))  # fmt: skip
    attentive = {row: one for row, one in rows.items() if one.encoder and "patch_px" in one.encoder}
    if not attentive:
        return drawn, [*skipped, "attention distances: drawn for the encoders vit_* only"]
    try:
        distances, uniform, side = attention_of(attentive, datasets[0], store)
    except NotPreparedError as error:
        return drawn, [*skipped, f"attention distances: {error}"]
    drawn.append(Drawn("attention", "Attention distance", (
        "Mean distance between a patch and the patches that it attends to, for each head, over "
        "whole chips without a mask and without the class token. Dashed: uniform attention."
    ), attention_figure(distances, uniform, side)))  # fmt: skip
    return drawn, skipped


def prediction_figures(plan: Plan, store: Store) -> tuple[list[Drawn], list[str]]:
    """Draw the stored predictions of the first finished pretraining of each method."""
    drawn: dict[str, Drawn] = {}
    without: dict[str, str] = {}
    for entry in plan.pretrain:
        start = entry.planned
        if not plan.methods[start.method].predicts or start.method in drawn:
            continue
        if start.identity is None or start.identity.encoder is None:
            continue
        made = load(store.folder("pretrain", start.identity.key)) if entry.state == "done" else None
        if made is None:
            without[start.method] = start.label
            continue
        encoder = cast(EncoderConfig, encoder_from_json(start.identity.encoder))
        figure = draw_predictions(made, start.row, encoder)
        content = io.BytesIO()
        figure.savefig(content, dpi=110)
        drawn[start.method] = Drawn(f"method-{start.method}", f"Predictions of {start.label}", (
            "Chips of the pool after pretraining, not augmented. Blue: hidden from the encoder. "
            "Orange: windows or blocks. Histograms and features are drawn as colours; similar "
            "values have similar colours."
        ), png=content.getvalue())  # fmt: skip
    missing = [label for method, label in without.items() if method not in drawn]
    reason = "no finished pretraining with stored predictions"
    return list(drawn.values()), [f"{', '.join(missing)}: {reason}"] if missing else []


def _datasets(plan: Plan) -> list[str]:
    """Return the data sets of the runs of a plan."""
    return list(dict.fromkeys(entry.planned.dataset for entry in plan.runs))
