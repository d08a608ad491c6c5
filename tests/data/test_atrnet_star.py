"""ATRNet-STAR on made-up files in its documented layout; its own files were not at hand."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from sarbench.bench.data.files import DatasetNotFoundError, open_source
from sarbench.bench.data.listing import DatasetMismatchError, check_listing, list_chips
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.registry import card, dataset_names
from sarbench.bench.data.sources.atrnet_star import NAME, SETTINGS, TYPES
from sarbench.bench.data.verify import verify

TRAIN, TEST = "X_HH_15_5", "KU_VV_30_90"  # fit every setting
OFFICIAL = {  # ATRBench/README.md, table 1, images in ground range
    "soc40": (68_091, 29_284), "soc50": (18_071, 17_603), "eoc_scene": (19_584, 77_791),
    "eoc_azimuth": (18_636, 78_739), "eoc_band": (27_711, 27_763),
    "eoc_polarization": (24_361, 73_014),
}  # fmt: skip


def write(root: Path, name: str, types: tuple[str, ...] = TYPES) -> Path:
    """Write a training chip and a test chip of each type; return the folder of the setting."""
    folder = root / "ATRNet-STAR" / "Ground_Range" / "Amplitude_8bit" / SETTINGS[name].folder
    names = [("train", f"{TRAIN}_1"), ("test", f"{TEST}_2")]
    opened = BytesIO()
    Image.new("L", (128, 128), 7).save(opened, "TIFF")
    for of in types:
        for side, stem in names:
            (folder / side / of).mkdir(parents=True, exist_ok=True)
            (folder / side / of / f"{stem}.tif").write_bytes(opened.getvalue())
    (folder / "train" / types[0] / f"{TRAIN}_1.xml").write_text("<annotation/>")
    return folder


def listed(name: str, data_dir: Path):
    found = card(f"atrnet_star_{name}")
    source = found.source.find(found, data_dir)
    with open_source(source) as files:
        return found, list_chips(found, source, files)


def test_the_seven_settings_have_the_documented_numbers():
    names = [name for name in dataset_names() if name.startswith("atrnet_star_")]
    assert names == [f"atrnet_star_{name}" for name in SETTINGS]
    assert len(TYPES) == len(set(TYPES)) == 40
    assert {name: card(f"atrnet_star_{name}").sides for name in SETTINGS} == OFFICIAL | {
        "eoc_depression": None  # the documentation repeats those of EOC-Polarization
    }
    everything = sum(OFFICIAL["soc40"])
    for name in ("eoc_scene", "eoc_azimuth", "eoc_polarization"):  # each divides all of SOC-40
        assert sum(OFFICIAL[name]) == everything
    assert NAME.fullmatch("KU_HH_15_0_253993")  # the example of the documentation


@pytest.mark.parametrize("name", SETTINGS)
def test_the_documented_layout_is_read(name: str, tmp_path: Path):
    more = tuple(f"MSTAR_{number}" for number in range(10)) if name == "soc50" else ()
    folder = write(tmp_path, name, TYPES + more)
    write(
        tmp_path, "soc40" if name != "soc40" else "eoc_band", TYPES[:2]
    )  # another setting is skipped
    for part in ("test_30", "test_VV"):  # parts of test repeat its chips
        (folder / part / TYPES[0]).mkdir(parents=True)
        Image.new("L", (128, 128)).save(folder / part / TYPES[0] / f"{TEST}_2.tif")
    found, listing = listed(name, tmp_path)
    assert listing.missing == listing.refused == listing.unexpected == []
    assert len(listing.entries) == 2 * len(TYPES + more)
    train, test = listing.counts().values()
    assert set(train.values()) == set(test.values()) == {1}
    check_listing(replace(found, sides=(len(TYPES + more), len(TYPES + more))), listing)
    if found.sides is not None:
        with pytest.raises(DatasetMismatchError, match=f"train chips: expected {found.sides[0]}"):
            check_listing(found, listing)


def test_a_whole_set_is_packed(tmp_path: Path):
    write(tmp_path, "eoc_depression")
    assert verify("atrnet_star_eoc_depression", tmp_path).ok
    chips = prepare("atrnet_star_eoc_depression", tmp_path, tmp_path / "prepared").chips
    assert (len(chips), int(chips.is_test.sum()), len(chips.classes)) == (80, 40, 40)
    assert chips.chip(0).shape == (128, 128)
    assert card("atrnet_star_eoc_depression").side_px == 128


@pytest.mark.parametrize(
    ("name", "side", "stem", "said"),
    [
        ("eoc_depression", "train", TEST, "its depression is 30, but train chips of .* have 15"),
        ("eoc_depression", "test", TRAIN, "its depression is 15, but test chips .* other than 15"),
        ("eoc_band", "train", TEST, "its band is KU, but train chips of EOC-Band have X"),
        ("eoc_polarization", "test", TRAIN, "its polarisation is HH, but test chips"),
        ("soc40", "test", f"{TRAIN}_x", "its name is not <band>_<polarisation>"),
    ],
)
def test_a_name_that_contradicts_its_side_is_refused(name, side, stem, said, tmp_path: Path):
    folder = write(tmp_path, name)
    Image.new("L", (128, 128)).save(folder / side / TYPES[0] / f"{stem}_9.tif")
    found, listing = listed(name, tmp_path)
    with pytest.raises(DatasetMismatchError, match=said):
        check_listing(found, listing)


def test_types_that_are_missing_or_unknown_and_chips_on_both_sides_are_named(tmp_path: Path):
    folder = write(tmp_path, "soc40", TYPES[1:])
    (folder / "train" / "Tank").mkdir()
    Image.new("L", (9, 9)).save(folder / "train" / "Tank" / f"{TRAIN}_1.tif")
    Image.new("L", (9, 9)).save(folder / "test" / TYPES[1] / f"{TRAIN}_1.tif")
    found, listing = listed("soc40", tmp_path)
    assert listing.missing == [f"every chip of {TYPES[0]}"]
    assert {line.split(": ")[1] for line in listing.refused} == {
        "Tank is not one of the 40 types",
        "is in train and in test",
    }
    with pytest.raises(DatasetMismatchError, match="cannot be assigned"):
        check_listing(found, listing)
    _, listing = listed("soc50", write(tmp_path / "other", "soc50").parents[2])
    assert listing.missing == ["10 classes of MSTAR (found 0)"]


def test_a_missing_folder_and_other_layouts_are_explained(tmp_path: Path, sarbench):
    with pytest.raises(DatasetNotFoundError, match=r"named atrnet_star or .*unpack its 7z"):
        verify("atrnet_star_soc40", tmp_path)
    slant = tmp_path / "ATRNet-STAR" / "Slant_Range" / "SOC_40classes" / "train" / TYPES[0]
    slant.mkdir(parents=True)
    (slant / f"{TRAIN}_1.mat").write_bytes(b"")
    status, said = sarbench("data", "verify", "atrnet_star_soc40", "--data", tmp_path)
    assert status == 2
    assert "expected: SOC_40classes/train|test/<type>/*.tif" in said
    assert "Slant_Range are not read" in said
    write(tmp_path, "soc40", TYPES[:2])
    done = sarbench("data", "verify", "atrnet_star_soc40", "--data", tmp_path)
    assert done[0] == 1
