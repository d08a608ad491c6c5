"""Phoenix files, in which the owner of MSTAR ships its chips.

A file is an ASCII header (`Name= value` on each line), perhaps a native header behind it, then the
magnitude of all pixels, row by row, and then their phase: big-endian float32. The header states the
length of both headers and of the whole file. Only the magnitude is used.
"""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .facts import ChipFacts, angle
from .unreadable_image import UnreadableImageError

NAME = re.compile(r"HB\d{5}\.\d{3}", re.IGNORECASE)
VERSIONS = ("01.04", "01.05")
START, END = b"[PhoenixHeaderVer", b"[EndofPhoenixHeader]"
LONGEST_HEADER = 2**16  # bytes up to the end mark; those of MSTAR have about 2,000
LARGEST_SIDE_PX = 2**14
LARGEST_MAGNITUDE = 1e6  # above it, the bytes are not magnitudes
VALUE_BYTES = 4
AGAIN = "get the file from its owner again, in binary mode"


@dataclass(frozen=True)
class PhoenixChip:
    """The part of a Phoenix file that is used.

    Attributes:
        magnitude: As stored, row by row, in the byte order of this machine.
        target_type: Class, for example `t72_tank`; empty if the header does not say it.
        serial: Serial number of the vehicle, for example `132`; else empty.
        azimuth_deg: Azimuth of the target in [0, 360); None if unknown.
        depression_deg: Measured depression, else the desired one, in [0, 90]; None if unknown.
    """

    magnitude: Float[np.ndarray, "H W"]
    target_type: str
    serial: str
    azimuth_deg: float | None
    depression_deg: float | None

    @property
    def facts(self) -> ChipFacts:
        """Azimuth, depression and serial number."""
        return ChipFacts(self.azimuth_deg, self.depression_deg, self.serial)


def is_phoenix(name: str) -> bool:
    """Return whether a file name is that of a chip in a Phoenix file: `HBnnnnn.sss`."""
    return NAME.fullmatch(name) is not None


def read_phoenix(data: bytes, name: str) -> PhoenixChip:
    """Read a Phoenix file and compare its header with its length.

    Args:
        data: Content of the file.
        name: Its name, for messages.

    Raises:
        UnreadableImageError: The header contradicts itself or the file, the file is cut (in the
            phase, too: a copy that is not whole cannot be trusted), or a magnitude is not a finite
            number from 0 to 1e6.
    """
    fields, end = _fields(data, name)
    rows, columns = (_whole(fields, f"NumberOf{one}", name) for one in ("Rows", "Columns"))
    for side, value in (("NumberOfRows", rows), ("NumberOfColumns", columns)):
        if not 1 <= value <= LARGEST_SIDE_PX:
            raise UnreadableImageError(
                f"{name}: {side} is {value}; a chip has 1 to {LARGEST_SIDE_PX:,} pixels a side: "
                f"{AGAIN}"
            )
    length = _whole(fields, "PhoenixHeaderLength", name)
    if length < end or data[end:length].strip(b"\0 \t\r\n"):
        raise UnreadableImageError(
            f"{name}: PhoenixHeaderLength is {length}, but its text ends with byte {end}; it must "
            f"be the length of the header with its end mark: {AGAIN}"
        )
    native = _whole(fields, "native_header_length", name, default=0)
    start = length + native
    _check_length(data, name, fields, start, rows, columns)
    return PhoenixChip(
        _magnitude(data, name, start, rows, columns),
        fields.get("TargetType", ""),
        fields.get("TargetSerNum", ""),
        angle("azimuth_deg", fields.get("TargetAz", "")),
        _depression(fields),
    )


