"""Pairs of chips with similar descriptors: exact nearest neighbours, then a finer comparison."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from sklearn.neighbors import NearestNeighbors

from .descriptors import SIGNS

NEIGHBOURS = 8  # of each chip at first; more for a chip whose neighbours are all similar
MOST_NEIGHBOURS = 512
MOST_PAIRS = 1_000_000  # of chips whose neighbours are all similar; beyond, groups join over others
SIMILAR = 0.3  # smallest cosine of whole descriptors; `docs/audit.md` has its figures
CHUNK = 32_768  # pairs compared at a time

Candidates = dict[tuple[int, int], int]  # two rows -> place in `SIGNS`


def candidates(
    described: Float[np.ndarray, "N 4 D"],
    queries: Int[np.ndarray, " Q"],
    known: Int[np.ndarray, " K"],
) -> Candidates:
    """Return pairs of a query and a known chip whose descriptors are similar, smaller row first.

    The even parts, which no flip or rotation changes, give the nearest neighbours. The odd parts
    decide under the best of four symmetries.

    Args:
        described: Descriptor of each chip.
        queries: Rows to find neighbours of.
        known: Rows to find them among; both may be the same.
    """
    found: Candidates = {}
    if not len(queries) or not len(known):
        return found
    even = _normalised(described[known, 0])
    index = NearestNeighbors(algorithm="brute").fit(even)
    count = min(NEIGHBOURS + 1, len(known))  # one of them may be the chip itself
    while len(queries):
        nearest = index.kneighbors(_normalised(described[queries, 0]), count, return_distance=False)
        saturated = np.zeros(len(queries), dtype=bool)
        for rows, pairs in _pairs(queries, known[nearest]):
            similar, symmetry = similarity(described, pairs)
            alike = similar >= SIMILAR
            for pair, one in zip(pairs[alike].tolist(), symmetry[alike].tolist(), strict=True):
                if pair[0] != pair[1]:
                    found[min(pair), max(pair)] = one
            passed = np.bincount(rows, alike, len(queries))
            saturated |= passed >= count
        queries, before = queries[saturated], count
        count = min(4 * count, len(known), MOST_NEIGHBOURS)
        if count == before or len(queries) * count > MOST_PAIRS:
            break
    return found


def _normalised(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """Return vectors of length 1, of which the Euclidean order is that of the cosine."""
    vectors = vectors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _pairs(
    queries: Int[np.ndarray, " Q"], nearest: Int[np.ndarray, "Q k"]
) -> Iterator[tuple[Int[np.ndarray, " P"], Int[np.ndarray, "P 2"]]]:
    """Yield places in `queries` and pairs of rows, all pairs of a query in one part."""
    step = max(1, CHUNK // nearest.shape[1])
    for start in range(0, len(queries), step):
        part = nearest[start : start + step]
        places = np.repeat(np.arange(start, start + len(part)), nearest.shape[1])
        yield places, np.stack([queries[places], part.ravel()], axis=1)


def similarity(
    described: Float[np.ndarray, "N 4 D"], pairs: Int[np.ndarray, "P 2"]
) -> tuple[Float[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Return the cosine of two descriptors under the best symmetry, and its place in `SIGNS`."""
    one, other = (described[pairs[:, side]].astype(np.float32) for side in (0, 1))
    products = np.einsum("psd,psd->ps", one, other) @ SIGNS.T
    best = products.argmax(axis=1)
    return products[np.arange(len(best)), best], best
