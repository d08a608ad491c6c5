"""The release of MSTAR: every chip with its vehicle, depression and scene, and the splits."""

from dataclasses import dataclass

from ..committed_splits import committed


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
        by_id: The collection of each chip id.
        splits: Data set name -> chip id -> True for a test chip.
        misfiled: Class, serial and number of a file that HDANet stores in the wrong folder -> its
            id.
        absent: Ids that are missing from the rendering `JPEG-e`.
    """

    collections: dict[str, Collection]
    by_id: dict[str, Collection]
    splits: dict[str, dict[str, bool]]
    misfiled: dict[str, str]
    absent: frozenset[str]


def read_table() -> Table:
    """Read the release from `protocols/splits/mstar.json`."""
    stored = committed("mstar")
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


def _numbers(ranges: str) -> frozenset[int]:
    """Return the numbers of `3333-3335 3337`."""
    found: set[int] = set()
    for item in ranges.split():
        first, _, last = item.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
