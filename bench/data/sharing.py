"""Count the chips that a pool shares with a data set, once; the store keeps the counts.

A pool may hold test chips, training chips, or other chips of the vehicles in a test set. Captions
state the number of each.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from ..store.atomic import write_atomic
from ..store.records import Store
from .chips import Chips
from .find_set import open_set
from .names import split_source
from .packed import Summary
from .pools import Pool, open_pool, overlap, without_suffix
from .prepare import NotPreparedError
from .registry import card

FOLDER = "sharing"  # of the store; derived, may be deleted at any time


@dataclass(frozen=True)
class Sharing:
    """Numbers of chips that a pool shares with one data set.

    Attributes:
        drawn: Chips drawn from each member of the pool, after cap and fraction.
        test: Test chips of the data set in the pool.
        train: Training chips of the data set in the pool.
        vehicles: Vehicles (class and serial number) of the test set that the pool shows.
        vehicle_chips: Chips of the pool that show one of them.
    """

    drawn: tuple[int, ...]
    test: int
    train: int
    vehicles: int
    vehicle_chips: int


def sharing(
    names: Sequence[str],
    pool: Sequence[Summary],
    cap: int | None,
    fraction: float,
    dataset: Summary,
    root: Path,
) -> Sharing | None:
    """Return the shared chips; None if they were not counted before and the pixels are missing.

    Args:
        names: Members of the pool, as in `[pretrain] pool`.
        pool: Summary of the set of each member.
        cap: Largest number of chips to draw.
        fraction: Share of those to draw.
        dataset: Summary of the data set.
        root: The store's folder, which keeps the counts.
    """
    path = counts_file(names, pool, cap, fraction, dataset, root)
    if (known := read_counts(path)) is not None:
        return known
    try:
        digests = [(one.data_digest, one.split_digest) for one in pool]
        opened = open_pool(names, digests, Store(root).prepared, cap, fraction)
        chips = open_set(dataset.name, dataset, root)
    except NotPreparedError:
        return None
    found = count_sharing(opened, chips)
    with suppress(OSError):  # a read-only store: the next call counts again
        write_counts(path, found)
    return found


def counts_file(
    names: Sequence[str],
    pool: Sequence[Summary],
    cap: int | None,
    fraction: float,
    dataset: Summary,
    root: Path,
) -> Path:
    """Return the file of the counts of a pool and a data set; arguments as of `sharing`."""
    members = [
        (one.name, one.data_digest, *([] if split_source(name) is None else [one.split_digest]))
        for name, one in zip(names, pool, strict=True)
    ]
    identity = [1, members, cap, fraction, dataset.data_digest, dataset.split_digest]
    key = sha256(json.dumps(identity).encode()).hexdigest()[:24]
    return root / FOLDER / f"{key}.json"


def read_counts(path: Path) -> Sharing | None:
    """Return stored counts; None if they are missing or unreadable."""
    try:
        stored = json.loads(path.read_text("utf-8"))
        return Sharing(**stored | {"drawn": tuple(stored["drawn"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_counts(path: Path, found: Sharing) -> None:
    """Store counts."""
    write_atomic(path, json.dumps(asdict(found)))


def count_sharing(pool: Pool, dataset: Chips) -> Sharing:
    """Count what a pool shares with a data set."""
    vehicle = card(dataset.name).source.vehicle
    tested = {vehicle(i) for i in dataset.ids[dataset.is_test].tolist()} - {None}
    shown = [vehicle(without_suffix(i).name) for i in pool.ids()]
    shared = [one for one in shown if one in tested]
    return Sharing(
        drawn=tuple(member.count for member in pool.members),
        test=overlap(pool, dataset),
        train=overlap(pool, dataset, test=False),
        vehicles=len(set(shared)),
        vehicle_chips=len(shared),
    )
