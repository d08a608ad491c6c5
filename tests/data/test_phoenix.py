"""Phoenix files give the magnitude of a chip, or an error names what is wrong in them."""

import struct

import numpy as np
import pytest
from phoenix_files import phoenix_file

from sarbench.bench.data.images import decode_image
from sarbench.bench.data.phoenix import is_phoenix, read_phoenix
from sarbench.bench.data.unreadable_image import UnreadableImageError

NAME = "17_DEG/T72/SN_132/HB03814.015"
CHIP = np.float32([[0.02, 0.5, 1.25], [3.5, 0.0, 41.0]])
FACTS = {
    "TargetType": "t72_tank", "TargetSerNum": 132, "TargetAz": 80.5, "MeasuredDepression": 17.1,
    "DesiredDepression": 17,
}  # fmt: skip


def test_a_file_that_is_put_together_byte_by_byte_gives_its_magnitude():
    """The header is written by hand, with its lengths counted, each value packed by `struct`."""
    native = b"native header.."
    lines = [
        b"", b"[PhoenixHeaderVer01.05]", b"PhoenixHeaderLength= 00288",
        b"PhoenixSigSize= 0000000351", b"PhoenixSigNum= 0001", b"PhoenixHeaderCallingSequence= x",
        b"native_header_length= 15", b"NumberOfColumns= 3", b"NumberOfRows= 2",
        b"TargetType= 2s1_gun", b"TargetSerNum= b01", b"TargetAz= 360.0", b"DesiredDepression= 17",
        b"[EndofPhoenixHeader]", b"",
    ]  # fmt: skip
    header = b"\n".join(lines)
    assert len(header) == 288
    magnitude = b"".join(struct.pack(">f", value) for value in (1, 2, 0.5, 4, 0.25, 8))
    phase = b"".join(struct.pack(">f", value) for value in (0, 1, 2, 3, 4, 5))
    data = header + native + magnitude + phase
    assert len(data) == 351
    chip = read_phoenix(data, NAME)
    assert chip.magnitude.dtype == np.float32
    assert chip.magnitude.tolist() == [[1, 2, 0.5], [4, 0.25, 8]]  # row by row
    assert (chip.target_type, chip.serial) == ("2s1_gun", "b01")
    assert (chip.azimuth_deg, chip.depression_deg) == (0, 17)


@pytest.mark.parametrize("native", [b"", b"any bytes \xff\x00"])
def test_the_writer_of_the_tests_writes_the_same_format(native: bytes):
    chip = read_phoenix(phoenix_file(CHIP, native=native, **FACTS), NAME)
    assert np.array_equal(chip.magnitude, CHIP)
    assert (chip.target_type, chip.serial) == ("t72_tank", "132")
    assert (chip.azimuth_deg, chip.depression_deg) == (80.5, 17.1)


def test_a_phoenix_file_is_known_by_its_name():
    assert is_phoenix("HB03814.015")
    assert is_phoenix("hb03814.015")
    assert not is_phoenix("HB03814.015.jpeg")
    assert not is_phoenix("HB03814.jpeg")
    assert np.array_equal(decode_image(phoenix_file(CHIP), NAME), CHIP)


@pytest.mark.parametrize("azimuth", ["", "unknown", "nan", "-1", "361"])
def test_an_angle_that_is_none_is_unknown(azimuth: str):
    assert read_phoenix(phoenix_file(CHIP, TargetAz=azimuth), NAME).azimuth_deg is None
    assert read_phoenix(phoenix_file(CHIP), NAME).depression_deg is None


WHOLE = phoenix_file(CHIP, **FACTS)
START = len(WHOLE) - 2 * CHIP.nbytes


def swapped() -> bytes:
    return WHOLE[:START] + np.frombuffer(WHOLE, ">f4", -1, START).astype("<f4").tobytes()


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "does not|is empty|not a Phoenix file"),
        (b"\xff\xd8\xff\xe0 a JPEG", "is not a Phoenix file: it starts with"),
        (phoenix_file(CHIP, version="02.00"), "version '02.00'; 01.04 and 01.05"),
        (WHOLE.replace(b"[EndofPhoenixHeader]", b""), "no end mark"),
        (phoenix_file(CHIP, NumberOfRows="two"), "NumberOfRows is 'two'; it must be a whole"),
        (WHOLE.replace(b"NumberOfRows", b"NumberOfrows"), "NumberOfRows is missing in the header"),
        (phoenix_file(CHIP, NumberOfRows=0), "NumberOfRows is 0; a chip has 1 to"),
        (phoenix_file(CHIP, NumberOfColumns=10**9), "NumberOfColumns is 1000000000"),
        (phoenix_file(CHIP, NumberOfRows=3), "3 x 3 pixels .* cut in the phase part"),
        (phoenix_file(CHIP, NumberOfRows=1), "so NumberOfRows, NumberOfColumns or a length"),
        (phoenix_file(CHIP, PhoenixHeaderLength=40), "PhoenixHeaderLength is 40, but its text"),
        (phoenix_file(CHIP, PhoenixHeaderLength=START + 8), f"PhoenixHeaderLength is {START + 8}"),
        (phoenix_file(CHIP, native_header_length=9), "cut in the phase part"),
        (phoenix_file(CHIP, PhoenixSigSize=99), "PhoenixSigSize says 99"),
        (WHOLE[: START + CHIP.nbytes - 1], "cut in the magnitude part"),
        (WHOLE[: START + CHIP.nbytes], "cut in the phase part; the phase is not used, but"),
        (WHOLE[:-1], "cut in the phase part"),
        (swapped(), "bytes of each value are swapped; Phoenix files are big-endian"),
        (phoenix_file(np.where(CHIP > 40, np.nan, CHIP)), "magnitude part holds NaN"),
        (phoenix_file(np.where(CHIP > 40, np.inf, CHIP)), "magnitude part holds NaN or infinite"),
        (phoenix_file(np.where(CHIP > 40, -1, CHIP)), r"negative values \(down to -1\)"),
        (phoenix_file(np.where(CHIP > 40, 1e7, CHIP)), "values up to 1e[+]07; allowed are"),
    ],
)  # fmt: skip
def test_a_file_that_lies_is_refused_by_name(data: bytes, cause: str):
    with pytest.raises(UnreadableImageError, match=f"HB03814.015: .*({cause})"):
        read_phoenix(data, NAME)


def test_16_bit_values_are_named():
    rows, columns = CHIP.shape
    short = WHOLE[: START + 4 * rows * columns]
    text = short.replace(f"{len(WHOLE):010d}".encode(), f"{len(short):010d}".encode())
    with pytest.raises(UnreadableImageError, match=r"16-bit values, .*or NumberOfRows"):
        read_phoenix(text, NAME)
