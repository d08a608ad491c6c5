"""Splits found by their digest: classes and sides of chips, without any pixels.

The order of chips is the order of their ids, as in prepared sets. A split is rebuilt from the
(id, class, side) of each chip, over which its digest goes, so a description with another order of
chips or classes gives the same split.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from .known_sets import FOLDER, DamagedSetError, KnownSet, read_set
from .packing import split_digest
from .prepare import open_version
from .registry import card, dataset_names
from .sources import mstar, sar_acd
from .sources.synthetic import TEST_PER_CLASS, TRAIN_PER_CLASS, VEHICLES

DIGEST = re.compile(r"[0-9a-f]{64}")
LARGEST_SET = 2**26  # bytes of a description

Member = tuple[str, str, bool]  # id, class, whether test


@dataclass(frozen=True)
class Split:
    """The chips of a data set in the order of their ids.

    Attributes:
        ids: Chip ids.
        labels: Index into `classes` of each chip.
        is_test: True for test chips.
        classes: Class names.
    """

    ids: np.ndarray
    labels: Int[np.ndarray, " N"]
    is_test: Bool[np.ndarray, " N"]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, members: Iterable[Member]) -> "Split":
        """Return the split of these chips."""
        ordered = sorted(members)
        classes = tuple(sorted({name for _, name, _ in ordered}))
        index = {name: number for number, name in enumerate(classes)}
        return cls(
            ids=np.array([chip_id for chip_id, _, _ in ordered], dtype=str),
            labels=np.array([index[name] for _, name, _ in ordered], dtype=np.int64),
            is_test=np.array([is_test for _, _, is_test in ordered], dtype=bool),
            classes=classes,
        )

    @cached_property
    def test_labels(self) -> Int[np.ndarray, " M"]:
        """The class of each test chip."""
        return self.labels[self.is_test]

    def groups(self, dataset: str) -> Int[np.ndarray, " M"] | None:
        """Return the near-duplicate group of each test chip; None where each is its own.

        Raises:
            DamagedSetError: A chip of SAR-ACD that SAR-ACD does not have.
        """
        if card(dataset).reader != "sar_acd":
            return None
        group_of = sar_acd.groups()
        try:
            return np.array([group_of[str(chip_id)] for chip_id in self.ids[self.is_test]])
        except KeyError as error:
            raise DamagedSetError(f"{dataset} has no chip {error}, which its split names") from None


@cache
def shipped(dataset: str) -> tuple[str, Split] | None:
    """Return digest and split of a data set whose chips are committed here, else None."""
    if dataset not in dataset_names():
        return None
    reader = card(dataset).reader
    if reader == "fusar_ship":
        return None
    if reader == "synthetic":
        members = [
            (f"{name}_{side}_{number:03d}", name, side == "test")
            for name in VEHICLES
            for side, count in (("train", TRAIN_PER_CLASS), ("test", TEST_PER_CLASS))
            for number in range(count)
        ]
    else:
        listed = (mstar if reader == "mstar" else sar_acd).members(dataset)
        members = [(chip_id, *where) for chip_id, where in listed.items()]
    return split_digest(members), Split.of(members)


class Splits:
    """Look-up of splits: committed ones, those that stores describe, and prepared ones.

    Attributes:
        damaged: Why a description could not be used, by the digests of its pixels and split.
    """

    def __init__(self, roots: Sequence[Path], prepared: Path | None = None) -> None:
        """Remember where to look; nothing is read before it is needed.

        Args:
            roots: Stores.
            prepared: Where packed sets are, for stores that do not describe them.
        """
        self._roots, self._prepared = tuple(roots), prepared
        self._found: dict[tuple[str, str, str], Split | None] = {}
        self.damaged: dict[tuple[str, str], str] = {}

    def find(self, dataset: str, data_digest: str, digest: str) -> Split | None:
        """Return the split with this digest of a data set, or None where nothing here has it."""
        place = (dataset, data_digest, digest)
        if place not in self._found:
            self._found[place] = self._search(*place)
        return self._found[place]

    def why_not(self, dataset: str, data_digest: str, digest: str) -> str:
        """Return why a split was not found, and what to do."""
        damaged = self.damaged.get((data_digest, digest))
        return (
            f"the classes of its test chips are not known here ({dataset}, split {digest[:12]}): "
            + (f"{damaged}; " if damaged else "")
            + f"run `sarbench data prepare {dataset}`, or copy {FOLDER}/ of the store that it is "
            "from"
        )

    def _search(self, dataset: str, data_digest: str, digest: str) -> Split | None:
        if not (DIGEST.fullmatch(data_digest) and DIGEST.fullmatch(digest)):
            return None
        ours = shipped(dataset)
        if ours is not None and ours[0] == digest:
            return ours[1]
        for root in self._roots:
            if (found := self.described(root, data_digest, digest)) is not None:
                return split_of(found)
        if self._prepared is None:
            return None
        try:
            chips = open_version(card(dataset), data_digest, digest, self._prepared)
        except (OSError, LookupError, ValueError):
            return None
        return Split(chips.ids, chips.labels, chips.is_test, chips.classes)

    def described(self, root: Path, data_digest: str, digest: str) -> KnownSet | None:
        """Return the description of a set in one store, checked; a pool has no split digest."""
        pattern = f"*-{data_digest[:12]}-{digest[:12] or 'pool'}.json"
        for path in sorted((root / FOLDER).glob(pattern)):
            try:
                known = open_set(path)
            except DamagedSetError as error:
                self.damaged[data_digest, digest] = str(error)
                continue
            if (known.summary.data_digest, known.summary.split_digest) == (data_digest, digest):
                return known
        return None


def open_set(path: Path) -> KnownSet:
    """Read one description and check its split.

    Raises:
        DamagedSetError: It is a link, too large, not a description, or its digest is not its
            split's.
    """
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST_SET:
            raise DamagedSetError(f"{path} is a link or too large to describe a set; delete it")
        known = read_set(path)
    except OSError as error:
        raise DamagedSetError(f"{path} cannot be read ({error})") from error
    known.check()
    return known


def every_set(root: Path) -> Iterator[Path]:
    """Yield every description in a store."""
    yield from sorted((root / FOLDER).glob("*.json"))


def split_of(known: KnownSet) -> Split:
    """Return the split of a description that was checked."""
    classes = known.summary.classes
    sides = zip(known.ids.tolist(), known.labels.tolist(), known.is_test.tolist(), strict=True)
    return Split.of((chip_id, classes[label], test) for chip_id, label, test in sides)
