"""A data set is packed once, whole or not at all, and only if it holds the required chips."""

import errno
import io
import itertools
import os
import shutil
import time
from collections import Counter
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from mstar_files import few_chips
from PIL import Image

from sarbench.bench.data import checked_pixels, packed, packing, registry, write_packed
from sarbench.bench.data import prepare as preparing
from sarbench.bench.data.committed_splits import committed
from sarbench.bench.data.files import DatasetNotFoundError
from sarbench.bench.data.listing import ConflictingCopiesError, DatasetMismatchError
from sarbench.bench.data.packed import DamagedPreparedError
from sarbench.bench.data.prepare import is_current, prepare, summary
from sarbench.bench.data.registry import card
from sarbench.bench.data.show import draw_chips
from sarbench.bench.data.sources import fusar_ship, mstar, synthetic
from sarbench.bench.data.sources.synthetic import SyntheticSet
from sarbench.bench.data.unreadable_image import UnreadableImageError
from sarbench.bench.data.verify import verify
from sarbench.bench.store.atomic import NoSpaceError

SIDES = {"2S1": 158, "BRDM2": 129, "D7": 177, "T62": 172, "ZIL131": 192, "ZSU234": 158}


@pytest.fixture
def few_mstar(monkeypatch: pytest.MonkeyPatch):
    """Reduce MSTAR to two chips per collection."""
    return few_chips(monkeypatch)


@pytest.fixture
def few_synthetic(monkeypatch: pytest.MonkeyPatch) -> SyntheticSet:
    """Reduce the synthetic set to 2 train chips, 1 test chip and 1 pool chip per class."""
    part = np.tile(["train", "train", "test", "pool"], 10)
    label = np.repeat(np.arange(10), 4)
    number = np.tile([0, 1, 0, 0], 10)
    names = [list(synthetic.VEHICLES)[i] for i in label]
    ids = [f"{name}_{p}_{n:03d}" for name, p, n in zip(names, part, number, strict=True)]
    monkeypatch.setattr(synthetic, "TRAIN_PER_CLASS", 2)
    monkeypatch.setattr(synthetic, "TEST_PER_CLASS", 1)

    def draw(splits: tuple[str, ...]) -> SyntheticSet:
        rows = np.flatnonzero(np.isin(part, splits))
        return SyntheticSet(
            pixels=np.stack([speckle(int(seed), 16, 16) for seed in rows]),
            labels=np.where(part == "pool", -1, label)[rows],
            is_test=(part == "test")[rows],
            ids=[ids[i] for i in rows],
            classes=tuple(synthetic.VEHICLES),
        )

    monkeypatch.setattr(synthetic, "generate", draw)
    return draw(("train", "test", "pool"))


def speckle(seed: int, rows: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.exponential(40, (rows, columns)).clip(0, 255).astype(np.uint8)


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)


def write_mstar(root: Path, table: mstar.Table, layout: str, name: str = "mstar_soc") -> None:
    """Write a split in one of three layouts; each chip's pixels are a function of its id."""
    for chip_id, is_test in table.splits[name].items():
        collection = table.by_id[chip_id]
        class_name, serial = collection.class_name, collection.serial
        side = SIDES.get(class_name, 128)
        image = speckle(int(chip_id[2:7]) + 7 * int(chip_id[8:]), side + 1, side)
        angle = f"{collection.depression_deg}_DEG"
        number = chip_id.split(".")[0]
        path = {
            "cd": f"JPEG/CD1/{angle}/COL1/SCENE1/{class_name}/{serial}/{chip_id}.png",
            "hdanet": f"SOC/{'TEST' if is_test else 'TRAIN'}/{class_name}/{serial}/{number}.png",
            "flat": f"{'test' if is_test else 'train'}/{class_name.lower()}/{number}.npy",
        }[layout]
        write(root / path, image)


