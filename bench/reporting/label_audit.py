"""Test chips that the best encoders agree to call another class than their label.

Nothing is changed: the list is for people to look at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from ...results.record import RunRecord
from ...results.scores import Column, labels_in_words
from ..plan.plan import Plan
from ..suggest import RequestError
from .chip_predictions import ChipPredictions

BEST = 3  # encoders that must agree, in all their runs
FEWEST = 2  # encoders without which agreement says little


@dataclass(frozen=True)
class Doubted:
    """A test chip that the best encoders call another class.

    Attributes:
        chip_id: Its id.
        label: Its class.
        called: The class in every run of the best encoders.
        agreeing: Share of the runs of all ranked rows that say the same.
    """

    chip_id: str
    label: str
    called: str
    agreeing: float


@dataclass(frozen=True)
class LabelAudit:
    """The test chips of a data set against the predictions of a grid.

    Attributes:
        dataset: The data set.
        column: Protocol, settings and labels of the runs.
        encoders: The best ranked rows, with their mean accuracy.
        runs: Number of their runs.
        of: Number of test chips.
        wrong: Share of the test chips that a run of them gets wrong, on average.
        chips: The doubted chips, those with the highest share of agreeing runs first.
    """

    dataset: str
    column: str
    encoders: tuple[tuple[str, float], ...]
    runs: int
    of: int
    wrong: float
    chips: tuple[Doubted, ...]


def label_audit(plan: Plan, predictions: ChipPredictions, dataset: str) -> LabelAudit:
    """Return the chips whose label the best encoders of a grid doubt.

    A row counts if it is not a control, with its runs on clean test chips. One column of the table
    (protocol, settings, labels) is taken: that in which the `BEST` rows have the highest accuracy.
    All runs of these rows in it, over all seeds, must agree.

    Args:
        plan: The grid with its records.
        predictions: The predictions of its runs.
        dataset: Name of the data set.

    Raises:
        RequestError: Fewer than `FEWEST` rows have finished runs on the data set, or its labels or
            predictions are missing.
    """
    columns = {
        column: rows for column, rows in _columns(plan, dataset).items() if len(rows) >= FEWEST
    }
    if not columns:
        datasets = dict.fromkeys(e.planned.dataset for e in plan.runs if e.state == "done")
        raise RequestError(
            f"{plan.grid.name} has no column with finished runs of {FEWEST} ranked rows on "
            f"{dataset}, which are needed to compare labels with their agreement. It has runs on "
            f"{', '.join(datasets) or 'no data set'}: name one of these, or run the grid"
        )
    split = predictions.split(dataset)
    if split is None:
        raise RequestError(predictions.why_not(dataset))
    best_of = {column: _best(rows) for column, rows in columns.items()}
    column = max(columns, key=lambda one: np.mean([_mean(columns[one][r]) for r in best_of[one]]))
    rows, best = columns[column], best_of[column]
    called = {row: _called(predictions, records) for row, records in rows.items()}
    chosen = np.concatenate([called[row] for row in best])
    labels = split.test_labels
    doubted = (chosen == chosen[0]).all(axis=0) & (chosen[0] != labels)
    agreeing = (np.concatenate(list(called.values())) == chosen[0]).mean(axis=0)
    order = np.flatnonzero(doubted)
    order = order[np.argsort(-agreeing[order], kind="stable")]
    ids, classes = split.ids[split.is_test], split.classes
    return LabelAudit(
        dataset,
        ", ".join(filter(None, (column.protocol, column.settings, labels_in_words(column.shots)))),
        tuple((row, _mean(rows[row])) for row in best),
        len(chosen),
        len(labels),
        float((chosen != labels).mean()),
        tuple(
            Doubted(
                str(ids[chip]), classes[labels[chip]], classes[chosen[0, chip]],
                float(agreeing[chip]),
            )
            for chip in order.tolist()
        ),
    )  # fmt: skip


Rows = dict[str, list[RunRecord]]


def _columns(plan: Plan, dataset: str) -> dict[Column, Rows]:
    """Return the records of each ranked row in each column of clean test chips."""
    found: dict[Column, Rows] = {}
    for entry in plan.runs:
        run = entry.planned
        control = plan.methods[run.pretraining.method].control
        wanted = run.dataset == dataset and not run.condition and not control
        if wanted and isinstance(entry.record, RunRecord):
            rows = found.setdefault(run.column, {})
            rows.setdefault(run.pretraining.row, []).append(entry.record)
    return found


def _mean(records: Sequence[RunRecord]) -> float:
    return float(np.mean([one.accuracy for one in records]))


def _best(rows: Rows) -> list[str]:
    return sorted(rows, key=lambda row: -_mean(rows[row]))[:BEST]


def _called(
    predictions: ChipPredictions, records: Sequence[RunRecord]
) -> Int[np.ndarray, "runs M"]:
    found = [predictions.predicted(record.key) for record in records]
    if missing := [one.key[:12] for one, own in zip(records, found, strict=True) if own is None]:
        raise RequestError(
            f"the predictions of {len(missing)} runs are missing ({', '.join(missing[:3])}); copy "
            "their folders into the store, or run the grid again with --force"
        )
    return np.stack([one for one in found if one is not None])
