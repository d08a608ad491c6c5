"""Support sets as a function of split, seed and chip ids, the same on every machine.

The chips of a class are sorted by a hash, and the first k are taken. So sets are nested over k,
equal for all methods, and independent of the order of files in a folder.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

import numpy as np
from jaxtyping import Int, UInt64

Shots = int | str  # chips per class, `all`, or a share of the chips of each class as `30%`
ALLOWED_SHOTS = "a whole number from 1, 'all', or a share of the labels such as '30%'"
PERCENT = re.compile(r"(?!0+(\.0+)?%)[0-9]{1,2}(\.[0-9]{1,3})?%")  # above 0 and below 100


class SupportSetError(ValueError):
    """Shots that are not allowed, or training chips from which they cannot be drawn."""


def support_set(
    split_digest: str,
    seed: int,
    ids: Sequence[str] | np.ndarray,
    labels: Int[np.ndarray, " N"],
    shots: Shots,
    class_names: Sequence[str] = (),
) -> Int[np.ndarray, " S"]:
    """Return the indices of the labelled training chips, class by class, sorted by hash.

    Args:
        split_digest: Digest of the split of which these are the training chips.
        seed: Seed of the episode.
        ids: Ids of the training chips; unique.
        labels: Classes of the training chips.
        shots: Chips per class; `all`; or `P%`: P percent of the chips of each class, rounded, at
            least one.
        class_names: For messages, and to find classes without any chip.

    Raises:
        SupportSetError: `shots` is none of these, a class has fewer chips than `shots`, or an id
            occurs twice.
    """
    if not are_shots(shots):
        raise SupportSetError(f"shots is {shots!r}; it must be {ALLOWED_SHOTS}")
    ids = np.asarray(ids)
    keys = _keys(f"{split_digest}/{seed}/", ids)
    order = np.lexsort((keys, labels))
    repeated = np.flatnonzero((np.diff(keys[order]) == 0) & (np.diff(labels[order]) == 0))
    if repeated.size:
        raise SupportSetError(
            f"two training chips have the id {str(ids[order[repeated[0]]])!r}, so a hash cannot "
            "order them; give them different ids"
        )
    if not ids.size:
        raise SupportSetError(
            f"a split without training chips cannot give {shots} shots; use another split"
        )
    counts = np.bincount(labels, minlength=len(class_names))
    if not class_names:
        counts = counts[counts > 0]
        class_names = [f"class {label}" for label in np.unique(labels)]
    wanted = shots if isinstance(shots, int) else 1
    short = [
        f"{name} has {count}"
        for name, count in zip(class_names, counts, strict=True)
        if count < wanted
    ]
    if short:
        raise SupportSetError(
            f"{shots} shots are too many: {', '.join(short)} training chips; set at most "
            f"{counts.min()} shots, or 'all' if the protocol allows it"
        )
    if shots == "all":
        return order
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    taken = np.repeat(labelled_chips(shots, counts), counts)
    return order[np.arange(len(order)) - starts < taken]


def are_shots(value: object) -> bool:
    """Return whether a value is allowed as shots."""
    if isinstance(value, str):
        return value == "all" or PERCENT.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def labelled_chips(shots: Shots, counts: Int[np.ndarray, " C"]) -> Int[np.ndarray, " C"]:
    """Return how many chips of each class are labelled, from the numbers of training chips."""
    if isinstance(shots, int):
        return np.full_like(counts, shots)
    share = 1.0 if shots == "all" else float(shots[:-1]) / 100
    rounded = np.floor(share * counts + 0.5).astype(counts.dtype)  # half a chip counts
    return np.minimum(np.maximum(rounded, 1), counts)


def of_equal_size(
    episodes: Sequence[Int[np.ndarray, " _"]], most: Callable[[int], int]
) -> Iterator[list[int]]:
    """Yield the numbers of episodes with equally many chips, for runs that are computed together.

    Args:
        episodes: Indices of the labelled training chips of each run.
        most: From the chips of an episode to the largest number of runs together, at least 1.
    """
    runs: dict[int, list[int]] = defaultdict(list)
    for number, episode in enumerate(episodes):
        runs[len(episode)].append(number)
    for size, numbers in runs.items():
        together = max(1, most(size))
        for first in range(0, len(numbers), together):
            yield numbers[first : first + together]


def support_digest(ids: Iterable[str]) -> str:
    """Return the SHA-256 of a support set's chip ids, independent of their order."""
    return sha256(json.dumps(sorted(map(str, ids))).encode()).hexdigest()


def _keys(prefix: str, ids: np.ndarray) -> UInt64[np.ndarray, " N"]:
    """Return the first 64 bits of SHA-256(prefix + id) of every id."""
    start = sha256(prefix.encode())
    words = bytearray()
    for chip_id in ids.tolist():
        hashed = start.copy()  # the prefix is hashed once
        hashed.update(chip_id.encode())
        words += hashed.digest()[:8]
    return np.frombuffer(bytes(words), dtype=">u8").astype(np.uint64)
