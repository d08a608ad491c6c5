"""The report of an audit: pairs, groups, groups of several classes, chips on both sides."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, islice

import numpy as np
from jaxtyping import Bool, Int

from ..data.chips import Chips
from ..suggest import RequestError
from .duplicates import NEAR, Duplicates, NearPair, Report, find_duplicates

LISTED = 10_000  # pairs, and shared chips, that a report lists; all are counted


@dataclass(frozen=True)
class Pair:
    """Two chips that are duplicates.

    Attributes:
        ids: Their ids.
        sets: The names of their sets.
        kind: `exact`, or the kind of `alignment.Match`.
        score: As in `alignment.Match`; 1 for equal pixels.
        shift_px: As in `alignment.Match`.
        overlap: As in `alignment.Match`.
        numbers: Their numbers in the collection.
    """

    ids: tuple[str, str]
    sets: tuple[str, str]
    kind: str
    score: float
    shift_px: tuple[int, int]
    overlap: float
    numbers: tuple[int, int]


@dataclass(frozen=True)
class Shared:
    """The chips of one side that have a duplicate on the other.

    Attributes:
        sides: Names of the sides: two sets, or `train` and `test`.
        exact: Number of chips of the second side that equal a chip of the first.
        near: Number of the others that are a near duplicate of one.
        of: Number of chips of the second side.
        ids: The first of both, in the order of the second side.
    """

    sides: tuple[str, str]
    exact: int
    near: int
    of: int
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Conflict:
    """A group of duplicates with several classes.

    Attributes:
        dataset: The data set.
        group: Number of the group.
        classes: Number of chips of each class.
        exact_pairs: Number of pairs of equal chips with different classes.
    """

    dataset: str
    group: int
    classes: dict[str, int]
    exact_pairs: int


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Attributes:
        duplicates: The duplicates, with the chips.
        exact: Pairs of equal chips; at most `LISTED`.
        near: Pairs of near duplicates, each of the first chip of a group of equal chips, by falling
            score; at most `LISTED`.
        counts: Numbers of chips, of all pairs of each sort, of groups with several chips and the
            chips in them.
        label_conflicts: Groups with several classes.
        shared: Chips on both sides; None for a pool alone, which has one side.
    """

    duplicates: Duplicates
    exact: list[Pair]
    near: list[Pair]
    counts: dict[str, int]
    label_conflicts: list[Conflict]
    shared: Shared | None

    def kinds(self) -> dict[str, int]:
        """Return the number of near pairs of each kind, the most frequent first."""
        return dict(Counter(pair.match.kind for pair in self.duplicates.near).most_common())

    def to_json(self) -> dict:
        """Return the report as JSON values."""
        collection = self.duplicates.collection
        return {
            "sets": [
                {"name": one.name, "chips": len(one), "data_digest": one.data_digest}
                for one in collection.sets
            ],
            "near_from": NEAR,
            "listed": LISTED,
            "counts": self.counts,
            "kinds": self.kinds(),
            "exact": list(map(_pair_json, self.exact)),
            "near": list(map(_pair_json, self.near)),
            "groups": [
                [collection.chip_id(number) for number in members.tolist()]
                for members in _several(self.duplicates.group)
            ],
            "label_conflicts": [asdict(one) for one in self.label_conflicts],
            "shared": self.shared and asdict(self.shared),
        }


def _pair_json(pair: Pair) -> dict:
    return {
        "ids": pair.ids, "sets": pair.sets, "kind": pair.kind, "score": round(pair.score, 4),
        "shift_px": pair.shift_px, "overlap": round(pair.overlap, 3),
    }  # fmt: skip


