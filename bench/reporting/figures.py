"""The figures that a grid has, from its plan and its store."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np
from matplotlib.figure import Figure

from ...methods._encoders import ViTConfig, encoder_from_json
from ...results.class_metrics import confusion
from ...results.figures.confusion import confusion_figure, recall_figure, shares
from ...results.figures.critical_difference import ranks_figure
from ...results.figures.encoders import attention_figure, features_figure
from ...results.figures.training import History, training_figure
from ...results.leaderboard import Leaderboard
from ...results.scores import Column, Score, by_column, column_name
from ...results.statistics.interquartile import interquartile_mean
from ...results.statistics.ranks import TooFewBlocksError, rank_methods
from ..data.packed import Summary
from ..identity import Pretraining
from ..plan.plan import Plan
from ..store.history import read_history
from ..store.records import Store
from ..store.sample_predictions import load
from .chip_predictions import ChipPredictions
from .compute_figure import compute_figures
from .condition_figures import condition_figures
from .method_figures import draw_predictions
from .named_figure import (
    MOST_ROWS,
    NamedFigure,
    figure_name,
    left_out,
    main_column,
    shown_rows,
)
from .swept_figures import swept_figures

ENCODERS = "t-SNE and attention distances"
Offer = tuple[list[NamedFigure], list[str]]  # figures, and reasons for missing ones


def all_figures(
    plan: Plan,
    store: Store,
    predictions: ChipPredictions,
    board: Leaderboard,
    *,
    encoders: bool,
    every: bool = False,
) -> tuple[list[NamedFigure], list[str]]:
    """Return the figures that a grid has, not drawn yet, and reasons for missing ones.

    Args:
        plan: The grid against its store.
        store: Its records, histories and weights.
        predictions: Predictions of the finished runs.
        board: Scores of one metric.
        encoders: Include t-SNE and attention distances, which run the encoders when drawn.
        every: Include the scores over compute in every column, not in one.
    """
    found, skipped = list[NamedFigure](), list[str]()
    for some, reasons in (
        compute_figures(plan, board, every=every),
        (swept_figures(plan, board), []),
        (condition_figures(plan, board), []),
        _ranks(board),
        _classes(plan, predictions, board),
        _training(plan, store, board),
        prediction_figures(plan, store),
        encoder_figures(plan, store) if encoders else ([], [f"{ENCODERS} (switched off)"]),
    ):
        found += some
        skipped += reasons
    return found, skipped


def _ranks(board: Leaderboard) -> Offer:
    rows = [row for row in board.rows if row in board.mean_rank]
    if not rows:
        return [], [
            "critical-difference diagram: no method is ranked (this needs 3 pretraining seeds or "
            "more, and a tested column that every ranked method completes)"
        ]
    if len(rows) > MOST_ROWS:
        return [], [f"critical-difference diagram: {len(rows)} methods are too many to read"]
    blocks = []
    for column in board.rank_columns:
        cells = [board.cell(row, column) for row in rows]
        blocks.append([cell.mean for cell in cells if cell is not None])
    try:
        ranking = rank_methods(rows, np.array(blocks, dtype=np.float64).reshape(-1, len(rows)))
    except TooFewBlocksError as error:
        return [], [f"critical-difference diagram: {error}"]
    return [NamedFigure("ranks", "Mean ranks", (
        f"Over {ranking.blocks} blocks (columns of the table); Friedman p = "
        f"{ranking.friedman_p:.2g}; bars join methods within Nemenyi's critical difference. Blocks "
        "of one data set share test chips and are not independent, so the true critical difference "
        "is larger. The diagram is a description, not a test."
    ), lambda: ranks_figure(ranking))], []  # fmt: skip


def _training(plan: Plan, store: Store, board: Leaderboard) -> Offer:
    rows = shown_rows(board)
    histories = {row: of for row, of in _histories(plan, store).items() if row in rows}
    if not histories:
        return [], ["training curves: no history with two epochs"]
    return [NamedFigure(
        "training", "Training curves",
        "Loss of each pretraining. Methods have different targets, so their losses cannot be "
        "compared. Spread: standard deviation of features over 64 chips of the pool, relative to "
        "their root mean square; rank: effective rank (RankMe) of the same features, at most 64; "
        "both fall to their least, 0 and 1, if features collapse. They have one scale in each line "
        f"of the figure.{_of_knn(plan)}"
        + left_out(board, rows),
        lambda: training_figure(histories),
    )], []  # fmt: skip


def _of_knn(plan: Plan) -> str:
    watched = plan.grid.pretrain.watch
    if not watched:
        return ""
    return (
        f" knn: share of 256 training chips of {watched} that have the class of the nearest of 256 "
        "others (fewer in a small data set); test chips are not read."
    )


def _histories(plan: Plan, store: Store) -> dict[str, History]:
    """Return the history of the first seed of each row; of the states of a training, the longest.

    The others are parts of it.
    """
    found: dict[str, History] = {}
    for training in plan.trainings():
        entry = training[0][0]
        start = entry.planned
        if entry.key and start.row not in found and not plan.methods[start.method].control:
            lines = read_history(store.history(entry.key))
            if sum(bool(line.get("loss")) for line in lines) > 1:
                found[start.row] = lines
    return found


def _classes(plan: Plan, predictions: ChipPredictions, board: Leaderboard) -> Offer:
    """Return confusion and recall of each data set, in its column with most labels."""
    rows = shown_rows(board)
    found, skipped = list[NamedFigure](), list[str]()
    for dataset in dict.fromkeys(column.dataset for column in board.columns):
        column = main_column([c for c in board.columns if c.dataset == dataset])
        matrices: dict[str, np.ndarray] = {}
        classes: tuple[str, ...] = ()
        for entry in plan.runs:
            run = entry.planned
            if run.column != column or entry.record is None:
                continue
            if run.pretraining.row not in rows:
                continue
            predicted, split = predictions.predicted(entry.key), predictions.split(dataset)
            if predicted is None or split is None:
                continue
            classes = split.classes
            matrix = confusion(split.test_labels, predicted.astype(np.int64), len(classes))
            row = run.pretraining.row
            matrices[row] = matrices.get(row, 0) + matrix
        if not matrices:
            skipped.append(f"confusion and recall on {dataset}: no predictions are stored")
            continue
        ordered = {row: matrices[row] for row in rows if row in matrices}
        recalls = {row: np.diag(shares(matrix)) for row, matrix in ordered.items()}
        where = f"{column_name(column)}, sum over all seeds"
        note = "Rows are shares of a true class, summed over seeds, which share test chips."
        fewer = left_out(board, rows)
        found += [
            NamedFigure(figure_name("confusion", dataset), f"Confusion on {dataset}", note + fewer,
                        partial(confusion_figure, ordered, classes, where)),
            NamedFigure(figure_name("recall", dataset), f"Recall of each class on {dataset}",
                        f"{where}.{fewer}",
                        partial(recall_figure, recalls, classes, board.controls, where)),
        ]  # fmt: skip
    return found, skipped


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
            limits = f"{board.measure.limits(found.low, found.high)}, {found.n} seeds"
        most = max(most, found.n)
        parts.append(f"{row} {100 * found.mean:.1f} ({limits})")
    listed = ", ".join(map(column_name, columns))
    how = ", with the 95% Student interval over pretraining seeds" if most > 1 else ""
    return [
        f"Interquartile mean of {board.metric.replace('_', ' ')}: the middle half of the runs of "
        f"each pretraining seed in all columns{how}: {'; '.join(parts)}. Columns: {listed}."
    ]


def encoder_figures(plan: Plan, store: Store) -> Offer:
    """Return t-SNE of features and attention distances of the first encoder of each row."""
    every = _with_encoder(plan, store)
    rows = dict(list(every.items())[:MOST_ROWS])
    if not rows:
        return [], [f"{ENCODERS}: no weights are here (an archive holds none)"]
    from .encoder_figures import attention_of, places_of  # imports torch

    found = list[NamedFigure]()
    fewer = f" Drawn: {len(rows)} of {len(every)} encoders." if len(rows) < len(every) else ""
    datasets = [plan.data[name] for name in _datasets(plan) if name in plan.data]

    def features(dataset: Summary) -> Figure:
        places, labels, classes = places_of(rows, dataset, store)
        return features_figure(places, labels, classes, f"{dataset.name}: {len(labels)} test chips")

    for dataset in datasets:
        name = figure_name("features", dataset.name)
        found.append(NamedFigure(name, f"Features on {dataset.name}", (
            "t-SNE of frozen features of test chips (readout as in the linear protocol). Sizes of "
            "groups and distances between groups have no meaning, and t-SNE can show groups in "
            "data without groups." + fewer
        ), partial(features, dataset)))  # fmt: skip
    attentive = {row: one for row, one in rows.items() if one.encoder and "patch_px" in one.encoder}
    if not attentive:
        return found, ["attention distances: drawn for the encoders vit_* only"]
    found.append(NamedFigure("attention", "Attention distance", (
        "Mean distance between a patch and the patches that it attends to, for each head, over "
        "whole chips without a mask and without the class token. Dashed: uniform attention." + fewer
    ), lambda: attention_figure(*attention_of(attentive, datasets[0], store))))  # fmt: skip
    return found, []


def _with_encoder(plan: Plan, store: Store) -> dict[str, Pretraining]:
    """Return the pretraining of the first stored encoder of each row."""
    found: dict[str, Pretraining] = {}
    for entry in plan.pretrain:
        start = entry.planned
        if entry.state == "done" and start.identity and start.identity.encoder:
            path = store.encoder(start.identity.key)
            if path.exists():
                found.setdefault(start.row, start.identity)
    return found


def prediction_figures(plan: Plan, store: Store) -> Offer:
    """Return the stored predictions of the first finished pretraining of each method."""
    found: dict[str, NamedFigure] = {}
    without: dict[str, str] = {}
    for entry in plan.pretrain:
        start = entry.planned
        if not plan.methods[start.method].predicts or start.method in found:
            continue
        if start.identity is None or start.identity.encoder is None:
            continue
        made = load(store.folder("pretrain", start.identity.key)) if entry.state == "done" else None
        if made is None:
            without[start.method] = start.label
            continue
        encoder = cast(ViTConfig, encoder_from_json(start.identity.encoder))
        found[start.method] = NamedFigure(
            figure_name("method", start.method), f"Predictions of {start.label}",
            "Chips of the pool after pretraining, not augmented. Blue: hidden from the encoder. "
            "Orange: windows or blocks. Histograms and features are drawn as colours; similar "
            "values have similar colours.",
            partial(draw_predictions, made, start.row, encoder), pixels=True,
        )  # fmt: skip
    missing = [label for method, label in without.items() if method not in found]
    reason = "no finished pretraining with stored predictions"
    return list(found.values()), [f"{', '.join(missing)}: {reason}"] if missing else []


def _datasets(plan: Plan) -> list[str]:
    """Return the data sets of the runs of a plan."""
    return list(dict.fromkeys(entry.planned.dataset for entry in plan.runs))