def _fields(data: bytes, name: str) -> tuple[dict[str, str], int]:
    """Return the fields of the header, and the position behind its end mark."""
    begin = data[:64].lstrip()
    if not begin.startswith(START):
        raise UnreadableImageError(
            f"{name}: is not a Phoenix file: it starts with {bytes(begin[:20])!r} instead of "
            f"'{START.decode()}{VERSIONS[0]}]'; {AGAIN}"
        )
    version = begin[len(START) :].partition(b"]")[0].decode("ascii", "replace")
    if version not in VERSIONS:
        raise UnreadableImageError(
            f"{name}: Phoenix header of version {version[:20]!r}; {' and '.join(VERSIONS)} are "
            "read: use the release of MSTAR, or save the magnitude as NPY"
        )
    end = data.find(END, 0, LONGEST_HEADER)
    if end < 0:
        raise UnreadableImageError(
            f"{name}: its header has no end mark {END.decode()} within {LONGEST_HEADER:,} bytes; "
            f"{AGAIN}"
        )
    lines = data[:end].decode("latin-1").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}, end + len(END)


def _whole(fields: dict[str, str], key: str, name: str, default: int | None = None) -> int:
    text = fields.get(key, "" if default is None else str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        found = f"is {text[:20]!r}" if key in fields else "is missing in the header"
        raise UnreadableImageError(f"{name}: {key} {found}; it must be a whole number: {AGAIN}")
    return int(text)


def _check_length(
    data: bytes, name: str, fields: dict[str, str], start: int, rows: int, columns: int
) -> None:
    """Compare the length of the file with the sizes that its header states."""
    half = VALUE_BYTES * rows * columns
    expected, stated = start + 2 * half, _whole(fields, "PhoenixSigSize", name, len(data))
    if len(data) == expected == stated:
        return
    sizes = f"{rows} x {columns} pixels behind {start:,} bytes of headers are {expected:,} bytes"
    if stated == len(data) == start + half:
        problem = (
            "these are 16-bit values, as of a clutter scene (chips have float32), or NumberOfRows "
            "or NumberOfColumns is wrong"
        )
    elif len(data) < start + half:
        problem = f"the file has {len(data):,}, so it is cut in the magnitude part"
    elif len(data) < expected:
        problem = (
            f"the file has {len(data):,}, so it is cut in the phase part; the phase is not used, "
            "but a copy that is not whole cannot be trusted"
        )
    elif len(data) > expected:
        problem = (
            f"the file has {len(data):,}, so NumberOfRows, NumberOfColumns or a length is wrong"
        )
    else:
        problem = f"PhoenixSigSize says {stated:,}"
    raise UnreadableImageError(f"{name}: {sizes}; {problem}: {AGAIN}")


def _magnitude(data: bytes, name: str, start: int, rows: int, columns: int) -> np.ndarray:
    stored = np.frombuffer(data, ">f4", rows * columns, start).reshape(rows, columns)
    problem = _problem(stored)
    if not problem:
        return stored.astype(np.float32)
    if not _problem(stored.view("<f4")):
        raise UnreadableImageError(
            f"{name}: its magnitudes are absurd ({problem}) because the bytes of each value are "
            "swapped; Phoenix files are big-endian: undo the swap, or get the file again"
        )
    raise UnreadableImageError(
        f"{name}: its magnitude part {problem}; allowed are finite numbers from 0 to "
        f"{LARGEST_MAGNITUDE:.0e}: {AGAIN}"
    )


def _problem(values: np.ndarray) -> str:
    """Return the reason why values are not magnitudes; empty if they are."""
    if not np.isfinite(values).all():
        return "holds NaN or infinite values"
    low, high = float(values.min()), float(values.max())
    if low < 0:
        return f"holds negative values (down to {low:.4g})"
    if high > LARGEST_MAGNITUDE:
        return f"holds values up to {high:.4g}"
    tiny = np.count_nonzero((values != 0) & (values < 1e-12))
    return "holds values below 1e-12" if tiny > values.size / 2 else ""


def _depression(fields: dict[str, str]) -> float | None:
    """Return the measured depression, or the desired one if that is not an angle."""
    measured = angle("depression_deg", fields.get("MeasuredDepression", ""))
    desired = angle("depression_deg", fields.get("DesiredDepression", ""))
    return desired if measured is None else measured
