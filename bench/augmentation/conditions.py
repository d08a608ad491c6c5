"""Conditions of test chips: changed copies of them, to measure the robustness of an encoder.

`shift:N` moves each chip by a whole number of pixels in [-N, N] along each axis. A hash of the
condition and the id of the chip draws the numbers, so all encoders see the same chips, in any
order. The border is filled by reflection, which does not repeat the edge.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

import numpy as np
from jaxtyping import Int, Shaped

CLEAN = "clean"  # the chips as they are, which have no condition in an identity
SHIFT = re.compile(r"shift:([1-9][0-9]{0,5})")  # one spelling for each number of pixels


class BadConditionError(ValueError):
    """A condition that is unknown, or impossible for some chips."""


def shift_px(condition: str) -> int:
    """Return N of `shift:N`.

    Raises:
        BadConditionError: The condition is not of that form.
    """
    found = SHIFT.fullmatch(condition)
    if found is None:
        raise BadConditionError(
            f"unknown condition {condition!r}; allowed: {CLEAN}, and shift:N with a whole number "
            "of pixels N from 1, for example shift:4"
        )
    return int(found[1])


def check_side(condition: str, side_px: int) -> None:
    """Check that chips of this side can have the condition.

    Raises:
        BadConditionError: They cannot, or the condition is unknown.
    """
    if shift_px(condition) >= side_px:
        raise BadConditionError(
            f"{condition} is impossible for chips with a side of {side_px} px, because the border "
            f"is filled by reflection; N must be at most {side_px - 1}: use a smaller N"
        )


def drawn_shifts(condition: str, ids: Iterable[str]) -> Int[np.ndarray, "N 2"]:
    """Return (rows down, columns to the right) of each chip in pixels, each in [-N, N].

    They are two 64-bit words of SHA-256("<condition>/<id>") modulo 2 N + 1, minus N.

    Raises:
        BadConditionError: The condition is unknown.
    """
    most = shift_px(condition)
    digests = (sha256(f"{condition}/{one}".encode()).digest()[:16] for one in ids)
    words = np.frombuffer(b"".join(digests), dtype=">u8").reshape(-1, 2)
    return (words % np.uint64(2 * most + 1)).astype(np.int64) - most


def in_condition(
    chips: Shaped[np.ndarray, "N 1 H W"], ids: Iterable[str], condition: str
) -> Shaped[np.ndarray, "N 1 H W"]:
    """Return a copy of the chips in a condition.

    Raises:
        BadConditionError: The condition is unknown, or impossible for chips of this size.
    """
    check_side(condition, min(chips.shape[2:]))
    changed = np.empty_like(chips)
    for chip, new, (down, right) in zip(chips, changed, drawn_shifts(condition, ids), strict=True):
        rows, columns = (
            _reflected(np.arange(size) - moved, size)
            for size, moved in zip(chip.shape[1:], (down, right), strict=True)
        )
        new[0] = chip[0][np.ix_(rows, columns)]
    return changed


def _reflected(places: Int[np.ndarray, " S"], size: int) -> Int[np.ndarray, " S"]:
    """Return places in [0, size), those outside reflected at the centre of the edge pixel."""
    last = size - 1
    return last - np.abs(last - np.abs(places))
