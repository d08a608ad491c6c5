"""Pack a data set or pool once, and open it.

The name of the packed folder depends on the place of the source, so that data of another place is
never served.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from .chips import Chips
from .files import DatasetNotFoundError, ImageFile, open_source
from .listing import check_listing, list_chips, source_of
from .packed import Progress, Summary, open_packed, read_stamp, read_summary, write_packed
from .packing import PackedChip, pack_entries, pack_image
from .registry import Card, card

FORMAT = 1  # of the prepared files; raised when they change


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
        data_dir: Where the data sets lie.
        prepared_dir: Where packed ones are kept.
        pool: Whether the pool is meant where a data set has the same name.
        force: Pack anew whatever is there.
        progress: Told (done, total) now and then.

    Raises:
        DatasetNotFoundError: The source is not there.
        DatasetMismatchError: It holds other classes or counts than it must.
        UnreadableImageError: A file cannot be used.
        NoSpaceError: The disk filled up; nothing half-written is left.
    """
    found = card(name, pool=pool)
    folder = _folder(found, data_dir, prepared_dir)
    if found.reader == "synthetic":
        if force or not (folder / "summary.json").is_file():
            total, chips = _synthetic_chips(found)
            write_packed(found, chips, total, folder, "", progress)
        return open_packed(found, folder)
    source = source_of(found, data_dir)
    with open_source(source) as files:
        stamp = _stamp(files)
        if force or read_stamp(folder) != stamp:
            listing = list_chips(found, source, files)
            check_listing(found, listing)
            chips = pack_entries(found, listing.entries)
            write_packed(found, chips, len(listing.entries), folder, stamp, progress)
    return open_packed(found, folder)


def open_chips(name: str, data_dir: Path, prepared_dir: Path, *, pool: bool = False) -> Chips:
    """Open a prepared data set or pool without copying its pixels into memory.

    Raises:
        NotPreparedError: It has not been prepared.
    """
    found = card(name, pool=pool)
    folder = _folder(found, data_dir, prepared_dir)
    if not (folder / "summary.json").is_file():
        raise NotPreparedError(
            f"{name} of {data_dir} is not prepared; run: sarbench data prepare '{name}'"
        )
    return open_packed(found, folder)


def summary(name: str, data_dir: Path, prepared_dir: Path, *, pool: bool = False) -> Summary | None:
    """Return what is known of a prepared set, or None where it is not prepared or not there."""
    found = card(name, pool=pool)
    try:
        stored = _folder(found, data_dir, prepared_dir) / "summary.json"
    except DatasetNotFoundError:
        return None
    return read_summary(found, stored) if stored.is_file() else None


def _folder(card: Card, data_dir: Path, prepared_dir: Path) -> Path:
    """Return where a set is packed: a function of its name, its source's place and the format."""
    if card.reader == "synthetic":
        from .synthetic import VERSION

        place = f"version {VERSION}"
    else:
        place = str(source_of(card, data_dir))
    identity = json.dumps([FORMAT, card.kind, card.name, card.transform, card.crop_px, place])
    key = sha256(identity.encode()).hexdigest()[:12]
    return prepared_dir / f"{card.name.replace('/', '-')}-{key}"


def _stamp(files: list[ImageFile]) -> str:
    """Return a digest of names, sizes and times, to notice that a source has changed."""
    lines = "".join(f"{file.relative}\t{file.stamp}\n" for file in files)
    return sha256(lines.encode()).hexdigest()


def _synthetic_chips(card: Card) -> tuple[int, Iterator[PackedChip]]:
    from .synthetic import generate

    made = generate(("pool",) if card.kind == "pool" else ("train", "test"))
    order = sorted(zip(made.ids, range(len(made.ids)), strict=True))

    def class_of(index: int) -> str:
        return "" if card.kind == "pool" else made.classes[made.labels[index]]

    chips = (
        pack_image(card, made.pixels[i], chip_id, class_of(i), bool(made.is_test[i]), chip_id)
        for chip_id, i in order
    )
    return len(order), chips
