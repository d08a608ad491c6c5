"""Read one image as amplitude in its stored type: uint8, uint16 or float32.

Nothing is rescaled or clipped. The amplitude of a complex image is its magnitude.
"""

import hashlib
import io
import warnings
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .mat import read_array
from .phoenix import is_phoenix, read_phoenix
from .tiff import is_tiff, read_bands
from .unreadable_image import UnreadableImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy", ".mat")
FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


def is_image(name: str) -> bool:
    """Return whether a file name has the suffix of an image."""
    return name.lower().endswith(SUFFIXES)


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Return an image (H, W) in its stored type: uint8, uint16 or float32.

    Args:
        data: Content of a PNG, JPEG, TIFF, BMP, NPY, MAT or Phoenix file.
        name: Its name, which gives the format.

    Raises:
        UnreadableImageError: The file cannot be used.
    """
    if is_phoenix(Path(name).name):
        return read_phoenix(data, name).magnitude
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise UnreadableImageError(f"{name}: not one of the formats read: {', '.join(SUFFIXES)}")
    if not data:
        raise UnreadableImageError(f"{name}: the file is empty (0 bytes); fetch it again")
    if suffix == ".npy":
        array = _decode_npy(data, name)
    elif suffix == ".mat":
        array = read_array(data, name)
    else:
        array = _decode_with_pillow(data, name)
    return as_amplitude(_one_channel(array, name), name)


def image_size(data: bytes, name: str) -> tuple[int, int]:
    """Return (height, width) of an image; the pixels of most formats are not decoded.

    A file that Pillow cannot open is decoded, which reads it or says what is wrong.

    Raises:
        UnreadableImageError: The file cannot be used.
    """
    if Path(name).suffix.lower() not in (".npy", ".mat"):
        with suppress(Exception), Image.open(io.BytesIO(data)) as image:
            return image.height, image.width
    height, width = decode_image(data, name).shape
    return height, width


def content_digest(image: np.ndarray) -> int:
    """Return the first 8 bytes of the SHA-256 of size, type and pixels."""
    header = f"{image.shape[0]}x{image.shape[1]} {image.dtype.name} ".encode()
    digest = hashlib.sha256(header + np.ascontiguousarray(image).tobytes()).digest()
    return int.from_bytes(digest[:8], "big")


def centre_crop(image: np.ndarray, side: int) -> np.ndarray:
    """Return the central square of `side` pixels, zero-padded if the image is smaller.

    An odd excess is divided as in torchvision's `CenterCrop`, which the code of the SAR-JEPA paper
    uses: a crop starts at half the excess rounded to even, and the smaller padding comes first.
    """
    for axis in (0, 1):
        excess = image.shape[axis] - side
        if excess > 0:
            start = round(excess / 2)
            image = image.take(range(start, start + side), axis)
        elif excess < 0:
            width = [(0, 0), (0, 0)]
            width[axis] = (-excess // 2, -excess - -excess // 2)
            image = np.pad(image, width)
    return np.ascontiguousarray(image)


def _decode_with_pillow(data: bytes, name: str) -> np.ndarray:
    try:
        with warnings.catch_warnings():  # Pillow warns when it guesses
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data)) as image:
                if getattr(image, "n_frames", 1) > 1:
                    raise UnreadableImageError(f"{name}: holds several images; save one per file")
                _refuse_reduced_depth(image, name)
                image.load()
                if image.mode == "P":
                    image = image.convert("RGB")
                if image.mode not in ("L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I", "F"):
                    raise UnreadableImageError(
                        f"{name}: mode {image.mode} is not read; save it as 8 or 16 bit grey"
                    )
                array = np.array(image)
                if image.mode in ("LA", "RGBA"):
                    array = _without_opacity(array, name)
                return array
    except UnidentifiedImageError as error:
        if is_tiff(data):
            return _decode_bands(data, name)
        raise UnreadableImageError(f"{name}: is not an image of a known format") from error
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow fails in many ways on a damaged file
        raise UnreadableImageError(
            f"{name}: cannot be decoded ({str(error)[:200]}); fetch it again"
        ) from error


def _decode_bands(data: bytes, name: str) -> np.ndarray:
    """Return the one band of a TIFF with complex or float64 pixels."""
    bands = read_bands(data, name)
    if bands.shape[2] > 1:
        raise UnreadableImageError(
            f"{name}: a TIFF with {bands.shape[2]} bands of {bands.dtype}; a chip has one "
            "amplitude per pixel: save one band, or the magnitude of real and imaginary part"
        )
    return bands[..., 0]


def _without_opacity(array: np.ndarray, name: str) -> np.ndarray:
    if (array[..., -1] != 255).any():
        raise UnreadableImageError(f"{name}: has transparent pixels; save it without them")
    return array[..., :-1]


def _refuse_reduced_depth(image: Image.Image, name: str) -> None:
    """Refuse 16-bit colour, which Pillow would silently reduce to 8 bits."""
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    raw = " ".join(str(a[0] if isinstance(a, tuple) and a else a) for a in arguments)
    if image.mode in ("RGB", "RGBA", "LA") and ";16" in raw:
        raise UnreadableImageError(f"{name}: 16-bit colour; save it as 16-bit grey or NPY")


def _decode_npy(data: bytes, name: str) -> np.ndarray:
    if not data.startswith(b"\x93NUMPY"):
        raise UnreadableImageError(
            f"{name}: is not a plain NPY array, but another file of that name; save one array with "
            "numpy.save"
        )
    try:
        _refuse_short(data, name)
        return np.load(io.BytesIO(data), allow_pickle=False)
    except UnreadableImageError:
        raise
    except Exception as error:  # NumPy parses the header as Python, which fails in many ways
        raise UnreadableImageError(
            f"{name}: is not a plain NPY array ({str(error)[:200]}); save it with numpy.save"
        ) from error


def _refuse_short(data: bytes, name: str) -> None:
    """Refuse an array whose header promises more bytes than follow, before it is allocated."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else (
        np.lib.format.read_array_header_2_0
    )  # fmt: skip
    shape, _, kind = read(file)
    if not kind.hasobject and prod(shape) * kind.itemsize > len(data) - file.tell():
        raise UnreadableImageError(
            f"{name}: its header says {' x '.join(map(str, shape))} values of {kind}, but the file "
            "ends before; fetch it again"
        )


