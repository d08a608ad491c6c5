"""The members of the archive of a plan."""

import io
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ...results.record import PretrainRecord, RunRecord
from ..data.set_descriptions import FOLDER, card_path, read_set, set_path
from ..data.splits import DamagedSetError
from ..grid.expand import PlannedRun
from ..identity import Kind
from ..store.archive import GRID, PLAN, ArchiveError
from ..store.records import HISTORY, Store
from ..store.run_predictions import PREDICTIONS_FILE
from ..store.sample_predictions import SAMPLES_FILE
from ..store.step_times import FOLDER as STEP_TIMES
from ..store.step_times import step_time_file
from .archived_json import RUN, ArchivedPlan, ArchivedRun, ArchivedStart
from .entry import Cause, Entry
from .plan import Plan

FORCE = "run the grid again with --force for this run"
OWN = [one.name for one in fields(PlannedRun) if one.name not in ("pretraining", "identity")]


def members_of(
    plan: Plan, store: Store, grid: bytes, *, scores: bool = True, pictures: bool = True
) -> dict[str, bytes | Path]:
    """Return the members of the archive of a plan: contents, or files of the store.

    Weights are left out.

    Args:
        plan: The grid, or the part to archive.
        store: The store with its records.
        grid: Content of the grid file.
        scores: Keep the score of each test chip, not only its predicted class.
        pictures: Keep the predictions that a report draws: of the first finished pretraining of
            each method.

    Raises:
        ArchiveError: The store does not describe a data set or pool, or contradicts itself, or
            predictions are missing without which there would be nothing to verify.
    """
    members: dict[str, bytes | Path] = {GRID: grid}
    drawn = set[str]()
    for entry in plan.pretrain:
        if entry.record is not None and entry.key:
            files = [HISTORY]
            method = entry.planned.method
            sample = store.file("pretrain", entry.key, SAMPLES_FILE)
            draws = pictures and plan.methods[method].predicts and method not in drawn
            if draws and sample.exists():
                drawn.add(method)
                files.append(SAMPLES_FILE)
            members |= _files(store, "pretrain", entry.key, files)
        if entry.planned.identity and entry.planned.recipe:
            timed = step_time_file(store, entry.planned.identity)
            members |= {f"{STEP_TIMES}/{timed.name}": timed} if timed.is_file() else {}
    records = [entry.record for entry in plan.runs if isinstance(entry.record, RunRecord)]
    starts = [entry.record for entry in plan.pretrain if entry.record]
    members |= {"pretrain.jsonl": _lines(starts), "evaluate.jsonl": _lines(records)}
    if scores:
        for record in records:
            found = _files(store, "evaluate", record.key, [PREDICTIONS_FILE])
            if not found:
                place = store.folder("evaluate", record.key) / PREDICTIONS_FILE
                raise ArchiveError(f"{place} is missing; {FORCE}")
            members |= found
    else:
        members |= _classes(store, records)
    sets = {}
    for name, known in plan.data.items():
        path = set_path(store.root, name, known.data_digest, known.split_digest)
        if not path.is_file():
            raise ArchiveError(
                f"the store {store.shown} does not describe {name}; run `sarbench data prepare "
                f"{shlex.quote(name)}` first, with the same --runs and --data"
            )
        try:
            read_set(path).check(card=False)
        except DamagedSetError as error:
            raise ArchiveError(str(error)) from error
        sets[name] = path.name
        members[f"{FOLDER}/{path.name}"] = path
        mine = card_path(store.root, name)
        if mine.is_file():
            members[f"{FOLDER}/{mine.name}"] = mine
    archived = ArchivedPlan(
        pretrain=[ArchivedStart(planned=one.planned, **_state(one)) for one in plan.pretrain],
        runs=list(_runs(plan)),
        methods=plan.methods,
        sets=sets,
        sharing=list(plan.sharing.items()),
        own=list(plan.own.items()),
        seen=list(plan.seen.items()),
        not_applicable=plan.not_applicable,
        failing=sorted(plan.failing),
        trials=plan.grid.of_trials,
    )
    members[PLAN] = archived.model_dump_json().encode()
    return members


def _files(store: Store, kind: Kind, key: str, names: list[str]) -> dict[str, Path]:
    found = {f"{kind}/{key}/{name}": store.file(kind, key, name) for name in names}
    return {name: path for name, path in found.items() if path.is_file()}


def _lines(records: Sequence[PretrainRecord | RunRecord]) -> bytes:
    """Return one record in each line, in the order of their keys."""
    ordered = sorted(records, key=lambda record: record.key)
    return "".join(f"{record.model_dump_json()}\n" for record in ordered).encode()


def _classes(store: Store, records: list[RunRecord]) -> dict[str, bytes]:
    """Return the predicted classes of all runs of each split as an array (chips, runs)."""
    columns: dict[str, list[np.ndarray]] = {}
    for record in sorted(records, key=lambda record: record.key):
        path = store.folder("evaluate", record.key) / PREDICTIONS_FILE
        try:
            found = store.read_predictions(path, record.predictions_digest, ("classes",))
        except FileNotFoundError:
            raise ArchiveError(f"{path} is missing; {FORCE}") from None
        columns.setdefault(record.identity["split_digest"], []).append(found["classes"])
    members = {}
    for split, found in columns.items():
        table = np.stack(found, axis=1)
        content = io.BytesIO()
        np.save(content, table.astype(np.int8 if table.max() < 128 else np.int16))
        members[f"classes/{split}.npy"] = content.getvalue()
    return members


def _state(entry: Entry[Any]) -> dict[str, Any]:
    if entry.state in ("queued", "running"):  # of the moment, not of the archive
        return {"state": "new", "cause": Cause.NOT_RUN}
    return {
        "state": entry.state, "cause": entry.cause, "detail": entry.detail,
        "failure_class": entry.failure_class,
    }  # fmt: skip


def _runs(plan: Plan) -> Iterator[ArchivedRun]:
    places = {id(entry.planned): place for place, entry in enumerate(plan.pretrain)}
    for entry in plan.runs:
        run = entry.planned
        yield ArchivedRun(
            start=places[id(run.pretraining)],
            key=entry.key,
            identity=run.identity.to_json() if run.identity and not entry.record else None,
            planned=RUN.dump_python(run, mode="json", include=set(OWN)),
            **_state(entry),
        )
