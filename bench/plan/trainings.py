"""Pretrainings of a plan that are states of one training: they differ in `at` only."""

from collections.abc import Sequence
from typing import TypeVar

from ..grid.expand import PlannedPretraining
from ..grid.sweeps import AT
from ..store.progress import read_progress, steps_of
from ..store.records import Store
from .entry import Entry

T = TypeVar("T")
Start = Entry[PlannedPretraining]


def by_training(entries: Sequence[tuple[Start, T]]) -> list[list[tuple[Start, T]]]:
    """Return the pretrainings of each training, the longest first, in the order of the plan."""
    found: dict[object, list[tuple[Start, T]]] = {}
    for entry, value in entries:
        planned = entry.planned
        same = planned.label, str(planned.without_at().axes), planned.seed
        found.setdefault(same if AT in planned.axes else id(entry), []).append((entry, value))
    return [sorted(group, key=lambda one: -_share(one[0])) for group in found.values()]


def _share(entry: Start) -> float:
    return entry.planned.axes.get(AT, 1.0)


def set_running(entries: Sequence[Start], store: Store) -> None:
    """Set the state of every pretraining that a running one will write on its way."""
    for training in by_training([(entry, None) for entry in entries]):
        for running in [entry for entry, _ in training if entry.state == "running"]:
            now = read_progress(store.folder("pretrain", str(running.key)))
            for entry, _ in training:
                identity = entry.planned.identity
                waits = entry.state not in ("done", "running") and _share(entry) < _share(running)
                if now and identity and waits and now.progress.step < steps_of(identity):
                    entry.set("running", detail=f"on the way of {running.planned.row}")
