"""Count the chips that a pool shares with a data set, once; the store keeps the counts.

A pool may hold test chips, training chips, or other chips of the vehicles in a test set. Captions
state the number of each.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, replace
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
from .source import Source

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
        depressions_deg: Depression angles of these chips; None in older counts.
        test_depressions_deg: Those of the test chips; None in older counts.
        copied: Test chips of which the pool holds a copy or near duplicate, by `bench/audit`; None
            without an audit.
    """

    drawn: tuple[int, ...]
    test: int
    train: int
    vehicles: int
    vehicle_chips: int
    depressions_deg: tuple[float, ...] | None = None
    test_depressions_deg: tuple[float, ...] | None = None
    copied: int | None = None

    def agrees(self, other: "Sharing") -> bool:
        """Return whether two counts are equal where both are known."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return all(one == two for one, two in pairs if one is not None and two is not None)


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
    known = read_counts(path)
    if known is not None and known.depressions_deg is not None:
        return known
    try:
        digests = [(one.data_digest, one.split_digest) for one in pool]
        opened = open_pool(names, digests, Store(root).prepared, cap, fraction)
        chips = open_set(dataset.name, dataset, root)
    except NotPreparedError:
        return known
    found = replace(count_sharing(opened, chips), copied=known and known.copied)
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
        listed = {key: tuple(one) for key, one in stored.items() if isinstance(one, list)}
        return Sharing(**stored | listed)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_counts(path: Path, found: Sharing) -> None:
    """Store counts."""
    write_atomic(path, json.dumps(asdict(found)))


def count_sharing(pool: Pool, dataset: Chips) -> Sharing:
    """Count what a pool shares with a data set."""
    source = card(dataset.name).source
    test_ids = dataset.ids[dataset.is_test].tolist()
    tested = set(map(source.vehicle, test_ids)) - {None}
    ids = [without_suffix(i).name for i in pool.ids()]
    shown = [(i, one) for i in ids if (one := source.vehicle(i)) in tested]
    return Sharing(
        drawn=tuple(member.count for member in pool.members),
        test=overlap(pool, dataset),
        train=overlap(pool, dataset, test=False),
        vehicles=len({one for _, one in shown}),
        vehicle_chips=len(shown),
        depressions_deg=_depressions(source, [i for i, _ in shown]),
        test_depressions_deg=_depressions(source, test_ids),
    )


def _depressions(source: Source, ids: Iterable[str]) -> tuple[float, ...]:
    known = (source.facts(chip_id).depression_deg for chip_id in ids)
    return tuple(sorted({one for one in known if one is not None}))
