"""MSTAR: military vehicles, in any folder layout.

The id of a chip is the file stem of the original release, `HBnnnnn.sss`: the number is a position
on a flight, the suffix stands for the vehicle. Many copies lack the suffix; then the names of the
folders give it. `protocols/splits/mstar.json` lists every chip of the release and of every split.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath

from ..facts import ChipFacts
from ..files import ImageFile, plain
from ..phoenix import is_phoenix
from ..rendering import OptionError
from ..source import CROP_PX, Card, Entry, Listing, Members
from . import mstar_raw
from .mstar_names import OTHER_VEHICLES, POOL_TITLES, POOLS, TITLES
from .mstar_release import Collection, Table, read_table

STEM = re.compile(r"HB(\d{5})(?:\.(\d{3}))?$", re.IGNORECASE)


class UnresolvedChipError(ValueError):
    """A file that looks like an MSTAR chip but cannot be assigned to one."""


@cache
def table() -> Table:
    """Return the release."""
    return read_table()


def members(name: str) -> Members:
    """Return class and side of each chip of a data set; a pool has no test chips."""
    everything = table()
    name, _, query = name.partition("?")
    if name in POOLS:
        left_out = [
            everything.splits[split] for split in everything.splits if split.startswith(POOLS[name])
        ]
        tested = {i for split in left_out for i, is_test in split.items() if is_test}
        rest = everything.by_id.keys() - tested - everything.absent
        if OTHER_VEHICLES in query.split("&"):
            vehicles = {vehicle(i) for i in tested}
            rest = {i for i in rest if vehicle(i) not in vehicles}
        return {i: (everything.by_id[i].class_name, False) for i in rest}
    split = everything.splits[name]
    return {i: (everything.by_id[i].class_name, is_test) for i, is_test in split.items()}


def vehicle(chip_id: str) -> tuple[str, str] | None:
    """Return class and serial number of the vehicle on a chip; None for another id."""
    collection = table().by_id.get(chip_id)
    return None if collection is None else (collection.class_name, collection.serial)


def resolve(file: PurePosixPath, split: Members) -> str | None:
    """Return the chip id of a file, or None if its name is not an MSTAR name.

    Args:
        file: Path below the source; its folders may name class, serial number, depression, scene,
            and train or test.
        split: The members of the data set; they decide if the folders fit several chips.

    Raises:
        UnresolvedChipError: No chip fits, several chips fit, or folder and name disagree.
    """
    match = STEM.match(file.name if is_phoenix(file.name) else file.stem)
    if match is None:
        return None
    number, suffix = int(match[1]), match[2]
    known = _read_folders(file.parts[:-1])
    if suffix is not None:
        return _check_full_id(file, f"HB{number:05d}.{suffix}", known)
    fitting = [c for c in table().collections.values() if number in c.numbers and known.fits(c)]
    if len(fitting) > 1:  # a flat layout holds one split only, so its members decide
        inside = [c for c in fitting if c.chip_id(number) in split]
        if known.is_test is not None:
            inside = [c for c in inside if split[c.chip_id(number)][1] == known.is_test]
        fitting = inside or fitting
    if len(fitting) == 1:
        return fitting[0].chip_id(number)
    if not fitting:
        filed = table().misfiled.get(f"{known.class_name} {known.serial} HB{number:05d}")
        if filed is not None:
            return filed
        raise UnresolvedChipError(f"{file}: MSTAR has no such chip of {known.describe()}")
    candidates = ", ".join(f"{c.chip_id(number)} ({c.class_name} {c.serial})" for c in fitting)
    raise UnresolvedChipError(
        f"{file}: could be {candidates}; keep the three digits in the file name, or move it into "
        "folders named for class and serial number"
    )


@dataclass
class _Known:
    """Facts about a file that its folders name; empty, 0 or None if they do not."""

    class_name: str = ""
    serial: str = ""
    depression_deg: int = 0
    scene: str = ""
    is_test: bool | None = None

    def fits(self, collection: Collection) -> bool:
        return (
            self.class_name in ("", collection.class_name)
            and self.serial in ("", collection.serial)
            and self.depression_deg in (0, collection.depression_deg)
            and (not self.scene or not collection.scene or self.scene == collection.scene)
        )

    def describe(self) -> str:
        angle = f"{self.depression_deg} degrees" if self.depression_deg else ""
        named = " ".join(filter(None, (self.class_name, self.serial, angle, self.scene)))
        return named or "any class"


def _check_full_id(file: PurePosixPath, chip_id: str, known: _Known) -> str:
    collection = table().by_id.get(chip_id)
    if collection is None:
        raise UnresolvedChipError(f"{file}: MSTAR has no chip {chip_id}")
    if known.class_name not in ("", collection.class_name):
        raise UnresolvedChipError(
            f"{file}: {chip_id} is a {collection.class_name}, its folder says {known.class_name}"
        )
    return chip_id


@cache
def _words() -> tuple[dict[str, str], dict[str, tuple[str, str]], dict[str, int]]:
    """Return the meaning of folder names: classes, serials with their class, depression angles."""
    classes: dict[str, str] = {}
    serials: dict[str, tuple[str, str]] = {}
    angles: dict[str, int] = {}
    for collection in table().collections.values():
        class_name, serial = collection.class_name, collection.serial
        classes[plain(class_name)] = class_name
        for form in {plain(serial), plain(serial).removeprefix("SN")} - {""}:
            for prefix in ("", "SN", class_name, f"{class_name}SN"):
                serials[prefix + form] = (class_name, serial)
        for form in ("", "DEG"):
            angles[f"{collection.depression_deg}{form}"] = collection.depression_deg
    return classes, serials, angles


@cache
def _read_folders(folders: tuple[str, ...]) -> _Known:
    classes, serials, angles = _words()
    known = _Known()
    for folder in folders:
        word = plain(folder)
        if word in classes:
            known.class_name = classes[word]
        elif word in serials:
            known.class_name, known.serial = serials[word]
        elif word in angles:
            known.depression_deg = angles[word]
        elif re.fullmatch(r"SCENE\d", word):
            known.scene = word
        elif word.startswith("TRAIN"):
            known.is_test = False
        elif word.startswith(("TEST", "VAL")):
            known.is_test = True
    return known


class Mstar(mstar_raw.RawFiles):
    """MSTAR with its splits, and the pools of all chips outside their test sets."""

    where = (
        "https://www.sdms.afrl.af.mil (raw); 8-bit JPEG renderings: "
        "https://github.com/waterdisappear/Data-Bias-in-MSTAR and "
        "https://github.com/waterdisappear/SAR-ATR-HDANet"
    )
    licence = "US public release; the JPEG renderings CC BY-NC 4.0"
    citation = (
        "E. R. Keydel, S. W. Lee, J. T. Moore, MSTAR extended operating conditions: a tutorial, "
        "Proc. SPIE 2757, 1996"
    )
    cites = ("keydel1996mstar",)
    layouts = (
        "MSTAR_PUBLIC_*/<depression>_DEG/COL*/SCENE*/<class>/HBnnnnn.sss.<format> (CD layout)",
        "TRAIN|TEST*/<class>[/<serial>][/<depression>]/HBnnnnn[.sss].<format>",
        *mstar_raw.LAYOUTS,
    )
    folders = ("mstar", "MSTAR_SOC", "MSTAR_EOC", "MSTAR_JPEG_E", "MSTAR-10", "MSTAR_PUBLIC", "SOC")
    markers = (
        *("MSTAR_PUBLIC_MIXED_TARGETS_CD1", "MSTAR_PUBLIC_MIXED_TARGETS_CD2", "JPEG", "JPEG-e"),
        *("SOC", "EOC-Depression", "EOC-Scene", "EOC-Configuration-Version", "TRAIN", "TEST"),
    )
    has_renderings = True
    name_options = (*mstar_raw.RawFiles.name_options, f"{OTHER_VEHICLES} (of a pool)")

    def cards(self) -> tuple[Card, ...]:
        """Return the six splits and two pools."""
        splits = (
            Card(name, "dataset", title, what, self, crop_px=CROP_PX)
            for name, (title, what) in TITLES.items()
        )
        pools = (
            Card(name, "pool", title, f"{what} It needs the CD layout.", self, total=total)
            for name, (title, what, total) in POOL_TITLES.items()
        )
        return (*splits, *pools)

    def with_options(self, card: Card, options: dict[str, str]) -> Card:
        """Return the card of a rendering, or of a pool without the vehicles of its test sets.

        Raises:
            OptionError: An option is unknown, or its value is.
        """
        others = dict(options)
        value = others.pop("exclude_serials", None)
        found = super().with_options(card, others) if others else card
        if value is None:
            return found
        if value != "test" or card.name not in POOLS:
            raise OptionError(
                f"exclude_serials={value} is not an option of {card.name}; allowed is "
                f"{OTHER_VEHICLES}, of the pools {' and '.join(POOLS)}: it leaves out the vehicles "
                "in the test sets that the pool leaves out"
            )
        query = "&".join(filter(None, (OTHER_VEHICLES, found.name.partition("?")[2])))
        name = f"{card.name}?{query}"
        return replace(
            found,
            name=name,
            title=f"{found.title}, other vehicles",
            what=f"{found.what} Vehicles (serial numbers) of these test sets are left out.",
            total=len(members(name)),
        )

    def facts(self, chip_id: str) -> ChipFacts:
        """Return depression and serial number of a chip of the release."""
        found = table().by_id.get(chip_id)
        return ChipFacts(None, found.depression_deg, found.serial) if found else ChipFacts()

    def serials(self) -> set[str]:
        """Return the serial numbers of the release."""
        return {collection.serial for collection in table().collections.values()}

    def class_names(self) -> set[str]:
        """Return the classes of the release."""
        return {collection.class_name for collection in table().collections.values()}

    def members(self, card: Card) -> Members:
        """Return class and side of every chip."""
        return members(card.name)

    def place(self, card: Card, files: list[ImageFile], listing: Listing) -> None:
        """Find the chip id of each file; chips of other splits are skipped."""
        split = members(card.name)
        for file in files:
            try:
                chip_id = resolve(file.relative, split)
            except UnresolvedChipError as error:
                listing.refused.append(str(error))
                continue
            if chip_id is None:
                listing.unexpected.append(str(file.relative))
            elif chip_id in split:
                listing.entries.append(Entry(chip_id, *split[chip_id], file))

    def vehicle(self, chip_id: str) -> tuple[str, str] | None:
        """Return class and serial number of the vehicle on a chip; None for another id."""
        return vehicle(chip_id)
