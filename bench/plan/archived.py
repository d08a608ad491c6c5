"""The plan of an archive: it is stored with the records and not made again.

So an archive shows what its records say, even if methods, protocols or defaults have changed since.
"""

import io
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ...methods._registry import names as method_names
from ...methods._registry import own_names
from ...protocols import PROTOCOLS
from ...results.record import PretrainRecord, RunRecord
from ..data.registry import add_cards
from ..data.set_descriptions import (
    FOLDER,
    card_path,
    read_set,
    set_path,
)
from ..data.splits import DamagedSetError
from ..grid.applicable import NotApplicable
from ..grid.expand import PlannedPretraining, PlannedRun
from ..grid.schema import Grid, GridError, read_grid
from ..grid.trials import tuning_grid
from ..identity import Kind, Run
from ..method_facts.method_info import MethodInfo, describe
from ..store.archive import AGAIN, GRID, PLAN, ArchivedStore, ArchiveError
from ..store.records import HISTORY, DamagedRecordError, Store
from ..store.run_predictions import PREDICTIONS_FILE
from ..store.sample_predictions import SAMPLES_FILE
from ..store.step_times import FOLDER as STEP_TIMES
from ..store.step_times import step_time_file
from .archived_json import ArchivedPlan, ArchivedRun, ArchivedStart
from .entry import Cause, Entry
from .filters import Filters
from .plan import Plan
from .verifiable import described, refuse_unverifiable

RUN = TypeAdapter(PlannedRun)
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


def read_plan(store: ArchivedStore, filters: Filters) -> Plan:
    """Return the plan of an archive, with its records.

    Args:
        store: The store in the archive.
        filters: The part of the plan to return.

    Raises:
        ArchiveError: Its plan cannot be read by this version.
        GridError: A filter matches nothing.
    """
    folder, archive = store.root, store.path
    add_cards(folder / FOLDER)
    try:
        read = ArchivedPlan.model_validate_json((folder / PLAN).read_bytes(), strict=True)
        starts = [one.planned for one in read.pretrain]
        runs = [_entry(one, starts[one.start], store) for one in read.runs]
        pretrain = [_entry_of_start(one, store) for one in read.pretrain]
        data = {name: described(file, store) for name, file in read.sets.items()}
    except FileNotFoundError as error:
        raise ArchiveError(f"{archive} has no {Path(error.filename).name}; {AGAIN}") from None
    except (ArchiveError, DamagedRecordError) as error:
        raise ArchiveError(str(error)) from error
    except (TypeError, ValueError, LookupError) as error:
        raise ArchiveError(
            f"{archive}: its plan or a record of it cannot be read by this version "
            f"({_reason(error)}); use the version that wrote it, named in its manifest.json"
        ) from error
    refuse_unverifiable(runs, data, store)
    filters.check([entry.planned for entry in runs])
    grid = _grid(read, store)
    runs = [entry for entry in runs if filters.matches(entry.planned)]
    wanted = {id(entry.planned.pretraining) for entry in runs}
    rows = {start.without_at().row for start in starts if filters.of_row(start)}
    return Plan(
        grid=grid,
        methods=read.methods,
        pretrain=[entry for entry in pretrain if id(entry.planned) in wanted],
        runs=runs,
        data=data,
        sharing=dict(read.sharing),
        seen=dict(read.seen),
        not_applicable=[
            one
            for one in read.not_applicable
            if (not filters.methods or one[0] in rows)
            and (not filters.protocols or _of_protocols(one, filters))
        ],
        failing=set(read.failing),
        moved=_moved(read.methods, runs, archive),
    )


def _of_protocols(entry: NotApplicable, filters: Filters) -> bool:
    """Return whether an entry is about a whole encoder, or about one of the wanted protocols."""
    _, what, _ = entry
    named = what.split(" with readout ")[0].split(", ")
    return what.startswith("encoder ") or not set(named).isdisjoint(filters.protocols)


def archived_grid(store: ArchivedStore) -> Grid:
    """Return the grid in an archive; that of the trials for an archive of them is in its plan.

    Raises:
        ArchiveError: It is missing, or this version cannot read it.
    """
    try:
        return read_grid(store.root / GRID)
    except (GridError, OSError) as error:
        raise ArchiveError(store.in_words(error)) from error


def _grid(read: ArchivedPlan, store: ArchivedStore) -> Grid:
    """Return the grid of which a plan was made.

    Raises:
        ArchiveError: The plan does not describe a method of the grid.
    """
    grid = archived_grid(store)
    if read.trials and {one.name for one in grid.methods} <= read.methods.keys():
        grid = tuning_grid(grid, read.methods) or grid
    used = [*grid.method_names(), *(one.planned.method for one in read.pretrain)]
    if lacking := [name for name in dict.fromkeys(used) if name not in read.methods]:
        raise ArchiveError(
            f"{store.path}: its {PLAN} does not describe the methods {', '.join(lacking)}, which "
            f"its grid or its pretrainings use, so it was edited; {AGAIN}"
        )
    return grid


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


def _entry_of_start(read: ArchivedStart, store: Store) -> Entry[PlannedPretraining]:
    entry = Entry(read.planned, read.state, read.cause, read.detail,
                  failure_class=read.failure_class)  # fmt: skip
    if entry.state == "done":
        entry.record = _record("pretrain", entry.key, store)
    return entry


def _entry(read: ArchivedRun, start: PlannedPretraining, store: Store) -> Entry[PlannedRun]:
    record = _record("evaluate", read.key, store) if read.state == "done" else None
    identity = record.identity if record else read.identity
    given = {"pretraining": start, "identity": Run(**identity) if identity else None}
    planned = RUN.validate_python(read.planned | given)
    if planned.identity and planned.identity.key != read.key:
        raise ValueError(f"run {str(read.key)[:12]} has another key now")
    return Entry(planned, read.state, read.cause, read.detail, record=record,
                 failure_class=read.failure_class)  # fmt: skip


def _record(kind: Kind, key: str | None, store: Store) -> Any:
    record = store.read(kind, key) if key else None
    if record is None:
        raise ValueError(f"the record {kind}/{str(key)[:12]} is missing")
    return record


def _moved(
    methods: dict[str, MethodInfo], runs: list[Entry[PlannedRun]], archive: Path
) -> list[str]:
    """Return the methods and protocols of an archive whose version differs from the present one."""
    used = {entry.planned.pretraining.method for entry in runs}
    here = own_names()
    # An archive is a file, so the facts are cached in the user's folder.
    today = describe([name for name in methods if name in used & here], archive)
    found = []
    for name in (name for name in methods if name in used):
        old = methods[name]
        if name in today and today[name].version != old.version:
            found.append(f"{old.label} {old.version} (now {today[name].version})")
        elif name not in here and name not in method_names():
            found.append(f"{old.label} {old.version} (not installed here)")
    protocols = {
        entry.planned.protocol: entry.record.identity["protocol_version"]
        for entry in runs
        if isinstance(entry.record, RunRecord)
    }
    for name, version in protocols.items():
        if name not in PROTOCOLS:
            found.append(f"{name} {version} (removed since)")
        elif PROTOCOLS[name].version != version:
            found.append(f"{name} {version} (now {PROTOCOLS[name].version})")
    return found
