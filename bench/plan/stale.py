"""Stored results that match a planned one except for versions and digests.

The unversioned key of a record is a digest of its identity without versions and digests. One file
of the store caches these keys, so that a plan reads every record of other grids at most once.
"""

import json
from contextlib import suppress
from typing import Any

from ...results.record import digest_json
from ..grid.expand import PlannedPretraining, PlannedRun
from ..identity import KINDS, Kind, Pretraining, Run
from ..store.atomic import write_atomic
from ..store.records import DamagedRecordError, Store

FILE = "essences-1.json"  # a cache: may be deleted at any time


class StaleIndex:
    """The results of a store that are not part of a plan, found by their unversioned key."""

    def __init__(
        self, store: Store, starts: list[PlannedPretraining], planned: list[PlannedRun]
    ) -> None:
        self._store = store
        self._starts = {s.identity.key: s.identity.to_json() for s in starts if s.identity}
        self._keys: dict[str, str] = {}  # unversioned key -> key
        own = self._starts.keys() | {run.identity.key for run in planned if run.identity}
        stored = {kind: store.keys(kind) for kind in KINDS}
        if own <= stored["pretrain"] | stored["evaluate"]:
            return
        for key, unversioned in _unversioned_keys(store, stored).items():
            if key not in own:
                self._keys[unversioned] = key

    def difference(self, identity: Pretraining | Run) -> list[str]:
        """Name the versions and digests in which a stored result differs, if there is one."""
        value = identity.to_json()
        start = self._starts.get(value["start"]) if isinstance(identity, Run) else None
        key = self._keys.get(_unversioned_key(value, _unversioned_key(start) if start else ""))
        stored = _identity_of(self._store, "evaluate" if start else "pretrain", key)
        if stored is None:
            return []
        names = [name for name in _versions_and_digests(value) if value[name] != stored.get(name)]
        old = _identity_of(self._store, "pretrain", stored.get("start")) if start else None
        if start and old and start != old:
            moved = [name for name in _versions_and_digests(start) if start[name] != old.get(name)]
            names += [f"{name} of its pretraining" for name in moved]
        return names


def _unversioned_keys(store: Store, stored: dict[str, set[str]]) -> dict[str, str]:
    """Return the unversioned key of each record by its key; only new records are read."""
    path = store.root / FILE
    try:
        known = {
            str(key): str(unversioned) for key, unversioned in json.loads(path.read_text()).items()
        }
    except (OSError, ValueError, AttributeError):
        known = {}
    found = {}
    for key in stored["pretrain"] - known.keys():
        if identity := _identity_of(store, "pretrain", key):
            found[key] = _unversioned_key(identity)
    starts = known | found
    for key in stored["evaluate"] - known.keys():
        identity = _identity_of(store, "evaluate", key) or {}
        start = starts.get(identity.get("start", ""))
        if start:
            found[key] = _unversioned_key(identity, start)
    if found:
        with suppress(OSError):  # a read-only store has no cache
            write_atomic(path, json.dumps(known | found))
    every = stored["pretrain"] | stored["evaluate"]
    return {key: unversioned for key, unversioned in (known | found).items() if key in every}


def _versions_and_digests(identity: dict[str, Any]) -> list[str]:
    return [n for n in identity if n.endswith(("version", "digest")) or n == "pool"]


def _unversioned_key(identity: dict[str, Any], start: str = "") -> str:
    kept = {
        n: v
        for n, v in identity.items()
        if n not in _versions_and_digests(identity) and n != "start"
    }
    members = identity.get("pool")
    pool = [one.get("name") for one in members or [] if isinstance(one, dict)]
    return digest_json([kept, pool, start])


def _identity_of(store: Store, kind: Kind, key: str | None) -> dict[str, Any] | None:
    try:
        record = store.read(kind, key) if key else None
    except DamagedRecordError:
        return None
    return record.identity if record else None
