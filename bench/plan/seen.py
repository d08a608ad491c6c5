"""Chips of test sets that given encoders have seen, as declared in the grid."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..data.find_set import AmbiguousSetError, find_set
from ..data.names import PlacedName, set_of
from ..data.packed import Summary
from ..data.registry import pool_names
from ..data.sharing import sharing
from ..grid.schema import Grid
from ..grid.seen_names import known_names, own_folder
from ..store.records import Store
from .overlaps import Shared


def seen_sharing(
    grid: Grid,
    data: Mapping[str, Summary],
    data_dir: Path,
    store: Store,
    versions: Mapping[str, str] | None,
) -> Shared:
    """Return the chips of each test set that encoders have seen, where both are known.

    Args:
        grid: The grid with its files of weights.
        data: Summaries of the sets that are known here, by name.
        data_dir: The data folder.
        store: Keeps the counts.
        versions: As for `make_plan`.
    """
    result: Shared = {}
    datasets = grid.evaluate.datasets
    for names in {known_names(entry.seen or (), datasets): None for _, entry in grid.weights()}:
        sets = [own_folder(name, datasets) or name for name in names]
        members = []
        for name in sets:
            if isinstance(name, PlacedName):
                members += [data[name]] if name in data else []
                continue
            try:
                found = find_set(set_of(name), data_dir, store.root, versions)
            except AmbiguousSetError:
                found = None
            members += [found.summary] if found else []
        if not names or len(members) < len(names):
            continue
        counted = {
            name: sharing(sets, members, None, 1.0, data[name], store.root)
            for name in datasets
            if name in data
        }
        for name in set(names) & set(counted) & set(pool_names()):  # the data set of that name too
            if one := counted[name]:
                counted[name] = replace(one, **_whole(data[name]))
        if shared := {name: one for name, one in counted.items() if one}:
            result[names] = shared
    return result


def _whole(dataset: Summary) -> dict[str, int]:
    """Return the test and training chips of a data set, as in `Sharing`."""
    return {part: sum(dataset.counts[part].values()) for part in ("test", "train")}
