"""Conditions of test chips, compared with closed forms, NumPy, SciPy and cases by hand."""

import numpy as np
import pytest
from scipy import fft, stats

from sarbench.bench.augmentation import conditions
from sarbench.bench.augmentation.changes import coarse, noisy, occluded, powered, speckled
from sarbench.bench.augmentation.conditions import (
    KINDS,
    BadConditionError,
    by_kind,
    check_side,
    drawn_shifts,
    in_condition,
    in_words,
    is_condition,
    parse,
)

IDS = [f"HB{number:05d}.015" for number in range(3000)]
EVERY = [f"{name}:{kind.example}" for name, kind in KINDS.items()]


def chips_of(count: int, side: int = 24) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 0.4, (count, 1, side, side)).astype(np.float32)


@pytest.mark.parametrize("condition", EVERY)
def test_a_changed_chip_depends_on_its_id_and_the_condition_only(condition):
    chips = chips_of(9)
    found = in_condition(chips, IDS[:9], condition)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found != chips).any(axis=(1, 2, 3)).all()
    order = np.random.default_rng(1).permutation(9)
    again = in_condition(chips[order], np.array(IDS[:9])[order], condition)
    np.testing.assert_array_equal(again, found[order])
    np.testing.assert_array_equal(in_condition(chips[4:5], IDS[4:5], condition), found[4:5])


@pytest.mark.parametrize("condition", ["speckle:4", "noise:10", "occlude:0.2"])
def test_equal_chips_with_other_ids_or_severities_get_other_draws(condition):
    chips = np.repeat(chips_of(1), 20, axis=0)
    assert len(np.unique(in_condition(chips, IDS[:20], condition), axis=0)) > 15
    milder = in_condition(chips, IDS[:20], {"occlude:0.2": "occlude:0.1"}.get(condition, "noise:9"))
    assert (milder != in_condition(chips, IDS[:20], condition)).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("looks", [1.0, 4.0, 16.0])
