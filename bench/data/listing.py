"""Assign a chip id, a class and a side of the split to each file, before any is decoded."""

import shlex
from pathlib import Path

import numpy as np

from ..suggest import shortened
from .files import ImageFile
from .images import decode_image
from .phoenix import is_phoenix
from .source import Card, Entry, Listing

SIDES = ("train", "test")


class DatasetMismatchError(ValueError):
    """A folder that does not hold the chips of the data set."""

    failure_class = "data"


class ConflictingCopiesError(ValueError):
    """Two files of one chip with different pixels."""

    failure_class = "data"


def list_chips(card: Card, source: Path | None, files: list[ImageFile]) -> Listing:
    """Return the chips in the files of a data set or pool, sorted by id.

    Raises:
        ConflictingCopiesError: Two files are the same chip and differ in pixels.
    """
    listing = Listing(source)
    card.source.place(card, files, listing)
    listing.entries = _drop_copies(listing.entries, source)
    members = card.source.members(card)
    if members is not None:
        listing.missing = sorted(members.keys() - {entry.chip_id for entry in listing.entries})
    return listing


def check_listing(card: Card, listing: Listing) -> None:
    """Compare the chips found with the counts of the card.

    Raises:
        DatasetMismatchError: They differ; the message has expected and found for each class.
    """
    if listing.refused:
        raise DatasetMismatchError(
            f"{card.name} in {listing.source}: some files cannot be assigned to a chip: "
            f"{shortened(listing.refused)}"
        )
    advice = listing.hint or card.source.advice(card)
    if not listing.entries and advice:
        raise DatasetMismatchError(f"{card.name}: {listing.source} holds no chip of it; {advice}")
    if card.kind == "pool":
        if not listing.entries:
            raise DatasetMismatchError(
                f"{card.name}: {listing.source} holds no image; {no_image_advice(listing.source)}"
            )
        if listing.source and card.total not in (None, len(listing.entries)):
            other = f". To use these images, name the pool folder:{listing.source}"
            raise DatasetMismatchError(
                f"{card.name} in {listing.source}: expected {card.total} images, found "
                f"{len(listing.entries)}{_missing(listing)}{'' if card.rendering else other}"
            )
        return
    lines = [
        f"  {side} {name or 'chips'}: expected {expected}, found {found}"
        for side, name, expected, found in compare_counts(card, listing)
        if expected != found
    ]
    if lines or listing.missing:
        raise DatasetMismatchError(
            f"{card.name} in {listing.source} has other numbers of chips than required"
            f"{_missing(listing)}; `sarbench data verify {shlex.quote(card.name)} --files` names "
            "every file" + "\n".join([":" if lines else "", *lines])
        )


def no_image_advice(source: Path | None) -> str:
    """Return the next step for a folder without images."""
    return phoenix_advice(source) or "name a folder with images"


def phoenix_advice(source: Path | None) -> str:
    """Return the names that read the Phoenix files in a folder; empty if it has none."""
    if source is None or not any(is_phoenix(path.name) for path in source.rglob("HB*")):
        return ""
    return (
        "its Phoenix files (HBnnnnn.sss) are read with a rendering, as folder:PATH?rendering="
        "raw/log, or as MSTAR's sets, such as mstar_soc?rendering=raw/log, in a folder mstar_raw"
    )


def compare_counts(card: Card, listing: Listing) -> list[tuple[str, str, int, int]]:
    """Return side, class, expected and found number of the chips of a data set.

    The class is empty for all chips of a side, where those of its classes are not known.
    """
    found = listing.counts()
    if card.sides is not None:
        sides = zip(SIDES, card.sides, strict=True)
        return [(side, "", expected, sum(found[side].values())) for side, expected in sides]
    required = card.counts if any(card.counts.values()) else found
    return [
        (side, name, expected, found[side].get(name, 0))
        for side in SIDES
        for name, expected in required[side].items()
    ]


def _missing(listing: Listing) -> str:
    return f" (missing: {shortened(listing.missing)})" if listing.missing else ""


def _drop_copies(entries: list[Entry], source: Path | None) -> list[Entry]:
    """Keep the first of several equal copies of a chip (an EOC and an SOC folder share chips)."""
    kept: dict[str, Entry] = {}
    for entry in entries:
        first = kept.setdefault(entry.chip_id, entry)
        if first is not entry and not _equal(first.file, entry.file):
            raise ConflictingCopiesError(
                f"{source} has two files of {entry.chip_id} with different pixels: "
                f"{first.file.relative} and {entry.file.relative}; name with --data the folder of "
                "one rendering"
            )
    return [kept[chip_id] for chip_id in sorted(kept)]


def _equal(one: ImageFile, other: ImageFile) -> bool:
    """Return whether two files hold the same pixels; decode them only if their bytes differ."""
    left, right = one.read_bytes(), other.read_bytes()
    return left == right or np.array_equal(
        decode_image(left, str(one.relative)), decode_image(right, str(other.relative))
    )
