"""Pack a data set or pool once, and open it.

The folder of a packed set is named by its digests, not by the folder of the raw files. For each
folder of raw files, a small file in `places/` holds the name of the packed set, a stamp of the
files, and one that takes no opening of archives.
"""

import json
import shlex
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from ..store.atomic import write_atomic
from .chips import Chips
from .facts_file import facts_file, unmatched, with_facts
from .files import DatasetNotFoundError, ImageFile, files_below, open_source
from .held_out import base_name, held_out, open_held_out, summary_of
from .listing import check_listing, list_chips
from .pack_parallel import pack_entries, starts_processes
from .packed import (
    DamagedPreparedError,
    Prepared,
    Progress,
    Summary,
    is_packed_set,
    open_packed,
    packed_folder,
    read_summary,
)
from .packing import PackedChip, sizes_of, with_crop
from .registry import card
from .source import Card
from .write_packed import write_packed

FORMAT = 2  # of the prepared files; raise it with every change of them


class NotPreparedError(FileNotFoundError):
    """A data set or pool that has not been packed yet."""

    failure_class = "data"


def prepare(
    name: str,
    data_dir: Path,
    prepared_dir: Path,
    *,
    pool: bool = False,
    progress: Progress | None = None,
    processes: int = 1,
) -> Prepared:
    """Pack a data set or pool, unless the same files were packed before, and open it.

    A damaged set is packed again.

    Args:
        name: A name of the registry, or `folder:PATH`.
        data_dir: The folder of the data sets.
        prepared_dir: The folder of packed sets.
        pool: Choose the pool if a data set has the same name.
        progress: Called with (done, total) after every hundred chips.
        processes: Largest number of processes that pack; the result does not depend on it.

    Raises:
        DatasetNotFoundError: There are no files.
        DatasetMismatchError: The files have other classes or counts than required.
        UnreadableImageError: A file cannot be used.
        NoSpaceError: The disk is full; the new set is removed.
    """
    if whole := base_name(name):
        return held_out(
            prepare(whole, data_dir, prepared_dir, progress=progress, processes=processes)
        )
    described = card(name, pool=pool)
    place = _Place(described, data_dir, prepared_dir)
    with (
        open_source(place.source, raw=described.source.phoenix(described)) as files,
        ThreadPoolExecutor(1) as thread,
    ):
        about = facts_file(place.source)
        others = described.source.other_files(place.source) if place.source else ()
        stamp = _stamp(files, (*others, *about))
        prepared = place.open() if place.stamp == stamp else None
        if prepared is None:
            starts_processes(len(files), processes)
            listing = list_chips(described, place.source, files)
            check_listing(described, listing)
            if about and described.kind == "dataset":
                unmatched(about[0], [entry.chip_id for entry in listing.entries])
            cropped, entries = with_crop(described, sizes_of(listing.entries)), listing.entries

            def pack(target: Path) -> Iterator[PackedChip]:
                return with_facts(pack_entries(cropped, entries, target, processes), *about)

            seen = thread.submit(place.files)
            folder = write_packed(cropped, pack, len(entries), prepared_dir, progress)
            prepared = open_packed(cropped, folder)
            place.write(folder, stamp, seen.result())
        elif not place.is_current():
            place.write(place.packed() or prepared_dir, stamp, place.files())
    return prepared


def open_version(card: Card, data_digest: str, split_digest: str, prepared_dir: Path) -> Chips:
    """Open the packed set with these digests.

    Raises:
        NotPreparedError: It is not packed here.
    """
    if base_name(card.name):
        part = open_held_out(card, data_digest, split_digest, prepared_dir)
        if part is not None:
            return part.chips
    folder = packed_folder(prepared_dir, card.name, data_digest, split_digest)
    chips = open_packed(card, folder).chips if is_packed_set(folder) else None
    if chips is None or (chips.data_digest, chips.split_digest) != (data_digest, split_digest):
        raise NotPreparedError(
            f"{card.name} with pixels {data_digest[:12]} is not prepared in {prepared_dir}; run: "
            f"sarbench data prepare {shlex.quote(card.name)}"
        )
    return chips


def is_packed(summary: Summary, prepared_dir: Path) -> bool:
    """Return whether the version of a set with this summary is packed."""
    digests = summary.data_digest, summary.split_digest
    if base_name(summary.name):
        return open_held_out(card(summary.name), *digests, prepared_dir) is not None
    return is_packed_set(packed_folder(prepared_dir, summary.name, *digests))


