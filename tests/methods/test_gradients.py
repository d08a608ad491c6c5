"""The targets agree with hand-worked cases, SciPy in double precision and naive loops."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from sarbench.methods._gradients import (
    gaussian_ratio_gradient,
    low_pass,
    multi_scale_ratio_gradient,
    orientation_histograms,
    ratio_gradients,
    sobel_gradients,
    standardise,
)

RADII = (5, 9, 13, 17)


def speckled(side_px: int, rng: torch.Generator, number: int = 2) -> Tensor:
    amplitude = torch.rand(number, 1, side_px, side_px, generator=rng).clamp(min=1e-6)
    return (amplitude.log().neg().sqrt() * 0.3).clamp(max=1)


def half_sums(image: np.ndarray, weights: np.ndarray, halves: str) -> list[np.ndarray]:
    """Return left, right, top and bottom sums by SciPy's correlation with explicit kernels."""
    radius = len(weights) // 2
    place = np.arange(-radius, radius + 1)
    first = place <= 0 if halves == "overlap" else place < 0
    kernels = [weights * first, weights * first[::-1]]
    kernels += [kernel.T for kernel in kernels]
    return [ndimage.correlate(image, kernel, mode="mirror") for kernel in kernels]


def norm_by_scipy(image: np.ndarray, weights: np.ndarray, halves: str) -> np.ndarray:
    left, right, top, bottom = half_sums(image.astype(np.float64) + 1e-2, weights, halves)
    return np.hypot(np.log(left / right), np.log(top / bottom))


def one_bright_pixel() -> Tensor:
    """Return 5 x 5 px that are 0.01 with the offset added, and 1 in the centre."""
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 0.99
    return image


@pytest.mark.parametrize(
    ("halves", "expected"),
    [
        # Left of the bright pixel: 6 dark pixels against 5 dark and the bright one.
        ("overlap", math.log(0.06 / 1.05)),
        # Its column taken out: 3 dark pixels against 2 dark and the bright one.
        ("disjoint", math.log(0.03 / 1.02)),
    ],
)
def test_ratio_gradients_of_one_bright_pixel_are_those_worked_by_hand(halves, expected):
    x, y = ratio_gradients(one_bright_pixel(), 1, halves)[0]
    assert x[2, 1] == pytest.approx(expected, abs=1e-5)
    assert x[2, 3] == pytest.approx(-expected, abs=1e-5)
    assert y[1, 2] == pytest.approx(expected, abs=1e-5)
    assert y[3, 2] == pytest.approx(-expected, abs=1e-5)
    for still in (y[2, 1], x[1, 2], x[2, 2], y[2, 2]):
        assert still == pytest.approx(0, abs=1e-6)
    # In the corner the mirrored window is symmetric.
    assert x[0, 0] == pytest.approx(0, abs=1e-6)


def test_ratio_gradients_agree_with_a_naive_loop(rng):
    image = speckled(12, rng, 1)
    radius = 3
    padded = np.pad(image[0, 0].double().numpy(), radius, mode="reflect") + 1e-2
    x, y = ratio_gradients(image, radius)[0].double().numpy()
    for row in range(12):
        for column in range(12):
            window = padded[row : row + 2 * radius + 1, column : column + 2 * radius + 1]
            gx = math.log(window[:, : radius + 1].sum() / window[:, radius:].sum())
            gy = math.log(window[: radius + 1].sum() / window[radius:].sum())
            assert x[row, column] == pytest.approx(gx, abs=1e-5)
            assert y[row, column] == pytest.approx(gy, abs=1e-5)


@pytest.mark.parametrize("halves", ["overlap", "disjoint"])
def test_multi_scale_gradients_at_224_px_agree_with_convolutions(rng, halves):
    images = speckled(224, rng)
    images[1, 0, :100] = 0  # a shadow without a return
    found = multi_scale_ratio_gradient(images, RADII, halves).numpy()
    for image, norms in zip(images.numpy(), found, strict=True):
        for radius, norm in zip(RADII, norms, strict=True):
            weights = np.ones((2 * radius + 1, 2 * radius + 1))
            np.testing.assert_allclose(norm, norm_by_scipy(image[0], weights, halves), atol=1e-5)


def test_gaussian_gradients_agree_with_convolutions(rng):
    images = speckled(60, rng)
    found = gaussian_ratio_gradient(images, RADII).numpy()
    for image, norms in zip(images.numpy(), found, strict=True):
        for radius, sigma, norm in zip(RADII, (2.0, 3.2, 4.4, 5.6), norms, strict=True):
            place = np.arange(-radius, radius + 1)
            wave = np.exp(-(place**2) / (2 * sigma**2))
            wanted = norm_by_scipy(image[0], np.outer(wave, wave), "disjoint")
            np.testing.assert_allclose(norm, wanted, atol=1e-5)


def test_ratio_gradients_do_not_see_a_change_of_gain(rng):
    image = speckled(40, rng)
    # With the offset scaled too, the ratio is the same.
    louder = 3 * image + 2e-2
    torch.testing.assert_close(ratio_gradients(image, 4), ratio_gradients(louder, 4))


