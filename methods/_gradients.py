"""Targets from pixels: SAR gradients, their histograms, low-passed and standardised pixels.

All but `standardise` are computed without gradient, all in full precision also under autocast.
Lengths are in pixels of the input. Amplitude is linear, in [0, 1].
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Halves = Literal["overlap", "disjoint"]

OFFSET = 1e-2  # added to the amplitude, keeps a ratio of dark halves finite (SAR-JEPA's code)
BINS = 9
CACHED_PX = 2**16  # about one chip of 224 px


@torch.no_grad()
def ratio_gradients(
    amplitude: Float[Tensor, "B 1 H W"], radius_px: int, halves: Halves = "overlap"
) -> Float[Tensor, "B 2 H W"]:
    """Return the log ratios of opposite half-window sums: left / right, top / bottom.

    The window has side 2 r + 1 and is mirrored at the border. With `overlap` both halves include
    the centre column or row, as in SAR-JEPA's released code; with `disjoint` neither does, as in
    the framework figure of its repository.
    """
    return torch.stack(_log_ratios(_integral(amplitude, radius_px), radius_px, 0, halves), dim=1)


@torch.no_grad()
def multi_scale_ratio_gradient(
    amplitude: Float[Tensor, "B 1 H W"],
    radii_px: Sequence[int],
    halves: Halves = "overlap",
    offset: float = OFFSET,
) -> Float[Tensor, "B C H W"]:
    """Return the norm of the ratio gradient, one channel for each radius (SAR-JEPA).

    `offset` is added to the amplitude.
    """
    largest = max(radii_px)
    norms = amplitude.new_empty(len(amplitude), len(radii_px), *amplitude.shape[2:])
    # A few images at a time, whose sums fit into the cache.
    step = len(amplitude) if amplitude.is_cuda else max(1, CACHED_PX // amplitude[0].numel())
    for start in range(0, len(amplitude), step):
        part = slice(start, start + step)
        integral = _integral(amplitude[part], largest, offset)
        for channel, radius in enumerate(radii_px):
            x, y = _log_ratios(integral, radius, largest - radius, halves)
            torch.sqrt(x.square_().addcmul_(y, y), out=norms[part, channel])
    return norms


def _integral(amplitude: Tensor, pad_px: int, offset: float = OFFSET) -> Tensor:
    """Return the integral image (B, H + 2 pad + 1, W + 2 pad + 1), mirrored at the border.

    It is in double precision, because a window is a small difference of large sums.
    """
    padded = functional.pad(amplitude + offset, (pad_px,) * 4, mode="reflect")[:, 0]
    batch, height, width = padded.shape
    integral = padded.new_zeros(batch, height + 1, width + 1, dtype=torch.float64)
    rows = padded.cumsum(2, dtype=torch.float64)
    torch.cumsum(rows, 1, out=integral[:, 1:, 1:])
    return integral


def _log_ratios(
    integral: Tensor, radius_px: int, margin_px: int, halves: Halves
) -> tuple[Tensor, Tensor]:
    """Return the log ratios (B, H, W) left / right and top / bottom.

    The integral image was padded by the radius and `margin_px` more.
    """
    size = 2 * radius_px + 1
    half = radius_px + (halves == "overlap")
    if margin_px:
        integral = integral[:, margin_px:-margin_px, margin_px:-margin_px]
    ratios = []
    for axis, other in ((2, 1), (1, 2)):
        # Sums over the whole window along the other axis, cumulative along this one.
        length = integral.shape[other] - size
        bands = integral.narrow(other, size, length) - integral.narrow(other, 0, length)
        # Sums of one half window; the opposite half is the same array, shifted.
        length = bands.shape[axis] - half
        sums = bands.narrow(axis, half, length) - bands.narrow(axis, 0, length)
        logs = sums.float().log_()
        length = bands.shape[axis] - size
        ratios.append(logs.narrow(axis, 0, length) - logs.narrow(axis, size - half, length))
    return ratios[0], ratios[1]


@torch.no_grad()
def gaussian_ratio_gradient(
    amplitude: Float[Tensor, "B 1 H W"], radii_px: Sequence[int]
) -> Float[Tensor, "B C H W"]:
    """Return the norm of the ratio gradient of Gaussian-weighted, disjoint halves at each radius.

    sigma = 0.3 (r - 1) + 0.8, as in SAR-JEPA's released code. The weight is a product of two
    Gaussians, so each sum is two matrix products; the matrices include the mirrored border.
    """
    images = amplitude[:, 0] + OFFSET
    norms = []
    with torch.autocast(amplitude.device.type, enabled=False):
        for radius in radii_px:
            rows, columns = (_gaussian_sums(n, radius, images.device) for n in images.shape[1:])
            along_rows = images @ columns[0].T  # weighted sums over columns -r..r
            left, right = (images @ part.T for part in columns[1:])
            gx = (rows[0] @ left).div(rows[0] @ right).log()
            gy = (rows[1] @ along_rows).div(rows[2] @ along_rows).log()
            norms.append(torch.sqrt(gx.square_().addcmul_(gy, gy)))
    return torch.stack(norms, dim=1)


@cache
def _gaussian_sums(length: int, radius_px: int, device: torch.device) -> Tensor:
    """Return three matrices (3, L, L): Gaussian sums over -r..r, -r..-1 and 1..r, mirrored."""
    sigma = 0.3 * (radius_px - 1) + 0.8
    matrices = torch.zeros(3, length, length, dtype=torch.float64)
    centre = torch.arange(length)
    for step in range(-radius_px, radius_px + 1):
        # Mirrored at the border, the border itself not repeated.
        source = (length - 1) - ((length - 1) - (centre + step).abs()).abs()
        weight = math.exp(-(step**2) / (2 * sigma**2))
        for matrix, wanted in zip(matrices, (True, step < 0, step > 0), strict=True):
            matrix[centre, source] += weight * wanted
    return matrices.float().to(device)


@torch.no_grad()
def sobel_gradients(amplitude: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 2 H W"]:
    """Return the Sobel differences left - right and top - bottom, mirrored at the border."""
    padded = functional.pad(amplitude, (1, 1, 1, 1), mode="reflect")[:, 0]
    across = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    down = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    return torch.stack([across[..., :-2] - across[..., 2:], down[:, :-2] - down[:, 2:]], dim=1)


@torch.no_grad()
def orientation_histograms(
    gradients: Float[Tensor, "B 2 H W"], cell_px: int, gaussian_px: int = 0
) -> Float[Tensor, "B 9 h w"]:
    """Return the histogram of gradient directions of each cell, of unit length.

    The phase is atan2(x, y) / pi * 9 and the bin its floor modulo 9, so opposite directions share
    one; each pixel adds its norm. Where `gaussian_px` is not 0, norms are first weighted by a
    Gaussian window of that side, sigma half of it, sum 1, tiled over the image (FG-MAE).
    """
    x, y = gradients.unbind(1)
    norm = torch.sqrt(x * x + y * y)  # vector_norm over two values is forty times slower on a CPU
    bins = (torch.atan2(x, y) / math.pi * BINS).floor().long() % BINS
    height, width = norm.shape[1:]
    if gaussian_px:
        offset = torch.arange(gaussian_px, device=norm.device) - (gaussian_px - 1) / 2
        wave = torch.exp(-0.5 * (offset / (gaussian_px // 2)) ** 2)
        window = wave[:, None] * wave / wave.sum() ** 2
        norm = norm * window.repeat(height // gaussian_px, width // gaussian_px)
    shape = len(norm), height // cell_px, cell_px, width // cell_px, cell_px
    norm, bins = (part.reshape(shape).transpose(2, 3).flatten(3) for part in (norm, bins))
    histograms = norm.new_zeros(*norm.shape[:3], BINS).scatter_add_(3, bins, norm)  # (B, h, w, 9)
    return functional.normalize(histograms, dim=3).permute(0, 3, 1, 2)


@torch.no_grad()
def low_pass(amplitude: Float[Tensor, "B 1 H W"], cycles: float) -> Float[Tensor, "B 1 H W"]:
    """Return the chip without frequencies above `cycles` per image (PixMIM, arXiv 2303.02416).

    As in PixMIM's code, distances are from (side - 1) / 2 in the shifted spectrum, half a step from
    the zero frequency. So the filter is not symmetric, and the result is the norm of a complex
    image.
    """
    height, width = amplitude.shape[2:]
    rows, columns = (
        torch.arange(side, device=amplitude.device) - (side - 1) / 2 for side in (height, width)
    )
    kept = torch.fft.ifftshift(rows[:, None] ** 2 + columns**2 <= cycles**2)
    return torch.fft.ifft2(torch.fft.fft2(amplitude.float()) * kept).abs()


def standardise(patches: Float[Tensor, "B N P"]) -> Float[Tensor, "B N P"]:
    """Return each patch with mean 0 and unbiased variance 1 over its values (MAE, section 3).

    A gradient of the values is kept.
    """
    mean, variance = patches.mean(-1, keepdim=True), patches.var(-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()
