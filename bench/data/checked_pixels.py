"""Compare packed pixels with the digest of their set, when their file is new or has changed."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..store.atomic import write_atomic
from .packing import DataDigest, PackedChip
from .source import Card

PIXELS, CHECKED = "pixels.bin", "checked"
_checked: set[tuple[Path, str]] = set()  # by this process, of a store that cannot be written


def note_checked(folder: Path) -> None:
    """Note that the pixels in a folder are those of its digest, with the state of their file."""
    _note(folder, _state(folder))


def pixels_hold(
    card: Card, folder: Path, digest: str, index: Mapping[str, np.ndarray], pixels: np.ndarray
) -> bool:
    """Return whether packed pixels have the digest of their set; compared once for each state.

    Args:
        card: The set, with the crop that was used.
        folder: Its folder.
        digest: The data digest.
        index: Columns `ids`, `offset` and `size` of the chips.
        pixels: All pixels.
    """
    state = _state(folder)
    with suppress(OSError):
        if (folder, state) in _checked or (folder / CHECKED).read_text("utf-8") == state:
            return True
    found = DataDigest(card, pixels.dtype)
    blank = PackedChip("", "", False, pixels[:0], (0, 0), 0)
    columns = (index["ids"].tolist(), index["offset"].tolist(), index["size"].tolist())
    for chip_id, start, (height, width) in zip(*columns, strict=True):
        chip = pixels[start : start + height * width].reshape(height, width)
        found.update(replace(blank, chip_id=chip_id, pixels=chip))
    if found.hexdigest() != digest:
        return False
    _note(folder, state)  # as it was before they were read
    return True


def _note(folder: Path, state: str) -> None:
    _checked.add((folder, state))
    with suppress(OSError):  # a read-only store: each process compares them once
        write_atomic(folder / CHECKED, state)


def _state(folder: Path) -> str:
    status = (folder / PIXELS).stat()
    return f"{status.st_size} {status.st_mtime_ns}"
