"""Planted copies of every kind are found, and nothing else."""

import numpy as np
import pytest
from planted import CHANGES, OVERLAPS, chips_of, made_images, plant

from sarbench.bench.audit.report import audit
from sarbench.bench.data.prepare import prepare


def found_pairs(images: list[np.ndarray]) -> dict[tuple[int, int], str]:
    """Return kind by pair of numbers."""
    result = audit([chips_of(images)])
    return {pair.numbers: pair.kind for pair in (*result.exact, *result.near)}


@pytest.fixture(scope="module")
def planted() -> tuple[dict[tuple[int, int], str], dict[tuple[int, int], str]]:
    images, pairs = plant(made_images(40), 3, np.random.default_rng(1))
    return found_pairs(images), pairs


def test_every_planted_copy_is_found_and_no_other_pair(planted):
    found, pairs = planted
    assert found.keys() == pairs.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_has_the_kind_of_its_change(planted, name: str):
    found, pairs = planted
    kinds = {found[pair] for pair, change in pairs.items() if change == name}
    assert kinds == {CHANGES[name][0]}


def test_large_shifts_and_crops_at_a_corner_are_found():
    images, pairs = plant(made_images(20, 128), 2, np.random.default_rng(2), OVERLAPS)
    assert found_pairs(images).keys() == pairs.keys()


@pytest.mark.slow
def test_copies_among_real_chips_are_found(real_data, tmp_path):
    chips = prepare("mstar_eoc_depression", real_data, tmp_path).chips
    images = [np.array(chips.chip(row)) for row in range(len(chips))]
    images, pairs = plant(images, 30, np.random.default_rng(0))
    found = found_pairs(images)
    assert len(found.keys() & pairs.keys()) >= 0.98 * len(pairs)
    assert found.keys() <= pairs.keys()
