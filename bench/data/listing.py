"""Which chip, class and side of the split each file of a source is, before any is decoded."""

from collections import Counter
from dataclasses import dataclass, field
from os.path import commonpath
from pathlib import Path

import numpy as np

from .files import ImageFile, find_source, plain
from .images import decode_image
from .registry import Card
from .sources import mstar, sar_acd

NAMED = 8  # chips or files named in a message, the rest counted


class DatasetMismatchError(ValueError):
    """A folder does not hold what the data set must hold."""


class ConflictingCopiesError(ValueError):
    """One chip is there twice, with different pixels."""


@dataclass(frozen=True)
class Entry:
    """One chip and the file that it is in."""

    chip_id: str
    class_name: str
    is_test: bool
    file: ImageFile


@dataclass
class Listing:
    """What a source holds of a data set or pool.

    Attributes:
        source: The folder or archive.
        entries: The chips in the order of their ids.
        missing: Ids that should be there, where ids are known.
        refused: What is wrong with files that cannot be placed.
        unexpected: Images that have nothing to do with the data set.
    """

    source: Path
    entries: list[Entry] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the chips found, per class of train and test."""
        found = Counter((entry.is_test, entry.class_name) for entry in self.entries)
        return {
            part: {name: n for (tested, name), n in sorted(found.items()) if tested == is_test}
            for part, is_test in (("train", False), ("test", True))
        }


def source_of(card: Card, data_dir: Path) -> Path:
    """Return the folder or archive that a data set or pool is read from."""
    if card.name == "folder":
        return (data_dir / card.path).resolve()
    return find_source(data_dir, card.folders, card.markers)


def list_chips(card: Card, source: Path, files: list[ImageFile]) -> Listing:
    """Place every file.

    Raises:
        ConflictingCopiesError: Two files are the same chip and differ in pixels.
    """
    listing = Listing(source)
    if card.reader == "mstar":
        placed = _place_mstar(card, files, listing)
    elif card.reader == "sar_acd":
        placed = _place_sar_acd(card, files, listing)
    elif card.reader == "fusar_ship":
        placed = _place_fusar_ship(card, files, listing)
    else:
        placed = _place_pool(files)
    listing.entries = _drop_copies(placed, source)
    if card.reader in ("mstar", "sar_acd"):
        there = {entry.chip_id for entry in listing.entries}
        listing.missing = sorted(_members(card).keys() - there)
    return listing


def check_listing(card: Card, listing: Listing) -> None:
    """Refuse a source that holds other than what the card says.

    Raises:
        DatasetMismatchError: With expected and found, class by class.
    """
    if listing.refused:
        raise DatasetMismatchError(
            f"{card.name} in {listing.source}: some files cannot be placed: "
            f"{_name_some(listing.refused, 'file')}"
        )
    if card.kind == "pool":
        if not listing.entries:
            raise DatasetMismatchError(f"{card.name}: {listing.source} holds no image")
        if card.total not in (None, len(listing.entries)):
            raise DatasetMismatchError(
                f"{card.name} in {listing.source}: expected {card.total} images, found "
                f"{len(listing.entries)}{_missing(listing)}. To use it as it is, name it "
                f"folder:{listing.source}"
            )
        return
    found = listing.counts()
    lines = [
        f"  {part} {name}: expected {expected}, found {found[part].get(name, 0)}"
        for part in ("train", "test")
        for name, expected in card.counts[part].items()
        if expected != found[part].get(name, 0)
    ]
    if lines:
        raise DatasetMismatchError(
            f"{card.name} in {listing.source} has other counts than it must have"
            f"{_missing(listing)}; 'sarbench data verify {card.name}' names every file:\n"
            + "\n".join(lines)
        )


def _missing(listing: Listing) -> str:
    return f" (missing: {_name_some(listing.missing, 'chip')})" if listing.missing else ""


def _name_some(names: list[str], thing: str) -> str:
    more = len(names) - NAMED
    rest = f" and {more} more {thing}{'s' if more > 1 else ''}" if more > 0 else ""
    return "; ".join(names[:NAMED]) + rest


def _members(card: Card) -> dict[str, tuple[str, bool]]:
    return (mstar if card.reader == "mstar" else sar_acd).members(card.name)


def _place_mstar(card: Card, files: list[ImageFile], listing: Listing) -> list[Entry]:
    split = _members(card)
    placed: list[Entry] = []
    for file in files:
        try:
            chip_id = mstar.resolve(file.relative, split)
        except mstar.UnresolvedChipError as error:
            listing.refused.append(str(error))
            continue
        if chip_id is None:
            listing.unexpected.append(str(file.relative))
        elif chip_id in split:
            placed.append(Entry(chip_id, *split[chip_id], file))
    return placed


def _place_sar_acd(card: Card, files: list[ImageFile], listing: Listing) -> list[Entry]:
    split = _members(card)
    placed: list[Entry] = []
    for file in files:
        chip_id, class_name = sar_acd.resolve(file.relative)
        if chip_id in split:
            placed.append(Entry(chip_id, *split[chip_id], file))
        elif not class_name:
            listing.refused.append(f"{file.relative}: its folder is no class of SAR-ACD")
        elif not chip_id:
            listing.refused.append(f"{file.relative}: SAR-ACD has no such chip of {class_name}")
    return placed


def _place_fusar_ship(card: Card, files: list[ImageFile], listing: Listing) -> list[Entry]:
    classes = {plain(name): name for name in card.classes}
    placed: list[Entry] = []
    for file in files:
        folders = [plain(folder) for folder in file.relative.parts[:-1]]
        class_name = classes.get(folders[-1] if folders else "")
        is_test = next((f != "TRAIN" for f in folders if f in ("TRAIN", "VAL", "TEST")), None)
        if class_name is None or is_test is None:
            listing.refused.append(
                f"{file.relative}: is not below Train|Val/<class>; the classes are "
                f"{', '.join(card.classes)}"
            )
        else:
            side = "test" if is_test else "train"
            chip_id = f"{side}/{class_name}/{file.relative.stem}"
            placed.append(Entry(chip_id, class_name, is_test, file))
    return placed


def _place_pool(files: list[ImageFile]) -> list[Entry]:
    """Name each image by its place below the deepest folder that holds them all."""
    if not files:
        return []
    common = commonpath([f"/{file.relative.parent}" for file in files]).strip("/")
    return [
        Entry(str(file.relative.relative_to(common) if common else file.relative), "", False, file)
        for file in files
    ]


def _drop_copies(placed: list[Entry], source: Path) -> list[Entry]:
    """Keep one of several equal copies of a chip, as EOC and SOC folders side by side have."""
    kept: dict[str, Entry] = {}
    for entry in placed:
        first = kept.setdefault(entry.chip_id, entry)
        if first is entry:
            continue
        one, other = first.file, entry.file
        data = one.read_bytes(), other.read_bytes()
        if data[0] == data[1]:
            continue
        left, right = (
            decode_image(bits, str(file.relative))
            for bits, file in zip(data, (one, other), strict=True)
        )
        if not np.array_equal(left, right):
            raise ConflictingCopiesError(
                f"{source}: {entry.chip_id} is there twice with different pixels, as "
                f"{one.relative} and {other.relative}; give --data the one folder of the two that "
                "is meant"
            )
    return [kept[chip_id] for chip_id in sorted(kept)]