def test_speckle_of_l_looks_is_gamma_in_intensity(looks):
    """Mean 1 and variance 1 / L of the factor of intensity, and its whole distribution."""
    chip = np.full((200, 200), 0.2)
    factor = (speckled(chip, looks, np.random.default_rng(3)) / chip) ** 2
    sd = 1 / np.sqrt(looks)
    assert factor.mean() == pytest.approx(1, abs=4 * sd / 200)
    kurtosis = 6 / looks + 2  # of a gamma variable; the variance of s^2 is sd^4 (kurtosis) / n
    assert factor.var() == pytest.approx(1 / looks, abs=4 * sd**2 * np.sqrt(kurtosis) / 200)
    gamma = stats.gamma(looks, scale=1 / looks)
    assert stats.kstest(factor.ravel(), gamma.cdf).pvalue > 0.001
    assert abs(np.corrcoef(factor[:, 1:].ravel(), factor[:, :-1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("snr_db", [5.0, 10.0, 20.0])
def test_noise_adds_its_share_of_the_mean_intensity(snr_db):
    """Intensity becomes a noncentral chi-squared variable of two degrees of freedom."""
    chip = np.random.default_rng(0).uniform(0, 0.5, (300, 300))
    noise = (chip**2).mean() / 10 ** (snr_db / 10)
    added = noisy(chip, snr_db, np.random.default_rng(1)) ** 2 - chip**2
    sd = np.sqrt((noise**2 + 2 * noise * chip**2).mean() / chip.size)
    measured_db = 10 * np.log10((chip**2).mean() / added.mean())
    assert measured_db == pytest.approx(
        snr_db, abs=4 * 4.35 * sd / noise
    )  # d(10 log10 x) = 4.35 dx / x
    assert added.mean() == pytest.approx(noise, abs=4 * sd)
    flat = np.full((200, 200), 0.3)
    half = 0.3**2 / 10 ** (snr_db / 10) / 2
    found = noisy(flat, snr_db, np.random.default_rng(2)) ** 2 / half
    assert stats.kstest(found.ravel(), stats.ncx2(2, 0.3**2 / half).cdf).pvalue > 0.001
    assert noisy(np.zeros((4, 4)), snr_db, np.random.default_rng(1)).max() == 0


@pytest.mark.parametrize(("share", "rows", "columns"), [(0.5, 12, 10), (0.25, 6, 5), (0.3, 8, 6)])
def test_a_coarse_chip_has_no_spectrum_beyond_the_cut_and_the_same_below(share, rows, columns):
    chip = np.random.default_rng(0).random((24, 20))
    spectrum, found = fft.dctn(chip), fft.dctn(coarse(chip, share))
    np.testing.assert_allclose(found[:rows, :columns], spectrum[:rows, :columns], atol=1e-9)
    assert np.abs(found[rows:]).max() < 1e-9
    assert np.abs(found[:, columns:]).max() < 1e-9
    assert coarse(chip, share).mean() == pytest.approx(chip.mean())
    np.testing.assert_allclose(coarse(np.full((9, 9), 0.3), share), 0.3)


@pytest.mark.parametrize(("share", "pixels"), [(0.25, 8 * 8), (0.5, 11 * 11), (1.0, 16 * 16)])
def test_an_occluder_covers_its_share_of_the_middle_half(share, pixels):
    chip = np.random.default_rng(0).random((32, 32))
    area = np.zeros((32, 32), bool)
    area[8:24, 8:24] = True
    places = set()
    for seed in range(60):
        found = occluded(chip, share, np.random.default_rng(seed))
        hidden = found != chip
        assert hidden.sum() == pixels
        assert not hidden[~area].any()
        np.testing.assert_array_equal(found[hidden], np.median(chip[~area]))
        places.add(tuple(np.argwhere(hidden)[0].tolist()))
    assert {row for row, _ in places} == {row for _, row in places}
    assert (len(places) > 15) == (share < 1)
    assert occluded(np.eye(2), 0.01, np.random.default_rng(0)).shape == (2, 2)


def test_a_power_of_one_half_turns_a_linear_rendering_into_its_root():
    chip = np.random.default_rng(0).random((8, 8))
    np.testing.assert_allclose(powered(chip, 0.5), np.sqrt(chip))


def test_changed_chips_are_clamped_to_full_scale():
    bright = np.full((2, 1, 32, 32), 0.9, np.float32)
    found = in_condition(bright, IDS[:2], "speckle:1")
    assert (found == 1).mean() == pytest.approx(np.exp(-1 / 0.81), abs=0.05)  # exponential


def test_a_shifted_5_by_5_chip_by_hand(monkeypatch):
    """Two rows down and one column to the left; the edge itself is not repeated."""
    monkeypatch.setattr(conditions, "drawn_shifts", lambda *_: np.array([[2, -1]]))
    chip = np.array([
        [11, 12, 13, 14, 15],
        [21, 22, 23, 24, 25],
        [31, 32, 33, 34, 35],
        [41, 42, 43, 44, 45],
        [51, 52, 53, 54, 55],
    ], np.float32)  # fmt: skip
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
    most, rng = int(parse(condition)[1]), np.random.default_rng(0)
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


@pytest.mark.parametrize("name", ["shift", "shift:", "Shift:4", "blur:2", "clean", ""])
def test_other_names_are_unknown(name):
    with pytest.raises(
        BadConditionError, match=r"allowed: clean; shift:N, N a whole number.*write"
    ):
        parse(name)
    assert not is_condition(name)


@pytest.mark.parametrize(("name", "advice"), [
    *((f"{kind}:{severity}", f"write for example {kind}:") for kind in KINDS
      for severity in ("0", "-1", "nan", "x", "inf")),
    ("shift:4.5", "N of shift:N must be a whole number of pixels"),
    ("speckle:1.5", "L of speckle:L must be a whole number of looks from 1 to 100"),
    ("speckle:101", "from 1 to 100"), ("noise:61", "up to 60"), ("resolution:1", "below 1"),
    ("occlude:1.2", "above 0, up to 1"), ("gamma:1", "other than 1"),
    ("occlude:.2", "write occlude:0.2"), ("shift:04", "write shift:4"),
    ("noise:10.0", "write noise:10"), ("speckle: 4", "write speckle:4"),
])  # fmt: skip
def test_an_impossible_severity_is_answered_with_what_is_allowed(name, advice):
    with pytest.raises(BadConditionError, match=advice):
        parse(name)
    assert not is_condition(name)


def test_allowed_severities_are_read_and_sorted_by_kind_from_mild_to_severe():
    assert parse("resolution:0.125") == ("resolution", 0.125)
    assert all(map(is_condition, EVERY))
    every = ["speckle:1", "gamma:0.5", "shift:8", "speckle:16", "shift:4", "noise:2.5", "gamma:1.2"]
    assert by_kind(every) == {
        "shift": ["shift:4", "shift:8"], "speckle": ["speckle:16", "speckle:1"],
        "noise": ["noise:2.5"], "gamma": ["gamma:1.2", "gamma:0.5"],
    }  # fmt: skip
    assert in_words([]) == ""
    assert in_words(["shift:8", "shift:4", "noise:10"]) == (
        "shift:4, shift:8: each test chip is moved by up to 4 or 8 px along each axis (drawn by "
        "its id, the same for every row; border reflected); noise:10: complex Gaussian noise is "
        "added to each test chip, 10 dB below its mean intensity; training chips are not changed."
    )


def test_small_chips_that_a_condition_cannot_change_are_refused():
    check_side("shift:4", 5)
    with pytest.raises(BadConditionError, match="N must be at most 4: use a smaller N"):
        check_side("shift:5", 5)
    with pytest.raises(BadConditionError, match="shift:5 is impossible"):
        in_condition(np.zeros((1, 1, 9, 5), np.float32), ["a"], "shift:5")
    check_side("resolution:0.3", 4)
    with pytest.raises(BadConditionError, match="above 1 / 4: use a larger F"):
        check_side("resolution:0.25", 4)
