"""The committed digests of support sets are those of known splits, with and without the data."""

import json
from hashlib import sha256

import numpy as np
import pytest

from sarbench.bench.data.committed_splits import committed
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.sources import mstar, opensarship, sar_acd
from sarbench.bench.data.splits import split_digest
from sarbench.protocols._support_sets import support_digest, support_set

SETS: dict[str, dict[str, list[str]]] = committed("support_sets")["sets"]
SHOTS, SEEDS = (10, 20, 40), range(10)


def members(name: str) -> dict[str, tuple[str, bool]]:
    sources = {"mstar": mstar, "sar": sar_acd, "opensarship": opensarship}
    return sources[name.split("/")[0].split("_")[0]].members(name)


def training_ids(name: str) -> dict[str, list[str]]:
    """Return the ids of each class's training chips."""
    by_class: dict[str, list[str]] = {}
    for chip_id, (class_name, is_test) in members(name).items():
        if not is_test:
            by_class.setdefault(class_name, []).append(chip_id)
    return by_class


def test_every_known_split_has_ten_seeds_at_all_shots_that_its_classes_allow():
    assert SETS.keys() == {name for name, known in committed("known").items() if "split" in known}
    for name, sets in SETS.items():
        least = min(map(len, training_ids(name).values()))
        assert list(sets) == [str(shots) for shots in SHOTS if shots <= least]
        assert {len(digests) for digests in sets.values()} == {len(SEEDS)}
    every = [digest for sets in SETS.values() for digests in sets.values() for digest in digests]
    assert len(set(every)) == len(every)


def by_hand(split: str, seed: int, by_class: dict[str, list[str]], shots: int) -> str:
    """Return the digest of a support set, written from its definition alone."""
    taken: list[str] = []
    for ids in by_class.values():
        taken += sorted(ids, key=lambda i: sha256(f"{split}/{seed}/{i}".encode()).digest())[:shots]
    return sha256(json.dumps(sorted(taken)).encode()).hexdigest()


@pytest.mark.parametrize("name", SETS)
def test_committed_ids_give_the_committed_digests(name):
    known, by_class = members(name), training_ids(name)
    split = split_digest((i, class_name, tested) for i, (class_name, tested) in known.items())
    assert split == committed("known")[name]["split"]
    names = sorted(by_class)
    ids = np.array([i for class_name in names for i in by_class[class_name]])
    labels = np.repeat(np.arange(len(names)), [len(by_class[n]) for n in names])
    for shots, digests in SETS[name].items():
        for seed, digest in enumerate(digests):
            chosen = support_set(split, seed, ids, labels, int(shots), names)
            assert support_digest(ids[chosen]) == digest, (shots, seed)
            assert by_hand(split, seed, by_class, int(shots)) == digest, (shots, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_real_chips_give_the_committed_digests(name, real_data, tmp_path):
    chips = prepare(name, real_data, tmp_path).chips
    assert chips.split_digest == committed("known")[name]["split"]
    train = np.flatnonzero(~chips.is_test)
    ids, labels = chips.ids[train], chips.labels[train]
    for shots, digests in SETS[name].items():
        for seed, digest in enumerate(digests):
            chosen = support_set(chips.split_digest, seed, ids, labels, int(shots), chips.classes)
            assert support_digest(ids[chosen]) == digest, (shots, seed)
