"""State of every data set and pool in a data folder and a store, and other folders of images."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from ..store.records import Store
from .files import DatasetNotFoundError, Wanted, archive_stem, files_below, find_source
from .find_set import AmbiguousSetError, find_set
from .images import SUFFIXES, is_image
from .names import card_of
from .packed import Summary, stored_summaries
from .phoenix import is_phoenix
from .registry import UnknownDatasetError, added, dataset_names, pool_names, pool_unless_labelled
from .source import Card
from .sources import mstar_raw

State = Literal["prepared", "found", "absent"]


@dataclass(frozen=True)
class Known:
    """A data set or pool.

    Attributes:
        name: Name as in the tables of `sarbench data ls`; a pool is written `pool:<name>`.
        title: Title of its card.
        state: `prepared`: packed in the store, for runs. `found`: only its files are there.
        found: True if its files are below the data folder, or if it needs none.
        place: These files; None without any.
        summary: Of the packed version; None without one, or with several.
        part: Files there and chips required, of a set with fewer files than chips; None of others.
    """

    name: str
    title: str
    state: State
    found: bool
    place: Path | None
    summary: Summary | None
    part: tuple[int, int] | None = None


def known_sets(data_dir: Path, root: Path) -> list[Known]:
    """Return the state of every data set and pool; `root` is the store's folder.

    A set of which only Phoenix files are there has the name that reads them.
    """
    names, files = [*dataset_names(), *(f"pool:{name}" for name in pool_names())], _FileNames()
    found = [_state_of_any(name, data_dir, root, files) for name in names]
    listed = {one.name for one in found}
    packed = [name for name in _with_options(root) if name not in listed]
    return [*found, *(_state(name, data_dir, root, files) for name in packed)]


def _with_options(root: Path) -> list[str]:
    """Return the names with options, `NAME?key=value`, of the sets packed in a store."""
    found = set()
    for stored in stored_summaries(Store(root).prepared):
        with suppress(ValueError, KeyError, TypeError, UnknownDatasetError):
            name = f"pool:{stored['name']}" if stored["kind"] == "pool" else stored["name"]
            if "?" in name and "folder:" not in name and card_of(name):
                found.add(name)
    return sorted(found)


def _state_of_any(name: str, data_dir: Path, root: Path, files: "_FileNames") -> Known:
    """Return the state of a set, of its Phoenix files if it has no images."""
    found = _state(name, data_dir, root, files)
    without = found.state == "absent" or (found.part is not None and found.part[0] == 0)
    if without and isinstance(card_of(name).source, mstar_raw.RawFiles):
        raw = _state(f"{name}?{mstar_raw.USUAL}", data_dir, root, files)
        return found if raw.state == "absent" or (raw.part and raw.part[0] == 0) else raw
    return found


def _state(name: str, data_dir: Path, root: Path, files: "_FileNames") -> Known:
    card = card_of(name)
    try:
        source = card.source.find(card, data_dir)
        there = source is None or source.exists()
    except DatasetNotFoundError:
        source, there = None, False
    place = source if there else None
    try:
        found = find_set(name, data_dir, root)
    except AmbiguousSetError:  # several versions are packed; a command asks which one
        return Known(name, card.title, "prepared", there, place, None)
    packed = found.summary if found and found.packed else None
    state = "prepared" if packed else "found" if there else "absent"
    part = _part(card, place, files) if state == "found" else None
    return Known(name, card.title, state, there, place, packed, part)


def _part(card: Card, place: Path | None, files: "_FileNames") -> tuple[int, int] | None:
    """Return files and required chips of a folder with fewer files than chips, else None.

    Only names are counted, and only until there are enough.
    """
    members = card.source.members(card)
    required = card.total if members is None else len(members)
    if place is None or not place.is_dir() or not required:
        return None
    names = files.first(required, place, is_phoenix if card.source.phoenix(card) else is_image)
    if len(names) == required or any(map(archive_stem, names)):
        return None  # an archive may hold the rest
    return len(names), required


class _FileNames:
    """Names of files below folders; each folder is walked once, as far as someone has asked."""

    def __init__(self) -> None:
        self._walks: dict[tuple[Path, Wanted], tuple[list[str], Iterator[str]]] = {}

    def first(self, count: int, place: Path, wanted: Wanted) -> list[str]:
        """Return up to `count` names of wanted files and of archives, at any depth."""
        if (place, wanted) not in self._walks:
            self._walks[place, wanted] = [], _names(place, wanted)
        found, rest = self._walks[place, wanted]
        found += islice(rest, max(0, count - len(found)))
        return found[:count]


def _names(place: Path, wanted: Wanted) -> Iterator[str]:
    """Yield the names of the wanted files and of archives at any depth."""
    for _, names in files_below(place):
        yield from (name for name in names if wanted(name) or archive_stem(name))


def unknown_folders(data_dir: Path, known: list[Known]) -> list[tuple[str, str]]:
    """Return folders and archives of chips that are no known set: (name for a grid, use).

    Of a folder with Phoenix files and no image, the name has the rendering that reads them.

    Args:
        data_dir: The data folder; it need not exist.
        known: The rows of `known_sets`.
    """
    if not data_dir.is_dir():
        return []
    places = {one.place for one in known} | {phoenix_folder(data_dir)}
    found = []
    for path in sorted(data_dir.iterdir()):
        used = any(place and place.is_relative_to(path.resolve()) for place in places)
        options = None if path.name.startswith(".") or used else _options_for(path)
        if options is not None:
            name = f"folder:{path.name}{options}"
            labelled = pool_unless_labelled(name, data_dir) == name
            found.append((name, "data set or pool" if labelled else "pool"))
    return found


def phoenix_folder(data_dir: Path) -> Path | None:
    """Return the folder or archive `mstar_raw` of MSTAR's Phoenix files; None without one."""
    if not data_dir.is_dir():
        return None
    return find_source(data_dir, mstar_raw.FOLDERS, ())


def _options_for(path: Path) -> str | None:
    """Return the options with which the chips of a folder or archive are read; None without any."""
    if path.is_file():
        return None if archive_stem(path.name) is None else ""
    phoenix = False
    for name in (name for _, names in files_below(path) for name in names):
        if Path(name).suffix.lower() in SUFFIXES:
            return ""
        phoenix = phoenix or is_phoenix(name)
    return f"?{mstar_raw.USUAL}" if phoenix else None


def unusable_cards() -> dict[str, str]:
    """Return the reason for each card file that cannot be used."""
    return {name: reason for name, reason in added().items() if isinstance(reason, str)}
