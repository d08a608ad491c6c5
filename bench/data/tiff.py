"""TIFF files of products that Pillow does not read: float64, complex, several bands.

Strips without compression or with deflate are read. That is what the chips of OpenSARShip and the
programs of their field write.
"""

import io
import zlib
from math import prod
from typing import Any

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from .unreadable_image import UnreadableImageError

WIDTH, HEIGHT, BITS, COMPRESSION, OFFSETS, SAMPLES, COUNTS = 256, 257, 258, 259, 273, 277, 279
PLANAR, PREDICTOR, TILE_WIDTH, FORMAT = 284, 317, 322, 339
DEFLATE = (8, 32946)
READ = (
    WIDTH, HEIGHT, BITS, COMPRESSION, OFFSETS, SAMPLES, COUNTS,
    PLANAR, PREDICTOR, TILE_WIDTH, FORMAT,
)  # fmt: skip
KINDS = {1: "u", 2: "i", 3: "f", 5: "complex i", 6: "c"}  # by the tag SampleFormat
LARGEST_BYTES = 2**30
ADVICE = "save it as a TIFF without compression, or its amplitude as NPY"


def is_tiff(data: bytes) -> bool:
    """Return whether a file starts as a TIFF does."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_bands(data: bytes, name: str) -> np.ndarray:
    """Return the bands (H, W, B) of a TIFF in their stored type; complex integers as complex64.

    Raises:
        UnreadableImageError: The file is damaged, has several images, or is stored in another way.
    """
    tags = _tags(data, name)
    height, width = _number(tags, HEIGHT, 0), _number(tags, WIDTH, 0)
    bands, dtype, pairs = _number(tags, SAMPLES, 1), *_dtype(tags, data, name)
    shape = (height, width, bands, 2) if pairs else (height, width, bands)
    expected = prod(shape) * dtype.itemsize
    if not 0 < expected <= LARGEST_BYTES:
        raise UnreadableImageError(
            f"{name}: its header says {height} x {width} pixels with {bands} bands; 1 byte to 1 "
            "GiB are read: fetch it again"
        )
    stored = _strips(data, name, tags, expected)
    values = np.frombuffer(stored, dtype).astype(dtype.newbyteorder("="))
    if _number(tags, PLANAR, 1) == 2:
        values = np.moveaxis(values.reshape(bands, height, width, *shape[3:]), 0, 2)
    values = values.reshape(shape)
    return values[..., 0] + np.complex64(1j) * values[..., 1] if pairs else values


def _tags(data: bytes, name: str) -> dict[int, Any]:
    try:
        tags = ImageFileDirectory_v2(data[:16] if b"+" in data[2:4] else data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        several = bool(tags.next)
        found = {tag: tags[tag] for tag in READ if tag in tags}  # parsed here, so it fails here
    except Exception as error:  # Pillow's parser fails in many ways
        raise UnreadableImageError(
            f"{name}: is a damaged TIFF ({str(error)[:100]}); fetch it again"
        ) from error
    if several:
        raise UnreadableImageError(f"{name}: holds several images; save one per file")
    return found


def _number(tags: dict[int, Any], tag: int, default: int) -> int:
    value = tags.get(tag, default)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else 0


def _numbers(
    tags: dict[int, Any], tag: int, name: str, default: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the whole numbers of a tag, one or more unless the default is empty."""
    value = tags.get(tag, default)
    whole = isinstance(value, tuple) and all(isinstance(one, int) for one in value)
    if not whole or len(value) < len(default):
        raise UnreadableImageError(
            f"{name}: is a damaged TIFF (its tag {tag} is {str(value)[:40]}; whole numbers are "
            "expected); fetch it again"
        )
    return value


def _dtype(tags: dict[int, Any], data: bytes, name: str) -> tuple[np.dtype, bool]:
    """Return the type of a value, and True if a pixel is a pair of them."""
    bits, kinds = _numbers(tags, BITS, name, (1,)), _numbers(tags, FORMAT, name, (1,))
    kind, size = KINDS.get(kinds[0], ""), bits[0] // 8
    pairs = kind == "complex i"
    sizes = {"u": (1, 2, 4), "i": (1, 2, 4), "f": (4, 8), "c": (8, 16), "complex i": (4, 8)}
    if len({*bits}) > 1 or len({*kinds}) > 1 or size not in sizes.get(kind, ()) or bits[0] % 8:
        raise UnreadableImageError(
            f"{name}: a TIFF with samples of {'/'.join(map(str, bits[:8]))} bits in format "
            f"{'/'.join(map(str, kinds[:8]))}; integers of 8 to 32 bits, floats of 32 or 64 and "
            f"complex values of these are read: {ADVICE}"
        )
    order = "<" if data[:2] == b"II" else ">"
    return np.dtype(f"{order}i{size // 2}" if pairs else f"{order}{kind}{size}"), pairs


def _strips(data: bytes, name: str, tags: dict[int, Any], expected: int) -> bytes:
    """Return the pixels of all strips; no more than expected are decoded, whatever they claim."""
    compression, predictor = _number(tags, COMPRESSION, 1), _number(tags, PREDICTOR, 1)
    if compression not in (1, *DEFLATE) or predictor != 1 or TILE_WIDTH in tags:
        how = "in tiles" if TILE_WIDTH in tags else f"with compression {compression}"
        how += f" and predictor {predictor}" if predictor != 1 else ""
        raise UnreadableImageError(f"{name}: a TIFF of such values stored {how}; {ADVICE}")
    offsets, counts = (_numbers(tags, tag, name, ()) for tag in (OFFSETS, COUNTS))
    parts, left, taken = [], expected, 0
    for start, length in zip(offsets, counts, strict=False):
        part = data[start : start + length]
        taken += len(part)
        if taken > len(data):
            raise UnreadableImageError(f"{name}: strips of this TIFF overlap; fetch it again")
        if compression in DEFLATE:
            try:
                part = zlib.decompressobj().decompress(part, left)
            except zlib.error as error:
                raise UnreadableImageError(
                    f"{name}: cannot be decoded ({error}); fetch it again"
                ) from error
        parts.append(part[:left])
        left -= len(parts[-1])
        if left == 0:
            break
    stored = b"".join(parts)
    if len(stored) < expected:
        raise UnreadableImageError(
            f"{name}: its header says {expected:,} bytes of pixels, but the file holds "
            f"{len(stored):,}; fetch it again"
        )
    return stored