def test_the_same_chips_in_three_layouts_have_the_same_digests(few_mstar, tmp_path: Path):
    opened = []
    for layout in ("cd", "hdanet", "flat"):
        write_mstar(tmp_path / layout / "MSTAR", few_mstar, layout)
        opened.append(prepare("mstar_soc", tmp_path / layout, tmp_path / "prepared").chips)
    assert len({chips.data_digest for chips in opened}) == 1
    assert len({chips.split_digest for chips in opened}) == 1
    assert len(opened[0]) == 10 * 2 * 2
    assert opened[0].rendering == "unknown rendering"
    assert len(packed_sets(tmp_path)) == 1  # its digests name it, not its folder


def test_the_data_folder_may_be_the_data_set_itself(few_mstar, tmp_path: Path):
    write_mstar(tmp_path / "any name", few_mstar, "flat")
    assert len(prepare("mstar_soc", tmp_path / "any name", tmp_path / "prepared").chips) == 40


def test_prepared_chips_have_one_size(few_mstar, tmp_path: Path):
    write_mstar(tmp_path / "mstar", few_mstar, "flat")
    chips = prepare("mstar_soc", tmp_path, tmp_path / "prepared").chips
    assert set(chips.height) == set(chips.width) == {128}
    d7 = np.flatnonzero(chips.labels == chips.classes.index("D7"))
    assert chips.source_size[d7[0]].tolist() == [178, 177]
    expected = speckle(int(chips.ids[d7[0]][2:7]) + 7 * 5, 178, 177)[25:153, 24:152]
    assert np.array_equal(chips.chip(int(d7[0])), expected)


def test_chips_are_in_the_order_of_their_ids(few_mstar, tmp_path: Path):
    write_mstar(tmp_path / "mstar", few_mstar, "cd")
    chips = prepare("mstar_soc", tmp_path, tmp_path / "prepared").chips
    assert list(chips.ids) == sorted(few_mstar.splits["mstar_soc"])
    for i, chip_id in enumerate(chips.ids):
        assert chips.classes[chips.labels[i]] == few_mstar.by_id[chip_id].class_name
        assert chips.is_test[i] == few_mstar.splits["mstar_soc"][chip_id]


def test_missing_and_extra_chips_are_listed_class_by_class(few_mstar, tmp_path: Path):
    write_mstar(tmp_path / "mstar", few_mstar, "flat")
    gone = sorted((tmp_path / "mstar/train/t62").iterdir())[0]
    gone.unlink()
    with pytest.raises(DatasetMismatchError, match="train T62: expected 2, found 1") as raised:
        prepare("mstar_soc", tmp_path, tmp_path / "prepared")
    assert f"{gone.stem}.016" in str(raised.value)
    report = verify("mstar_soc", tmp_path)
    assert not report.ok
    assert report.missing == (f"{gone.stem}.016",)
    wrong = [count for count in report.counts if count.expected != count.found]
    assert [(c.part, c.class_name, c.expected, c.found) for c in wrong] == [("train", "T62", 2, 1)]


def test_verify_names_unreadable_and_unexpected_files(few_mstar, tmp_path: Path):
    write_mstar(tmp_path / "mstar", few_mstar, "flat")
    assert verify("mstar_soc", tmp_path).ok
    broken = sorted((tmp_path / "mstar/test/bmp2").iterdir())[0]
    broken.write_bytes(b"")
    write(tmp_path / "mstar/overview.png", speckle(0, 8, 8))
    write(tmp_path / "mstar/train/t62/HB99999.png", speckle(0, 8, 8))
    report = verify("mstar_soc", tmp_path)
    assert not report.ok
    assert [broken.name in reason for reason in report.unreadable] == [True]
    assert ["HB99999" in u or "overview" in u for u in report.unexpected] == [True, True]
    assert report.data_digest == ""
    with pytest.raises(DatasetMismatchError, match="HB99999"):
        prepare("mstar_soc", tmp_path, tmp_path / "prepared")


