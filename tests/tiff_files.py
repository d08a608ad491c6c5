"""Writes TIFF files with types of pixels that Pillow does not write."""

import struct
import zlib
from collections.abc import Mapping

import numpy as np


def tiff_file(
    array: np.ndarray,
    order: str = "<",
    strips: int = 1,
    types: Mapping[int, int] | None = None,
    **changed: int,
) -> bytes:
    """Return a TIFF of bands (H, W, B), put together entry by entry: header, pixels, directory.

    Args:
        array: The bands.
        order: `<` or `>`.
        strips: Number of strips; each of them holds all pixels.
        types: Another type code (2: text, 11: float) for some tags.
        changed: Another `compression` or `kind` (the tag SampleFormat).
    """
    height, width, bands = array.shape
    code = {"u": 1, "i": 2, "f": 3, "c": 6}[array.dtype.kind]
    pixels = array.astype(array.dtype.newbyteorder(order)).tobytes()
    if changed.get("compression") == 8:
        pixels = zlib.compress(pixels)
    entries: Mapping[int, tuple[int, int]] = {
        256: (3, width), 257: (3, height), 258: (3, 8 * array.dtype.itemsize),
        259: (3, changed.get("compression", 1)), 262: (3, 1), 273: (4, 8), 277: (3, bands),
        278: (3, height), 279: (4, len(pixels)), 284: (3, 1), 339: (3, changed.get("kind", code)),
    }  # fmt: skip
    starts = [8 + len(pixels) * strip for strip in range(strips)]
    lists = struct.pack(f"{order}{2 * strips}I", *starts, *([len(pixels)] * strips))
    pixels = pixels * strips
    pixels += b"\0" * (len(pixels) % 2)
    if strips > 1:
        entries = {
            **entries,
            273: (4, 8 + len(pixels)),
            279: (4, 8 + len(pixels) + len(lists) // 2),
        }
        pixels += lists
    where = 8 + len(pixels)
    directory = struct.pack(f"{order}H", len(entries))
    for tag, (kind, value) in entries.items():
        packed = struct.pack(f"{order}{'HH' if kind == 3 else 'I'}", *([value, 0][: 5 - kind]))
        count = strips if tag in (273, 279) else 1
        directory += struct.pack(f"{order}HHI", tag, (types or {}).get(tag, kind), count) + packed
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", where)
    return start + pixels + directory + bytes(4)
