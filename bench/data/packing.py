"""Turn the images of a listing into chips: transform, crop, digest."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources

import numpy as np

from ... import protocols
from .images import centre_crop, content_digest
from .listing import Entry
from .registry import Card

UNKNOWN_RENDERING = "unknown rendering"
THREADS = 8  # decoding leaves Python's lock; files may be on a slow share
AHEAD = 256  # images held in memory at a time


class AmplitudeRangeError(ValueError):
    """Float amplitude goes beyond 1 and nothing says what is full scale."""


@dataclass(frozen=True)
class PackedChip:
    """One chip as it is stored, and what was found on the way."""

    chip_id: str
    class_name: str
    is_test: bool
    pixels: np.ndarray
    source_size: tuple[int, int]
    content: int

    def line(self) -> bytes:
        """Return the chip's part of the data digest."""
        digest = hashlib.sha256(self.pixels.tobytes()).hexdigest()
        return f"{self.chip_id}\t{self.pixels.shape}\t{digest}\n".encode()


def pack_image(
    card: Card, image: np.ndarray, chip_id: str, class_name: str, is_test: bool, name: str
) -> PackedChip:
    """Return one image as a chip of the data set.

    Raises:
        AmplitudeRangeError: Float amplitude exceeds 1 and the card has no transform for it.
    """
    content = content_digest(image)
    size = (image.shape[0], image.shape[1])
    if card.transform == "chip_max":
        peak = np.float32(image.max())
        image = image.astype(np.float32)
        image = image / peak if peak > 0 else image
    if image.dtype.kind == "f" and image.max() > 1:
        way_out = (
            "add ?transform=chip_max to its name to divide each chip by its maximum"
            if card.kind == "pool"
            else "store amplitude as uint8, uint16, or float in [0, 1]"
        )
        raise AmplitudeRangeError(
            f"{name}: float amplitude up to {image.max():.4g}; floats must lie in [0, 1], so "
            f"{way_out}"
        )
    if card.crop_px is not None:
        image = centre_crop(image, card.crop_px)
    return PackedChip(chip_id, class_name, is_test, image, size, content)


def pack_entry(card: Card, entry: Entry) -> PackedChip:
    """Return the chip that a file holds."""
    name = str(entry.file.relative)
    image = entry.file.read()
    return pack_image(card, image, entry.chip_id, entry.class_name, entry.is_test, name)


def pack_entries(card: Card, entries: list[Entry]) -> Iterator[PackedChip]:
    """Decode many files at a time; chips come in the order of `entries`."""
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(entries), AHEAD):
            batch = entries[start : start + AHEAD]
            yield from threads.map(lambda entry: pack_entry(card, entry), batch)


class DataDigest:
    """SHA-256 over how pixels were prepared and the chips in the order of their ids."""

    def __init__(self, card: Card, dtype: np.dtype) -> None:
        """Begin with what is the same for all chips."""
        how = {"transform": card.transform, "crop_px": card.crop_px, "dtype": dtype.name}
        self._hash = hashlib.sha256(json.dumps(how, sort_keys=True).encode() + b"\n")

    def update(self, chip: PackedChip) -> None:
        """Add the next chip."""
        self._hash.update(chip.line())

    def hexdigest(self) -> str:
        """Return the digest of the chips so far."""
        return self._hash.hexdigest()


def split_digest(members: Iterable[tuple[str, str, bool]]) -> str:
    """Return SHA-256 over the sorted (id, class, train or test) of a data set."""
    lines = (f"{i}\t{name}\t{'test' if is_test else 'train'}\n" for i, name, is_test in members)
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def rendering_of(card: Card, data_digest: str) -> str:
    """Return the name of a known MSTAR rendering, or `unknown rendering`; empty elsewhere."""
    if card.reader != "mstar":
        return ""
    known = known_digests().get(card.name, {}).get("data", {})
    return known.get(data_digest, UNKNOWN_RENDERING)


@cache
def known_digests() -> dict[str, dict]:
    """Return the digests of splits and pixels that were seen, by data set name."""
    return json.loads((resources(protocols) / "splits" / "known.json").read_text("utf-8"))
