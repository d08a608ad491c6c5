"""A quarter of the training chips of a data set, held out by hash: `NAME:held_out`.

Recipes are tuned on it. It is a data set of its own: its test chips are the held-out ones, its
training chips are the others, and the test chips of NAME are in neither. So nothing that is tuned
can have seen them.
"""

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from .chips import Chips
from .names import HELD_OUT, card_of
from .packed import Prepared, Summary, is_packed_set, open_packed, packed_folder
from .source import Card, count
from .splits import Split, split_digest

SHARE = 0.25  # of the training chips of each class, rounded up


class HeldOutError(ValueError):
    """A data set of which no training chips can be held out."""

    failure_class = "data"


def base_name(name: str) -> str:
    """Return NAME of `NAME:held_out`; empty for another name."""
    return name.removesuffix(HELD_OUT) if name.endswith(HELD_OUT) else ""


def held_out(base: Prepared) -> Prepared:
    """Return the training chips of a data set, a part of them as test chips.

    Near duplicates stay together: a group is held out as a whole.

    Raises:
        HeldOutError: A class has a single chip or group.
    """
    chips, summary = base
    rest = chips.take(~chips.is_test, chips.name + HELD_OUT)
    split = Split(chips.ids, chips.labels, ~chips.is_test, chips.classes, chips.group)
    groups = split.groups(chips.name)  # of the training chips, which are the test side here
    units = rest.ids if groups is None else groups
    chosen = _draw(chips, rest, np.unique(units, return_inverse=True)[1])
    names = [chips.classes[label] for label in rest.labels]
    digest = split_digest(zip(rest.ids.tolist(), names, chosen.tolist(), strict=True))
    counts = count(Counter(zip(names, chosen.tolist(), strict=True)))
    described = replace(
        summary, name=rest.name, count=len(rest), counts=counts, split_digest=digest
    )
    return Prepared(replace(rest, is_test=chosen, split_digest=digest), described)


def _draw(chips: Chips, rest: Chips, units: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    """Return True for the held-out ones of the training chips, `rest`.

    The units (chips or groups) of a class are sorted by the hash of the first id in each, and taken
    until a quarter of the chips of the class is held out.
    """
    labels, first = rest.labels, dict[int, str]()
    for unit, chip_id in zip(units.tolist(), map(str, rest.ids), strict=True):
        first[unit] = min(chip_id, first.get(unit, chip_id))
    taken = np.zeros(len(first), dtype=bool)  # units
    rank = {unit: _hash(chips, chip_id) for unit, chip_id in first.items()}
    for label in range(len(chips.classes)):
        of_class = np.bincount(units[labels == label], minlength=len(first))
        missing = np.ceil(SHARE * of_class.sum()) - of_class[taken].sum()
        for unit in sorted(np.flatnonzero(of_class).tolist(), key=rank.__getitem__):
            if missing <= 0:
                break
            missing -= 0 if taken[unit] else of_class[unit]
            taken[unit] = True
    for label, name in enumerate(chips.classes):  # a group of two classes may take too many
        out = taken[units[labels == label]]
        if not out.any() or out.all():
            raise HeldOutError(
                f"{chips.name} has {len(out)} training chips of {name} in "
                f"{len(set(units[labels == label].tolist()))} groups of near duplicates, of which "
                "a part cannot be held out; at least 2 groups are needed: tune on another data set"
            )
    return taken[units]


def _hash(chips: Chips, chip_id: str) -> bytes:
    return sha256(f"{chips.split_digest}/held_out/{chip_id}".encode()).digest()


def open_held_out(card: Card, data_digest: str, split: str, prepared_dir: Path) -> Prepared | None:
    """Return the held-out part with these digests of a packed data set; None if it is not packed.

    An empty `split` stands for any.
    """
    base = card_of(base_name(card.name))
    pattern = f"{packed_folder(prepared_dir, base.name, data_digest, '').name}-*"
    for folder in sorted(prepared_dir.glob(pattern)):
        if is_packed_set(folder):
            found = held_out(open_packed(base, folder))
            if not split or found.summary.split_digest == split:
                return found
    return None


def summary_of(base: Summary, prepared_dir: Path) -> Summary:
    """Return the summary of the held-out part of a packed data set."""
    folder = packed_folder(prepared_dir, base.name, base.data_digest, base.split_digest)
    return held_out(open_packed(card_of(base.name), folder)).summary
