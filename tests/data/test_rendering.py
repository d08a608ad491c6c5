"""Renderings of Phoenix files: one formula each, in the name, the digest and the caption."""

import math
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from mstar_files import TYPES, few_chips, phoenix_path, raw_magnitude, write_raw
from phoenix_files import phoenix_file

from sarbench.bench.data.committed_splits import committed
from sarbench.bench.data.files import DatasetNotFoundError, open_source
from sarbench.bench.data.find_set import prepare_set
from sarbench.bench.data.images import centre_crop
from sarbench.bench.data.inventory import known_sets, phoenix_folder, unknown_folders
from sarbench.bench.data.listing import DatasetMismatchError, list_chips
from sarbench.bench.data.names import set_of, split_source
from sarbench.bench.data.packing import DataDigest
from sarbench.bench.data.phoenix import read_phoenix
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.registry import UnknownDatasetError, card, is_dataset
from sarbench.bench.data.rendering import AboveFullScaleError, Rendering
from sarbench.bench.data.sources import mstar
from sarbench.bench.data.sources.mstar_raw import bare_serial
from sarbench.bench.data.splits import shipped
from sarbench.bench.data.unreadable_image import UnreadableImageError
from sarbench.bench.data.verify import verify
from sarbench.bench.store.records import Store
from sarbench.protocols._support_sets import support_digest, support_set

SUPPORT_SETS = committed("support_sets")["sets"]["mstar_soc"]
AMPLITUDE = np.float32([[0, 0.05, 1], [8, 63.5, 64]])


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("raw/linear", lambda a: a / 64),
        ("raw/sqrt", lambda a: math.sqrt(a / 64)),
        ("raw/log", lambda a: math.log(1 + 16 * a) / math.log(1025)),
    ],
)
def test_a_rendering_is_one_formula_with_values_from_0_to_1(name: str, formula):
    rendered = Rendering(name).render(AMPLITUDE)
    assert rendered.dtype == np.float32
    expected = [[formula(float(a)) for a in row] for row in AMPLITUDE]
    assert np.abs(rendered - expected).max() < 1e-5
    assert (rendered.min(), rendered.max()) == (0, 1)
    half = Rendering(name, 32.0).render(AMPLITUDE / 2)
    assert np.array_equal(half, rendered)


def test_amplitude_above_the_full_scale_is_refused_and_not_clipped():
    with pytest.raises(AboveFullScaleError, match=r"up to 64, above the full scale 50 .*=64, or"):
        Rendering("raw/sqrt", 50.0).render(AMPLITUDE)


def test_a_rendering_is_in_name_digest_and_title():
    cards = [card("mstar_soc"), *(card(f"mstar_soc?rendering=raw/{n}") for n in ("log", "sqrt"))]
    cards.append(card("mstar_soc?rendering=raw/sqrt&full_scale=32"))
    digests = {DataDigest(one, np.dtype(np.float32)).hexdigest() for one in cards}
    assert len(digests) == len(cards)
    assert cards[1].title == "MSTAR SOC, raw/log"
    assert cards[3].title == "MSTAR SOC, raw/sqrt with full scale 32"
    near = [Rendering("raw/log", one) for one in (1234567.0, 1234568.0, 0.1 + 0.2)]
    assert [one.query.partition("=raw/log&full_scale=")[2] for one in near] == [
        "1234567.0", "1234568.0", "0.30000000000000004"
    ]  # fmt: skip


def test_every_set_of_mstar_has_the_renderings_and_its_own_split():
    for name in ("mstar_soc", "mstar_soc/all_serials", "mstar_eoc_scene"):
        raw = f"{name}?rendering=raw/linear"
        assert is_dataset(raw)
        assert card(raw).counts == card(name).counts
        assert shipped(raw)[0] == shipped(name)[0]  # pyright: ignore[reportOptionalSubscript]
    for name in ("mstar_rest", "mstar_rest/without_eoc"):
        assert set_of(f"{name}?rendering=raw/log") == f"pool:{name}?rendering=raw/log"
        assert card(f"{name}?rendering=raw/log", pool=True).total == card(name, pool=True).total
    assert split_source("mstar_soc?rendering=raw/log:train") == "mstar_soc?rendering=raw/log"
    assert card("mstar_soc?rendering=raw/log:held_out").rendering == Rendering("raw/log")


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("mstar_soc?rendering=raw/db", r"rendering=raw/db is not known; allowed: rendering=raw/li"),
        ("mstar_soc?rendering=raw/log&full_scale=64", "is written 'mstar_soc.rendering=raw/log'"),
        ("mstar_soc?full_scale=64&rendering=raw/log", "is written 'mstar_soc.rendering=raw/log'"),
        ("mstar_soc?rendering=raw/log&full_scale=-1", "must be a number from 1e-6 to 1e6"),
        ("mstar_soc?full_scale=2", "belongs to a rendering; add rendering="),
        ("mstar_soc?crop=64", "'crop' is not an option; allowed: rendering="),
        ("mstar_soc?", "options are key=value"),
        ("mstar_soc?rendering=raw/log&rendering=raw/log", "each once"),
        ("sar_acd?rendering=raw/log", "sar_acd has no options; leave out rendering"),
        ("mstar_sox?rendering=raw/log", "mstar_soc"),
    ],
)
def test_a_name_with_a_wrong_option_is_refused(name: str, cause: str):
    with pytest.raises(UnknownDatasetError, match=cause):
        card(name)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch):
    """Reduce MSTAR to two chips per collection."""
    return few_chips(monkeypatch)


