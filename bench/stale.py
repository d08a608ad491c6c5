"""Results that differ from what is asked for in a version or a digest only."""

from typing import Any

from ..results.record import digest_json
from .run import Pretraining, Run
from .spread import PlannedPretraining, PlannedRun
from .store import DamagedRecordError, Kind, Store


class StaleIndex:
    """Stored results outside the grid, found by all of their identity but versions and digests."""

    def __init__(
        self, store: Store, starts: list[PlannedPretraining], planned: list[PlannedRun]
    ) -> None:
        self._starts = {s.identity.key: s.identity.to_json() for s in starts if s.identity}
        self._stored: dict[str, dict[str, Any]] = {}
        run_keys = {run.identity.key for run in planned if run.identity}
        stored_starts, stored_runs = store.keys("pretrain"), store.keys("evaluate")
        pretrain_strangers = stored_starts - self._starts.keys()
        run_strangers = stored_runs - run_keys
        if run_keys <= stored_runs and len(self._starts) <= len(stored_starts):
            return
        others = {}
        for key in pretrain_strangers:
            identity = _identity_of(store, "pretrain", key)
            if identity:
                others[key] = identity
                self._stored[_essence(identity)] = identity
        known = others | self._starts
        for key in run_strangers:
            identity = _identity_of(store, "evaluate", key)
            if identity and identity["start"] in known:
                start = known[identity["start"]]
                self._stored[_essence(identity, start)] = identity | {"start": start}

    def difference(self, identity: Pretraining | Run) -> str:
        """Return what a stored result differs in, where it is versions and digests only."""
        value = identity.to_json()
        start = self._starts.get(value["start"]) if isinstance(identity, Run) else None
        stored = self._stored.get(_essence(value, start))
        if stored is None:
            return ""
        names = [name for name in _moving(value) if value[name] != stored[name]]
        if start is not None and start != stored["start"]:
            moved = [n for n in _moving(start) if start[n] != stored["start"][n]]
            names += [f"{name} of its pretraining" for name in moved]
        return ", ".join(names)


def _moving(identity: dict[str, Any]) -> list[str]:
    return [n for n in identity if n.endswith(("version", "digest")) or n == "pool"]


def _essence(identity: dict[str, Any], start: dict[str, Any] | None = None) -> str:
    kept = {n: v for n, v in identity.items() if n not in _moving(identity) and n != "start"}
    pool = [member["name"] for member in identity.get("pool", [])]
    return digest_json([kept, pool, _essence(start) if start else None])


def _identity_of(store: Store, kind: Kind, key: str) -> dict[str, Any] | None:
    try:
        record = store.read(kind, key)
    except DamagedRecordError:
        return None
    return record.identity if record else None
