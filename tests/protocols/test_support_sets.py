import json
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest

from sarbench.protocols._support_sets import (
    SupportSetError,
    support_digest,
    support_set,
)

IDS = [f"HB{number:05d}.015" for number in range(300)]
LABELS = np.arange(300) % 7


def chosen(indices: np.ndarray, ids: list[str] | None = None) -> list[str]:
    return [(ids or IDS)[index] for index in indices]


def test_the_set_is_the_first_chips_of_each_class_in_the_order_of_sha256() -> None:
    expected = []
    for label in range(7):
        of_class = [chip_id for chip_id, other in zip(IDS, LABELS, strict=True) if other == label]
        of_class.sort(key=lambda chip_id: sha256(f"digest/3/{chip_id}".encode()).hexdigest())
        expected += of_class[:5]
    assert chosen(support_set("digest", 3, IDS, LABELS, 5)) == expected


def test_more_shots_contain_fewer() -> None:
    sets = [set(support_set("digest", 0, IDS, LABELS, k)) for k in (1, 10, 20, 40, "all")]
    for smaller, larger in pairwise(sets):
        assert smaller < larger
    assert len(sets[-1]) == 300


def test_each_class_gives_the_same_number_of_chips() -> None:
    indices = support_set("digest", 0, IDS, LABELS, 20)
    np.testing.assert_array_equal(LABELS[indices], np.repeat(np.arange(7), 20))


@pytest.mark.parametrize("shots", [10, "all"])
def test_the_order_of_the_files_does_not_matter(shots: int | str) -> None:
    order = np.random.default_rng(0).permutation(300)
    shuffled = [IDS[index] for index in order]
    again = support_set("digest", 0, shuffled, LABELS[order], shots)
    assert chosen(again, shuffled) == chosen(support_set("digest", 0, IDS, LABELS, shots))


def test_ids_may_be_an_array() -> None:
    from_array = support_set("digest", 0, np.array(IDS), LABELS, 10)
    np.testing.assert_array_equal(from_array, support_set("digest", 0, IDS, LABELS, 10))


def test_seed_and_split_change_the_set() -> None:
    sets = {
        frozenset(support_set(split, seed, IDS, LABELS, 10).tolist())
        for split in ("one", "two")
        for seed in range(10)
    }
    assert len(sets) == 20


def test_every_chip_is_drawn_equally_often() -> None:
    ids, labels = IDS[:20], np.zeros(20, dtype=np.int64)
    seeds = 2000
    drawn = np.zeros(20)
    for seed in range(seeds):
        drawn[support_set("digest", seed, ids, labels, 5)] += 1
    spread = np.sqrt(seeds * 0.25 * 0.75)  # binomial
    assert np.abs(drawn - seeds * 0.25).max() < 4 * spread


def test_a_class_with_too_few_chips_is_named_with_its_count() -> None:
    labels = np.array([0] * 30 + [1] * 8 + [2] * 262)
    with pytest.raises(SupportSetError, match=r"10 shots are too many: class 1 has 8 .* at most 8"):
        support_set("digest", 0, IDS, labels, 10)
    with pytest.raises(SupportSetError, match="BTR70 has 8"):
        support_set("digest", 0, IDS, labels, 10, ("BMP2", "BTR70", "T72"))


@pytest.mark.parametrize("shots", [1, "all"])
def test_a_class_without_chips_is_named(shots: int | str) -> None:
    labels = np.array([0] * 150 + [2] * 150)
    with pytest.raises(SupportSetError, match="BTR70 has 0"):
        support_set("digest", 0, IDS, labels, shots, ("BMP2", "BTR70", "T72"))


def test_a_split_without_training_chips_is_refused() -> None:
    with pytest.raises(SupportSetError, match="without training chips"):
        support_set("digest", 0, [], np.array([], dtype=np.int64), "all")


@pytest.mark.parametrize("shots", [0, -1, 2.5, "some", True, None])
def test_shots_that_are_not_positive_whole_numbers_are_refused(shots: object) -> None:
    with pytest.raises(SupportSetError, match="whole number from 1, 'all', or a share"):
        support_set.__wrapped__("digest", 0, IDS, LABELS, shots)  # past beartype, as users are


def test_an_id_that_occurs_twice_is_refused() -> None:
    with pytest.raises(SupportSetError, match=r"HB00000\.015"):
        support_set("digest", 0, [*IDS[:-1], IDS[0]], np.zeros(300, dtype=np.int64), 5)


def test_the_digest_of_a_set_is_that_of_its_sorted_ids() -> None:
    expected = sha256(json.dumps(["a", "b", "c"]).encode()).hexdigest()
    assert support_digest(["c", "a", "b"]) == expected
    assert support_digest(np.array(["b", "c", "a"])) == expected
    assert support_digest(["ab", "c"]) != support_digest(["a", "bc"])


def test_a_share_of_the_labels_is_rounded_in_each_class_and_nested_in_numbers_of_shots():
    ids = np.array([f"chip {n}" for n in range(40)])
    labels = np.repeat([0, 1, 2], [25, 14, 1])
    chosen = support_set("digest", 3, ids, labels, "30%")
    assert np.bincount(labels[chosen]).tolist() == [8, 4, 1]  # 7.5, 4.2 and 0.3, at least one
    four = support_set("digest", 3, ids[:39], labels[:39], 4)
    assert set(four) <= set(chosen)
    assert set(chosen) <= set(support_set("digest", 3, ids, labels, "99%"))


@pytest.mark.parametrize("shots", ["0%", "100%", "30", "30.%", "-3%", "0.0%", "30 %", "\uff11%"])
def test_a_share_outside_0_and_100_percent_is_refused(shots):
    with pytest.raises(SupportSetError, match="share of the labels such as '30%'"):
        support_set("digest", 0, ["a"], np.array([0]), shots)
