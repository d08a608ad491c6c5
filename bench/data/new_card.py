"""Look at a folder of labelled chips, and write its card file."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..suggest import RequestError
from .files import open_source
from .images import image_size
from .listing import check_listing, list_chips
from .packing import in_threads, with_crop
from .source import Card, Counts
from .sources.card_file import SUFFIX, CardFile, CardFolder, to_toml


@dataclass(frozen=True)
class Found:
    """A labelled folder.

    Attributes:
        counts: Chips of each side and class.
        groups: Number of groups of near duplicates with more than one chip.
        heights: Smallest and largest height of an image, in pixels.
        widths: Smallest and largest width.
        crop_px: Side of the central square that is kept; None for whole chips.
        unused: Images that the split file does not name.
    """

    counts: Counts
    groups: int
    heights: tuple[int, int]
    widths: tuple[int, int]
    crop_px: int | None
    unused: int


def look(folder: Path, content: CardFile) -> Found:
    """Read names and sizes of all images of a labelled folder.

    Raises:
        DatasetNotFoundError: It is not a folder.
        DatasetMismatchError: It is not a data set; the message lists the layouts that are.
        UnreadableImageError: An image cannot be read.
    """
    source = CardFolder(str(folder), content)
    card = Card("new", "dataset", content.title, content.about, source,
                crop_px=content.crop if isinstance(content.crop, int) else None,
                crop_from_sizes=content.crop is None)  # fmt: skip
    with open_source(folder) as files:
        listing = list_chips(card, folder, files)
        check_listing(card, listing)
        sizes = list(in_threads(
            lambda one: image_size(one.file.read_bytes(), one.file.path.name), listing.entries
        ))  # fmt: skip
        crop_px = with_crop(card, listing.entries).crop_px
    heights, widths = zip(*sizes, strict=True)
    grouped = Counter(entry.group for entry in listing.entries if entry.group)
    return Found(
        listing.counts(),
        sum(count > 1 for count in grouped.values()),
        (min(heights), max(heights)),
        (min(widths), max(widths)),
        crop_px,
        len(listing.unexpected),
    )


def write_card(folder: Path, data_dir: Path, name: str, content: CardFile) -> Path:
    """Write the card of a folder into the data folder; no file is overwritten.

    Raises:
        RequestError: The file exists, or the data folder does not.
    """
    if not data_dir.is_dir():
        raise RequestError(
            f"the data folder {data_dir} does not exist; make it, or name another with --data"
        )
    path = data_dir / f"{name}{SUFFIX}"
    inside = folder.is_relative_to(data_dir.resolve())
    stated = folder.relative_to(data_dir.resolve()) if inside else folder
    text = to_toml(content.model_copy(update={"folder": stated.as_posix()}))
    try:
        with path.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise RequestError(
            f"{path} exists; delete it or name another data set with --name"
        ) from None
    return path
