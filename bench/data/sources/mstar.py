"""Which MSTAR chip a file is, whatever layout it was found in.

The id of a chip is the file stem of the original release, `HBnnnnn.sss`: the number is a place on
a flight, the suffix stands for the vehicle. Many copies have lost the suffix; the folders then
tell it. `protocols/splits/mstar.json` lists every chip of the release and of every split.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath

from .... import protocols
from ..files import plain

STEM = re.compile(r"HB(\d{5})(?:\.(\d{3}))?$", re.IGNORECASE)


class UnresolvedChipError(ValueError):
    """A file looks like an MSTAR chip, but which one cannot be told."""


@dataclass(frozen=True)
class Collection:
    """All chips of one vehicle at one depression angle and scene."""

    class_name: str
    serial: str
    depression_deg: int
    scene: str
    suffix: str
    numbers: frozenset[int]

    def chip_id(self, number: int) -> str:
        """Return the id of one chip."""
        return f"HB{number:05d}.{self.suffix}"

    def chip_ids(self) -> list[str]:
        """Return the ids of all chips."""
        return [self.chip_id(number) for number in sorted(self.numbers)]


@dataclass(frozen=True)
class Table:
    """The whole release.

    Attributes:
        collections: Every collection by its name.
        by_id: The collection that each chip id belongs to.
        splits: Chip id -> True for test, of each split by data set name.
        misfiled: Class, serial and number under which a known layout holds a wrong file -> its id.
        absent: Ids that a widespread rendering lacks.
    """

    collections: dict[str, Collection]
    by_id: dict[str, Collection]
    splits: dict[str, dict[str, bool]]
    misfiled: dict[str, str]
    absent: frozenset[str]


@cache
def table() -> Table:
    """Return the release as committed."""
    stored = json.loads((files(protocols) / "splits" / "mstar.json").read_text("utf-8"))
    flights = {name: _numbers(ranges) for name, ranges in stored["flights"].items()}
    collections = {
        name: Collection(
            entry["class"],
            entry["serial"],
            entry["depression_deg"],
            entry["scene"],
            entry["suffix"],
            flights[entry["flight"]] - _numbers(entry.get("without", "")),
        )
        for name, entry in stored["collections"].items()
    }
    by_id = {i: collection for collection in collections.values() for i in collection.chip_ids()}
    splits = {
        split: {
            chip_id: part == "test"
            for part in ("train", "test")
            for name in parts[part]
            for chip_id in collections[name].chip_ids()
        }
        for split, parts in stored["splits"].items()
    }
    absent = frozenset(stored["absent_from_renderings"])
    return Table(collections, by_id, splits, stored["misfiled"], absent)


def members(name: str) -> dict[str, tuple[str, bool]]:
    """Return class and whether test of each chip of a data set; of `mstar_rest` nothing is test."""
    everything = table()
    if name == "mstar_rest":
        tested = {i for i, is_test in everything.splits["mstar_soc/all_serials"].items() if is_test}
        rest = everything.by_id.keys() - tested - everything.absent
        return {i: (everything.by_id[i].class_name, False) for i in rest}
    split = everything.splits[name]
    return {i: (everything.by_id[i].class_name, is_test) for i, is_test in split.items()}


def resolve(file: PurePosixPath, split: dict[str, tuple[str, bool]]) -> str | None:
    """Return the chip id of a file, or None where its name is not one of MSTAR.

    Args:
        file: Its place below the source; the folders tell class, serial, depression, scene and
            train or test, as far as they do.
        split: The members of the data set, which decide between chips that the folders do not.

    Raises:
        UnresolvedChipError: Nothing fits, several chips do, or folder and name disagree.
    """
    match = STEM.match(file.stem)
    if match is None:
        return None
    number, suffix = int(match[1]), match[2]
    known = _read_folders(file.parts[:-1])
    if suffix is not None:
        return _check_full_id(file, f"HB{number:05d}.{suffix}", known)
    fitting = [c for c in table().collections.values() if number in c.numbers and known.fits(c)]
    if len(fitting) > 1:  # a flat layout holds one split only: its members decide
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
        f"{file}: could be {candidates}; keep the three digits in the file name, or put it below "
        "folders named for class and serial number"
    )


@dataclass
class _Known:
    """What the folders say of a file."""

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
        told = " ".join(filter(None, (self.class_name, self.serial, angle, self.scene)))
        return told or "any class"


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
    """Return what folder names mean: classes, serials (with their class), depression angles."""
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


def _numbers(ranges: str) -> frozenset[int]:
    """Return the numbers of `3333-3335 3337`."""
    found: set[int] = set()
    for item in ranges.split():
        first, _, last = item.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
