"""Compare a folder with the required chips of a data set, file by file."""

from dataclasses import dataclass
from pathlib import Path

from .facts_file import facts_file, unmatched
from .files import open_source
from .held_out import base_name
from .listing import DatasetMismatchError, Listing, compare_counts, list_chips, no_image_advice
from .pack_parallel import pack_all
from .packed import Progress
from .packing import (
    DataDigest,
    PackedChip,
    rendering_of,
    sizes_of,
    with_crop,
)
from .registry import card
from .source import Card, Entry
from .unreadable_image import UnreadableImageError
from .write_packed import check_like


@dataclass(frozen=True)
class Count:
    """Chips of one class on one side of the split; class and side are empty for a pool."""

    part: str
    class_name: str
    expected: int
    found: int


@dataclass(frozen=True)
class Report:
    """Chips found against chips required.

    Attributes:
        name: Name of the data set or pool.
        source: The folder or archive that was read; `the simulator` for a simulated set.
        counts: Expected and found, for each class and side.
        missing: Ids of missing chips, if ids are known.
        unexpected: Files that are not a chip of the data set, with the reason if there is one.
        unreadable: Files that cannot be used, with the reason.
        problems: Reasons why all files together cannot be packed.
        rendering: For MSTAR, the known rendering; empty if the set is incomplete.
        data_digest: The digest that `prepare` gives; empty if the set is incomplete.
    """

    name: str
    source: str
    counts: tuple[Count, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    unreadable: tuple[str, ...]
    problems: tuple[str, ...]
    rendering: str
    data_digest: str

    @property
    def ok(self) -> bool:
        """True if the data set is complete, readable, and the only content of its folder."""
        complete = all(count.expected == count.found for count in self.counts)
        bad = self.missing or self.unexpected or self.unreadable or self.problems
        return complete and not bad


def verify(
    name: str,
    data_dir: Path,
    *,
    pool: bool = False,
    progress: Progress | None = None,
    processes: int = 1,
) -> Report:
    """Read every file of a data set or pool and compare.

    Args:
        name: A name of the registry, or `folder:PATH`; of `NAME:held_out`, NAME is verified.
        data_dir: The folder of the data sets.
        pool: Choose the pool if a data set has the same name.
        progress: Called with (done, total) after every hundred chips.
        processes: Largest number of processes that read.

    Raises:
        DatasetNotFoundError: There are no files.
        ConflictingCopiesError: Two files of one chip have different pixels.
    """
    found = card(base_name(name) or name, pool=pool)
    source = found.source.find(found, data_dir)
    with open_source(source, raw=found.source.phoenix(found)) as files:
        listing = list_chips(found, source, files)
        cropped = with_crop(found, sizes_of(listing.entries))
        unreadable, problems, digest = _read_all(cropped, listing.entries, progress, processes)
    counts = _compare(found, listing)
    complete = not unreadable and all(count.expected == count.found for count in counts)
    if not listing.entries and not listing.refused:
        advice = listing.hint or found.source.advice(found) or no_image_advice(source)
        problems.append(f"holds no image; {advice}")
    try:
        if (about := facts_file(source)) and found.kind == "dataset" and listing.entries:
            unmatched(about[0], [entry.chip_id for entry in listing.entries])
    except DatasetMismatchError as error:
        problems.append(str(error))
    return Report(
        name=name,
        source=str(source or "the simulator"),
        counts=counts,
        missing=tuple(listing.missing),
        unexpected=(*listing.refused, *listing.unexpected),
        unreadable=tuple(unreadable),
        problems=tuple(problems),
        rendering=rendering_of(found, digest) if complete else "",
        data_digest=digest if complete else "",
    )


def _compare(card: Card, listing: Listing) -> tuple[Count, ...]:
    if card.kind == "pool":
        total = len(listing.entries)
        return (Count("", "", total if card.total is None else card.total, total),)
    return tuple(Count(*one) for one in compare_counts(card, listing))


def _read_all(
    card: Card, entries: list[Entry], progress: Progress | None, processes: int
) -> tuple[list[str], list[str], str]:
    """Return unreadable files, the first reason why the others cannot be packed, and the digest."""
    unreadable: list[str] = []
    problems: list[str] = []
    rows: list[PackedChip] = []
    digest: DataDigest | None = None
    for done, chip in enumerate(pack_all(card, entries, processes=processes), start=1):
        if isinstance(chip, UnreadableImageError):
            unreadable.append(str(chip))
        else:
            digest = digest or DataDigest(card, chip.pixels.dtype)
            digest.update(chip)
            rows.append(chip)
            if not problems:
                try:
                    check_like(card, rows[0], chip)
                except DatasetMismatchError as error:
                    problems.append(str(error))
        if progress is not None and (done % 100 == 0 or done == len(entries)):
            progress(done, len(entries))
    if problem := card.source.problem(card, rows):
        problems.append(problem)
    return unreadable, problems, digest.hexdigest() if digest else ""