def test_two_renderings_in_one_folder_are_refused_and_equal_copies_are_not(
    few_mstar, tmp_path: Path
):
    write_mstar(tmp_path / "mstar", few_mstar, "cd")
    write_mstar(tmp_path / "mstar", few_mstar, "hdanet")
    write_mstar(tmp_path / "mstar", few_mstar, "flat")  # another format of the same pixels
    assert len(prepare("mstar_soc", tmp_path, tmp_path / "prepared").chips) == 40
    chip_id = "HB03333.000"
    write(tmp_path / f"mstar/JPEG-e/BMP2/{chip_id}.png", speckle(1, 128, 128))
    with pytest.raises(ConflictingCopiesError, match=rf"{chip_id} .*different pixels.*JPEG-e/BMP2"):
        prepare("mstar_soc", tmp_path, tmp_path / "prepared")


def test_an_unreadable_chip_leaves_no_files(few_mstar, tmp_path: Path):
    write_mstar(tmp_path / "mstar", few_mstar, "flat")
    broken = sorted((tmp_path / "mstar/test/bmp2").iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UnreadableImageError, match=broken.name):
        prepare("mstar_soc", tmp_path, tmp_path / "prepared")
    assert list((tmp_path / "prepared").iterdir()) == []
    assert summary("mstar_soc", tmp_path, tmp_path / "prepared") is None


def packed_sets(tmp_path: Path) -> list[Path]:
    return sorted(p for p in (tmp_path / "prepared").iterdir() if p.name != "places")


def pool_folder(tmp_path: Path, count: int = 5) -> str:
    for number in range(count):
        write(tmp_path / f"pool/{number}.png", speckle(number, 20 + number, 30))
    return "folder:pool"


def test_a_full_disk_keeps_the_packed_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name = pool_folder(tmp_path)
    before = prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips.data_digest
    (places := tmp_path / "prepared/places").rename(tmp_path / "places")  # it must pack again

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(write_packed, "sync", full)
        with pytest.raises(NoSpaceError, match=r"no space left to write .*prepared"):
            prepare(name, tmp_path, tmp_path / "prepared", pool=True)
    assert len(packed_sets(tmp_path)) == 1
    (tmp_path / "places").rename(places)
    assert prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips.data_digest == before


def test_a_set_is_packed_once_until_its_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    name = pool_folder(tmp_path)
    before = prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips
    with monkeypatch.context() as patch:
        patch.setattr(preparing, "write_packed", None)  # fails if it is called
        again = prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips
    assert again.data_digest == before.data_digest
    write(tmp_path / "pool/9.png", speckle(9, 8, 8))
    assert len(prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips) == 6


def test_changed_files_are_seen_without_reading_any(tmp_path: Path):
    name, packed = pool_folder(tmp_path), tmp_path / "prepared"
    assert is_current(name, tmp_path, packed, pool=True)  # not packed: nothing has changed
    prepare(name, tmp_path, packed, pool=True)
    assert is_current(name, tmp_path, packed, pool=True)
    first = next((tmp_path / "pool").iterdir())
    os.utime(first, (1e9, 1e9))
    assert not is_current(name, tmp_path, packed, pool=True)
    prepare(name, tmp_path, packed, pool=True)
    assert is_current(name, tmp_path, packed, pool=True)
    (tmp_path / "pool").rename(tmp_path / "gone")  # a store may be used without its files
    assert is_current(name, tmp_path, packed, pool=True)
    with ZipFile(tmp_path / "pool.zip", "w") as archive:
        archive.write(tmp_path / "gone" / first.name, first.name)
    prepare("folder:pool.zip", tmp_path, packed, pool=True)
    assert is_current("folder:pool.zip", tmp_path, packed, pool=True)
    os.utime(tmp_path / "pool.zip", ns=(0, 0))
    assert not is_current("folder:pool.zip", tmp_path, packed, pool=True)


