"""OpenSARShip: its layout on made-up files, and its split derived again from the real ones."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image
from tiff_files import tiff_file

from sarbench.bench.data.committed_splits import committed
from sarbench.bench.data.listing import DatasetMismatchError
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.registry import UnknownDatasetError, card
from sarbench.bench.data.sources import opensarship
from sarbench.bench.data.sources.opensarship import members, resolve, table
from sarbench.bench.data.unreadable_image import UnreadableImageError
from sarbench.bench.data.verify import verify

FULL_NAMES = {
    time: f"S1A_IW_GRDH_1S{kind}V_{time}_{time}_000000_000000_0000"
    for time, kind in {
        "20150823T221233": "D", "20150902T102505": "D", "20160131T101646": "D",
        "20160131T204259": "S", "20160518T084127": "D", "20161018T095407": "D",
    }.items()
}  # fmt: skip
CLASSES = ("Bulk Carrier", "Container Ship", "General Cargo", "Tanker")


def write(root: Path) -> list[Path]:
    """Write every ship of the split as a file of its own shade and size; return the VV files."""
    written = []
    for number, (chip_id, (class_name, _)) in enumerate(sorted(members("opensarship").items())):
        scene, position = chip_id.split("/")
        folder = root / "OpenSARShip2" / FULL_NAMES[scene] / "Patch_Uint8"
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"Visual_{opensarship.ais_type(class_name)}_{position}"
        side = 13 + 4 * (number % 30)
        chip = Image.fromarray(np.full((side, side), number + 1, np.uint8))
        dual = "1SDV" in FULL_NAMES[scene]
        written.append(folder / f"{stem}{'_vv' if dual else ''}.tif")
        chip.save(written[-1])
        if dual:
            Image.fromarray(np.full((side, side), 255, np.uint8)).save(folder / f"{stem}_vh.tif")
    return written


def test_the_layout_of_the_release_is_read_in_vv_and_8_bits(tmp_path: Path):
    files = write(tmp_path / "OpenSARShip")
    scene = files[0].parent.parent
    for other in ("Patch_Cal", "Patch_RGB"):  # the same ship in other formats
        (scene / other).mkdir()
        Image.new("L", (9, 9)).save(scene / other / files[0].name)
    Image.new("L", (9, 9)).save(scene / "Patch_Uint8" / "Visual_Tug_x1_y2_vv.tif")  # another ship
    assert verify("opensarship", tmp_path).ok
    chips = prepare("opensarship", tmp_path, tmp_path / "prepared").chips
    assert chips.split_digest == committed("known")["opensarship"]["split"]
    shades = [chips.chip(i)[32, 32] for i in range(len(chips))]
    assert shades == list(range(1, len(chips) + 1))
    assert {chips.chip(i).shape for i in range(len(chips))} == {(64, 64)}
    padded = int(np.flatnonzero(chips.source_size[:, 0] == 13)[0])
    assert (chips.chip(padded) > 0).sum() == 13 * 13  # no stretch: zeros around the ship
    three = prepare("opensarship/three_classes", tmp_path, tmp_path / "prepared").chips
    assert three.classes == tuple(c for c in CLASSES if c != "General Cargo")


def test_a_missing_ship_and_a_ship_of_another_type_are_named(tmp_path: Path):
    first = next(file for file in write(tmp_path / "opensarship") if "Cargo" in file.name)
    other = first.with_name(first.name.replace("Cargo", "Tug"))
    first.rename(other)
    found = verify("opensarship", tmp_path)
    assert not found.ok
    with pytest.raises(
        DatasetMismatchError, match=r"is a (Bulk|General) Car\w+, its name says Tug"
    ):
        prepare("opensarship", tmp_path, tmp_path / "prepared")
    other.unlink()
    with pytest.raises(DatasetMismatchError, match=r"expected \d+, found \d+"):
        prepare("opensarship", tmp_path, tmp_path / "prepared")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (
            f"{FULL_NAMES['20160131T204259']}/Patch_Uint8/Visual_Cargo_x1_y2.tif",
            ("20160131T204259/x1_y2", "Cargo", True),
        ),
        (
            f"a/{FULL_NAMES['20161018T095407']}(1)/x/Patch_Uint8/Visual_Other Type_x1_y2_vv.tif",
            ("20161018T095407/x1_y2", "Other Type", True),
        ),
        (
            f"{FULL_NAMES['20161018T095407']}/Patch_Uint8/Visual_Cargo_x1_y2_vh.tif",
            ("20161018T095407/x1_y2", "Cargo", False),
        ),
        (
            f"{FULL_NAMES['20161018T095407']}/Patch_Cal/Visual_Cargo_x1_y2_vv.tif",
            ("20161018T095407/x1_y2", "Cargo", False),
        ),
        ("Patch_Uint8/Visual_Cargo_x1_y2_vv.tif", ("", "", False)),
        (f"{FULL_NAMES['20161018T095407']}/Patch_Uint8/ship.tif", ("", "", False)),
        (f"{FULL_NAMES['20161018T095407']}/Visual_Cargo_x1_y2_vv.tif", ("", "", False)),
    ],
)
def test_scene_position_and_polarisation_are_read_from_the_path(path, found):
    assert resolve(PurePosixPath(path)) == found


@pytest.mark.parametrize("name", ["opensarship", "opensarship/three_classes"])
def test_train_and_test_share_no_scene_and_no_ship(name: str):
    by_scene, by_ship = defaultdict(set), defaultdict(set)
    for chip_id, (_, is_test) in members(name).items():
        by_scene[chip_id.split("/")[0]].add(is_test)
        by_ship[table().ship[chip_id]].add(is_test)
    assert all(len(sides) == 1 for sides in (*by_scene.values(), *by_ship.values()))
    assert len(by_scene) == len(FULL_NAMES)


def test_the_counts_are_those_of_the_documentation():
    assert card("opensarship").counts == {
        "train": dict(zip(CLASSES, (12, 10, 27, 48), strict=True)),
        "test": dict(zip(CLASSES, (17, 9, 10, 36), strict=True)),
    }
    assert len(table().classes) - len(set(table().ship.values())) == 1  # one ship has two chips


@dataclass(frozen=True)
class Ship:
    """A ship of `Ship.xml`."""

    scene: str
    position: str
    mmsi: str
    class_name: str


def ships_of(path: Path) -> list[Ship]:
    """Read `Ship.xml`, whose last line is not XML in version 2."""
    found = []
    chips = {
        match["x"] + "_" + match["y"]: match["type"]
        for file in (path.parent / "Patch_Uint8").iterdir()
        if (match := opensarship.CHIP.fullmatch(file.stem))
    }
    for ship in re.findall("<ship>.*?</ship>", path.read_text("utf-8"), re.DOTALL):
        value = dict(re.findall(r"<(\w+)>([^<]*)</", ship))
        position = f"{value['Center_x']}_{value['Center_y']}"
        ais, elaborated = chips[position], value["Elaborated_type"]
        class_name = "Tanker" if ais == "Tanker" else elaborated if ais == "Cargo" else ""
        if class_name in CLASSES:
            scene = path.parent.name.split("_")[4]
            position = "x" + position.replace("_", "_y")
            found.append(Ship(scene, position, value["MMSI"], class_name))
    return found


def test_classes_and_sides_of_the_real_ships_follow_from_their_files(real_data: Path):
    ships = [
        ship
        for path in sorted(real_data.glob("opensarship_patches/*/*GRDH*/Ship.xml"))
        for ship in ships_of(path)
    ]
    scenes = sorted({ship.scene for ship in ships})
    divisions = []
    for number in range(1, len(scenes)):
        for train in combinations(scenes, number):
            tested = {ship.mmsi for ship in ships if ship.scene not in train}
            kept = [s for s in ships if s.scene not in train or s.mmsi not in tested]
            found = Counter((s.class_name, s.scene in train) for s in kept)
            sides = [sum(found[c, side] for c in CLASSES) for side in (True, False)]
            least = min(found[c, side] for c in CLASSES for side in (True, False))
            if sides[0] >= sides[1]:
                divisions.append((least, sides[1], train, kept))
    _, _, train, kept = max(divisions, key=lambda one: one[:2])
    assert len([one for one in divisions if one[:2] == (9, 72)]) == 1
    assert members("opensarship") == {
        f"{s.scene}/{s.position}": (s.class_name, s.scene not in train) for s in kept
    }
    numbers = {(s.mmsi, table().ship[f"{s.scene}/{s.position}"]) for s in kept}
    assert len(numbers) == len({m for m, _ in numbers}) == len({n for _, n in numbers})


def test_the_real_ships_are_recognised(real_data: Path, tmp_path: Path):
    for name in ("opensarship", "opensarship/three_classes"):
        chips = prepare(name, real_data, tmp_path).chips
        known = committed("known")[name]
        assert (chips.split_digest, [chips.data_digest]) == (known["split"], list(known["data"]))
        assert len(set(chips.content.tolist())) == len(chips)  # no image twice


def write_products(root: Path) -> None:
    """Write every ship as float32 bands: VH is 3, VV is 100 (intensity 4 when calibrated)."""
    for chip_id, (class_name, _) in members("opensarship").items():
        scene, position = chip_id.split("/")
        dual = "1SDV" in FULL_NAMES[scene]
        for product, levels in (("Patch", (3, 100)), ("Patch_Cal", (0.5, 4))):
            folder = root / FULL_NAMES[scene] / product
            folder.mkdir(parents=True, exist_ok=True)
            bands = np.broadcast_to(np.float32(levels if dual else levels[1:]), (64, 64, 1 + dual))
            name = f"{opensarship.ais_type(class_name)}_{position}.tif"
            (folder / name).write_bytes(tiff_file(bands))


def test_the_float_products_are_amplitude_in_vv(tmp_path: Path):
    write_products(tmp_path / "opensarship")
    for product, level in (("Patch", 100 / 65536), ("Patch_Cal", 2 / 64)):
        name = f"opensarship?product={product}&rendering=raw/linear"
        chips = prepare(name, tmp_path, tmp_path / "prepared").chips
        assert chips.split_digest == committed("known")["opensarship"]["split"]
        assert chips.rendering == "raw/linear"
        assert set(np.unique(chips.pixels).tolist()) == {np.float32(level)}
        assert verify(name, tmp_path).ok
    with pytest.raises(DatasetMismatchError, match="opensarship"):
        prepare("opensarship", tmp_path, tmp_path / "prepared")


@pytest.mark.parametrize(
    "query", ["product=Patch", "rendering=raw/log", "product=Patch_RGB&rendering=raw/log", "x=1"]
)
def test_a_product_without_a_rendering_is_refused(query: str):
    with pytest.raises(UnknownDatasetError, match=r"opensarship\?.*(product=Patch\|Patch_Cal)"):
        card(f"opensarship?{query}")


def test_a_product_that_is_not_there_is_named_with_the_one_that_is(tmp_path: Path):
    path = tmp_path / "opensarship" / FULL_NAMES["20150823T221233"] / "Patch_Uint8" / "1.tif"
    path.parent.mkdir(parents=True)
    Image.new("L", (9, 9)).save(path)
    name, cause = "opensarship?product=Patch&rendering=raw/log", "no folder Patch .* Patch_Uint8 is"
    with pytest.raises(DatasetMismatchError, match=cause):
        prepare(name, tmp_path, tmp_path / "prepared")
    (problem,) = verify(name, tmp_path).problems
    assert re.search(cause, problem)


def test_a_folder_of_float_chips_has_the_renderings(tmp_path: Path):
    (tmp_path / "floats").mkdir()
    for number, value in enumerate((1, 16)):
        bands = np.full((8, 8, 1), value * (0.6 + 0.8j), np.complex64)
        (tmp_path / "floats" / f"{number}.tif").write_bytes(tiff_file(bands))
    prepared = tmp_path / "prepared"
    chips = prepare("folder:floats?rendering=raw/sqrt", tmp_path, prepared, pool=True).chips
    assert [chips.chip(i)[0, 0] for i in range(2)] == pytest.approx([1 / 8, 1 / 2])
    with pytest.raises(UnreadableImageError, match=r"above the full scale 8 of raw/sqrt"):
        prepare("folder:floats?rendering=raw/sqrt&full_scale=8", tmp_path, prepared, pool=True)
    for wrong in ("rendering=raw/db", "rendering=raw/log&transform=chip_max", "full_scale=2"):
        with pytest.raises(UnknownDatasetError, match="rendering"):
            card(f"folder:floats?{wrong}", pool=True)