def test_the_layouts_of_the_owner_give_the_chips_of_a_rendering(few, tmp_path: Path):
    write_raw(tmp_path / "mstar_raw", few, "mstar_soc")
    opened = prepare("mstar_soc?rendering=raw/log", tmp_path, tmp_path / "prepared").chips
    assert (len(opened), opened.rendering) == (40, "raw/log")
    for index, chip_id in enumerate(map(str, opened.ids)):
        expected = centre_crop(Rendering("raw/log").render(raw_magnitude(chip_id)), 128)
        assert np.array_equal(opened.chip(index), expected)
    assert opened.full_scale == 1
    assert verify("mstar_soc?rendering=raw/log", tmp_path).ok


def test_a_zip_and_the_folder_of_mstar_are_read_too(few, tmp_path: Path):
    write_raw(tmp_path / "one" / "mstar", few, "mstar_soc")
    name = "mstar_soc?rendering=raw/sqrt"
    one = prepare(name, tmp_path / "one", tmp_path / "prepared").chips
    (tmp_path / "two").mkdir()
    shutil.make_archive(str(tmp_path / "two" / "mstar_raw"), "zip", tmp_path / "one" / "mstar")
    two = prepare(name, tmp_path / "two", tmp_path / "prepared").chips
    assert one.data_digest == two.data_digest


def test_renderings_are_sets_of_their_own_in_a_store(few, tmp_path: Path):
    write_raw(tmp_path / "mstar_raw", few, "mstar_soc")
    store = Store(tmp_path / "runs")
    names = [f"mstar_soc?rendering=raw/{one}" for one in ("log", "sqrt", "linear")]
    sets = [prepare_set(name, tmp_path, store)[0] for name in names]
    assert len({one.data_digest for one in sets}) == 3
    assert len({one.split_digest for one in sets}) == 1
    assert len({one.content.tobytes() for one in sets}) == 1  # of the magnitude


def test_images_and_phoenix_files_are_not_taken_for_each_other(few, tmp_path: Path):
    write_raw(tmp_path / "mstar_raw", few, "mstar_soc")
    with pytest.raises(DatasetMismatchError, match=r"holds no image; its Phoenix files .* are"):
        prepare("folder:mstar_raw", tmp_path, tmp_path / "prepared", pool=True)
    with pytest.raises(DatasetNotFoundError, match=r"write mstar_soc\?rendering=raw/log"):
        prepare("mstar_soc", tmp_path, tmp_path / "prepared")
    (tmp_path / "mstar_raw").rename(tmp_path / "mstar")
    with pytest.raises(DatasetMismatchError, match=r"Phoenix files \(HBnnnnn.sss\) write mstar_s"):
        prepare("mstar_soc", tmp_path, tmp_path / "prepared")
    (tmp_path / "mstar").rename(tmp_path / "other")
    (tmp_path / "mstar").mkdir()
    with pytest.raises(DatasetMismatchError, match="Phoenix files named HBnnnnn"):
        prepare("mstar_soc?rendering=raw/log", tmp_path, tmp_path / "prepared")