def audit(sets: Sequence[Chips], report: Report | None = None) -> Audit:
    """Return the duplicates in a set, or in two sets.

    Args:
        sets: One set, or two.
        report: As for `find_duplicates`.

    Raises:
        RequestError: There is a single chip.
    """
    if sum(map(len, sets)) < 2:
        raise RequestError(
            f"{sets[0].name} holds one chip, and an audit compares chips; name a set with two or "
            "more, or a second set"
        )
    found = find_duplicates(sets, report=report)
    exact_count = sum(len(one) * (len(one) - 1) // 2 for one in _several(found.exact))
    groups = list(_several(found.group))
    near = sorted(found.near, key=lambda pair: -pair.match.score)[:LISTED]
    return Audit(
        found,
        list(islice(_exact_pairs(found), LISTED)),
        [pair_of(found, one) for one in near],
        {
            "chips": len(found.collection), "exact_pairs": exact_count,
            "near_pairs": len(found.near), "groups": len(groups),
            "chips_in_groups": sum(map(len, groups)), "not_compared": found.uncompared,
        },
        list(_conflicts(found)),
        _shared(found),
    )  # fmt: skip


def _several(group: Int[np.ndarray, " N"]) -> Iterator[Int[np.ndarray, " M"]]:
    """Yield the chips of each group with several, groups in the order of their first chips."""
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    for members in np.split(order, np.cumsum(sizes)[:-1]):
        if len(members) > 1:
            yield members


def _exact_pairs(found: Duplicates) -> Iterator[Pair]:
    for members in _several(found.exact):
        for first, second in combinations(members.tolist(), 2):
            ids, sets = _named(found, first, second)
            yield Pair(ids, sets, "exact", 1.0, (0, 0), 1.0, (first, second))


def pair_of(found: Duplicates, pair: NearPair) -> Pair:
    """Return a near pair with names."""
    ids, sets = _named(found, pair.first, pair.second)
    match = pair.match
    return Pair(
        ids, sets, match.kind, match.score, match.shift_px, match.overlap,
        (pair.first, pair.second),
    )  # fmt: skip


def _named(found: Duplicates, first: int, second: int) -> tuple[tuple[str, str], tuple[str, str]]:
    collection = found.collection
    return (
        (collection.chip_id(first), collection.chip_id(second)),
        (collection.place(first)[0].name, collection.place(second)[0].name),
    )


def _conflicts(found: Duplicates) -> Iterator[Conflict]:
    """Yield the groups of each data set that hold several classes."""
    collection = found.collection
    for place, chips in enumerate(collection.sets):
        if not chips.classes:
            continue
        own = np.flatnonzero(collection.set_of == place)
        exact, group = found.exact[own], found.group[own]
        for members in _several(group):
            labels = chips.labels[members]
            counts = Counter(labels.tolist())
            if len(counts) > 1:
                classes = {chips.classes[label]: n for label, n in sorted(counts.items())}
                pairs = _unequal_pairs(exact[members], labels)
                yield Conflict(chips.name, int(group[members[0]]), classes, pairs)


def _unequal_pairs(exact: Int[np.ndarray, " M"], labels: Int[np.ndarray, " M"]) -> int:
    """Return the number of pairs of equal chips with different labels."""
    total = 0
    for members in _several(np.unique(exact, return_inverse=True)[1]):
        counts = np.bincount(labels[members])
        total += (int(counts.sum()) ** 2 - int((counts**2).sum())) // 2
    return total


def sides_of(found: Duplicates) -> tuple[tuple[str, str], Bool[np.ndarray, "2 N"]] | None:
    """Return names and chips of the two sides of an audit; None for a pool alone."""
    collection = found.collection
    if len(collection.sets) == 2:
        first = collection.set_of == 0
        return (collection.sets[0].name, collection.sets[1].name), np.stack([first, ~first])
    is_test = collection.is_test()
    return (("train", "test"), np.stack([~is_test, is_test])) if is_test.any() else None


def shared_chips(
    found: Duplicates, first: Bool[np.ndarray, " N"], second: Bool[np.ndarray, " N"]
) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Return the chips of the second side that equal a chip of the first, and those near one."""
    count = int(found.exact.max()) + 1
    there, here = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    there[found.exact[first]] = True
    for pair in found.near:
        left, right = found.exact[pair.first], found.exact[pair.second]
        here[left] |= there[right]
        here[right] |= there[left]
    equal = second & there[found.exact]
    return equal, second & here[found.exact] & ~equal


def _shared(found: Duplicates) -> Shared | None:
    sides = sides_of(found)
    if sides is None:
        return None
    names, (first, second) = sides
    equal, near = shared_chips(found, first, second)
    listed = np.flatnonzero(equal | near)[:LISTED]
    ids = tuple(map(found.collection.chip_id, listed.tolist()))
    return Shared(names, int(equal.sum()), int(near.sum()), int(second.sum()), ids)