def test_two_processes_may_pack_the_same_set_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    name = pool_folder(tmp_path)
    first = preparing.write_packed

    def write_after_another(card, pack, *rest):
        def late(target: Path):
            yield from pack(target)
            with monkeypatch.context() as patch:
                patch.setattr(preparing, "write_packed", first)
                prepare(name, tmp_path, tmp_path / "prepared", pool=True)

        return first(card, late, *rest)

    monkeypatch.setattr(preparing, "write_packed", write_after_another)
    assert len(prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips) == 5
    assert len(packed_sets(tmp_path)) == 1


def test_temporary_folders_of_killed_processes_are_removed_after_a_day(tmp_path: Path):
    name = pool_folder(tmp_path)
    prepare(name, tmp_path, tmp_path / "prepared", pool=True)
    (folder,) = packed_sets(tmp_path)
    for age_h in (1, 25):
        left = folder.with_name(f".folder-{age_h}")
        left.mkdir()
        os.utime(left, (time.time() - age_h * 3600,) * 2)
    shutil.rmtree(tmp_path / "prepared/places")  # it must pack again
    prepare(name, tmp_path, tmp_path / "prepared", pool=True)
    assert {p.name for p in packed_sets(tmp_path)} == {folder.name, ".folder-1"}


def test_progress_ends_at_the_total(tmp_path: Path):
    told = []
    name = pool_folder(tmp_path)
    prepare(
        name, tmp_path, tmp_path / "prepared", pool=True, progress=lambda *both: told.append(both)
    )
    assert told[-1] == (5, 5)


def test_damaged_prepared_files_are_noticed_and_can_be_replaced(tmp_path: Path):
    name = pool_folder(tmp_path)
    prepare(name, tmp_path, tmp_path / "prepared", pool=True)
    (folder,) = packed_sets(tmp_path)
    pixels = (folder / "pixels.bin").read_bytes()
    (folder / "pixels.bin").write_bytes(pixels[:-1])
    with pytest.raises(DamagedPreparedError, match="data prepare` packs them again"):
        packed.open_packed(registry.card(name, pool=True), folder)
    assert len(prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips) == 5
    assert (folder / "pixels.bin").read_bytes() == pixels
    (folder / "pixels.bin").write_bytes(bytes(len(pixels)))  # of the same size
    with pytest.raises(DamagedPreparedError, match="pixels are not those of its digest"):
        packed.open_packed(registry.card(name, pool=True), folder)
    assert len(prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips) == 5
    assert (folder / "pixels.bin").read_bytes() == pixels
    index = (folder / "index.npz").read_bytes()
    lacking = io.BytesIO()
    with np.load(folder / "index.npz") as stored:
        np.savez(lacking, **{key: stored[key] for key in stored.files if key != "labels"})
    for damaged in (index[:-10], index.replace(b"\x93NUMPY", b"\x93HUMPY", 1), lacking.getvalue()):
        (folder / "index.npz").write_bytes(damaged)
        with pytest.raises(DamagedPreparedError, match="are damaged"):
            packed.open_packed(registry.card(name, pool=True), folder)
        assert len(prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips) == 5
    (folder / "summary.json").write_text("{")
    with pytest.raises(DamagedPreparedError):
        summary(name, tmp_path, tmp_path / "prepared", pool=True)
    assert len(prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips) == 5


def test_pixels_of_an_older_version_are_compared_once(tmp_path: Path, monkeypatch):
    name = pool_folder(tmp_path)
    prepare(name, tmp_path, tmp_path / "prepared", pool=True)
    (folder,) = packed_sets(tmp_path)
    state = (folder / checked_pixels.CHECKED).read_text()
    (folder / checked_pixels.CHECKED).unlink()
    packed.open_packed(registry.card(name, pool=True), folder)
    assert (folder / checked_pixels.CHECKED).read_text() == state
    monkeypatch.setattr(checked_pixels, "DataDigest", None)  # is not needed again
    packed.open_packed(registry.card(name, pool=True), folder)