def summary(name: str, data_dir: Path, prepared_dir: Path, *, pool: bool = False) -> Summary | None:
    """Return the summary of the set packed from `data_dir`; None if there is none."""
    if whole := base_name(name):
        base = summary(whole, data_dir, prepared_dir)
        return base and summary_of(base, prepared_dir)
    found = card(name, pool=pool)
    try:
        folder = _Place(found, data_dir, prepared_dir).packed()
    except DatasetNotFoundError:
        return None
    return None if folder is None else read_summary(found, folder)


def facts_note(card: Card, data_dir: Path, chips: Chips) -> str:
    """Return a sentence on the ids of `metadata.csv` that are not chips; empty if all are.

    Pools are not checked, because no table divides them by facts.
    """
    if card.kind == "pool" or not source_exists(card, data_dir):
        return ""
    about = facts_file(card.source.find(card, data_dir))
    return unmatched(about[0], chips.ids) if about else ""


def source_exists(card: Card, data_dir: Path) -> bool:
    """Return whether the raw files of a set are below `data_dir`; true if it needs none."""
    try:
        source = card.source.find(card, data_dir)
    except DatasetNotFoundError:
        return False
    return source is None or source.exists()


def is_current(name: str, data_dir: Path, prepared_dir: Path, *, pool: bool = False) -> bool | None:
    """Return False if a set was packed from files below `data_dir` that have changed since.

    Names, sizes and times are compared; no file is read. True for a set without files there, None
    for one that an older version packed, which did not note them.
    """
    if whole := base_name(name):
        return is_current(whole, data_dir, prepared_dir)
    try:
        place = _Place(card(name, pool=pool), data_dir, prepared_dir)
    except DatasetNotFoundError:
        return True
    return place.packed() is None or place.is_current()


class _Place:
    """The packed set of one folder of raw files, and the file in `places/` that names it."""

    def __init__(self, card: Card, data_dir: Path, prepared_dir: Path) -> None:
        self.source = card.source.find(card, data_dir)
        source = str(self.source or f"version {card.source.version}")
        fields = [FORMAT, card.kind, card.name, card.transform, card.crop_px, source]
        identity = json.dumps(fields + ([card.rendering.identity()] if card.rendering else []))
        self._path = prepared_dir / "places" / f"{sha256(identity.encode()).hexdigest()[:16]}.json"
        self._card, self._prepared_dir = card, prepared_dir
        try:
            stored = json.loads(self._path.read_text("utf-8"))
            self._folder, self.stamp = str(stored["folder"]), str(stored["stamp"])
            self._seen = stored.get("seen")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # packed again
            self._folder, self.stamp, self._seen = "", None, None

    def packed(self) -> Path | None:
        """Return the folder of the packed set; None if it was never packed or was deleted."""
        folder = self._prepared_dir / self._folder
        return folder if self._folder and is_packed_set(folder) else None

    def open(self) -> Prepared | None:
        """Return the packed set; None if there is none or it is damaged."""
        folder = self.packed()
        try:
            return None if folder is None else open_packed(self._card, folder)
        except DamagedPreparedError:
            return None

    def is_current(self) -> bool | None:
        """Return whether names, sizes and times of all files are those that were packed."""
        if self.source is None or not self.source.exists():
            return True
        return None if self._seen is None else self._seen == self.files()

    def write(self, folder: Path, stamp: str, seen: str) -> None:
        """Record that the files, of which `seen` is a digest, were packed into `folder`."""
        found = {"folder": folder.name, "stamp": stamp, "seen": seen}
        write_atomic(self._path, json.dumps(found))

    def files(self) -> str:
        """Return a digest of names, sizes and times of all visible files; archives count as one."""
        if self.source is None:
            return ""
        names = [self.source] if self.source.is_file() else [
            folder / name for folder, found in files_below(self.source) for name in found
        ]  # fmt: skip
        lines = sha256()
        for path in names:
            with suppress(OSError):  # a broken link
                status = path.stat()
                lines.update(f"{path}\t{status.st_size}\t{status.st_mtime_ns}\n".encode(
                    errors="surrogateescape"
                ))  # fmt: skip
        return lines.hexdigest()


def _stamp(files: list[ImageFile], others: Iterable[Path]) -> str:
    """Return a digest of names, sizes and times, and of the content of other files.

    It shows a change; without files it is empty.
    """
    if not files:
        return ""
    lines = "".join(f"{file.relative}\t{file.stamp}\n" for file in files)
    content = [path.read_bytes() for path in others]
    return sha256(b"".join([lines.encode(), *content])).hexdigest()
