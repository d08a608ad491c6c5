"""The split of a data set: class and side of each chip, without pixels."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Bool, Int

from .facts import Facts
from .registry import card, dataset_names, without_options

Member = tuple[str, str, bool]  # id, class, True for a test chip


class DamagedSetError(ValueError):
    """A description of a set, or a split, that contradicts itself."""


@dataclass(frozen=True)
class Split:
    """The chips of a data set in the order of their ids.

    Attributes:
        ids: Chip ids.
        labels: Index into `classes` of each chip.
        is_test: True for test chips.
        classes: Class names.
        group: Number of the near-duplicate group of each chip, where the files of the set say it.
        facts: Facts about each chip, where a store describes them.
    """

    ids: np.ndarray
    labels: Int[np.ndarray, " N"]
    is_test: Bool[np.ndarray, " N"]
    classes: tuple[str, ...]
    group: Int[np.ndarray, " N"] | None = None
    facts: Facts | None = None

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

    def members(self) -> list[Member]:
        """Return id, class and side of each chip.

        Raises:
            IndexError: A label is not an index into `classes`.
            ValueError: Ids, labels and sides differ in number.
        """
        chips = zip(self.ids.tolist(), self.labels.tolist(), self.is_test.tolist(), strict=True)
        return [(chip_id, self.classes[label], is_test) for chip_id, label, is_test in chips]

    def groups(self, dataset: str) -> Int[np.ndarray, " M"] | None:
        """Return the near-duplicate group of each test chip; None if each chip is its own.

        Raises:
            DamagedSetError: A test chip is not a chip of the data set.
        """
        if self.group is not None:
            return self.group[self.is_test]
        found = card(dataset)
        group_of = found.source.groups(found)
        if not group_of:
            return None
        try:
            return np.array([group_of[str(chip_id)] for chip_id in self.ids[self.is_test]])
        except KeyError as error:
            raise DamagedSetError(f"{dataset} has no chip {error}, which its split names") from None


def same_groups(one: Int[np.ndarray, " N"] | None, other: Int[np.ndarray, " N"] | None) -> bool:
    """Return whether two numberings of N chips put the same chips together; None: each alone."""
    known = other if one is None else one
    if known is None:
        return True
    alone = np.arange(len(known))
    both = np.stack([alone if group is None else group for group in (one, other)])
    pairs = np.unique(both, axis=1).shape[1]
    return all(len(np.unique(group)) == pairs for group in both)


def split_digest(members: Iterable[Member]) -> str:
    """Return SHA-256 over the sorted (id, class, train or test) of a data set."""
    lines = (f"{i}\t{name}\t{'test' if is_test else 'train'}\n" for i, name, is_test in members)
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


@cache
def shipped(dataset: str) -> tuple[str, Split] | None:
    """Return digest and split of a data set whose chips are known without files, else None."""
    known = without_options(dataset) in dataset_names()  # no folder, no part
    found = card(dataset) if known else None
    listed = found.source.members(found) if found else None
    if listed is None:
        return None
    members = [(chip_id, *where) for chip_id, where in listed.items()]
    return split_digest(members), Split.of(members)
