"""MAT files: the one numeric array of a file, read by SciPy after a check of its elements."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from .unreadable import UnreadableImageError

HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, MATRIX, COMPRESSED, 16, 17, 18}  # of an element
LARGEST_BYTES = 2**30


def read_array(data: bytes, name: str) -> np.ndarray:
    """Return the one numeric array with two or more dimensions of a MAT file.

    Raises:
        UnreadableImageError: The file is damaged or newer than 7.2, or has none or several.
    """
    from scipy.io import loadmat

    try:
        for kind in _types(data):
            if kind not in TYPES:  # SciPy would look it up outside its table, and may crash
                raise ValueError(f"an element of the unknown type {kind}")
        content = loadmat(io.BytesIO(data))
    except NotImplementedError as error:
        raise UnreadableImageError(
            f"{name}: MATLAB 7.3 (HDF5) is not read; save it with '-v7'"
        ) from error
    except Exception as error:  # SciPy fails in many ways on a damaged file
        raise UnreadableImageError(
            f"{name}: is not a readable MAT file ({str(error)[:200]}); save it again with '-v7'"
        ) from error
    arrays = {
        key: value
        for key, value in content.items()
        if not key.startswith("__")
        and isinstance(value, np.ndarray)
        and value.dtype.kind in "uifc"
        and value.ndim >= 2
        and min(value.shape) > 1
    }
    if len(arrays) != 1:
        found = ", ".join(key for key in content if not key.startswith("__")) or "nothing"
        raise UnreadableImageError(
            f"{name}: must hold one two-dimensional numeric array; it holds {found}"
        )
    return next(iter(arrays.values()))


def _types(data: bytes) -> Iterator[int]:
    """Yield the types of all elements of a file of level 5; none of other files.

    Level and byte order are found as SciPy finds them, in damaged files too.
    """
    if 0 in data[:4]:  # the small numbers that level 4 starts with
        return
    if len(data) < HEADER_BYTES:
        raise ValueError("it ends inside its header")
    low, high, *mark = data[HEADER_BYTES - 4 : HEADER_BYTES]
    major = high if mark[0] == ord("I") else low
    if major == 1:
        yield from _inside(data[HEADER_BYTES:], "<" if bytes(mark) == b"IM" else ">")


def _inside(data: bytes, order: str) -> Iterator[int]:
    """Yield the types of the elements of a file or of a matrix, and of those inside them."""
    start = 0
    while start + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}2I", data, start)
        if kind >> 16:  # type and size share four bytes, and the value is in the next four
            yield kind & 0xFFFF
            start += 8
            continue
        yield kind
        part = data[start + 8 : start + 8 + size]
        if kind == COMPRESSED:
            yield from _inside(zlib.decompressobj().decompress(part, LARGEST_BYTES), order)
        elif kind == MATRIX:
            yield from _inside(part, order)
        start += 8 + size + (0 if kind == COMPRESSED else -size % 8)
