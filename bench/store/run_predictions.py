"""Predicted class and scores of each test chip, stored in the folder of a run.

Tables, checks and merges all use this reader, so they see the same predictions. `scores` holds a
number for each chip and class in half precision; in older files, and for very many chips and
classes, only that of the predicted class.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from .atomic import TooLargeError, read_file

PREDICTIONS_FILE = "predictions.npz"  # in the folder of a run
NAMES = ("classes", "scores")
FIRST = "classes.npy"
REDO = "move its folder out of the store and run the grid again"  # advice of a damaged result
LARGEST = 2**26  # bytes of one file, and of one array in it
MOST_SCORES = LARGEST // 4  # of all classes; with more, only those of the predicted classes
# Header of a member of a ZIP archive: signature, flags, method, lengths of name and extra field.
LOCAL_HEADER = struct.Struct("<4s2x2H16x2H")


class DamagedPredictionsError(ValueError):
    """A file that does not hold the predictions that its record describes."""


def to_store(
    classes: Int[np.ndarray, " M"], scores: Float[np.ndarray, "M C"]
) -> dict[str, np.ndarray]:
    """Return the predictions of a run as they are stored; `classes` is the first array."""
    if scores.size > MOST_SCORES:
        scores = np.take_along_axis(scores, classes[:, None].astype(np.int64), axis=1)[:, 0]
    lowest = np.finfo(np.float16).min
    return {
        "classes": classes.astype(np.int16),
        "scores": np.maximum(scores, lowest).astype(np.float16, order="C"),
    }


def read_predictions(
    path: Path,
    digest: str,
    names: tuple[str, ...] = NAMES,
    read: Callable[[Path, int], bytes] = read_file,
) -> dict[str, np.ndarray]:
    """Return the stored arrays of one run.

    Args:
        path: The file.
        digest: SHA-256 in the record of the run.
        names: Names of the arrays to return.
        read: `Store.content` of the store of the file.

    Raises:
        FileNotFoundError: The file is missing.
        DamagedPredictionsError: The file has another digest or other arrays.
    """
    try:
        content = read(path, LARGEST)
    except TooLargeError as error:
        raise DamagedPredictionsError(str(error)) from None
    found = sha256(content).hexdigest()
    if found != digest:
        raise DamagedPredictionsError(
            f"{path} is not the file that its record describes: it has SHA-256 {found[:12]}, its "
            f"record says {digest[:12]}; {REDO}"
        )
    try:
        if names == NAMES[:1] and (quick := _first(content)):
            return {NAMES[0]: read_array(quick, FIRST)}
        with zipfile.ZipFile(io.BytesIO(content)) as stored:
            inside = sorted(stored.namelist())
            if inside != [f"{name}.npy" for name in NAMES]:
                raise ValueError(f"it holds {', '.join(inside)} instead of {', '.join(NAMES)}")
            return {
                name: read_array(_member(stored, f"{name}.npy"), name, 1 + (name == "scores"))
                for name in names
            }
    except (ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DamagedPredictionsError(f"{path} does not hold predictions: {error}") from error


def _first(content: bytes) -> bytes | None:
    """Return the first member of an archive that a run wrote; None for another archive.

    This is three times as fast as `zipfile`, which reads the directory at the end: a table of
    10,000 runs takes a second less.
    """
    if len(content) < LOCAL_HEADER.size:
        return None
    signature, flags, method, name_length, extra_length = LOCAL_HEADER.unpack_from(content)
    start = LOCAL_HEADER.size + name_length + extra_length
    name = content[LOCAL_HEADER.size : LOCAL_HEADER.size + name_length]
    if (signature, flags, method, name) != (b"PK\3\4", 0, zipfile.ZIP_DEFLATED, FIRST.encode()):
        return None
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    found = inflating.decompress(memoryview(content)[start:], LARGEST)
    return found if inflating.eof else None


def _member(stored: zipfile.ZipFile, name: str) -> bytes:
    about = stored.getinfo(name)
    if about.file_size > LARGEST:
        raise ValueError(f"{name} is larger than {LARGEST >> 20} MB")
    if about.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} has an unsupported compression")
    return stored.read(name)


def read_array(content: bytes, name: str, dimensions: int = 1) -> np.ndarray:
    """Return the numbers in a .npy file; no memory is taken for a shape larger than the file.

    Args:
        content: The file.
        name: Its name, for messages.
        dimensions: The most that it may have: chips, and classes or runs.

    Raises:
        ValueError: It holds something else, or is cut off.
    """
    size = 10 + int.from_bytes(content[8:10], "little")
    shape, dtype = _header(content[:size])
    if not 1 <= len(shape) <= dimensions or dtype.kind not in "iuf":
        what = "one number for each chip" + " and class" * (dimensions > 1)
        raise ValueError(f"{name} has shape {shape} and type {dtype}, not {what}")
    if len(content) - size != prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} is cut off")
    return np.frombuffer(content, dtype, offset=size).reshape(shape)


@lru_cache(64)  # the header is the same in thousands of files, and slow to parse
def _header(content: bytes) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of an array in the .npy format, version 1.0."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("it is not in version 1.0 of the .npy format")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    if by_column and len(shape) > 1:
        raise ValueError("its array is stored by columns")
    return shape, dtype
