"""MSTAR has the same chips in every layout."""

import csv
from pathlib import Path, PurePosixPath

import pytest

from sarbench.bench.data.files import open_source
from sarbench.bench.data.listing import check_listing, list_chips
from sarbench.bench.data.registry import UnknownDatasetError, card
from sarbench.bench.data.sources import mstar

SPLIT_FILES = {  # data set -> file of the real data, its test parts
    "mstar_soc": ("soc_single_serial.csv", {"TEST"}),
    "mstar_soc/all_serials": ("soc.csv", {"TEST"}),
    "mstar_eoc_depression": ("eoc_depression.csv", {"TEST_30"}),
    "mstar_eoc_configuration": ("eoc_configuration_version.csv", {"TEST_Configuration"}),
    "mstar_eoc_version": ("eoc_configuration_version.csv", {"TEST_Version"}),
    "mstar_eoc_scene": ("eoc_scene.csv", {"TEST_30", "TEST_45"}),
}
PUBLISHED = {  # the READMEs of waterdisappear/SAR-ATR-HDANet and SARATR-X
    "mstar_soc": (2747, 2425),
    "mstar_soc/all_serials": (3671, 3203),
    "mstar_eoc_depression": (1195, 1151),
    "mstar_eoc_configuration": (996, 2710),
    "mstar_eoc_version": (996, 3569),
    "mstar_eoc_scene": (1772, 384 + 359),
}


def rows(real_data: Path, name: str) -> list[dict[str, str]]:
    file, tests = SPLIT_FILES[name]
    with (real_data / "mstar" / "splits" / file).open(newline="") as opened:
        return [r for r in csv.DictReader(opened) if r["split"] in tests | {"TRAIN"}]


def resolve(path: str, name: str = "mstar_soc/all_serials") -> str | None:
    return mstar.resolve(PurePosixPath(path), mstar.members(name))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_counts_are_the_published_ones(name: str):
    counts = card(name).counts
    assert (sum(counts["train"].values()), sum(counts["test"].values())) == PUBLISHED[name]


def test_the_classes_of_soc_have_their_published_counts():
    counts = card("mstar_soc").counts
    assert counts["train"]["BTR60"] == 256
    assert counts["test"]["T62"] == 273
    every_serial = card("mstar_soc/all_serials").counts
    assert (every_serial["train"]["BMP2"], every_serial["test"]["BMP2"]) == (698, 587)
    assert (every_serial["train"]["T72"], every_serial["test"]["T72"]) == (691, 582)


def test_mstar_rest_has_no_chip_of_a_soc_test_set():
    rest = mstar.members("mstar_rest").keys()
    for name in ("mstar_soc", "mstar_soc/all_serials"):
        assert not rest & {i for i, (_, is_test) in mstar.members(name).items() if is_test}
    assert len(rest) == 17_096 - 3_203 - 1  # one chip is in no JPEG-e


def test_mstar_rest_without_eoc_has_no_chip_of_any_test_set():
    rest = mstar.members("mstar_rest/without_eoc").keys()
    assert rest < mstar.members("mstar_rest").keys()
    for name in mstar.TITLES:
        sides = mstar.members(name)
        assert not rest & {i for i, (_, is_test) in sides.items() if is_test}
    trained = {i for n in mstar.TITLES for i, (_, t) in mstar.members(n).items() if not t}
    tested = {i for n in mstar.TITLES for i, (_, t) in mstar.members(n).items() if t}
    assert trained - tested - mstar.table().absent <= rest


@pytest.mark.parametrize(
    ("path", "chip_id"),
    [
        (
            "MSTAR_PUBLIC_MIXED_TARGETS_CD1/15_DEG/COL1/SCENE1/BTR_60/HB03333.003.jpeg",
            "HB03333.003",
        ),
        ("SOC/TEST/BTR_60/HB03333.jpeg", "HB03333.003"),
        ("test/btr-60/hb03333.PNG", "HB03333.003"),
        ("TRAIN/BMP2/SN_9566/HB03787.jpeg", "HB03787.001"),
        ("train/T72_SN_812/HB03787.tif", "HB03787.016"),
        ("train/T72/S7/HB03787.npy", "HB03787.017"),
        ("TEST_30/ZSU_23_4/30_DEG/HB16226.jpeg", "HB16226.023"),  # scene 2
        ("TEST_30/T72/30_DEG/HB15868.jpeg", "HB15868.021"),  # scene 3, not A32
        ("TRAIN/T72/A64/HB15269.jpeg", "HB15269.024"),
        ("SOC/TRAIN/BMP2/SN_9566/HB03953.jpeg", "HB03953.000"),  # known to be misfiled
        ("readme/figure.png", None),
    ],
)
def test_a_chip_id_is_found_from_folders_and_file_name(path: str, chip_id: str | None):
    assert resolve(path) == chip_id


