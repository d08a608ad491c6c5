"""Chips of one or two sets under one numbering, and their exact duplicates."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..data.chips import Chips
from .alignment import Image
from .content import content_of


class Collection:
    """The chips of some sets, numbered through.

    Attributes:
        sets: The sets.
        set_of: The place of the set of each chip in `sets`.
    """

    def __init__(self, sets: Sequence[Chips]) -> None:
        """Take the sets in the order of their numbers."""
        self.sets = tuple(sets)
        counts = [len(one) for one in self.sets]
        self._starts = np.cumsum([0, *counts])
        self.set_of: Int[np.ndarray, " N"] = np.repeat(np.arange(len(counts)), counts)

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self.set_of)

    def place(self, number: int) -> tuple[Chips, int]:
        """Return the set of a chip and its row there."""
        which = int(self.set_of[number])
        return self.sets[which], number - int(self._starts[which])

    def chip_id(self, number: int) -> str:
        """Return the id of a chip."""
        chips, row = self.place(number)
        return str(chips.ids[row])

    def class_name(self, number: int) -> str:
        """Return the class of a chip; empty in a pool."""
        chips, row = self.place(number)
        return chips.classes[chips.labels[row]] if chips.classes else ""

    def is_test(self) -> Bool[np.ndarray, " N"]:
        """Return True for the test chips of data sets."""
        return np.concatenate([one.is_test for one in self.sets])

    def image(self, number: int) -> Image:
        """Return a chip for alignment."""
        chips, row = self.place(number)
        return Image(content_of(chips, row), chips.full_scale)

    def exact_groups(self) -> Int[np.ndarray, " N"]:
        """Return the number of the group of equal chips of each chip.

        Chips are equal if their stored pixels are, or if their whole images were before the crop.
        """
        whole = np.concatenate([one.content for one in self.sets])
        joined = np.concatenate([links_of(whole), links_of(self._pixel_digests())])
        return groups_of(joined, len(self))

    def _pixel_digests(self) -> Int[np.ndarray, " N"]:
        found = np.empty(len(self), np.uint64)
        for number in range(len(self)):
            chips, row = self.place(number)
            chip = np.ascontiguousarray(chips.chip(row))
            header = f"{chip.shape} {chip.dtype.name} ".encode()
            digest = blake2b(header, digest_size=8)
            digest.update(chip.tobytes())
            found[number] = int.from_bytes(digest.digest(), "big")
        return found


def links_of(keys: Int[np.ndarray, " N"]) -> Int[np.ndarray, "N 2"]:
    """Return (chip, first chip with its key) for each of N chips."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.stack([np.arange(len(keys)), first[inverse.ravel()]], axis=1)


def groups_of(links: Int[np.ndarray, "L 2"], count: int) -> Int[np.ndarray, " N"]:
    """Return the number of the connected group of each chip, in the order of first chips."""
    ones = np.ones(len(links), dtype=np.int8)
    graph = coo_array((ones, (links[:, 0], links[:, 1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[inverse.ravel()]
