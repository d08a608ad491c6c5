"""Training chips held out by hash, as a data set of its own."""

from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from sarbench.bench.data.find_set import describe_set, find_set
from sarbench.bench.data.held_out import HeldOutError
from sarbench.bench.data.names import card_of, split_source
from sarbench.bench.data.pools import open_pool
from sarbench.bench.data.prepare import open_version, prepare
from sarbench.bench.data.registry import UnknownDatasetError

NAME = "folder:mine:held_out"


def write(root, counts):
    """Write images `train|test/<class>/<class><number>.png`, each with other pixels."""
    rng = np.random.default_rng(0)
    for side, classes in counts.items():
        for name, count in classes.items():
            folder = root / "mine" / side / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (8, 8), np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}{number}.png")


def test_a_quarter_of_each_class_is_held_out_in_the_order_of_hashes(tmp_path):
    write(tmp_path, {"train": {"a": 9, "b": 4, "c": 2}, "test": {"a": 3, "b": 3, "c": 3}})
    base = prepare("folder:mine", tmp_path, tmp_path / "prepared").chips
    chips, summary = prepare(NAME, tmp_path, tmp_path / "prepared")
    assert summary.counts["test"] == {"a": 3, "b": 1, "c": 1}  # 2.25, 1 and 0.5, rounded up
    assert summary.counts["train"] == {"a": 6, "b": 3, "c": 1}
    training = set(base.ids[~base.is_test].tolist())
    assert set(chips.ids.tolist()) == training  # and no test chip

    def rank(chip_id: str) -> str:
        return sha256(f"{base.split_digest}/held_out/{chip_id}".encode()).hexdigest()

    of_a = sorted((i for i in training if "/a" in i or i.startswith("a")), key=rank)
    assert set(chips.ids[chips.is_test].tolist()) >= set(of_a[:3])
    for index in (0, 7, 14):  # pixels are those of the same chip
        there = base.ids.tolist().index(chips.ids[index])
        assert np.array_equal(chips.chip(index), base.chip(there))


def test_it_is_found_by_its_digests_and_is_a_pool_too(tmp_path):
    write(tmp_path, {"train": {"a": 4, "b": 4}, "test": {"a": 1, "b": 1}})
    chips, summary = prepare(NAME, tmp_path, tmp_path / "prepared")
    digests = summary.data_digest, summary.split_digest
    assert open_version(card_of(NAME), *digests, tmp_path / "prepared").ids.tolist() == (
        chips.ids.tolist()
    )
    found = find_set(NAME, tmp_path, tmp_path)
    assert found is not None
    assert (found.summary, found.packed) == (summary, True)
    describe_set(NAME, summary, tmp_path)
    without_files = find_set(NAME, tmp_path / "elsewhere", tmp_path)
    assert without_files is not None
    assert without_files.summary == summary
    assert split_source(f"{NAME}:train") == NAME
    pool = open_pool([f"{NAME}:train"], [digests], tmp_path / "prepared")
    assert sorted(pool.ids()) == sorted(chips.ids[~chips.is_test].tolist())


def test_near_duplicates_stay_together(tmp_path):
    (tmp_path / "mine").mkdir()
    lines = ["file,class,side,group"]
    for number in range(16):
        name = "ab"[number % 2]
        (tmp_path / "mine" / name).mkdir(exist_ok=True)
        pixels = np.full((8, 8), number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"mine/{name}/{number}.png")
        side = "test" if number > 13 else "train"
        lines.append(f"{name}/{number}.png,{name},{side},{number // 4 if number < 12 else number}")
    (tmp_path / "mine" / "split.csv").write_text("\n".join(lines))
    chips = prepare(NAME, tmp_path, tmp_path / "prepared").chips
    assert chips.group is not None
    for group in np.unique(chips.group):
        assert len(set(chips.is_test[chips.group == group].tolist())) == 1
    assert 0 < chips.is_test.sum() < 14


def test_groups_of_two_classes_leave_a_chip_of_each_on_both_sides(tmp_path):
    lines = ["file,class,side,group"]
    for number in range(8):
        name = "ab"[number > 1]
        (tmp_path / "mine" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(
            tmp_path / f"mine/{name}/{number}.png"
        )
        group = {0: "x", 1: "y", 2: "x", 3: "y"}.get(number, f"g{number}")
        side = "test" if number > 5 else "train"
        lines.append(f"{name}/{number}.png,{name},{side},{group if side == 'train' else ''}")
    lines.append("a/8.png,a,test,")
    Image.fromarray(np.full((8, 8), 99, np.uint8)).save(tmp_path / "mine/a/8.png")
    (tmp_path / "mine" / "split.csv").write_text("\n".join(lines))
    chips = prepare(NAME, tmp_path, tmp_path / "prepared").chips
    for label in range(2):
        assert set(chips.is_test[chips.labels == label].tolist()) == {True, False}


def test_a_class_whose_groups_are_all_taken_is_refused(tmp_path):
    """Both classes lie in groups x and y. One chip of a is taken; if it is in the group in which b
    has one of its eight chips, b takes the other group too, and no chip of either class is left.
    """
    refused = []
    for many in "xy":
        lines = ["file,class,side,group"]
        for name, groups in {"a": "xy", "b": "xy" + 6 * many}.items():
            (tmp_path / many / "mine" / name).mkdir(parents=True)
            for number, group in enumerate([*groups, ""]):
                pixels = np.full((8, 8), len(lines), np.uint8)
                Image.fromarray(pixels).save(tmp_path / many / f"mine/{name}/{number}.png")
                side = "train" if group else "test"
                lines.append(f"{name}/{number}.png,{name},{side},{group}")
        (tmp_path / many / "mine" / "split.csv").write_text("\n".join(lines))
        try:
            chips = prepare(NAME, tmp_path / many, tmp_path / "prepared" / many).chips
        except HeldOutError as error:
            refused.append(str(error))
        else:
            assert chips.is_test.sum() == 8  # one chip of a, seven of b
    (message,) = refused
    assert "has 2 training chips of a in 2 groups of near duplicates" in message


def test_what_cannot_be_held_out_is_refused(tmp_path):
    write(tmp_path, {"train": {"a": 4, "b": 1}, "test": {"a": 1, "b": 1}})
    with pytest.raises(HeldOutError, match=r"has 1 training chips of b .* at least 2 groups"):
        prepare(NAME, tmp_path, tmp_path / "prepared")
    with pytest.raises(UnknownDatasetError, match="is a pool, which has no training split"):
        card_of("pool:synthetic:held_out")
