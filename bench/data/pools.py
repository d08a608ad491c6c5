"""A pool of training chips: the union of its members, cut to a fixed draw.

A member may be the training split of a data set. A pool of one training split alone has labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int

from ..identity import Pretraining, pool_count
from .chips import Chips
from .images import SUFFIXES
from .names import TRAIN, card_of, set_of, split_source
from .packed import Summary
from .prepare import open_version


class EmptyPoolError(ValueError):
    """A pool without chips."""


@dataclass(frozen=True)
class Member:
    """A pool in the union: the parts that enter an identity, without a path."""

    name: str
    data_digest: str
    count: int


class Pool:
    """Chips of one or more pools, of any size.

    Attributes:
        members: Name, digest and number of drawn chips of each pool.
        classes: Class names in the order of the labels; empty without labels.
        labels: Class of each drawn chip; None unless the pool is exactly one training split.
    """

    def __init__(
        self, chips: Sequence[Chips], cap: int | None = None, fraction: float = 1.0
    ) -> None:
        """Draw the first chips of the union in the order of a hash of their ids.

        Args:
            chips: The prepared pools.
            cap: Largest number of chips to draw; None draws all.
            fraction: Share of those to draw; a smaller share is a part of a larger one.

        Raises:
            EmptyPoolError: No chip is drawn.
            ValueError: Cap or fraction is out of range.
        """
        if cap is not None and cap < 1:
            raise ValueError(f"the cap of a pool must be 1 chip or more, got {cap}")
        if not 0 < fraction <= 1:
            raise ValueError(f"the fraction of a pool must be in (0, 1], got {fraction}")
        self._chips = tuple(chips)
        total = sum(map(len, self._chips))
        wanted = pool_count(total, cap, fraction)
        if wanted == 0:
            names = ", ".join(one.name for one in self._chips) or "no pool"
            raise EmptyPoolError(
                f"{names}: fraction {fraction} and cap {cap} draw none of {total} chips; raise them"
            )
        self._rows = self._draw(wanted, total)
        counts = np.bincount(self._rows[:, 0], minlength=len(self._chips))
        self.members = tuple(
            Member(one.name, one.data_digest, int(count))
            for one, count in zip(self._chips, counts, strict=True)
        )
        alone = self._chips[0] if len(self._chips) == 1 else None
        labelled = alone is not None and bool(alone.classes) and not alone.is_test.any()
        self.classes: tuple[str, ...] = alone.classes if alone and labelled else ()
        self.labels: Int[np.ndarray, " N"] | None = (
            alone.labels[self._rows[:, 1]] if alone and labelled else None
        )

    def _draw(self, wanted: int, total: int) -> Int[np.ndarray, "N 2"]:
        """Return (pool, index) of the drawn chips, in the order of pools and ids."""
        rows = [(p, i) for p, one in enumerate(self._chips) for i in range(len(one))]
        if wanted < total:
            rows.sort(
                key=lambda row: (
                    sha256(str(self._chips[row[0]].ids[row[1]]).encode()).digest(),
                    row,
                )
            )
            rows = sorted(rows[:wanted])
        return np.array(rows, np.int64)

    def __len__(self) -> int:
        """Return the number of drawn chips."""
        return len(self._rows)

    @property
    def places(self) -> tuple[tuple[Chips, ...], Int[np.ndarray, "N 2"]]:
        """The prepared pools, and (pool, index in it) of each drawn chip."""
        return self._chips, self._rows

    def chip(self, index: int) -> np.ndarray:
        """Return one chip (H, W) in its stored type, without a copy."""
        pool, row = self._rows[index].tolist()
        return self._chips[pool].chip(row)

    def full_scale(self, index: int) -> float:
        """Return the stored value of amplitude 1.0 in this chip."""
        return self._chips[self._rows[index, 0]].full_scale

    def ids(self) -> list[str]:
        """Return the ids of the drawn chips."""
        return [str(self._chips[pool].ids[row]) for pool, row in self._rows]

    def content(self) -> np.ndarray:
        """Return the content digests of the drawn chips."""
        return np.array([self._chips[pool].content[row] for pool, row in self._rows], np.uint64)


def published_count(pool: Sequence[str]) -> int | None:
    """Return the number of chips of a pool by the cards of its sets; None if one does not say."""
    counts = [_published(name) for name in pool]
    known = [one for one in counts if one is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _published(name: str) -> int | None:
    card = card_of(set_of(name))
    if card.kind == "pool":
        return card.total
    counted = sum(card.counts.get("train", {}).values())
    return counted or (card.sides[0] if card.sides else None)


def pool_members(
    pool: Sequence[str], summary: Callable[[str], Summary | None]
) -> list[dict[str, Any]] | None:
    """Return the members of a pool for an identity; None if a set is not known.

    A training split has two more keys than another pool: its split digest and its number of
    classes.

    Args:
        pool: Names in a grid.
        summary: Returns the summary of a set by its full name.
    """
    members = []
    for name in pool:
        found = summary(set_of(name))
        if found is None:
            return None
        members.append(_member(name, found))
    return members


def _member(name: str, found: Summary) -> dict[str, Any]:
    member = {"name": found.name, "digest": found.data_digest, "count": found.count}
    if split_source(name) is None:
        return member
    return member | {
        "name": found.name + TRAIN,
        "count": sum(found.counts["train"].values()),
        "split": found.split_digest,
        "classes": len(found.classes),
    }


def training_split(chips: Chips) -> Chips:
    """Return the training chips of a data set with their labels, in the order of the split."""
    return chips.take(~chips.is_test, chips.name + TRAIN)


def open_pool(
    names: Sequence[str],
    digests: Sequence[tuple[str, str]],
    prepared_dir: Path,
    cap: int | None = None,
    fraction: float = 1.0,
) -> Pool:
    """Open the union of prepared pools.

    Args:
        names: Their names, as in `[pretrain] pool`.
        digests: The data digest of each, and the split digest of a training split (else empty).
        prepared_dir: The folder of packed sets.
        cap: Largest number of chips to draw; None draws all.
        fraction: Share of those to draw.

    Raises:
        NotPreparedError: A pool is not prepared.
        EmptyPoolError: No chip is drawn.
    """
    chips = []
    for name, (data, split) in zip(names, digests, strict=True):
        opened = open_version(card_of(set_of(name)), data, split, prepared_dir)
        chips.append(opened if split_source(name) is None else training_split(opened))
    return Pool(chips, cap, fraction)


def open_pool_of(identity: Pretraining, names: Sequence[str], prepared_dir: Path) -> Pool:
    """Open the pool of a pretraining; `names` are those in the grid. Errors as of `open_pool`."""
    digests = [(member["digest"], member.get("split", "")) for member in identity.pool]
    return open_pool(names, digests, prepared_dir, identity.pool_cap, identity.pool_fraction)


def overlap(pool: Pool | Chips, dataset: Chips, *, test: bool = True) -> int:
    """Return the number of chips of one side of a data set that are in a pool.

    A chip is in a pool if an image there has equal pixels, or if the path of an image ends in the
    chip's id (`x/A220/001.jpg` is `A220/001`). Another rendering of a chip under another name is
    not noticed.
    """
    ids = pool.ids() if isinstance(pool, Pool) else [str(i) for i in pool.ids]
    content = pool.content() if isinstance(pool, Pool) else pool.content
    side = dataset.is_test == test
    wanted = [str(i) for i in dataset.ids[side]]
    known_by_id = np.isin(wanted, list(_endings(ids, {i.count("/") for i in wanted})))
    return int((known_by_id | np.isin(dataset.content[side], content)).sum())


def _endings(ids: list[str], slashes: set[int]) -> set[str]:
    """Return the ends of pool ids that have one of these numbers of slashes."""
    paths = map(without_suffix, ids)
    return {"/".join(path.parts[-1 - number :]) for path in paths for number in slashes}


def without_suffix(chip_id: str) -> PurePosixPath:
    """Return the id of a pool's chip as a path, without the suffix of an image."""
    path = PurePosixPath(chip_id)
    return path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
