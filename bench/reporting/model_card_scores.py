"""The scores of one pretraining: every column that the store has, over test chips."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ...results.cells import Cell, make_cell, outcomes_of
from ...results.leaderboard import METRICS
from ...results.record import PretrainRecord, RunRecord, digest_json
from ...results.scores import Score, order_of_labels
from ..grid.sweeps import changed_settings
from ..store.records import DamagedRecordError, Store
from .chip_predictions import ChipPredictions

METRIC = "accuracy"


@dataclass(frozen=True)
class CardScore:
    """The score of a pretraining in one column.

    Attributes:
        cell: Mean and interval over test chips.
        version: Of the protocol.
        settings: Settings other than the defaults, in words.
        test_count: Test chips.
    """

    cell: Cell
    version: int
    settings: str
    test_count: int


def scores_of_start(store: Store, start: PretrainRecord) -> list[CardScore]:
    """Return the scores of a pretraining by data set and protocol.

    Runs on other pixels, another split, another version of the protocol or other settings have a
    row of their own.

    Raises:
        LeaderboardError: A record disagrees with its predictions.
    """
    columns: dict[str, list[RunRecord]] = defaultdict(list)
    for record in _runs(store, start):
        same = {name: value for name, value in record.identity.items() if name != "seed"}
        columns[digest_json(same)].append(record)
    found = [_score(store, start, records) for records in columns.values()]
    return sorted(found, key=_order)


def _runs(store: Store, start: PretrainRecord) -> Iterator[RunRecord]:
    for key in sorted(store.keys("evaluate")):
        with suppress(DamagedRecordError):  # `sarbench check` reports it
            record: RunRecord | None = store.read("evaluate", key)
            if record is None or record.identity.get("start") != start.key:
                continue
            if record.weights_digest == start.weights_digest:
                yield record


def _score(store: Store, start: PretrainRecord, records: list[RunRecord]) -> CardScore:
    """Return the score of runs that differ in their seed only."""
    predictions = ChipPredictions(store, records)
    predictions.refuse_false()
    runs = [_run(start, record) for record in records]
    outcomes = outcomes_of({runs[0].method: runs}, "checkpoints", METRIC, predictions)
    identity = records[0].identity
    changed = changed_settings(identity["protocol"], identity["settings"])
    return CardScore(
        make_cell(runs, METRIC, "checkpoints", outcomes),
        identity["protocol_version"],
        ", ".join(f"{name} {value}" for name, value in changed.items()),
        records[0].test_count,
    )


def _run(start: PretrainRecord, record: RunRecord) -> Score:
    identity = record.identity
    return Score(
        method=str(identity["method"]),
        control=False,
        unconfirmed=False,
        dataset=identity["dataset"],
        protocol=identity["protocol"],
        shots=identity["shots"],
        pretrain_seed=start.identity["seed"],
        seed=identity["seed"],
        state="done",
        values={name: getattr(record, name) for name in METRICS},
        key=record.key,
        start=start.key,
        condition=identity.get("condition") or "",
    )


def _order(score: CardScore) -> tuple[Any, ...]:
    cell = score.cell
    shots = order_of_labels(cell.shots)
    return cell.dataset, cell.protocol, score.version, score.settings, shots, cell.condition
