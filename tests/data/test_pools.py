"""Pools: fixed draws, overlap with test chips; splits that keep near-duplicates together."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_chips import chips_from
from PIL import Image

from sarbench.bench.data.chips import Chips
from sarbench.bench.data.images import content_digest
from sarbench.bench.data.pools import EmptyPoolError, Pool, overlap
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.registry import (
    UnknownDatasetError,
    card,
    dataset_names,
    describe,
    pool_names,
)
from sarbench.bench.data.sharing import Sharing, count_sharing
from sarbench.bench.data.sources import mstar, sar_acd
from sarbench.bench.data.splits import split_digest


def image(seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def opened(names: list[str], root: Path, cap: int | None = None, fraction: float = 1.0) -> Pool:
    return Pool(
        [prepare(n, root, root / "prepared", pool=True).chips for n in names], cap, fraction
    )


def two_pools(tmp_path: Path, count: int = 40) -> list[str]:
    for number in range(count):
        write(tmp_path / f"one/{number}.png", image(number, 6 + number % 3))
        write(tmp_path / f"two/deep/{number}.tif", image(100 + number).astype(np.uint16) * 257)
    names = ["folder:one", "folder:two"]
    for name in names:
        prepare(name, tmp_path, tmp_path / "prepared", pool=True)
    return names


def labelled(ids: list[str], images: list[np.ndarray], tested: list[bool]) -> Chips:
    return chips_from(
        images, name="mstar_soc", ids=np.array(ids), labels=np.zeros(len(ids), np.int64),
        classes=("ship",), is_test=np.array(tested),
        content=np.array([content_digest(one) for one in images], np.uint64),
    )  # fmt: skip


def test_a_union_holds_the_chips_of_its_members(tmp_path: Path):
    pool = opened(two_pools(tmp_path), tmp_path)
    assert len(pool) == 80
    assert [(m.name, m.count) for m in pool.members] == [("folder", 40), ("folder", 40)]
    place = {chip_id: i for i, chip_id in enumerate(pool.ids())}
    assert np.array_equal(pool.chip(place["7.png"]), image(7, 7))
    assert np.array_equal(pool.chip(place["7.tif"]), image(107).astype(np.uint16) * 257)
    assert pool.full_scale(place["7.png"]) == 255
    assert pool.full_scale(place["7.tif"]) == 65535


def test_a_smaller_draw_is_part_of_a_larger_one(tmp_path: Path):
    names = two_pools(tmp_path)

    def drawn(cap: int | None, fraction: float) -> set[str]:
        return set(opened(names, tmp_path, cap, fraction).ids())

    sizes = [drawn(60, fraction) for fraction in (0.1, 0.4, 0.7, 1.0)]
    assert [len(one) for one in sizes] == [6, 24, 42, 60]
    assert sizes[0] < sizes[1] < sizes[2] < sizes[3] < drawn(None, 1.0)
    assert drawn(1000, 1.0) == drawn(None, 1.0)
    assert drawn(60, 1.0) == drawn(None, 0.75)
    both = Counter(Path(chip_id).suffix for chip_id in drawn(40, 1.0))
    assert min(both.values()) > 10  # of the union, not of its first member


def test_the_draw_does_not_depend_on_the_order_of_the_members(tmp_path: Path):
    names = two_pools(tmp_path)
    one = opened(names, tmp_path, 30)
    other = opened(names[::-1], tmp_path, 30)
    assert set(one.ids()) == set(other.ids())
    assert one.members == other.members[::-1]


def test_an_empty_pool_and_values_out_of_range_are_refused(tmp_path: Path):
    names = two_pools(tmp_path)
    with pytest.raises(EmptyPoolError, match=r"fraction 0\.001"):
        opened(names, tmp_path, None, 0.001)
    with pytest.raises(EmptyPoolError):
        Pool([])
    with pytest.raises(ValueError, match="1 chip or more, got 0"):
        opened(names, tmp_path, 0)
    with pytest.raises(ValueError, match=r"\(0, 1\], got 1\.5"):
        opened(names, tmp_path, None, 1.5)


def test_test_chips_in_a_pool_are_counted_by_id_and_by_content(tmp_path: Path):
    images = [image(seed) for seed in range(6)]
    write(tmp_path / "pool/x/ship/001.png", 255 - images[0])  # the id of a test chip
    write(tmp_path / "pool/x/renamed.png", images[1])  # the pixels of another
    write(tmp_path / "pool/x/ship/004.png", images[3])  # the id of a train chip
    write(tmp_path / "pool/x/copy.png", images[4])  # the pixels of a train chip
    write(tmp_path / "pool/y/tank/002.png", image(77))  # another class
    prepare("folder:pool", tmp_path, tmp_path / "prepared", pool=True)
    pool = opened(["folder:pool"], tmp_path)
    ids = [f"ship/{number:03d}" for number in range(1, 7)]
    dataset = labelled(ids, images, [True, True, True, False, False, True])
    assert overlap(pool, dataset) == 2
    chips = prepare("folder:pool", tmp_path, tmp_path / "prepared", pool=True).chips
    assert overlap(chips, dataset) == 2
    assert overlap(Pool([chips], cap=1), dataset) <= 1


def test_an_mstar_id_with_its_suffix_is_found_in_a_pool(tmp_path: Path):
    write(tmp_path / "pool/any/HB03333.003.jpeg", image(0))
    write(tmp_path / "pool/any/HB03334.003.jpeg", image(1))
    chips = prepare("folder:pool", tmp_path, tmp_path / "prepared", pool=True).chips
    dataset = labelled(["HB03333.003", "HB03333.004"], [image(8), image(9)], [True, True])
    assert overlap(chips, dataset) == 1
    rest = labelled(["HB03333.003", "HB03335.003"], [image(10), image(11)], [False, False])
    assert overlap(rest, dataset) == 1  # ids without an image suffix, as in mstar_rest


def test_the_error_for_an_unknown_name_has_the_nearest_one():
    with pytest.raises(UnknownDatasetError, match=r"'mstar_scene'.*mstar_eoc_scene"):
        card("mstar_scene")
    with pytest.raises(UnknownDatasetError, match="unknown pool 'sar_acd'"):
        card("sar_acd", pool=True)
    for name in ("folder:", "folder:x?transform=log", "folder:x?scale=2", "folder:x?transform="):
        with pytest.raises(UnknownDatasetError, match=r"transform=none\|chip_max|names no folder"):
            card(name, pool=True)


def test_every_data_set_has_a_title_a_description_an_address_and_a_licence():
    for name in dataset_names():
        found = card(name)
        assert (found.name, found.kind) == (name, "dataset")
        source = found.source
        assert all((found.title, found.what, source.where, source.licence))
        assert name == "synthetic" or all((source.citation, source.layouts, source.folders))
    for name in pool_names():
        assert card(name, pool=True).kind == "pool"
    assert card("sar_acd").source.extra_controls == ("chip_size",)
    assert card("sar_acd/paper_random").source.extra_controls == ("chip_size",)
    assert card("mstar_soc").source.extra_controls == ()
    assert card("fusar_ship").crop_px is None
    assert card("fusar_ship/crop_128").crop_px == 128
    assert {name: card(name).total for name in ("msar", "sar_ship", "sarsim", "sample")} == {
        "msar": 28_499,
        "sar_ship": 39_729,
        "sarsim": 21_168,
        "sample": 5_380,
    }
    published = card("fusar_ship").counts
    assert (sum(published["train"].values()), sum(published["test"].values())) == (6870, 2940)


@pytest.mark.parametrize("name", ["sar_acd", "sar_acd/by_copies", "sar_acd/six_classes"])
def test_near_duplicates_stay_on_one_side(name: str):
    members, groups = sar_acd.members(name), card(name).source.groups(card(name))
    sides: dict[int, set[bool]] = {}
    for chip_id, (_, is_test) in members.items():
        sides.setdefault(groups[chip_id], set()).add(is_test)
    assert all(len(side) == 1 for side in sides.values())
    total = Counter(class_name for class_name, _ in members.values())
    train = Counter(class_name for class_name, is_test in members.values() if not is_test)
    assert set(total) == set(card(name).counts["train"])
    for class_name, count in total.items():
        assert train[class_name] >= 40
        assert train[class_name] / count == pytest.approx(0.5, abs=0.02)


def test_groups_of_copies_join_the_groups_of_whole_images():
    whole, copies = sar_acd.groups(), sar_acd.groups("copies")
    assert whole.keys() == copies.keys()
    assert len(set(zip(whole.values(), copies.values(), strict=True))) == len(set(whole.values()))
    assert len(set(copies.values())) == 347
    by_copies, usual = card("sar_acd/by_copies"), card("sar_acd")
    assert by_copies.source.groups(by_copies) == copies
    assert by_copies.source.groups(card("sar_acd/by_copies:held_out")) == copies
    assert usual.source.groups(usual) == whole


def test_a_card_says_how_many_test_chips_are_near_copies_of_training_chips():
    assert card("sar_acd").copies_text() == (
        "580 of 1,260 test chips of sar_acd are near copies of training chips; sar_acd/by_copies "
        "has 10."
    )
    assert card("sar_acd/by_copies").copies_text() == (
        "10 of 1,256 test chips of sar_acd/by_copies are near copies of training chips."
    )
    for name in ("sar_acd:held_out", "mstar_soc", "folder:sar_acd"):
        assert card(name).copies_text() == ""
    assert describe(card("sar_acd"), Path("nowhere"))["copies"] == card("sar_acd").copies_text()


def test_the_random_split_of_the_paper_has_its_counts():
    # `datasets/SAR_ACD.py` of waterdisappear/SAR-JEPA: a tenth of the public counts of AICyberTeam
    counts = card("sar_acd/paper_random").counts
    classes = ("A220", "A330", "ARJ21", "Boeing737", "Boeing787")
    assert counts["train"] == dict(zip(classes, (46, 51, 51, 53, 50), strict=True))
    assert counts["test"] == dict(zip(classes, (418, 461, 463, 475, 454), strict=True))


def test_the_groups_are_those_of_the_real_data(real_data: Path):
    import csv

    with (real_data / "sar_acd" / "near_duplicate_groups.csv").open(newline="") as opened:
        expected = {
            row["path"].removeprefix("images/").removesuffix(".jpg"): int(row["group"])
            for row in csv.DictReader(opened)
        }
    assert sar_acd.groups() == expected


def test_the_split_digest_is_over_sorted_ids_classes_and_sides():
    from hashlib import sha256

    by_hand = sha256(b"a\tship\ttest\nb\ttank\ttrain\n").hexdigest()
    assert split_digest([("b", "tank", False), ("a", "ship", True)]) == by_hand


def test_shared_training_chips_and_vehicles_are_counted(tmp_path: Path):
    collections = mstar.table().collections
    tested, known, alike = (
        collections["T72 SN_132 15deg"].chip_ids()[0],
        *collections["T72 SN_132 17deg"].chip_ids()[:2],
    )
    other = collections["T72 SN_812 17deg"].chip_ids()[0]
    write(
        tmp_path / f"pool/{known}.png", image(10)
    )  # by its id; shows the vehicle of the test chip
    write(tmp_path / "pool/copy.png", image(2))  # by its pixels; without an id nothing is known
    write(tmp_path / f"pool/{other}.png", image(11))  # of another vehicle
    prepare("folder:pool", tmp_path, tmp_path / "prepared", pool=True)
    dataset = labelled([tested, known, alike], [image(0), image(1), image(2)], [True, False, False])
    found = count_sharing(opened(["folder:pool"], tmp_path), dataset)
    assert found == Sharing((3,), 0, 2, 1, 1, depressions_deg=(17,), test_depressions_deg=(15,))
    capped = count_sharing(opened(["folder:pool"], tmp_path, 1), dataset)
    assert capped.drawn == (1,)


@pytest.mark.slow
def test_the_pool_of_the_real_chips_grid_shares_what_its_caption_says(real_data, tmp_path: Path):
    # counts from the release's index, computed without this code
    names = ["folder:opensarship_slc_png", "folder:tsx_slc_png", "mstar_rest"]
    for name in (*names, "mstar_soc"):
        prepare(name, real_data, tmp_path, pool=name != "mstar_soc")
    pools = [prepare(name, real_data, tmp_path, pool=True).chips for name in names]
    found = count_sharing(Pool(pools, 3000), prepare("mstar_soc", real_data, tmp_path).chips)
    assert found.agrees(Sharing((156, 295, 2549), 0, 510, vehicles=10, vehicle_chips=919))
    assert found.test_depressions_deg == (15,)
