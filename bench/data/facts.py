"""Facts about chips besides their class: azimuth, depression, serial number, size of the image."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

LARGEST_DEG = {"azimuth_deg": 360.0, "depression_deg": 90.0}  # as people write them; 360 is 0


def angle(name: str, text: str) -> float | None:
    """Return an angle that a file states: an azimuth in [0, 360), a depression in [0, 90].

    An azimuth of 360 degrees is 0. None for a text that is not such an angle.
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value % 360 if 0 <= value <= LARGEST_DEG[name] else None


@dataclass(frozen=True)
class ChipFacts:
    """Facts about a chip; None or empty if they are not known.

    Attributes:
        azimuth_deg: Azimuth of the target in [0, 360).
        depression_deg: Depression angle in [0, 90].
        serial: Serial number of the vehicle.
    """

    azimuth_deg: float | None = None
    depression_deg: float | None = None
    serial: str = ""

    def over(self, other: "ChipFacts") -> "ChipFacts":
        """Return these facts, and those of another source where they are not known."""
        return ChipFacts(
            other.azimuth_deg if self.azimuth_deg is None else self.azimuth_deg,
            other.depression_deg if self.depression_deg is None else self.depression_deg,
            self.serial or other.serial,
        )


@dataclass(frozen=True)
class Facts:
    """Facts about N chips, in their order.

    Attributes:
        azimuth_deg: As in `ChipFacts`; NaN if it is not known.
        depression_deg: As in `ChipFacts`; NaN if it is not known.
        serial: As in `ChipFacts`; empty if it is not known.
        size: (height, width) of the source image; 0 if it is not known.
    """

    azimuth_deg: Float[np.ndarray, " N"]
    depression_deg: Float[np.ndarray, " N"]
    serial: np.ndarray
    size: Int[np.ndarray, "N 2"]

    @classmethod
    def of(cls, chips: Iterable[ChipFacts], size: Int[np.ndarray, "N 2"] | None = None) -> "Facts":
        """Return the facts of chips; without `size` that of each is not known."""
        known = list(chips)
        angles = np.array(
            [(one.azimuth_deg, one.depression_deg) for one in known], dtype=np.float64
        ).reshape(-1, 2)
        serial = np.array([one.serial for one in known], dtype=str)
        empty = np.zeros((len(known), 2), np.int64)
        return cls(angles[:, 0], angles[:, 1], serial, empty if size is None else size)

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self.serial)

    def take(self, rows: Bool[np.ndarray, " N"]) -> "Facts":
        """Return the facts of some of the chips."""
        return Facts(
            self.azimuth_deg[rows], self.depression_deg[rows], self.serial[rows], self.size[rows]
        )

    def over(self, other: "Facts") -> "Facts":
        """Return these facts, and those of another source where they are not known."""
        return Facts(
            np.where(np.isnan(self.azimuth_deg), other.azimuth_deg, self.azimuth_deg),
            np.where(np.isnan(self.depression_deg), other.depression_deg, self.depression_deg),
            np.where(self.serial == "", other.serial, self.serial),
            np.where(self.size == 0, other.size, self.size),
        )

    def differences(self, other: "Facts") -> list[str]:
        """Return the names of the facts that both know and that differ for some chip."""
        mine, theirs = vars(self), vars(other)
        known = {
            name: np.array_equal(mine[name][both], theirs[name][both])
            for name in mine
            if (both := _known(mine[name]) & _known(theirs[name])).any()
        }
        return [name for name, equal in known.items() if not equal]

    def columns(self) -> dict[str, np.ndarray]:
        """Return azimuth, depression and serial number, without columns in which none is known."""
        found = {"azimuth_deg": self.azimuth_deg, "depression_deg": self.depression_deg}
        found = {name: values for name, values in found.items() if not np.isnan(values).all()}
        return found | ({"serial": self.serial} if (self.serial != "").any() else {})

    def to_json(self) -> dict[str, list[Any]]:
        """Return plain values; an unknown angle is null, a column without values is left out."""
        stored: dict[str, list[Any]] = {
            name: [None if value != value else value for value in values.tolist()]
            for name, values in self.columns().items()
        }
        return stored | ({"size": self.size.tolist()} if self.size.any() else {})

    @classmethod
    def from_json(cls, stored: dict[str, list[Any]], count: int) -> "Facts":
        """Return stored facts of `count` chips.

        Raises:
            ValueError: They are not facts of so many chips.
        """
        columns = {*LARGEST_DEG, "serial"}
        given = {name: stored.get(name) or [None] * count for name in columns}
        size = np.array(stored.get("size") or [[0, 0]] * count).reshape(-1, 2)
        if {len(size), *map(len, given.values())} != {count}:
            raise ValueError(f"the facts are not those of {count} chips")
        if size.dtype.kind != "i" or (size < 0).any():
            raise ValueError("a size is not two whole numbers from 0 on")
        if not {type(value) for name in LARGEST_DEG for value in given[name]} <= _ANGLES:
            raise ValueError("an angle is not a number")
        angles = {name: np.array(given[name], np.float64) for name in LARGEST_DEG}
        azimuth, depression = angles.values()
        if ((azimuth < 0) | (azimuth >= 360)).any():
            raise ValueError("azimuth_deg has values outside of 0 to below 360")
        if ((depression < 0) | (depression > 90)).any():
            raise ValueError("depression_deg has values outside of 0 to 90")
        serial = [value or "" for value in given["serial"]]
        if not all(isinstance(value, str) and value.isprintable() for value in serial):
            raise ValueError("a serial number is not a printable text")
        return cls(
            **angles, serial=np.array(serial, dtype=str).reshape(-1), size=size.astype(np.int64)
        )


_ANGLES = {int, float, type(None)}  # in JSON


def _known(values: np.ndarray) -> Bool[np.ndarray, "..."]:
    """Return True for values that are not NaN, empty or a size of 0."""
    if values.dtype.kind == "f":
        return ~np.isnan(values)
    return values != values.dtype.type()
