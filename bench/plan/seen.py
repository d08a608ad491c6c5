"""Chips of test sets that given encoders have seen, as declared in the grid."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..data.find_set import AmbiguousSetError, find_set
from ..data.names import set_of
from ..data.packed import Summary
from ..data.registry import pool_names
from ..data.sharing import Sharing, sharing
from ..grid.encoder_problems import known_names
from ..grid.schema import Grid
from ..store.records import Store

Seen = dict[tuple[str, ...], dict[str, Sharing]]


def seen_sharing(
    grid: Grid,
    data: Mapping[str, Summary],
    data_dir: Path,
    store: Store,
    versions: Mapping[str, str] | None,
) -> Seen:
    """Return the chips of each test set that encoders have seen, where both are known.

    Args:
        grid: The grid with its files of weights.
        data: Summaries of the sets that are known here, by name.
        data_dir: The data folder.
        store: Keeps the counts.
        versions: As for `make_plan`.
    """
    result: Seen = {}
    for names in {known_names(entry.seen): None for _, entry in grid.weights()}:
        members = []
        for name in names:
            try:
                found = find_set(set_of(name), data_dir, store.root, versions)
            except AmbiguousSetError:
                found = None
            members += [found.summary] if found else []
        if not names or len(members) < len(names):
            continue
        counted = {
            name: sharing(names, members, None, 1.0, data[name], store.root)
            for name in grid.evaluate.datasets
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
