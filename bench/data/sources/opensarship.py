"""OpenSARShip: ships in Sentinel-1 scenes, with the types of their AIS messages.

The chips of one ship differ in polarisation and format only. Used is the 8-bit chip (`Patch_Uint8`)
in VV, the one polarisation that all scenes have. `protocols/splits/opensarship.json` lists the
ships; its classes are those of `Ship.xml`, as the tests derive them from the files.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath

import numpy as np

from ..committed_splits import committed
from ..facts import ChipFacts
from ..files import ImageFile
from ..images import as_amplitude
from ..rendering import FORMULAS, OptionError, rendering_from
from ..source import Card, Entry, Listing, Members, Source
from ..tiff import read_bands
from ..unreadable_image import UnreadableImageError

CROP_PX = 64  # 640 m in GRD products; the longest ship has 363 m
LEFT_OUT = "General Cargo"  # by papers with three classes
SCENE = re.compile(r"S1[AB]_\w{2}_\w{4}_\w{4}_(\d{8}T\d{6})_")
CHIP = re.compile(r"(?:Visual_)?(?P<type>.+)_x(?P<x>\d+)_y(?P<y>\d+)(_(?P<polarisation>[vh]{2}))?")
USUAL = {"Patch": 65536.0, "Patch_Cal": 64.0}  # full scale of a product's amplitude
PRODUCT = re.compile(r"product=(\w+)")  # in the name of a set
FORMATS = ("Patch", "Patch_Cal", "Patch_RGB", "Patch_Uint8")


@dataclass(frozen=True)
class Ships:
    """The ships of all scenes.

    Attributes:
        classes: The class of each chip id.
        tested: Start times of the scenes whose ships are test chips.
        ship: Number of the ship of each chip id.
    """

    classes: dict[str, str]
    tested: frozenset[str]
    ship: dict[str, int]


@cache
def table() -> Ships:
    """Read the ships from `protocols/splits/opensarship.json`."""
    stored = committed("opensarship")
    classes = {
        f"{scene}/{position}": class_name
        for side in ("train", "test")
        for scene, of_scene in stored[side].items()
        for class_name, positions in of_scene.items()
        for position in positions.split()
    }
    first = {i: same[0] for same in stored["same_ship"] for i in same}
    number = {chip_id: number for number, chip_id in enumerate(classes)}
    ship = {chip_id: number[first.get(chip_id, chip_id)] for chip_id in classes}
    return Ships(classes, frozenset(stored["test"]), ship)


@cache
def members(name: str) -> Members:
    """Return class and side of each chip of a variant."""
    ships = table()
    return {
        chip_id: (class_name, chip_id.split("/")[0] in ships.tested)
        for chip_id, class_name in ships.classes.items()
        if name == "opensarship" or class_name != LEFT_OUT
    }


class OpenSARShip(Source):
    """The ships of six GRD scenes of OpenSARShip, split by scene."""

    where = (
        "https://opensar.sjtu.edu.cn; the six scenes are also in "
        "https://github.com/fififtrh28-source/OpenSARShip-Classification at 406d23f"
    )
    licence = "stated at the source; none in the copy"
    citation = (
        "L. Huang et al., OpenSARShip: A dataset dedicated to Sentinel-1 ship interpretation, IEEE "
        "JSTARS 11, 2018"
    )
    cites = ("huang2018opensarship",)
    layouts = ("[OpenSARShip1|2/]<scene>/Patch_Uint8/Visual_<type>_x<n>_y<n>[_vv].tif",)
    folders = ("opensarship_patches", "opensarship")
    markers = ("OpenSARShip1", "OpenSARShip2")
    name_options = (
        f"product={'|'.join(USUAL)}", f"rendering={'|'.join(FORMULAS)}", "full_scale=AMPLITUDE"
    )  # fmt: skip
    extra_controls = ("chip_size",)

    def cards(self) -> tuple[Card, ...]:
        """Return both sets of classes."""
        what = (
            "types of merchant ships, C band, VV, 10 m pixels; two scenes are train, four are test."
        )
        return (
            Card(
                "opensarship", "dataset", "OpenSARShip, by scene", f"Four {what}", self,
                crop_px=CROP_PX,
            ),
            Card(
                "opensarship/three_classes", "dataset", "OpenSARShip, three classes, by scene",
                f"Three {what} As opensarship without general cargo.", self, crop_px=CROP_PX,
            ),
        )  # fmt: skip

    def with_options(self, card: Card, options: dict[str, str]) -> Card:
        """Return the card of a rendering of a float product.

        Raises:
            OptionError: An option is unknown or missing, or its value is.
        """
        if more := options.keys() - {"product", "rendering", "full_scale"}:
            raise OptionError(
                f"{sorted(more)[0]!r} is not an option; allowed: {', '.join(self.name_options)}"
            )
        product = options.get("product", "")
        rendering = rendering_from(options, USUAL.get(product, 1.0))
        if product not in USUAL or rendering is None:
            raise OptionError(
                f"a float product is named by both product={'|'.join(USUAL)} and "
                f"rendering={'|'.join(FORMULAS)}; add what is missing"
            )
        name = f"{card.name}?product={product}&{rendering.query}"
        title = f"{card.title}, {product}, {rendering.label}"
        return replace(card, name=name, title=title, rendering=rendering)

    def read(self, card: Card, entry: Entry) -> tuple[np.ndarray, ChipFacts]:
        """Return the amplitude of a chip; of a calibrated product, the root of its intensity.

        A scene with two polarisations has VH in the first band and VV in the second.
        """
        product = product_of(card.name)
        if not product:
            return super().read(card, entry)
        name = str(entry.file.relative)
        bands = read_bands(entry.file.read_bytes(), name)
        if bands.shape[2] > 2:
            raise UnreadableImageError(
                f"{name}: {bands.shape[2]} bands, as of an SLC scene; GRD scenes have VV or VH and "
                "VV: get the chip of the GRD scene"
            )
        amplitude = as_amplitude(bands[..., -1], name)
        return np.sqrt(amplitude) if product == "Patch_Cal" else amplitude, ChipFacts()

    def members(self, card: Card) -> Members:
        """Return class and side of every chip."""
        return members(card.name.partition("?")[0])

    def groups(self, card: Card) -> dict[str, int]:
        """Return the ship of every chip id."""
        return table().ship

    def place(self, card: Card, files: list[ImageFile], listing: Listing) -> None:
        """Find the chip id of each file; other ships, scenes, formats and VH are skipped."""
        split, wanted = self.members(card), product_of(card.name) or "Patch_Uint8"
        for file in files:
            chip_id, ship_type, is_used = resolve(file.relative, wanted)
            if not chip_id:
                listing.unexpected.append(str(file.relative))
            elif is_used and chip_id in split:
                class_name, is_test = split[chip_id]
                if ship_type != ais_type(class_name):
                    listing.refused.append(
                        f"{file.relative}: {chip_id} is a {class_name}, its name says {ship_type}"
                    )
                    continue
                listing.entries.append(Entry(chip_id, class_name, is_test, file))
        there = sorted({file.relative.parent.name for file in files} & {*FORMATS} - {wanted})
        if not listing.entries and there:
            listing.hint = (
                f"no folder {wanted} has a chip of it; {', '.join(there)} "
                f"{'is' if len(there) == 1 else 'are'} there: get {wanted} from its owner, or name "
                "the product that is there"
            )


def product_of(name: str) -> str:
    """Return the product in the name of a set; empty for the 8-bit chips."""
    match = PRODUCT.search(name)
    return match[1] if match else ""


def resolve(file: PurePosixPath, wanted: str = "Patch_Uint8") -> tuple[str, str, bool]:
    """Return chip id and type of a file, and whether it has the format and polarisation used.

    The id is empty if the file is not below the folder of a scene, or has another name.
    """
    scenes = [match[1] for part in file.parts[:-1] if (match := SCENE.match(part))]
    match = CHIP.fullmatch(file.stem)
    if not scenes or match is None or file.parent.name not in FORMATS:
        return "", "", False
    is_used = file.parent.name == wanted and match["polarisation"] in (None, "vv")
    return f"{scenes[-1]}/x{match['x']}_y{match['y']}", match["type"], is_used


def ais_type(class_name: str) -> str:
    """Return the type in AIS messages and file names of the ships of a class."""
    return "Tanker" if class_name == "Tanker" else "Cargo"
