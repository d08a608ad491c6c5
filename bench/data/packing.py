"""Make a chip of an image of a listing: transform, crop, digest."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256

import numpy as np

from .committed_splits import committed
from .facts import ChipFacts
from .images import centre_crop, content_digest, image_size
from .rendering import AboveFullScaleError
from .source import CROP_PX, Card, Entry
from .unreadable_image import UnreadableImageError

UNKNOWN_RENDERING = "unknown rendering"
THREADS = 8  # decoding releases Python's lock; files may be on a slow network drive


@dataclass(frozen=True)
class PackedChip:
    """A chip as it is stored.

    Attributes:
        chip_id: As in `Chips`.
        class_name: Class; empty in a pool.
        is_test: True for a test chip.
        pixels: Stored pixels (H, W).
        source_size: (height, width) of the source image.
        content: Digest of the whole source image.
        group: As in `Entry`.
        facts: Facts about the chip besides its class.
        digest: SHA-256 of the pixels; empty if it is not known yet.
    """

    chip_id: str
    class_name: str
    is_test: bool
    pixels: np.ndarray
    source_size: tuple[int, int]
    content: int
    group: str = ""
    facts: ChipFacts = field(default_factory=ChipFacts)
    digest: str = ""

    def line(self) -> bytes:
        """Return the line of the chip in the data digest."""
        digest = self.digest or sha256(self.pixels.tobytes()).hexdigest()
        return f"{self.chip_id}\t{self.pixels.shape}\t{digest}\n".encode()


def pack_entry(card: Card, entry: Entry) -> PackedChip:
    """Read the file of a chip, and transform and crop its image.

    Raises:
        UnreadableImageError: The file cannot be used, or float amplitude exceeds 1 and the card has
            no transform for it.
    """
    image, facts = card.source.read(card, entry)
    content = content_digest(image)
    size = (image.shape[0], image.shape[1])
    if card.rendering is not None:
        try:
            image = card.rendering.render(image)
        except AboveFullScaleError as error:
            raise UnreadableImageError(f"{entry.file.relative}: {error}") from error
    elif card.transform == "chip_max":
        peak = np.float32(image.max())
        image = image.astype(np.float32)
        image = image / peak if peak > 0 else image
    if image.dtype.kind == "f" and image.max() > 1:
        hint = (
            "add ?transform=chip_max to its name to divide each chip by its maximum"
            if card.kind == "pool"
            else "store amplitude as uint8, uint16, or float in [0, 1]"
        )
        if card.name.partition("?")[0].partition(":")[0] == "folder":
            hint += ", or add the option rendering=raw/log to its name (FOLDER?rendering=raw/log)"
        raise UnreadableImageError(
            f"{entry.file.relative}: float amplitude up to {image.max():.4g}; floats must be in "
            f"[0, 1], so {hint}"
        )
    if card.crop_px is not None:
        image = centre_crop(image, card.crop_px)
    return PackedChip(
        entry.chip_id, entry.class_name, entry.is_test, image, size, content, entry.group, facts,
        sha256(image.tobytes()).hexdigest(),
    )  # fmt: skip


def without_pixels(chip: PackedChip) -> PackedChip:
    """Return the chip with the size and type of its pixels, without their memory."""
    return replace(chip, pixels=size_only(chip.pixels.shape, chip.pixels.dtype.name))


@cache
def size_only(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return an array of a size and type that takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def sizes_of(entries: list[Entry]) -> Iterator[tuple[int, int]]:
    """Yield (height, width) of each image, in the order of `entries`.

    Raises:
        UnreadableImageError: A file cannot be used.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        yield from threads.map(
            lambda one: image_size(one.file.read_bytes(), one.file.member or one.file.path.name),
            entries,
        )


def with_crop(card: Card, sizes: Iterable[tuple[int, int]]) -> Card:
    """Return the card with the crop that follows from the sizes of its images."""
    if not card.crop_from_sizes:
        return card
    rest = iter(sizes)
    first = next(rest, None)
    return replace(card, crop_px=None if all(size == first for size in rest) else CROP_PX)


class DataDigest:
    """SHA-256 over transform, crop, type and rendering, then over the chips sorted by id."""

    def __init__(self, card: Card, dtype: np.dtype) -> None:
        """Start with the fields that all chips share; a rendering that is None is left out."""
        how = {"transform": card.transform, "crop_px": card.crop_px, "dtype": dtype.name}
        how |= {"rendering": card.rendering.identity()} if card.rendering else {}
        self._hash = sha256(json.dumps(how, sort_keys=True).encode() + b"\n")

    def update(self, chip: PackedChip) -> None:
        """Add the next chip."""
        self._hash.update(chip.line())

    def hexdigest(self) -> str:
        """Return the digest of the chips so far."""
        return self._hash.hexdigest()


def rendering_of(card: Card, data_digest: str) -> str:
    """Return the name of the rendering with these pixels, or `unknown rendering`.

    It is empty for a set with a single rendering.
    """
    if card.rendering is not None:
        return card.rendering.label
    if not card.source.has_renderings:
        return ""
    known = committed("known").get(card.name, {}).get("data", {})
    return known.get(data_digest, UNKNOWN_RENDERING)
