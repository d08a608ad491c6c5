"""Finished work as data frames; `docs/python.md` describes the columns."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ...results.cells import make_cell, outcomes_of
from ...results.metric import OF_CLASSES
from ...results.scores import LeaderboardError, Score
from ...results.statistics.units import Compares
from ..data.facts import ChipFacts, Facts
from ..data.splits import Split
from ..identity import GIVEN, Pretraining
from ..reporting.chip_predictions import ChipPredictions
from ..reporting.metric_values import chosen_metric, with_metric
from ..store.history import read_history
from ..store.records import Store
from .rows import RunRow, StartRow

VERSIONS = ("protocol_version", "data_digest", "split_digest")
START = (
    "row", "method", "control", "pretrain_seed", "encoder", "input_px", "pool", "pool_count",
    "epochs", "batch", "steps", "at", "precision", "pretrain_gflop", "config", "recipe",
    "method_version", "weights_digest", "start",
)  # fmt: skip
RUN = (
    "dataset", "condition", "protocol", "shots", "readout", "settings", "seed", *OF_CLASSES,
    "train_count", "test_count", "drift", *VERSIONS, "support_digest", "device", "wall_s", "commit",
    "started", "key",
)  # fmt: skip
FIRST = (  # columns of a run that stand first
    "row", "method", "dataset", "condition", "protocol", "shots", "readout", "settings", "seed",
    "pretrain_seed", *OF_CLASSES,
)  # fmt: skip
OPTIONAL = {  # types of numbers that some rows lack
    "input_px": "Int64", "batch": "Int64", "epochs": "Float64", "at": "Float64",
    "pretrain_gflop": "Float64", "drift": "Float64",
}  # fmt: skip
CELL = (
    "row", "method", "dataset", "condition", "protocol", "shots", "settings", "metric", "mean",
    "low", "high", "n", "pretrain_seeds", "unit", "no_interval", *VERSIONS,
)  # fmt: skip
CHIP = (
    "row", "method", "dataset", "condition", "protocol", "shots", "settings", "seed",
    "pretrain_seed", "chip", "group", "azimuth_deg", "depression_deg", "serial", "size", "truth",
    "predicted", "correct", "key",
)  # fmt: skip
STEP = ("row", "method", "pretrain_seed", "step", "epoch", "loss", "lr", "start")


def run_frame(runs: Sequence[RunRow]) -> pd.DataFrame:
    """Return one line for each run."""
    starts = {run.start.record.key: run.start for run in runs}
    of_start = {key: _start(start) for key, start in starts.items()}
    lines = [of_start[run.start.record.key] | _run(run) | run.record.metrics for run in runs]
    every = dict.fromkeys(name for line in lines for name in line)
    more = sorted(every.keys() - {*START, *RUN})
    rest = [name for name in (*RUN, *START) if name not in FIRST]
    frame = pd.DataFrame(lines, columns=pd.Index([*FIRST, *more, *rest]))
    return frame.astype(OPTIONAL)


def _start(start: StartRow) -> dict[str, Any]:
    record, identity = start.record, start.identity
    encoder, recipe = identity.encoder or {}, identity.recipe or {}
    network = record.architecture
    flop = network.step_gflop if network else None
    batch = recipe.get("batch")
    return {
        "row": start.row,
        "method": identity.method,
        "control": _is_control(identity),
        "pretrain_seed": identity.seed,
        "encoder": encoder.get("name"),
        "input_px": encoder.get("input_px"),
        "pool": " + ".join(member["name"] for member in identity.pool),
        "pool_count": identity.pool_count,
        "epochs": recipe.get("epochs"),
        "batch": batch,
        "steps": record.steps,
        "at": identity.at,
        "precision": identity.precision,
        "pretrain_gflop": flop * record.steps * batch if flop is not None and batch else None,
        "config": _text(identity.config),
        "recipe": _text(identity.recipe),
        "method_version": identity.method_version,
        "weights_digest": record.weights_digest,
        "start": record.key,
    }


def _run(run: RunRow) -> dict[str, Any]:
    record, identity, origin = run.record, run.record.identity, run.record.provenance
    return {
        "dataset": identity["dataset"],
        "condition": identity.get("condition") or "clean",
        "protocol": identity["protocol"],
        "shots": identity["shots"],
        "readout": identity["settings"].get("readout"),
        "settings": run.settings,
        "seed": identity["seed"],
        **{name: getattr(record, name) for name in OF_CLASSES},
        "train_count": record.train_count,
        "test_count": record.test_count,
        "drift": record.drift,
        **{name: identity[name] for name in VERSIONS},
        "support_digest": record.support_digest,
        "device": origin.device,
        "wall_s": origin.wall_s,
        "commit": origin.commit,
        "started": origin.started,
        "key": record.key,
    }


def _is_control(start: Pretraining) -> bool:
    return start.recipe is None and start.method != GIVEN


def _text(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True)


def cell_frame(
    scores: Iterable[Score], metric: str, compares: Compares, predictions: ChipPredictions
) -> pd.DataFrame:
    """Return the mean of each cell with its 95% interval, as in tables, but without places.

    Runs on other pixels, splits or versions of a protocol are cells of their own.

    Raises:
        UnknownMetricError: No metric has this name.
        LeaderboardError: No run has the metric, or a run that could have it has none.
    """
    given, measure = list(scores), chosen_metric(predictions.records(), metric)
    groups: dict[tuple[object, ...], dict[str, list[Score]]] = {}
    for score in with_metric(given, measure, predictions)[0] if given else ():
        place = (*score.column, *(score.versions.get(name) for name in VERSIONS))
        groups.setdefault(place, {}).setdefault(score.method, []).append(score)
    lines = []
    for rows in groups.values():
        own = predictions.only(score.key for group in rows.values() for score in group)
        outcomes = outcomes_of(rows, compares, measure.name, own)
        for row, group in rows.items():
            versions = {name: group[0].versions.get(name) for name in VERSIONS}
            cell = asdict(make_cell(group, measure.name, compares, outcomes))
            where = {"row": row, "method": cell["name"], "condition": cell["condition"] or "clean"}
            lines.append(cell | versions | where)
    return pd.DataFrame(lines, columns=pd.Index(CELL))


def score_of(run: RunRow) -> Score:
    """Return a run as a score."""
    record, identity, start = run.record, run.record.identity, run.start.identity
    return Score(
        method=run.start.row,
        control=_is_control(start),
        unconfirmed=False,
        dataset=identity["dataset"],
        protocol=identity["protocol"],
        shots=identity["shots"],
        pretrain_seed=start.seed,
        seed=identity["seed"],
        state="done",
        values={name: getattr(record, name) for name in OF_CLASSES},
        versions={name: str(identity[name]) for name in VERSIONS},
        weights=record.weights_digest,
        support=record.support_digest,
        key=record.key,
        start=run.start.record.key,
        name=start.method,
        encoder=start.encoder["name"] if start.encoder else None,
        condition=identity.get("condition") or "",
        settings=run.settings,
    )


def prediction_frame(runs: Iterable[RunRow], predictions: ChipPredictions) -> pd.DataFrame:
    """Return one line for each test chip of each run; texts are categories.

    Raises:
        LeaderboardError: The predictions of a run, or the labels of its data set, are not here.
    """
    parts = [_chips(run, predictions) for run in runs]
    if not parts:
        return pd.DataFrame(columns=pd.Index(CHIP))
    columns = {name: [part[name] for part in parts] for name in CHIP}
    sizes = [len(part["chip"]) for part in parts]
    made: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values[0], np.ndarray):
            whole = np.concatenate(values)
            made[name] = pd.Categorical(whole) if whole.dtype.kind in "UO" else whole
        else:
            codes, categories = pd.factorize(np.array(values, dtype=object))
            texts = isinstance(values[0], str) or name == "shots"
            repeated = np.repeat(codes, sizes)
            made[name] = (
                pd.Categorical.from_codes(repeated, pd.Index(categories))
                if texts
                else categories[repeated].astype(np.int64)
            )
    return pd.DataFrame(made)


def _chips(run: RunRow, predictions: ChipPredictions) -> dict[str, Any]:
    line, record = _run(run), run.record
    split, predicted = predictions.split_of(record), predictions.predicted(record.key)
    if split is None or predicted is None:
        what = "labels of the test chips" if split is None else "predictions"
        raise LeaderboardError(
            f"run {record.key[:12]}: its {what} are not here; `sarbench check` gives the reason"
        )
    classes = np.array(split.classes, dtype=object)
    groups = split.groups(line["dataset"])
    truth = split.test_labels
    return line | {
        "row": run.start.row,
        "method": run.start.identity.method,
        "pretrain_seed": run.start.identity.seed,
        "chip": split.ids[split.is_test].astype(object),
        "group": np.full(len(truth), -1) if groups is None else groups,
        **_facts(predictions.facts_of(record), split),
        "truth": classes[truth],
        "predicted": classes[predicted],
        "correct": predicted == truth,
    }


def _facts(known: Facts | None, split: Split) -> dict[str, np.ndarray]:
    """Return the facts about the test chips; NaN or empty where they are not known."""
    facts = (known or Facts.of([ChipFacts()] * len(split.ids))).take(split.is_test)
    sizes = [f"{rows} x {columns}" if rows else "" for rows, columns in facts.size.tolist()]
    return {
        "azimuth_deg": facts.azimuth_deg,
        "depression_deg": facts.depression_deg,
        "serial": facts.serial.astype(object),
        "size": np.array(sizes, dtype=object),
    }


def history_frame(starts: Iterable[StartRow], store: Store) -> pd.DataFrame:
    """Return one line for each logged step of each pretraining."""
    lines = [
        {"row": one.row, "method": one.identity.method, "pretrain_seed": one.identity.seed} | line
        | {"start": one.record.key}
        for one in starts
        for line in read_history(store.history(one.record.key))
    ]  # fmt: skip
    more = sorted({name for line in lines for name in line} - set(STEP))
    return pd.DataFrame(lines, columns=pd.Index([*STEP[:-1], *more, STEP[-1]]))
