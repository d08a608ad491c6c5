"""Look at a folder of labelled chips, and write its card file."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..suggest import RequestError
from .files import open_source
from .listing import check_listing, list_chips
from .packing import sizes_of, with_crop
from .source import Counts
from .sources.card_file import SUFFIX, CardFile, described, to_toml


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
    card = described("new", folder, content)
    with open_source(folder) as files:
        listing = list_chips(card, folder, files)
        check_listing(card, listing)
        sizes = list(sizes_of(listing.entries))
    heights, widths = zip(*sizes, strict=True)
    grouped = Counter(entry.group for entry in listing.entries if entry.group)
    return Found(
        listing.counts(),
        sum(count > 1 for count in grouped.values()),
        (min(heights), max(heights)),
        (min(widths), max(widths)),
        with_crop(card, sizes).crop_px,
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