def test_a_pool_keeps_sizes_and_values(tmp_path: Path):
    chips = prepare(pool_folder(tmp_path), tmp_path, tmp_path / "prepared", pool=True).chips
    assert chips.height.tolist() == [20, 21, 22, 23, 24]
    for number in range(5):
        assert np.array_equal(chips.chip(number), speckle(number, 20 + number, 30))
    assert (chips.labels == -1).all()
    assert chips.classes == ()
    assert chips.full_scale == 255


def test_16_bit_pools_have_the_full_scale_of_16_bits(tmp_path: Path):
    write(tmp_path / "pool/a.png", np.full((4, 4), 65535, np.uint16))
    chips = prepare("folder:pool", tmp_path, tmp_path / "prepared", pool=True).chips
    assert chips.stack(np.array([0])).max() == 1.0


def test_float_amplitude_above_one_needs_a_transform_which_changes_the_digest(tmp_path: Path):
    write(tmp_path / "pool/a.npy", np.array([[0.5, 8.0], [2.0, 0.0]], np.float32))
    with pytest.raises(
        UnreadableImageError, match=r"a\.npy: .* up to 8.*transform=chip_max.*raw/log"
    ):
        prepare("folder:pool", tmp_path, tmp_path / "prepared", pool=True)
    chips = prepare(
        "folder:pool?transform=chip_max", tmp_path, tmp_path / "prepared", pool=True
    ).chips
    assert chips.chip(0).tolist() == [[0.0625, 1.0], [0.25, 0.0]]
    write(tmp_path / "pool/a.npy", np.array(chips.chip(0)))
    scaled = prepare(
        "folder:pool?transform=chip_max", tmp_path, tmp_path / "prepared", pool=True
    ).chips
    plain = prepare("folder:pool", tmp_path, tmp_path / "prepared", pool=True).chips
    assert np.array_equal(plain.chip(0), scaled.chip(0))
    assert plain.data_digest != scaled.data_digest


def test_mixed_types_are_refused(tmp_path: Path):
    write(tmp_path / "pool/a.png", speckle(0, 4, 4))
    write(tmp_path / "pool/b.npy", np.zeros((4, 4), np.float32))
    with pytest.raises(DatasetMismatchError, match=r"a\.png is uint8 and b\.npy is float32"):
        prepare("folder:pool", tmp_path, tmp_path / "prepared", pool=True)


def test_the_identity_of_a_folder_is_its_content(tmp_path: Path):
    name = pool_folder(tmp_path)
    one = prepare(name, tmp_path, tmp_path / "prepared", pool=True).chips
    shutil.copytree(tmp_path / "pool", tmp_path / "elsewhere/deep/chips")
    other = prepare(
        f"folder:{tmp_path}/elsewhere", tmp_path, tmp_path / "prepared", pool=True
    ).chips
    assert (
        (one.name, one.data_digest)
        == (other.name, other.data_digest)
        == ("folder", one.data_digest)
    )


def test_a_pool_of_another_size_than_published_is_refused_with_advice(tmp_path: Path):
    write(tmp_path / "MSAR-1.0/JPEGImages/1.png", speckle(0, 4, 4))
    with pytest.raises(DatasetMismatchError, match=r"expected 28499 .* found 1\. .*folder:"):
        prepare("msar", tmp_path, tmp_path / "prepared")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetMismatchError, match="holds no image"):
        prepare("folder:empty", tmp_path, tmp_path / "prepared", pool=True)


def test_the_error_for_a_missing_data_set_has_its_folders_layout_and_address(tmp_path: Path):
    source = card("sar_acd").source
    with pytest.raises(DatasetNotFoundError, match="named sar_acd") as raised:
        prepare("sar_acd", tmp_path, tmp_path / "prepared")
    assert all(text in str(raised.value) for text in (source.where, source.layouts[0], "--data"))
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        prepare("sar_acd", tmp_path / "nowhere", tmp_path / "prepared")
    with pytest.raises(DatasetNotFoundError, match="not a folder or an archive"):
        prepare("folder:nowhere", tmp_path, tmp_path / "prepared", pool=True)
    assert summary("sar_acd", tmp_path, tmp_path / "prepared") is None


