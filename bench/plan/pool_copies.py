"""Copies of test chips in pools and training splits, sought once; the store has their number."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ..data.find_set import open_set
from ..data.names import card_of, place_of, set_of
from ..data.pools import open_pool
from ..data.prepare import NotPreparedError
from ..data.sharing import counts_file, write_counts
from ..grid.schema import describe_pool
from ..store.records import Store
from .overlaps import Shared
from .plan import Plan

Pools = dict[tuple[str, ...], list[str]]  # pool -> data sets


def unaudited(shared: Shared) -> Pools:
    """Return the pools to audit, and the data sets of each whose test chips were not sought yet.

    Simulated chips have seeds of their own, so simulated pools and data sets are skipped.
    """
    found = {
        pool: [
            name for name, one in datasets.items() if one.copied is None and not _is_simulated(name)
        ]
        for pool, datasets in shared.items()
        if not all(_is_simulated(set_of(name)) for name in pool)
    }
    return {pool: names for pool, names in found.items() if names}


def _is_simulated(name: str) -> bool:
    return card_of(place_of(name)).source.version is not None


def audit_pools(plan: Plan, store: Store, on_pool: Callable[[str], None]) -> None:
    """Count the test chips of which each pool, or their training split, holds a near duplicate.

    Args:
        plan: The plan, whose sets are prepared.
        store: Keeps the counts.
        on_pool: Called with a description of each pool before its audit.
    """
    every = [(shared, drawn, *one) for shared, drawn in plan.counted
             for one in unaudited(shared).items()]  # fmt: skip
    for shared, drawn, pool, names in every:
        from ..audit.pools import copied_from  # scikit-learn takes a second to import

        members = [plan.data[set_of(name)] for name in pool]
        digests = [(one.data_digest, one.split_digest) for one in members]
        try:
            opened = open_pool(pool, digests, store.prepared, *drawn)
            chips = [open_set(name, plan.data[name], store.root) for name in names]
        except NotPreparedError:
            continue
        on_pool(f"{describe_pool(pool)} ({len(opened):,} chips)")
        for name, copied in zip(names, copied_from(opened, chips), strict=True):
            path = counts_file(pool, members, *drawn, plan.data[name], store.root)
            with suppress(OSError):  # a read-only store: its tables say nothing about copies
                write_counts(path, replace(shared[pool][name], copied=copied))
