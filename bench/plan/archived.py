"""The plan of an archive: it is stored with the records and not made again.

So an archive shows what its records say, even if methods, protocols or defaults have changed since.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...methods._registry import names as method_names
from ...methods._registry import own_names
from ...protocols import PROTOCOLS
from ...results.record import RunRecord
from ..data.set_descriptions import add_stored_cards
from ..grid.applicable import of_protocols
from ..grid.expand import PlannedPretraining, PlannedRun
from ..grid.schema import Grid, GridError, read_grid
from ..grid.trials import tuning_grid
from ..identity import Kind, Run
from ..method_facts.method_info import MethodInfo, describe
from ..store.archive import AGAIN, GRID, PLAN, ArchivedStore, ArchiveError
from ..store.records import DamagedRecordError, Store
from .archived_claims import refuse_edited
from .archived_json import RUN, ArchivedEntry, ArchivedPlan, ArchivedRun, ArchivedStart
from .entry import Entry, done_entry
from .filters import Filters
from .plan import Plan
from .verifiable import described, refuse_unverifiable


def read_plan(store: ArchivedStore, filters: Filters) -> Plan:
    """Return the plan of an archive, with its records.

    Args:
        store: The store in the archive.
        filters: The part of the plan to return.

    Raises:
        ArchiveError: Its plan cannot be read by this version, or contradicts its records.
        GridError: A filter matches nothing.
    """
    folder, archive = store.root, store.path
    add_stored_cards(folder)
    try:
        read = ArchivedPlan.model_validate_json((folder / PLAN).read_bytes(), strict=True)
        starts = [one.planned for one in read.pretrain]
        runs = [_entry(one, _start(one, starts), store) for one in read.runs]
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
    whole = Plan(
        grid=_grid(read, store),
        methods=read.methods,
        pretrain=pretrain,
        runs=runs,
        data=data,
        sharing=dict(read.sharing),
        own=dict(read.own),
        seen=dict(read.seen),
        not_applicable=read.not_applicable,
        failing=set(read.failing),
    )
    refuse_edited(whole, store)
    return _part(whole, filters, archive)


def _part(whole: Plan, filters: Filters, archive: Path) -> Plan:
    """Return the part of a plan that matches the filters.

    Raises:
        GridError: A filter matches nothing.
    """
    filters.check([entry.planned for entry in whole.runs])
    runs = [entry for entry in whole.runs if filters.matches(entry.planned)]
    wanted = {id(entry.planned.pretraining) for entry in runs}
    starts = [entry.planned for entry in whole.pretrain]
    rows = {start.without_at().row for start in starts if filters.of_row(start)}
    return replace(
        whole,
        pretrain=[entry for entry in whole.pretrain if id(entry.planned) in wanted],
        runs=runs,
        not_applicable=[
            one
            for one in whole.not_applicable
            if (not filters.methods or one[0] in rows)
            and (not filters.protocols or of_protocols(one, filters.protocols))
        ],
        moved=_moved(whole.methods, runs, archive),
    )


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


def _start(run: ArchivedRun, starts: list[PlannedPretraining]) -> PlannedPretraining:
    """Return the pretraining of a run.

    Raises:
        IndexError: The plan has none in that place; Python counts negative places from the end.
    """
    if not 0 <= run.start < len(starts):
        raise IndexError(f"run {str(run.key)[:12]} is of pretraining {run.start}; the plan has 0 "
                         f"to {len(starts) - 1}")  # fmt: skip
    return starts[run.start]


def _entry_of_start(read: ArchivedStart, store: Store) -> Entry[PlannedPretraining]:
    identity = read.planned.identity
    record = _record("pretrain", identity and identity.key, store) if read.state == "done" else None
    return _with_state(read, read.planned, record)


def _entry(read: ArchivedRun, start: PlannedPretraining, store: Store) -> Entry[PlannedRun]:
    record = _record("evaluate", read.key, store) if read.state == "done" else None
    identity = record.identity if record else read.identity
    given = {"pretraining": start, "identity": Run(**identity) if identity else None}
    planned = RUN.validate_python(read.planned | given)
    if planned.identity and planned.identity.key != read.key:
        raise ValueError(f"run {str(read.key)[:12]} has another key now")
    return _with_state(read, planned, record)


def _with_state(read: ArchivedEntry, planned: Any, record: Any) -> Entry[Any]:
    """Return an entry; a finished one has no other state than that of its record."""
    if record is not None:
        return done_entry(planned, record)
    return Entry(planned, read.state, read.cause, read.detail, failure_class=read.failure_class)


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
