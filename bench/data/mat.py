"""MAT files: the one numeric array of a file, read by SciPy after a check of its elements."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from .unreadable_image import UnreadableImageError

HEADER_BYTES = 128
FLAGS, MATRIX, COMPRESSED = 6, 14, 15  # types of elements; the flags of a matrix are two uint32
NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18}  # types of elements without elements inside
NUMERIC_CLASSES = range(6, 16)  # of a matrix, double to uint64
COMPLEX = 0x800  # flag of a matrix with an imaginary part
NOT_NUMERIC = {"cell", "struct", "object", "char", "sparse", "function", "opaque"}
LARGEST_BYTES = 2**30


def read_array(data: bytes, name: str) -> np.ndarray:
    """Return the one numeric array with two or more dimensions of a MAT file.

    Raises:
        UnreadableImageError: The file is damaged or newer than 7.2, or has none or several.
    """
    from scipy.io import loadmat, whosmat

    try:
        _check(data)
        kinds = [(key, kind) for key, _, kind in whosmat(io.BytesIO(data))]
        held = dict(kinds)
        if len(held) < len(kinds):
            raise ValueError("two arrays have the same name")
        wanted = [key for key, kind in kinds if kind not in NOT_NUMERIC]  # others are not opened
        content = loadmat(io.BytesIO(data), variable_names=wanted) if wanted else {}
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
        found = ", ".join(key for key in held if not key.startswith("__")) or "nothing"
        raise UnreadableImageError(
            f"{name}: must hold one two-dimensional numeric array; it holds {found}"
        )
    return next(iter(arrays.values()))


def _check(data: bytes) -> None:
    """Raise ValueError if SciPy could crash on a file of level 5; other files are not checked.

    SciPy looks types of elements up outside its table, and trusts some sizes and not others. Level
    and byte order are found as SciPy finds them, in damaged files too.
    """
    if 0 in data[:4]:  # the small numbers that level 4 starts with
        return
    if len(data) < HEADER_BYTES:
        raise ValueError("it ends inside its header")
    low, high, *mark = data[HEADER_BYTES - 4 : HEADER_BYTES]
    major = high if mark[0] == ord("I") else low
    if major != 1:
        return
    order = "<" if bytes(mark) == b"IM" else ">"
    for kind, part in _elements(data[HEADER_BYTES:], order, padded=False):
        if kind == COMPRESSED:
            content = zlib.decompressobj().decompress(part, LARGEST_BYTES)
            kind, part = next(_elements(content, order, padded=False), (0, b""))
        if kind != MATRIX:
            raise ValueError(f"an element of the type {kind} in place of a matrix")
        _check_matrix(part, order)


def _check_matrix(data: bytes, order: str) -> None:
    """Raise ValueError if a matrix is not what SciPy takes it for."""
    if data[:8] != struct.pack(f"{order}2I", FLAGS, 8):
        raise ValueError("a matrix without flags")
    kinds = [kind for kind, _ in _elements(data, order, padded=True)]
    (flags,) = struct.unpack_from(f"{order}I", data, 8)
    if flags & 0xFF not in NUMERIC_CLASSES:
        return
    if unknown := [kind for kind in kinds if kind not in NUMBERS]:
        raise ValueError(f"an element of the unknown type {unknown[0]}")
    expected = 5 if flags & COMPLEX else 4  # flags, size, name, real and imaginary part
    if len(kinds) != expected:
        raise ValueError(f"{expected} elements expected in a matrix, {len(kinds)} found")


def _elements(data: bytes, order: str, *, padded: bool) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of the elements of a file or of a matrix, where they are padded."""
    start = 0
    while start + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}2I", data, start)
        if kind >> 16:  # type and size share four bytes, and the value is in the next four
            yield kind & 0xFFFF, data[start + 4 : start + 8]
            start += 8
            continue
        if start + 8 + size > len(data):
            raise ValueError(f"an element of {size} bytes where {len(data) - start - 8} are left")
        yield kind, data[start + 8 : start + 8 + size]
        start += 8 + size + (-size % 8 if padded else 0)
