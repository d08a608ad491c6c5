"""Finished runs with the names that they have in tables."""

from dataclasses import dataclass

from ...results.record import PretrainRecord, RunRecord, digest_json
from ..grid.sweeps import changed_settings, describe_settings
from ..identity import Pretraining
from ..plan.plan import Plan
from ..store.records import Store


@dataclass(frozen=True)
class StartRow:
    """A finished pretraining.

    Attributes:
        row: Its row in tables: the label of a grid; without a grid the name of the method, with
            the first digits of its identity if the store has several of one method.
        record: Its record.
    """

    row: str
    record: PretrainRecord

    @property
    def identity(self) -> Pretraining:
        """The identity of the pretraining."""
        return Pretraining(**self.record.identity)


@dataclass(frozen=True)
class RunRow:
    """A finished run.

    Attributes:
        start: Its pretraining.
        settings: Settings of the protocol as in the head of a column, such as `readout patch_max`.
        record: Its record.
    """

    start: StartRow
    settings: str
    record: RunRecord


@dataclass(frozen=True)
class Rows:
    """The finished pretrainings and runs of a store, or of a grid in it."""

    starts: list[StartRow]
    runs: list[RunRow]


def rows_of_plan(plan: Plan) -> Rows:
    """Return the finished work of a grid, with its labels."""
    starts = {
        entry.key: StartRow(entry.planned.row, entry.record)
        for entry in plan.pretrain
        if isinstance(entry.record, PretrainRecord)
    }
    runs = [
        RunRow(starts[start.key], entry.planned.swept, entry.record)
        for start, own in plan.grouped()
        for entry in own
        if isinstance(entry.record, RunRecord) and start.key in starts
    ]
    return Rows(list(starts.values()), runs)


def rows_of_store(store: Store) -> Rows:
    """Return all finished work of a store.

    Raises:
        DamagedRecordError: A record cannot be read.
    """
    records: dict[str, PretrainRecord] = {one.key: one for one in store.records("pretrain")}
    series = {key: _series(record) for key, record in records.items()}
    of_method: dict[str, set[str]] = {}
    for key, record in records.items():
        of_method.setdefault(record.identity["method"], set()).add(series[key])
    starts = {}
    for key, record in records.items():
        name = str(record.identity["method"])
        several = len(of_method[name]) > 1
        starts[key] = StartRow(f"{name} {series[key][:6]}" if several else name, record)
    runs = []
    for run in store.records("evaluate"):
        identity = run.identity
        if identity["start"] in starts:
            changed = changed_settings(identity["protocol"], identity["settings"])
            runs.append(RunRow(starts[identity["start"]], describe_settings(changed), run))
    return Rows(list(starts.values()), runs)


def _series(record: PretrainRecord) -> str:
    """Return a digest of everything but the seed."""
    return digest_json({name: value for name, value in record.identity.items() if name != "seed"})
