"""Pack a data set or pool once, and open it.

The digests of a packed set name its folder, so it is found from any place. A small file for each
source below `places/` holds the packed set that came from it and a stamp of its files.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from ..store.atomic import write_atomic
from .chips import Chips
from .files import DatasetNotFoundError, ImageFile, open_source
from .listing import check_listing, list_chips, source_of
from .packed import (
    DamagedPreparedError,
    Progress,
    Summary,
    open_packed,
    packed_folder,
    read_summary,
    write_packed,
)
from .packing import PackedChip, pack_entries, pack_image
from .registry import Card, card

FORMAT = 2  # of the prepared files; raised when they change


class NotPreparedError(FileNotFoundError):
    """The data set has not been packed yet."""


def prepare(
    name: str,
    data_dir: Path,
    prepared_dir: Path,
    *,
    pool: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Chips:
    """Pack a data set or pool, unless the same files were packed before, and open it.

    Args:
        name: A name of the registry, or `folder:PATH`.
        data_dir: The folder of the data sets.
        prepared_dir: Where packed ones are kept.
        pool: Whether the pool is meant where a data set has the same name.
        force: Pack again what was packed before; a damaged set is always packed again.
        progress: Called with (done, total) now and then.

    Raises:
        DatasetNotFoundError: The source does not exist.
        DatasetMismatchError: It holds other classes or counts than it must.
        UnreadableImageError: A file cannot be used.
        NoSpaceError: The disk filled up; nothing half-written is left.
    """
    found = card(name, pool=pool)
    place = _Place(found, data_dir, prepared_dir)
    if found.reader == "synthetic":
        opened = None if force else place.open()
        if opened is None:
            total, chips = _synthetic_chips(found)
            place.write(write_packed(found, chips, total, prepared_dir, progress), "")
        return opened or open_chips(name, data_dir, prepared_dir, pool=pool)
    source = source_of(found, data_dir)
    with open_source(source) as files:
        stamp = _stamp(files)
        opened = None if force or place.stamp != stamp else place.open()
        if opened is None:
            listing = list_chips(found, source, files)
            check_listing(found, listing)
            chips, total = pack_entries(found, listing.entries), len(listing.entries)
            place.write(write_packed(found, chips, total, prepared_dir, progress), stamp)
    return opened or open_chips(name, data_dir, prepared_dir, pool=pool)


def open_chips(name: str, data_dir: Path, prepared_dir: Path, *, pool: bool = False) -> Chips:
    """Open the set packed from `data_dir` without copying its pixels into memory.

    Raises:
        NotPreparedError: It has not been prepared.
    """
    found = card(name, pool=pool)
    folder = _Place(found, data_dir, prepared_dir).packed()
    if folder is None:
        raise NotPreparedError(
            f"{name} of {data_dir} is not prepared; run: sarbench data prepare '{name}'"
        )
    return open_packed(found, folder)


def open_version(card: Card, data_digest: str, split_digest: str, prepared_dir: Path) -> Chips:
    """Open the packed set with these digests, wherever its source was.

    Raises:
        NotPreparedError: It is not packed here.
    """
    folder = packed_folder(prepared_dir, card.name, data_digest, split_digest)
    chips = open_packed(card, folder) if (folder / "summary.json").is_file() else None
    if chips is None or (chips.data_digest, chips.split_digest) != (data_digest, split_digest):
        raise NotPreparedError(
            f"{card.name} with pixels {data_digest[:12]} is not prepared in {prepared_dir}; "
            "`sarbench data prepare` packs it"
        )
    return chips


def is_packed(summary: Summary, prepared_dir: Path) -> bool:
    """Return whether the version of a set that a summary describes is packed here."""
    digests = summary.data_digest, summary.split_digest
    return (packed_folder(prepared_dir, summary.name, *digests) / "summary.json").is_file()


def summary(name: str, data_dir: Path, prepared_dir: Path, *, pool: bool = False) -> Summary | None:
    """Return the summary of the set packed from `data_dir`, or None where there is none."""
    found = card(name, pool=pool)
    try:
        folder = _Place(found, data_dir, prepared_dir).packed()
    except DatasetNotFoundError:
        return None
    return None if folder is None else read_summary(found, folder / "summary.json")


def source_exists(card: Card, data_dir: Path) -> bool:
    """Return whether the raw files of a set can be found below `data_dir`."""
    if card.reader == "synthetic":
        return True
    try:
        return source_of(card, data_dir).exists()
    except DatasetNotFoundError:
        return False


class _Place:
    """The packed set that came from one source."""

    def __init__(self, card: Card, data_dir: Path, prepared_dir: Path) -> None:
        if card.reader == "synthetic":
            from .sources.synthetic import VERSION

            source = f"version {VERSION}"
        else:
            source = str(source_of(card, data_dir))
        identity = json.dumps([FORMAT, card.kind, card.name, card.transform, card.crop_px, source])
        self._path = prepared_dir / "places" / f"{sha256(identity.encode()).hexdigest()[:16]}.json"
        self._card, self._prepared_dir = card, prepared_dir
        try:
            stored = json.loads(self._path.read_text("utf-8"))
            self._folder, self.stamp = str(stored["folder"]), str(stored["stamp"])
        except (OSError, ValueError, KeyError, TypeError):  # unreadable means: pack again
            self._folder, self.stamp = "", None

    def packed(self) -> Path | None:
        """Return the folder of the packed set, None where it was never packed or is gone."""
        folder = self._prepared_dir / self._folder
        return folder if self._folder and (folder / "summary.json").is_file() else None

    def open(self) -> Chips | None:
        """Return the packed set, None where there is none or it is damaged."""
        folder = self.packed()
        try:
            return None if folder is None else open_packed(self._card, folder)
        except DamagedPreparedError:
            return None

    def write(self, folder: Path, stamp: str) -> None:
        """Note that the source was packed into `folder`."""
        write_atomic(self._path, json.dumps({"folder": folder.name, "stamp": stamp}))


def _stamp(files: list[ImageFile]) -> str:
    """Return a digest of names, sizes and times, to notice that a source has changed."""
    lines = "".join(f"{file.relative}\t{file.stamp}\n" for file in files)
    return sha256(lines.encode()).hexdigest()


def _synthetic_chips(card: Card) -> tuple[int, Iterator[PackedChip]]:
    from .sources.synthetic import generate

    made = generate(("pool",) if card.kind == "pool" else ("train", "test"))
    order = sorted(zip(made.ids, range(len(made.ids)), strict=True))

    def class_of(index: int) -> str:
        return "" if card.kind == "pool" else made.classes[made.labels[index]]

    chips = (
        pack_image(card, made.pixels[i], chip_id, class_of(i), bool(made.is_test[i]), chip_id)
        for chip_id, i in order
    )
    return len(order), chips