def test_fusar_ship_is_read_from_train_and_val(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    classes = tuple(fusar_ship.COUNTS)
    monkeypatch.setattr(fusar_ship, "COUNTS", dict.fromkeys(classes, (2, 2)))
    seeds = itertools.count()
    for part in ("Train", "Val"):
        for name in classes:
            for number, suffix in ((1, "jpg"), (2, "tiff")):
                path = tmp_path / f"New_FUSAR/{part}/{name.lower()}/{number}.{suffix}"
                write(path, speckle(next(seeds), 512, 512))
    chips = prepare("fusar_ship/crop_128", tmp_path, tmp_path / "prepared").chips
    assert Counter(chips.is_test.tolist()) == {True: 20, False: 20}
    assert chips.classes == classes
    assert set(chips.height) == {128}
    assert set(prepare("fusar_ship", tmp_path, tmp_path / "prepared").chips.width) == {512}
    write(tmp_path / "New_FUSAR/Val/tanker/2.tiff", speckle(0, 512, 500))
    with pytest.raises(DatasetMismatchError, match=r"test/Tanker/2 has \(512, 500\)"):
        prepare("fusar_ship", tmp_path, tmp_path / "prepared")
    write(tmp_path / "New_FUSAR/Val/submarine/1.png", speckle(0, 512, 512))
    with pytest.raises(DatasetMismatchError, match=r"submarine/1\.png: is not below"):
        prepare("fusar_ship", tmp_path, tmp_path / "prepared")


def test_the_synthetic_set_needs_no_folder(few_synthetic: SyntheticSet, tmp_path: Path):
    made = few_synthetic
    chips = prepare("synthetic", tmp_path / "nowhere", tmp_path / "prepared").chips
    pool = prepare("synthetic", tmp_path / "nowhere", tmp_path / "prepared", pool=True).chips
    assert (len(chips), int(chips.is_test.sum()), len(pool)) == (30, 10, 10)
    assert (pool.labels == -1).all()
    for one in (chips, pool):
        for i, chip_id in enumerate(one.ids):
            origin = made.ids.index(str(chip_id))
            assert np.array_equal(one.chip(i), made.pixels[origin])
            label = made.labels[origin]
            assert label == -1 or one.classes[one.labels[i]] == made.classes[label]
            assert one.is_test[i] == made.is_test[origin]
    described = summary("synthetic", tmp_path / "nowhere", tmp_path / "prepared")
    assert described is not None
    assert described.data_digest == chips.data_digest
    assert described.counts["test"] == dict.fromkeys(made.classes, 1)
    assert verify("synthetic", tmp_path).ok


def test_opening_100_000_chips_is_quick_and_copies_nothing(tmp_path: Path):
    few, times, pixels = 1_000, 100, speckle(0, 4, 4)
    chips = (
        packing.PackedChip(f"class/chip_number_{i:07d}", "", False, pixels, (9, 9), i)
        for i in range(few)
    )

    def pack(target: Path):
        target.write_bytes(pixels.tobytes() * few)
        return chips

    folder = write_packed.write_packed(
        registry.card("folder:x", pool=True), pack, few, tmp_path, None
    )
    with np.load(folder / "index.npz") as stored:
        index = {key: np.concatenate([stored[key]] * times) for key in stored.files}
    index["offset"] = np.arange(few * times) * pixels.size
    np.savez(folder / "index.npz", **index)
    (folder / "pixels.bin").write_bytes((folder / "pixels.bin").read_bytes() * times)
    described = (folder / "summary.json").read_text().replace(f": {few},", f": {few * times},")
    (folder / "summary.json").write_text(described)
    checked_pixels.note_checked(folder)
    start = time.perf_counter()
    opened = packed.open_packed(registry.card("folder:x", pool=True), folder).chips
    elapsed = time.perf_counter() - start
    assert len(opened) == few * times
    assert isinstance(opened.pixels, np.memmap)
    assert np.shares_memory(opened.chip(77), opened.pixels)
    assert elapsed < 0.5  # 0.03 s here; the bound of 0.2 s with room for a busy machine


def test_pictures_of_a_data_set_and_of_a_pool_are_drawn(few_synthetic, tmp_path: Path):
    draw_chips(
        prepare(pool_folder(tmp_path), tmp_path, tmp_path / "p", pool=True).chips,
        tmp_path / "pool.png",
    )
    draw_chips(prepare("synthetic", tmp_path, tmp_path / "p").chips, tmp_path / "set.png")
    with Image.open(tmp_path / "set.png") as picture:
        assert picture.height > picture.width
        assert np.asarray(picture.convert("L")).std() > 20
    with Image.open(tmp_path / "pool.png") as picture:
        assert picture.height < picture.width


def test_real_mstar_is_recognised_and_its_prepared_size_does_not_reveal_the_class(
    real_data: Path, tmp_path: Path
):
    chips = prepare("mstar_soc", real_data, tmp_path).chips
    known = committed("known")["mstar_soc"]
    assert chips.rendering == "JPEG-e"
    assert chips.split_digest == known["split"]
    assert list(known["data"]) == [chips.data_digest]
    assert (int((~chips.is_test).sum()), int(chips.is_test.sum())) == (2747, 2425)
    # scores of the majority class of each chip size in training
    prepared = list(zip(chips.height.tolist(), chips.width.tolist(), strict=True))
    source = [tuple(size) for size in chips.source_size.tolist()]
    assert len(set(prepared)) == 1
    assert score_by_size(prepared, chips) == pytest.approx(274 / 2425)
    assert score_by_size(source, chips) == pytest.approx(0.645, abs=0.0005)


def score_by_size(sizes: list[tuple[int, int]], chips) -> float:
    seen: dict[tuple[int, int], Counter] = {}
    for size, label, is_test in zip(sizes, chips.labels, chips.is_test, strict=True):
        if not is_test:
            seen.setdefault(size, Counter())[label] += 1
    tested = [i for i in range(len(chips)) if chips.is_test[i]]
    right = [seen[sizes[i]].most_common(1)[0][0] == chips.labels[i] for i in tested]
    return sum(right) / len(tested)


def test_real_sar_acd_is_recognised(real_data: Path, tmp_path: Path):
    chips = prepare("sar_acd", real_data, tmp_path).chips
    known = committed("known")["sar_acd"]
    assert chips.split_digest == known["split"]
    assert list(known["data"]) == [chips.data_digest]
    assert chips.rendering == ""


def test_verify_refuses_what_prepare_refuses(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "mixed" / "a.png", speckle(0, 8, 8))
    write(tmp_path / "mixed" / "b.png", speckle(1, 8, 8).astype(np.uint16))
    for name, cause in (("empty", "holds no image"), ("mixed", "b.png is uint16; all chips of a")):
        report = verify(f"folder:{name}", tmp_path, pool=True)
        assert not report.ok
        assert cause in report.problems[0]
        with pytest.raises(DatasetMismatchError, match=cause):
            prepare(f"folder:{name}", tmp_path, tmp_path / "prepared", pool=True)


def test_a_named_pipe_and_a_name_that_is_not_utf_8_are_refused(tmp_path: Path):
    for name, cause in (("a.png", "a.png: is a named pipe"), ("a.zip", "a.zip: is a named pipe")):
        folder = tmp_path / name.replace(".", "")
        folder.mkdir()
        os.mkfifo(folder / name)
        with pytest.raises(UnreadableImageError, match=cause):
            prepare(f"folder:{folder}", tmp_path, tmp_path / "prepared", pool=True)
    odd = tmp_path / "odd"
    write(odd / "a.png", speckle(0, 8, 8))
    (odd / "a.png").rename(odd / os.fsdecode(b"a\xff.png"))
    with pytest.raises(UnreadableImageError, match=r"name b'a\\xff.png' is not UTF-8, so it cann"):
        prepare(f"folder:{odd}", tmp_path, tmp_path / "prepared", pool=True)