def test_targets_keep_full_precision_under_autocast(rng):
    image = speckled(64, rng)
    for target in (
        lambda x: multi_scale_ratio_gradient(x, (5, 9)),
        lambda x: gaussian_ratio_gradient(x, (5, 9)),
        lambda x: orientation_histograms(sobel_gradients(x), 8, 16),
        lambda x: low_pass(x, 10.0),
    ):
        wanted = target(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(target(image), wanted)


def test_sobel_gradients_agree_with_scipy(rng):
    images = speckled(20, rng)
    x, y = sobel_gradients(images).unbind(1)
    for image, gx, gy in zip(images[:, 0].double().numpy(), x, y, strict=True):
        # SciPy subtracts the other way round.
        np.testing.assert_allclose(gx, -ndimage.sobel(image, 1, mode="mirror"), atol=1e-5)
        np.testing.assert_allclose(gy, -ndimage.sobel(image, 0, mode="mirror"), atol=1e-5)


@pytest.mark.parametrize(
    ("ramp", "bin_"),
    [
        # phase = atan2(x, y) / pi * 9: brighter to the right x < 0, -4.5, floor -5, bin 4.
        (lambda row, column: column, 4),
        (lambda row, column: -column, 4),  # 4.5, bin 4: opposite directions share one
        (lambda row, column: row, 0),  # +-9, bin 0
        (lambda row, column: -row, 0),
        (lambda row, column: row + column, 2),  # atan2(-1, -1): -6.75, floor -7, bin 2
        (lambda row, column: row - column, 6),  # atan2(1, -1): 6.75, bin 6
    ],
)
def test_a_ramp_falls_into_the_bin_worked_by_hand(ramp, bin_):
    row, column = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    image = 0.5 + 0.01 * ramp(row, column)[None, None]
    inside = orientation_histograms(sobel_gradients(image)[:, :, 4:12, 4:12], 8)[0, :, 0, 0]
    wanted = torch.zeros(9)
    wanted[bin_] = 1
    torch.testing.assert_close(inside, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("gaussian_px", [0, 16])
def test_histograms_agree_with_a_naive_loop(rng, gaussian_px):
    gradients = torch.randn(1, 2, 32, 32, generator=rng)
    found = orientation_histograms(gradients, 8, gaussian_px)[0].numpy()
    x, y = gradients[0].double().numpy()
    wave = np.exp(-0.5 * ((np.arange(16) - 7.5) / 8) ** 2)
    window = np.outer(wave, wave) / np.outer(wave, wave).sum()
    cells = np.zeros((9, 4, 4))
    for row in range(32):
        for column in range(32):
            weight = window[row % 16, column % 16] if gaussian_px else 1.0
            phase = math.atan2(x[row, column], y[row, column]) / math.pi * 9
            length = math.hypot(x[row, column], y[row, column])
            cells[math.floor(phase) % 9, row // 8, column // 8] += weight * length
    np.testing.assert_allclose(found, cells / np.linalg.norm(cells, axis=0), atol=1e-5)


def test_a_cell_without_gradient_stays_zero():
    assert not orientation_histograms(torch.zeros(1, 2, 16, 16), 8).any()


@pytest.mark.parametrize("side_px", [9, 16])
def test_low_pass_agrees_with_the_shifted_transform_of_the_source(rng, side_px):
    image = speckled(side_px, rng, 1)
    spectrum = np.fft.fftshift(np.fft.fft2(image[0, 0].double().numpy()))
    for row in range(side_px):
        for column in range(side_px):
            centre = (side_px - 1) / 2
            if math.hypot(row - centre, column - centre) > 3:
                spectrum[row, column] = 0
    wanted = np.abs(np.fft.ifft2(spectrum))  # not shifted back: only the phase differs
    np.testing.assert_allclose(low_pass(image, 3.0)[0, 0], wanted, atol=1e-6)


def test_low_pass_keeps_slow_waves_and_drops_fast_ones():
    phase = 2 * math.pi * torch.arange(224.0) / 224
    slow, fast = torch.cos(10 * phase), torch.cos(80 * phase)
    image = (0.5 + 0.1 * slow[:, None] + 0.2 * fast).expand(1, 1, 224, 224)
    wanted = (0.5 + 0.1 * slow[:, None]).expand(1, 1, 224, 224)
    torch.testing.assert_close(low_pass(image, 40.0), wanted, atol=1e-5, rtol=0)


def test_standardised_patches_have_mean_0_and_unbiased_variance_1(rng):
    patches = torch.rand(2, 5, 36, generator=rng).double()
    found = standardise(patches.float()).double().numpy()
    np.testing.assert_allclose(found.mean(-1), 0, atol=1e-6)
    variance = patches.numpy().var(-1, ddof=1)
    np.testing.assert_allclose(found.var(-1, ddof=1), variance / (variance + 1e-6), rtol=1e-4)


def test_gradients_of_real_chips_agree_with_convolutions(real_data: Path):
    path = next(path for path in sorted((real_data / "mstar").rglob("*.*")) if is_image(path))
    chip = np.asarray(Image.open(path).convert("L"), dtype=np.float32)[:128, :128] / 255
    image = torch.from_numpy(chip.copy())[None, None]
    for radius, norm in zip(RADII, multi_scale_ratio_gradient(image, RADII)[0], strict=True):
        weights = np.ones((2 * radius + 1, 2 * radius + 1))
        np.testing.assert_allclose(norm, norm_by_scipy(chip, weights, "overlap"), atol=1e-5)


def is_image(path: Path) -> bool:
    return path.suffix.lower() in {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
