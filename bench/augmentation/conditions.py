"""Conditions of test chips: changed copies of them, to measure the robustness of an encoder.

A condition is a kind with a severity, such as `shift:4` or `speckle:1`; `KINDS` lists them. What it
draws follows from a hash of the condition and the id of the chip, so all encoders see the same
chips, in any order. Changed chips are clamped to [0, 1], the range of every encoder, as an image of
a fixed full scale is. They are not rounded to the pixel type of the stored chips.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from jaxtyping import Float, Int

from ..seeding import stream
from .changes import Chip, coarse, noisy, occluded, powered, shifted, speckled

CLEAN = "clean"  # the chips as they are, which have no condition in an identity


class BadConditionError(ValueError):
    """A condition that is unknown, or impossible for some chips."""


@dataclass(frozen=True)
class Kind:
    """A kind of condition.

    Attributes:
        letter: Stands for the severity in messages.
        allowed: The allowed severities in words.
        example: A severity.
        limits: Severities are above the first and at most the second.
        change: Chip, severity and random stream -> changed chip; None for `shift`.
        axis: Name and unit of the severity in figures.
        text: The meaning in a caption; `{}` stands for the severities.
        whole: True if severities are whole numbers.
        falls: True if a smaller number is more severe.
    """

    letter: str
    allowed: str
    example: str
    limits: tuple[float, float]
    change: Callable[[Chip, float, np.random.Generator], Chip] | None
    axis: str
    text: str
    whole: bool = False
    falls: bool = False


KINDS = {
    "shift": Kind(
        "N", "a whole number of pixels from 1", "4", (0.0, 999_999.0), None,
        "shift up to (pixels)",
        "each test chip is moved by up to {} px along each axis (drawn by its id, the same for "
        "every row; border reflected)",
        whole=True,
    ),
    "speckle": Kind(
        "L", "a whole number of looks from 1 to 100", "4", (0.0, 100.0), speckled,
        "added speckle (looks)",
        "the intensity of each pixel of a test chip is multiplied by speckle of {} looks (gamma "
        "of mean 1)",
        whole=True, falls=True,
    ),
    "noise": Kind(
        "DB", "a ratio of signal to noise in dB above 0, up to 60", "10", (0.0, 60.0), noisy,
        "added noise (dB)",
        "complex Gaussian noise is added to each test chip, {} dB below its mean intensity",
        falls=True,
    ),
    "resolution": Kind(
        "F", "a share of the bandwidth above 0 and below 1", "0.5", (0.0, math.nextafter(1, 0)),
        lambda chip, share, _: coarse(chip, share),
        "bandwidth kept (share)",
        "test chips keep the share {} of their bandwidth along each axis",
        falls=True,
    ),
    "occlude": Kind(
        "F", "a share of the target area above 0, up to 1", "0.2", (0.0, 1.0), occluded,
        "target area hidden (share)",
        "the share {} of the middle half of each test chip (along each axis) is covered by its "
        "median clutter, at a place drawn by its id",
    ),
    "gamma": Kind(
        "G", "a power above 0, up to 10, other than 1", "0.5", (0.0, 10.0),
        lambda chip, gamma, _: powered(chip, gamma),
        "power of the amplitude",
        "the amplitude of test chips, in [0, 1], is raised to the power {}",
    ),
}  # fmt: skip


def parse(condition: str) -> tuple[str, float]:
    """Return kind and severity of a condition. Each severity has one spelling, as `0.5`.

    Raises:
        BadConditionError: The condition is not one of `KINDS`, or its severity is not allowed.
    """
    name, _, text = condition.partition(":")
    kind = KINDS.get(name)
    if kind is None or not text:
        listed = "; ".join(f"{n}:{k.letter}, {k.letter} {k.allowed}" for n, k in KINDS.items())
        raise BadConditionError(
            f"unknown condition {condition!r}; allowed: {CLEAN}; {listed}: write one of these, for "
            "example speckle:4"
        )
    try:
        severity = float(text)
    except ValueError:
        severity = math.nan
    low, high = kind.limits
    whole = not kind.whole or severity.is_integer()
    if not (low < severity <= high and whole) or (name, severity) == ("gamma", 1):
        raise BadConditionError(
            f"the severity of {condition!r} is not possible; {kind.letter} of {name}:{kind.letter} "
            f"must be {kind.allowed}: write for example {name}:{kind.example}"
        )
    if text != (spelt := f"{severity:.6g}"):
        raise BadConditionError(
            f"{condition!r} has another spelling than the allowed one; a severity is written with "
            f"at most 6 digits and no more than it needs: write {name}:{spelt}"
        )
    return name, severity


def is_condition(value: object) -> bool:
    """Return whether a value is a condition other than `clean`."""
    try:
        return isinstance(value, str) and bool(parse(value))
    except BadConditionError:
        return False


def by_kind(conditions: Iterable[str]) -> dict[str, list[str]]:
    """Return conditions by their kind, in the order of `KINDS`, the mildest of a kind first."""
    found: dict[str, list[str]] = {}
    for condition in dict.fromkeys(conditions):
        found.setdefault(parse(condition)[0], []).append(condition)

    def severity(condition: str) -> float:
        name, number = parse(condition)
        return abs(math.log(number)) if name == "gamma" else number

    return {
        name: sorted(found[name], key=severity, reverse=kind.falls)
        for name, kind in KINDS.items()
        if name in found
    }


def in_words(conditions: Iterable[str]) -> str:
    """Return the meaning of conditions as one sentence; empty without one."""
    parts = []
    for name, every in by_kind(conditions).items():
        severities = " or ".join(one.partition(":")[2] for one in every)
        parts.append(f"{', '.join(every)}: {KINDS[name].text.format(severities)}")
    return "; ".join([*parts, "training chips are not changed."]) if parts else ""


def check_side(condition: str, side_px: int) -> None:
    """Check that chips of this side can have the condition.

    Raises:
        BadConditionError: They cannot, or the condition is unknown.
    """
    name, severity = parse(condition)
    if name == "shift" and severity >= side_px:
        raise BadConditionError(
            f"{condition} is impossible for chips with a side of {side_px} px, because the border "
            f"is filled by reflection; N must be at most {side_px - 1}: use a smaller N"
        )
    if name == "resolution" and severity * side_px <= 1:
        raise BadConditionError(
            f"{condition} leaves only the mean of chips with a side of {side_px} px; F must be "
            f"above 1 / {side_px}: use a larger F"
        )


def drawn_shifts(condition: str, ids: Iterable[str]) -> Int[np.ndarray, "N 2"]:
    """Return (rows down, columns to the right) of each chip in pixels, each in [-N, N].

    They are two 64-bit words of SHA-256("<condition>/<id>") modulo 2 N + 1, minus N.

    Raises:
        BadConditionError: The condition is unknown.
    """
    most = int(parse(condition)[1])
    digests = (sha256(f"{condition}/{one}".encode()).digest()[:16] for one in ids)
    words = np.frombuffer(b"".join(digests), dtype=">u8").reshape(-1, 2)
    return (words % np.uint64(2 * most + 1)).astype(np.int64) - most


def in_condition(
    chips: Float[np.ndarray, "N 1 H W"], ids: Iterable[str], condition: str
) -> Float[np.ndarray, "N 1 H W"]:
    """Return a copy of the chips, amplitude in [0, 1], in a condition.

    Raises:
        BadConditionError: The condition is unknown, or impossible for chips of this size.
    """
    check_side(condition, min(chips.shape[2:]))
    name, severity = parse(condition)
    change, changed, ids = KINDS[name].change, np.empty_like(chips), [str(one) for one in ids]
    if change is None:
        for chip, new, moved in zip(chips, changed, drawn_shifts(condition, ids), strict=True):
            new[0] = shifted(chip[0], *moved.tolist())
        return changed
    for chip, new, one in zip(chips, changed, ids, strict=True):
        rng = stream(0, "condition", condition, one)
        new[0] = change(chip[0], severity, rng).clip(0, 1)
    return changed
