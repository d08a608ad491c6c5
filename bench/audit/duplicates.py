"""Exact and near duplicates of chips."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ..data.chips import Chips
from .alignment import CLASSES, Match, align, align_resized, kind_of
from .candidates import candidates
from .collection import Collection, groups_of, links_of
from .descriptors import WINDOWS, describe_all

# Score from which two chips are near duplicates. `docs/audit.md`: copies as JPEG of quality 20
# reach 0.76, MSTAR chips of one vehicle in one pose 0.63.
NEAR = 0.7
CACHED = 512  # chips in memory per thread while pairs are aligned
MOST_THREADS = 8
PART = 256  # chips or pairs of a thread at a time

Report = Callable[[str, int, int], None]  # stage, done, total


@dataclass(frozen=True)
class NearPair:
    """Two chips that are near duplicates, by their numbers in a collection."""

    first: int
    second: int
    match: Match


@dataclass(frozen=True)
class Duplicates:
    """The duplicates in a collection.

    Attributes:
        collection: The chips.
        exact: Number of the group of equal chips of each chip.
        near: Near pairs of first chips of exact groups, in their order.
        group: Number of the group of exact and near duplicates of each chip.
        uncompared: Number of distinct chips without near comparison: blank, or too small.
        compared: Number of pairs that were aligned.
    """

    collection: Collection
    exact: Int[np.ndarray, " N"]
    near: list[NearPair]
    group: Int[np.ndarray, " N"]
    uncompared: int
    compared: int


def find_duplicates(
    sets: Sequence[Chips],
    sides: tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]] | None = None,
    report: Report | None = None,
) -> Duplicates:
    """Find the duplicates among the chips of some sets.

    Args:
        sets: The sets.
        sides: True for the chips of each side; near pairs are then only sought between them.
        report: Called with a stage, and the numbers of done and of all items.
    """
    collection = Collection(sets)
    exact = collection.exact_groups()
    _, first = np.unique(exact, return_index=True)
    if sides is None:
        wanted = np.ones((2, len(first)), dtype=bool)
    else:  # a first chip is on the sides of its whole group
        wanted = np.zeros((2, len(first)), dtype=bool)
        for side, chips in enumerate(sides):
            wanted[side, exact[chips]] = True
        used = wanted.any(axis=0)
        first, wanted = first[used], wanted[:, used]
    found, compared = {}, np.zeros(len(first), dtype=bool)
    for rows, described in _describe(collection, first, report):
        compared[rows] = True
        places = np.arange(len(rows))
        one, other = (places[wanted[side, rows]] for side in (1, 0))
        for (left, right), symmetry in candidates(described, one, other).items():
            found.setdefault((int(first[rows[left]]), int(first[rows[right]])), set()).add(symmetry)
    near = list(_verify(collection, found, report))
    links = np.array([(pair.first, pair.second) for pair in near], np.int64).reshape(-1, 2)
    joined = np.concatenate([links_of(exact), links])
    return Duplicates(
        collection, exact, near, groups_of(joined, len(collection)),
        int((~compared).sum()), len(found),
    )  # fmt: skip


def _describe(
    collection: Collection, chips: Int[np.ndarray, " F"], report: Report | None
) -> Iterator[tuple[Int[np.ndarray, " R"], Float[np.ndarray, "R 4 D"]]]:
    """Yield, for each window, the places in `chips` that have its descriptor, and these."""

    def work(part: Int[np.ndarray, " P"]) -> list[list[np.ndarray | None]]:
        return [describe_all(collection.image(int(number)).pixels) for number in part]

    shapes = [(len(chips), 4, len(one.orbits)) for one in WINDOWS]
    described = [np.zeros(shape, np.float16) for shape in shapes]
    has = np.zeros((len(WINDOWS), len(chips)), dtype=bool)
    place = 0
    for part in _in_threads(work, chips, "describing chips", report):
        for own in part:
            for window, one in enumerate(own):
                if one is not None:
                    described[window][place], has[window, place] = one, True
            place += 1
    for window, own in enumerate(described):
        rows = np.flatnonzero(has[window])
        yield rows, own[rows]


def _verify(
    collection: Collection, found: dict[tuple[int, int], set[int]], report: Report | None
) -> Iterator[NearPair]:
    """Yield the candidates that match at full resolution."""

    def work(part: list[tuple[tuple[int, int], set[int]]]) -> list[NearPair]:
        image = lru_cache(CACHED)(collection.image)
        matched = []
        for (left, right), symmetries in part:
            first, second = image(left), image(right)
            matches = [align(first, second, CLASSES[one]) for one in symmetries]
            best = max(matches, key=lambda one: one.score)
            if best.score < NEAR and first.pixels.shape not in (
                second.pixels.shape, second.pixels.shape[::-1],
            ):  # fmt: skip
                matches = [align_resized(first, second, CLASSES[one]) for one in symmetries]
                best = max(matches, key=lambda one: one.score)
            if best.score >= NEAR:
                best = replace(best, kind=kind_of(first, second, best))
                matched.append(NearPair(left, right, best))
        return matched

    for part in _in_threads(work, sorted(found.items()), "aligning pairs", report):
        yield from part


def _in_threads(
    work: Callable[[Any], list[Any]], items: Any, stage: str, report: Report | None
) -> Iterator[list[Any]]:
    """Yield the result of `work` for parts of `items`, a list or array, in their order."""
    parts = [items[start : start + PART] for start in range(0, len(items), PART)]
    done = 0
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as threads:
        for part, result in zip(parts, threads.map(work, parts), strict=True):
            done += len(part)
            if report is not None:
                report(stage, done, len(items))
            yield result