def test_the_members_of_a_split_decide_in_a_flat_layout():
    assert resolve("train/BMP2/HB03787.jpeg", "mstar_soc") == "HB03787.000"
    with pytest.raises(mstar.UnresolvedChipError, match=r"HB03787\.000 .*HB03787\.001"):
        resolve("train/BMP2/HB03787.jpeg", "mstar_soc/all_serials")


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("train/T62/HB03333.003.jpeg", "HB03333.003 is a BTR60, its folder says T62"),
        ("train/T62/HB99999.jpeg", "MSTAR has no such chip of T62"),
        ("train/T62/HB19377.999.jpeg", "MSTAR has no chip HB19377.999"),
        ("train/HB19377.jpeg", "could be"),
    ],
)
def test_a_file_that_contradicts_the_release_is_refused(path: str, cause: str):
    with pytest.raises(mstar.UnresolvedChipError, match=cause):
        resolve(path)


@pytest.mark.parametrize("name", SPLIT_FILES)
def test_every_split_is_that_of_the_csv_files(real_data: Path, name: str):
    expected = {
        Path(row["path"]).stem: (row["class"], row["split"] != "TRAIN")
        for row in rows(real_data, name)
    }
    assert mstar.members(name) == expected


def test_the_table_holds_every_chip_of_the_release(real_data: Path):
    with (real_data / "mstar" / "index.csv").open(newline="") as opened:
        index = {Path(row["path"]).stem: row for row in csv.DictReader(opened)}
    assert mstar.table().by_id.keys() == index.keys()
    for chip_id, collection in mstar.table().by_id.items():
        row = index[chip_id]
        told = (collection.class_name, collection.serial, str(collection.depression_deg))
        assert told == (row["class"], row["serial"], row["depression_deg"])


def listed(name: str, source: Path) -> dict[str, tuple[str, bool, Path]]:
    with open_source(source) as files:
        listing = list_chips(card(name), source, files)
    check_listing(card(name), listing)
    assert not listing.unexpected
    return {e.chip_id: (e.class_name, e.is_test, original(e.file.path)) for e in listing.entries}


def original(path: Path) -> Path:
    return path.readlink() if path.is_symlink() else path


def link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)


@pytest.mark.parametrize("name", ["mstar_soc/all_serials", "mstar_eoc_scene"])
def test_the_layout_of_hdanet_gives_the_same_chips(real_data: Path, tmp_path: Path, name: str):
    """The paths of HDANet have no suffix, and one chip has a wrong serial number."""
    root = real_data / "mstar" / "JPEG-e"
    for row in rows(real_data, name):
        link(root / row["path"], tmp_path / row["upstream_path"])
    assert listed(name, tmp_path) == listed(name, root)


def test_a_flat_layout_gives_the_same_chips(real_data: Path, tmp_path: Path):
    root = real_data / "mstar" / "JPEG-e"
    for row in rows(real_data, "mstar_soc"):
        class_name = {"BTR60": "BTR-60", "ZSU234": "zsu_23_4"}.get(row["class"], row["class"])
        number = Path(row["path"]).name.split(".")[0]
        link(root / row["path"], tmp_path / row["split"].lower() / class_name / f"{number}.jpg")
    assert listed("mstar_soc", tmp_path) == listed("mstar_soc", root)


@pytest.mark.parametrize(("pool", "serials"), [("mstar_rest", 9), ("mstar_rest/without_eoc", 1)])
def test_a_pool_of_other_vehicles_has_none_of_those_in_the_test_sets(pool: str, serials: int):
    chosen = card(f"{pool}?exclude_serials=test", pool=True)
    others = mstar.members(chosen.name)
    assert chosen.total == len(others)
    splits = [mstar.members(name) for name in mstar.TITLES if name.startswith(mstar.POOLS[pool])]
    tested = {mstar.vehicle(i) for one in splits for i, (_, is_test) in one.items() if is_test}
    shown = {mstar.vehicle(i) for i in others}
    assert len(shown) == serials  # T72 A04 to A64 and SLICY; all but SLICY are in an EOC test set
    assert not shown & tested
    rest = mstar.members(pool).keys() - others.keys()
    assert {mstar.vehicle(i) for i in rest} <= tested


@pytest.mark.parametrize("name", ["mstar_soc?exclude_serials=test", "mstar_rest?exclude_serials=x"])
def test_an_impossible_exclusion_says_what_is_allowed(name: str):
    with pytest.raises(UnknownDatasetError, match="allowed is exclude_serials=test, of the pools"):
        card(name)