def _one_channel(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[2] in (1, 3):
        if (array != array[..., :1]).any():
            raise UnreadableImageError(
                f"{name}: its colour channels differ; a chip has one amplitude per pixel"
            )
        array = array[..., 0]
    if array.ndim != 2 or 0 in array.shape:
        raise UnreadableImageError(
            f"{name}: shape {array.shape} is not an image; (H, W) is expected"
        )
    return array


def as_amplitude(array: np.ndarray, name: str) -> np.ndarray:
    """Return values (H, W) as amplitude in the type that is stored for it.

    Raises:
        UnreadableImageError: Their type is another one, or they are negative or not finite.
    """
    if array.dtype.kind == "i" and array.dtype.itemsize == 4:  # Pillow's type of 16-bit files
        if array.min() < 0 or array.max() > 65535:
            raise UnreadableImageError(
                f"{name}: integers from {array.min()} to {array.max()}; 0 to 65535 are read"
            )
        return array.astype(np.uint16)
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return np.ascontiguousarray(array, dtype=f"uint{8 * array.dtype.itemsize}")
    if array.dtype.kind == "c":
        array = np.abs(array)
    if array.dtype.kind != "f":
        raise UnreadableImageError(
            f"{name}: type {array.dtype}; save amplitude as uint8, uint16 or float32"
        )
    if not np.isfinite(array).all():
        raise UnreadableImageError(f"{name}: holds NaN or infinite values")
    if array.min() < 0:
        raise UnreadableImageError(
            f"{name}: holds negative values (down to {array.min():.4g}); amplitude is 0 or more: "
            "convert decibels to amplitude"
        )
    with np.errstate(over="ignore"):
        amplitude = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(amplitude).all():
        raise UnreadableImageError(f"{name}: values up to {array.max():.4g} exceed float32")
    return amplitude
