"""Shifted chips, by hand and compared with NumPy."""

import numpy as np
import pytest

from sarbench.bench.augmentation import conditions
from sarbench.bench.augmentation.conditions import (
    BadConditionError,
    check_side,
    drawn_shifts,
    in_condition,
    shift_px,
)

IDS = [f"HB{number:05d}.015" for number in range(3000)]


def test_a_shifted_5_by_5_chip_by_hand(monkeypatch):
    """Two rows down and one column to the left; the edge itself is not repeated."""
    monkeypatch.setattr(conditions, "drawn_shifts", lambda *_: np.array([[2, -1]]))
    chip = np.array([
        [11, 12, 13, 14, 15],
        [21, 22, 23, 24, 25],
        [31, 32, 33, 34, 35],
        [41, 42, 43, 44, 45],
        [51, 52, 53, 54, 55],
    ])  # fmt: skip
    expected = np.array([
        [32, 33, 34, 35, 34],
        [22, 23, 24, 25, 24],
        [12, 13, 14, 15, 14],
        [22, 23, 24, 25, 24],
        [32, 33, 34, 35, 34],
    ])  # fmt: skip
    found = in_condition(chip[None, None], ["chip"], "shift:2")
    np.testing.assert_array_equal(found[0, 0], expected)


@pytest.mark.parametrize("condition", ["shift:1", "shift:4", "shift:11"])
def test_shifted_chips_are_windows_of_chips_padded_by_numpy(condition):
    most, rng = shift_px(condition), np.random.default_rng(0)
    chips = rng.random((50, 1, 12, 15), dtype=np.float32)
    found = in_condition(chips, IDS[:50], condition)
    for chip, moved, (down, right) in zip(
        chips, found, drawn_shifts(condition, IDS[:50]), strict=True
    ):
        padded = np.pad(chip[0], most, mode="reflect")
        top, left = most - down, most - right
        np.testing.assert_array_equal(moved[0], padded[top : top + 12, left : left + 15])
    assert chips.flags.writeable
    assert not np.shares_memory(chips, found)


def test_shifts_depend_on_the_chip_and_the_condition_only():
    shifts = drawn_shifts("shift:4", IDS)
    order = np.random.default_rng(0).permutation(len(IDS))
    np.testing.assert_array_equal(drawn_shifts("shift:4", np.array(IDS)[order]), shifts[order])
    np.testing.assert_array_equal(drawn_shifts("shift:4", IDS[7:8]), shifts[7:8])
    # the first words of `printf shift:4/HB00000.015 | sha256sum` modulo 9, minus 4
    np.testing.assert_array_equal(shifts[0], [4, 0])
    assert (drawn_shifts("shift:8", IDS) != shifts).any(axis=1).mean() > 0.9


def test_every_shift_is_about_equally_frequent_along_both_axes():
    shifts = drawn_shifts("shift:4", IDS)
    for axis in (0, 1):
        values, counts = np.unique(shifts[:, axis], return_counts=True)
        assert values.tolist() == list(range(-4, 5))
        expected = len(IDS) / 9
        assert ((counts - expected) ** 2 / expected).sum() < 26.1  # chi-squared, 8 df, p = 0.001
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.06  # 3.3 / sqrt(3000)


@pytest.mark.parametrize("name", ["shift", "shift:", "shift:0", "shift:-4", "shift:4.5", "Shift:4"])
def test_other_names_are_unknown(name):
    with pytest.raises(BadConditionError, match="allowed: clean, and shift:N"):
        shift_px(name)


def test_a_shift_by_the_side_of_a_chip_is_impossible():
    check_side("shift:4", 5)
    with pytest.raises(BadConditionError, match="N must be at most 4: use a smaller N"):
        check_side("shift:5", 5)
    with pytest.raises(BadConditionError, match="shift:5 is impossible"):
        in_condition(np.zeros((1, 1, 9, 5)), ["a"], "shift:5")