def test_a_folder_of_phoenix_files_has_the_chips_that_mstar_has(few, tmp_path: Path):
    """Classes and sides are those of its folders; each chip and its facts are as in mstar_soc."""
    write_raw(tmp_path / "mstar_raw", few, "mstar_soc")
    soc = prepare("mstar_soc?rendering=raw/log", tmp_path, tmp_path / "prepared").chips
    for index, chip_id in enumerate(soc.ids):
        side, class_name = (
            ("train", "test")[int(soc.is_test[index])],
            soc.classes[soc.labels[index]],
        )
        target = tmp_path / "own" / side / class_name / str(chip_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tmp_path / "mstar_raw" / phoenix_path(few, str(chip_id)), target)
    name = "folder:own?rendering=raw/log&crop=128"
    own = prepare(name, tmp_path, tmp_path / "prepared").chips
    names = [f"{soc.classes[label]}/{one}" for label, one in zip(soc.labels, soc.ids, strict=True)]
    order = np.argsort(names)
    assert own.ids.tolist() == sorted(names)
    assert own.is_test.tolist() == soc.is_test[order].tolist()
    every = np.arange(len(own))
    np.testing.assert_array_equal(own.stack(every), soc.stack(order))
    assert own.facts is not None
    assert soc.facts is not None
    np.testing.assert_array_equal(own.facts.azimuth_deg, soc.facts.azimuth_deg[order])
    assert verify(name, tmp_path).ok
    pool = prepare("folder:own?rendering=raw/log", tmp_path, tmp_path / "prepared", pool=True).chips
    assert sorted(pool.content) == sorted(soc.content)
    with pytest.raises(DatasetMismatchError, match=r"no labelled image; its Phoenix files .* are"):
        prepare("folder:own", tmp_path, tmp_path / "prepared")
    np.save(tmp_path / "own" / "one.npy", np.ones((130, 129), np.float32))  # an image comes first
    with_image = prepare(
        "folder:own?rendering=raw/log", tmp_path, tmp_path / "prepared", pool=True
    ).chips
    assert with_image.ids.tolist() == ["one.npy"]


def test_a_header_that_contradicts_the_folder_is_refused(few, tmp_path: Path):
    write_raw(tmp_path / "mstar_raw", few, "mstar_soc")
    chip_id = next(i for i, c in few.by_id.items() if c.class_name == "T62")
    path = tmp_path / "mstar_raw" / phoenix_path(few, chip_id)
    path.write_bytes(phoenix_file(raw_magnitude(chip_id), TargetType="t72_tank"))
    with pytest.raises(UnreadableImageError, match=r"TargetType 't72_tank', but .* is a T62"):
        prepare("mstar_soc?rendering=raw/log", tmp_path, tmp_path / "prepared")
    path.write_bytes(phoenix_file(raw_magnitude(chip_id) * 100, TargetType="t62_tank"))
    with pytest.raises(UnreadableImageError, match=r"above the full scale 64 of raw/log"):
        prepare("mstar_soc?rendering=raw/log", tmp_path, tmp_path / "prepared")


@pytest.mark.parametrize(
    ("field", "cause"),
    [
        ({"TargetSerNum": "9566"}, "TargetSerNum '9566', but HB03333.000 is SN_9563"),
        ({"TargetSerNum": "sn_c71"}, "TargetSerNum 'sn_c71', but HB03333.000 is SN_9563"),
        ({"MeasuredDepression": "44.9"}, "depression 44.9, but HB03333.000 is at 15 degrees"),
        ({"DesiredDepression": 17.1}, "depression 17.1, but"),
        ({"TargetSerNum": "sn-9563", "DesiredDepression": 16.9}, ""),
        ({"TargetSerNum": "spelled otherwise"}, ""),
    ],
)
def test_a_header_of_another_vehicle_or_depression_is_refused(
    few, tmp_path: Path, field: dict[str, object], cause: str
):
    write_raw(tmp_path / "mstar_raw", few, "mstar_soc")
    chip_id, name = "HB03333.000", "mstar_soc?rendering=raw/log"
    path = tmp_path / "mstar_raw" / phoenix_path(few, chip_id)
    path.write_bytes(phoenix_file(raw_magnitude(chip_id), TargetType="bmp2_tank", **field))
    if not cause:
        assert verify(name, tmp_path).ok
        return
    with pytest.raises(UnreadableImageError, match=cause):
        prepare(name, tmp_path, tmp_path / "prepared")
    (unreadable,) = verify(name, tmp_path).unreadable
    assert cause in unreadable


FIVE = {
    "BMP2_HB03787.000": ("bmp2_tank", "9563", 346.491974),
    "BMP2_HB03787.001": ("bmp2_tank", "9566", 315.512543),
    "BMP2_HB03787.002": ("bmp2_tank", "c21", 13.191422),
    "BTR70_HB03787.004": ("btr70_transport", "c71", 302.006775),
    "T72_HB03787.015": ("t72_tank", "132", 10.790657),
}


