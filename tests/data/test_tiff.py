"""TIFF files with float64 or complex pixels keep their values, or an error says what they are."""

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiff_files import tiff_file as tiff

from sarbench.bench.data.images import decode_image
from sarbench.bench.data.tiff import read_bands
from sarbench.bench.data.unreadable_image import UnreadableImageError

PIXELS = np.arange(12).reshape(3, 4) / 8.0


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
def test_float64_and_complex_pixels_are_amplitude(order: str, compression: int):
    real = tiff(PIXELS[..., None], order, compression=compression)
    assert np.array_equal(decode_image(real, "a.tif"), PIXELS.astype(np.float32))
    for kind in (np.complex64, np.complex128):
        whole = ((3 + 4j) * PIXELS[..., None]).astype(kind)
        image = decode_image(tiff(whole, order, compression=compression), "a.tiff")
        assert image.dtype == np.float32
        assert np.allclose(image, 5 * PIXELS, rtol=1e-6)


def test_complex_integers_are_read_as_pairs():
    pairs = np.stack([3 * np.arange(12), 4 * np.arange(12)], axis=1).reshape(3, 4, 2)
    stored = pairs.astype("<i2").view("<i4").reshape(3, 4, 1)
    image = decode_image(tiff(stored, kind=5), "a.tif")
    assert np.array_equal(image, 5 * np.arange(12, dtype=np.float32).reshape(3, 4))


def test_the_values_are_those_that_pillow_reads(tmp_path: Path):
    single = PIXELS.astype(np.float32)
    Image.fromarray(single).save(tmp_path / "a.tif")
    assert np.array_equal(read_bands((tmp_path / "a.tif").read_bytes(), "a")[..., 0], single)
    assert np.array_equal(decode_image(tiff(single[..., None]), "a.tif"), single)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (tiff(np.zeros((2, 2, 1), "c8"), compression=5), "stored with compression 5; save it as"),
        (tiff(np.zeros((2, 2, 1)), kind=4), "samples of 64 bits in format 4; integers of 8 to 32"),
        (tiff(np.zeros((2, 2, 1)))[:30], "cannot be decoded|damaged TIFF"),
        (tiff(np.zeros((2, 2, 1))).replace(struct.pack("<HHIH", 257, 3, 1, 2),
         struct.pack("<HHIH", 257, 3, 1, 9)), "says 144 bytes of pixels, but the file holds 32"),
        (tiff(np.zeros((2, 2, 1)), types={258: 2}), "tag 258 is .*; whole numbers are expected"),
        (tiff(np.zeros((2, 2, 1)), types={273: 2}), "tag 273 is .*; whole numbers are expected"),
        (tiff(np.zeros((2, 2, 1)), types={279: 11}), "tag 279 is .*; whole numbers are expected"),
        (tiff(np.full((2, 2, 1), -1.0)), "holds negative values"),
    ],
)  # fmt: skip
def test_a_tiff_that_cannot_be_read_is_described(data: bytes, cause: str):
    with pytest.raises(UnreadableImageError, match=cause):
        decode_image(data, "a.tif")


def test_strips_of_more_pixels_than_the_header_says_are_not_decoded():
    data = tiff(np.zeros((256, 512, 1)), strips=20, compression=8)
    tracemalloc.start()
    try:
        assert read_bands(data, "a.tif").shape == (256, 512, 1)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 5 * 2**20  # 1 MiB of pixels, decoded, joined and converted; all strips: 20


def test_strips_that_overlap_are_refused():
    data = tiff(np.zeros((2, 4, 1)), strips=2)
    whole = struct.pack("<4I", 8, 72, 64, 64)
    assert whole in data
    # each is longer than the file behind it, and together they have more bytes than the file
    data = data.replace(whole, struct.pack("<4I", 8, 8, 2**20, 2**20))
    data = data.replace(struct.pack("<HHIH", 257, 3, 1, 2), struct.pack("<HHIH", 257, 3, 1, 99))
    with pytest.raises(UnreadableImageError, match="strips of this TIFF overlap; fetch it again"):
        decode_image(data, "a.tif")


def test_several_bands_are_refused_with_their_number():
    with pytest.raises(UnreadableImageError, match="a TIFF with 2 bands of float64; a chip has on"):
        decode_image(tiff(np.zeros((2, 2, 2))), "a.tif")
