"""Compare a folder with what a data set must hold, file by file."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .files import open_source
from .images import UnreadableImageError
from .listing import Entry, list_chips, source_of
from .packing import (
    AHEAD,
    THREADS,
    AmplitudeRangeError,
    DataDigest,
    PackedChip,
    pack_entry,
    rendering_of,
)
from .registry import Card, card


@dataclass(frozen=True)
class Count:
    """Chips of one class on one side of the split; class and side are empty for a pool."""

    part: str
    class_name: str
    expected: int
    found: int


@dataclass(frozen=True)
class Report:
    """What a source holds against what it must hold.

    Attributes:
        name: Name of the data set or pool.
        source: The folder or archive that was read.
        counts: Expected and found, class by class.
        missing: Ids of chips that are not there, where ids are known.
        unexpected: Files that are no chip of the data set, with the reason where there is one.
        unreadable: Files that cannot be used, with the reason.
        rendering: For MSTAR, the known rendering; empty where the set is not whole.
        data_digest: As it would be prepared; empty where the set is not whole.
    """

    name: str
    source: str
    counts: tuple[Count, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    unreadable: tuple[str, ...]
    rendering: str
    data_digest: str

    @property
    def ok(self) -> bool:
        """Whether the data set is whole, readable and alone."""
        whole = all(count.expected == count.found for count in self.counts)
        return whole and not (self.missing or self.unexpected or self.unreadable)


def verify(
    name: str,
    data_dir: Path,
    *,
    pool: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read every file of a data set or pool and compare.

    Raises:
        DatasetNotFoundError: There is no such folder.
        ConflictingCopiesError: A chip is there twice with different pixels.
    """
    found = card(name, pool=pool)
    if found.reader == "synthetic":
        return Report(name, "embedded", (), (), (), (), "", "")
    source = source_of(found, data_dir)
    with open_source(source) as files:
        listing = list_chips(found, source, files)
        unreadable, digest = _read_all(found, listing.entries, progress)
    counts = _compare(found, listing.counts(), len(listing.entries))
    whole = not unreadable and all(count.expected == count.found for count in counts)
    return Report(
        name=name,
        source=str(source),
        counts=counts,
        missing=tuple(listing.missing),
        unexpected=(*listing.refused, *listing.unexpected),
        unreadable=tuple(unreadable),
        rendering=rendering_of(found, digest) if whole else "",
        data_digest=digest if whole else "",
    )


def _compare(card: Card, found: dict[str, dict[str, int]], total: int) -> tuple[Count, ...]:
    if card.kind == "pool":
        return (Count("", "", total if card.total is None else card.total, total),)
    return tuple(
        Count(part, class_name, expected, found[part].get(class_name, 0))
        for part in ("train", "test")
        for class_name, expected in card.counts[part].items()
    )


def _read_all(
    card: Card, entries: list[Entry], progress: Callable[[int, int], None] | None
) -> tuple[list[str], str]:
    def read(entry: Entry) -> PackedChip | str:
        try:
            return pack_entry(card, entry)
        except (UnreadableImageError, AmplitudeRangeError) as error:
            return str(error)

    unreadable: list[str] = []
    digest: DataDigest | None = None
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(entries), AHEAD):
            for chip in threads.map(read, entries[start : start + AHEAD]):
                if isinstance(chip, str):
                    unreadable.append(chip)
                    continue
                digest = digest or DataDigest(card, chip.pixels.dtype)
                digest.update(chip)
            if progress is not None:
                progress(min(start + AHEAD, len(entries)), len(entries))
    return unreadable, digest.hexdigest() if digest else ""