@pytest.mark.parametrize("name", FIVE)
def test_public_files_of_the_release_are_read_as_their_bytes_say(name: str):
    """The environment variable names a checkout of antsfamily/torchbox (at d5edc33)."""
    checkout = os.environ.get("SARBENCH_TORCHBOX", "")
    path = Path(checkout) / "data" / "binary" / "mstar" / name
    if not checkout or not path.is_file():
        pytest.skip("SARBENCH_TORCHBOX names no checkout of antsfamily/torchbox")
    data = path.read_bytes()
    chip = read_phoenix(data, name)
    assert (chip.target_type, chip.serial, chip.azimuth_deg) == FIVE[name]
    assert chip.depression_deg == 17.09375
    start = data.index(b"[EndofPhoenixHeader]") + len(b"[EndofPhoenixHeader]\n")
    by_hand = [struct.unpack_from(">f", data, start + 4 * n)[0] for n in range(128 * 128)]
    assert chip.magnitude.shape == (128, 128)
    assert chip.magnitude.ravel().tolist() == by_hand
    assert 0.5 < max(by_hand) < 2.2
    known = card("mstar_soc").source.facts(name.partition("_")[2])
    assert bare_serial(known.serial) == bare_serial(chip.serial)
    assert known.depression_deg == 17


def test_data_ls_shows_packed_renderings_and_the_folder_of_phoenix_files(few, tmp_path: Path):
    write_raw(tmp_path / "mstar_raw", few, "mstar_soc")
    name = "mstar_soc?rendering=raw/log"

    def states() -> dict[str, str]:
        return {one.name: one.state for one in known_sets(tmp_path, tmp_path / "runs")}

    before = states()
    assert (before[name], before["pool:mstar_rest?rendering=raw/log"]) == ("found", "found")
    assert not {"mstar_soc", "pool:mstar_rest"} & set(before)  # Phoenix files have their own name
    parts = {one.name: one.part for one in known_sets(tmp_path, tmp_path / "runs")}
    assert parts[name] is None  # complete, for this small release
    assert parts["pool:mstar_rest?rendering=raw/log"] == (40, len(mstar.members("mstar_rest")))
    prepare_set(name, tmp_path, Store(tmp_path / "runs"))
    assert states() == before | {name: "prepared"}
    assert phoenix_folder(tmp_path) == (tmp_path / "mstar_raw").resolve()
    assert phoenix_folder(tmp_path / "runs") is None
    (tmp_path / "mstar_raw").rename(tmp_path / "mstar")  # where MSTAR's images are sought
    assert states() == before | {name: "prepared"}


def test_a_folder_of_phoenix_files_alone_is_named_with_the_rendering_that_reads_it(tmp_path: Path):
    for name in ("mine/train/a/HB00001.000", "both/HB00001.000", "both/a.png", "mstar_raw/HB0.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert unknown_folders(tmp_path, []) == [
        ("folder:both", "pool"), ("folder:mine?rendering=raw/log", "data set or pool")
    ]  # fmt: skip
    assert card("folder:mine?rendering=raw/log").rendering is not None


@pytest.mark.slow
def test_a_whole_soc_split_of_phoenix_files_has_the_support_sets_of_its_images(
    real_data: Path, tmp_path: Path
):
    """Magnitude is the grey value of the JPEG over 255, so raw/linear with full scale 1 is it."""
    with open_source(real_data / "mstar") as files:
        entries = list_chips(card("mstar_soc"), real_data / "mstar", files).entries
        for entry in entries:
            path = tmp_path / "mstar_raw" / phoenix_path(mstar.table(), entry.chip_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            magnitude = entry.file.read() / np.float32(255)
            path.write_bytes(phoenix_file(magnitude, TargetType=TYPES[entry.class_name]))
    name = "mstar_soc?rendering=raw/linear&full_scale=1"
    raw = prepare(name, tmp_path, tmp_path / "prepared").chips
    images = prepare("mstar_soc", real_data, tmp_path / "prepared").chips
    known = committed("known")["mstar_soc"]
    assert raw.split_digest == images.split_digest == known["split"]
    assert images.data_digest in known["data"]  # as before
    for index in range(0, len(raw), 97):
        assert np.array_equal(raw.chip(index), images.chip(index) / np.float32(255))
    train, shots = ~raw.is_test, (10, 20, 40)
    ids, labels = raw.ids[train], raw.labels[train]
    for k in shots:
        for seed, digest in enumerate(SUPPORT_SETS[str(k)]):
            chosen = support_set(raw.split_digest, seed, ids, labels, k)
            assert support_digest(ids[chosen]) == digest
