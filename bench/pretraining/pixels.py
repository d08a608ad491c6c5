"""The pixels of a pool, which give a padded batch: in host memory or on a GPU.

A pool that fits is copied to the GPU once, and a batch is gathered there. Otherwise, and on a CPU,
chips stay in their (memory-mapped) files, and a batch is copied from there. Both give the same
bits.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...methods._masking import on_device
from ..data.pools import Pool

DEVICE_SHARE = 0.25  # of a GPU's free memory for the pool; weights and activations take the rest
COPIED_BYTES = 2**28  # at once, when the pool is copied to a GPU

Padded = tuple[Float[Tensor, "B H W"], Int[Tensor, " B"], Int[Tensor, " B"]]


class HostPixels:
    """Chips in host memory; a batch is put together there and copied without waiting."""

    def __init__(self, pool: Pool, device: str) -> None:
        """Read no pixel yet."""
        self._pool, self._device = pool, torch.device(device)
        self._size = _sizes(pool)

    def stack(self, rows: Int[np.ndarray, " B"], index: Int[Tensor, " B"]) -> Padded:
        """Return chips as amplitude in [0, 1], padded below and right, and their sizes.

        Args:
            rows: Numbers of the chips in the pool.
            index: The same on the device.
        """
        sizes = self._size[rows]
        padded = np.zeros((len(rows), *sizes.max(0)), np.float32)
        for place, row in enumerate(rows.tolist()):
            chip = self._pool.chip(row)
            part = padded[place, : chip.shape[0], : chip.shape[1]]
            np.divide(chip, np.float32(self._pool.full_scale(row)), out=part)
        both = on_device(torch.from_numpy(sizes), self._device)
        return on_device(torch.from_numpy(padded), self._device), both[:, 0], both[:, 1]


class DevicePixels:
    """All chips in one flat tensor on a device, from which a batch is gathered.

    Chips are stored one after the other in the smallest type that holds every stored type: uint8,
    uint16 (as the bits of int16, because torch has few operations on uint16) or float32.
    """

    def __init__(self, pool: Pool, device: str) -> None:
        """Copy the pool to the device."""
        self._size = _sizes(pool)
        counts = self._size.prod(1)
        chips, rows = pool.places
        stored = _stored_type(pool)
        kind = torch.from_numpy(np.empty(0, _bits(stored))).dtype
        self._unsigned = stored == np.uint16
        self._pixels = torch.empty(int(counts.sum()), dtype=kind, device=device)
        self._start, self._height, self._width, self._scale = (
            on_device(torch.from_numpy(values), device)
            for values in (
                np.cumsum(counts) - counts,
                *self._size.T.copy(),
                np.array([one.full_scale for one in chips], np.float32)[rows[:, 0]],
            )
        )
        done = 0
        for part in _parts(pool, counts, stored):
            bits = torch.from_numpy(part.view(_bits(stored)))
            self._pixels[done : done + len(part)] = on_device(bits, device)
            done += len(part)

    def stack(self, rows: Int[np.ndarray, " B"], index: Int[Tensor, " B"]) -> Padded:
        """Return a padded batch as `HostPixels.stack` does."""
        high, wide = self._size[rows].max(0).tolist()
        start, height, width, scale = (
            values[index][:, None, None]
            for values in (self._start, self._height, self._width, self._scale)
        )
        y = torch.arange(high, device=index.device)[:, None]
        x = torch.arange(wide, device=index.device)
        inside = (y < height) & (x < width)  # (B, H, W)
        found = self._pixels[torch.where(inside, start + y * width + x, start)]
        if self._unsigned:
            found = found.int().bitwise_and_(0xFFFF)
        # By a tensor: a division by one number is a product with its inverse on a GPU.
        images = torch.where(inside, found.float() / scale, 0.0)
        return images, height[:, 0, 0], width[:, 0, 0]


def pixels_of(
    pool: Pool, device: str, resident: bool, warn: Callable[[str], None]
) -> HostPixels | DevicePixels:
    """Return the pixels of a pool: resident on a GPU if they fit, else in host memory.

    Args:
        pool: The pool.
        device: Of the batches.
        resident: False keeps the pool in host memory.
        warn: Called with a message if the pool does not fit.
    """
    if torch.device(device).type != "cuda" or not resident:
        return HostPixels(pool, device)
    needed = int(_sizes(pool).prod(1).sum()) * _stored_type(pool).itemsize
    free, _ = torch.cuda.mem_get_info(device)
    if needed <= DEVICE_SHARE * free:
        with suppress(torch.OutOfMemoryError):  # another process was faster
            return DevicePixels(pool, device)
    warn(
        f"the pool takes {needed / 2**30:.1f} GiB, but at most {DEVICE_SHARE:.0%} of the "
        f"{free / 2**30:.1f} GiB that are free on {device} are used for it; it stays in host "
        "memory, and its chips are copied batch by batch; the numbers are the same"
    )
    return HostPixels(pool, device)


def _sizes(pool: Pool) -> Int[np.ndarray, "N 2"]:
    """Return the rows and columns of each chip."""
    chips, rows = pool.places
    sizes = np.empty((len(rows), 2), np.int64)
    for number, one in enumerate(chips):
        mine = rows[:, 0] == number
        sizes[mine] = np.stack([one.height, one.width], 1)[rows[mine, 1]]
    return sizes


def _stored_type(pool: Pool) -> np.dtype:
    return np.result_type(*(one.pixels.dtype for one in pool.places[0]))


def _bits(stored: np.dtype) -> np.dtype:
    return np.dtype(np.int16) if stored == np.uint16 else stored


def _parts(
    pool: Pool, counts: Int[np.ndarray, " N"], stored: np.dtype
) -> Iterator[Int[np.ndarray, " P"] | Float[np.ndarray, " P"]]:
    """Yield the pixels of all chips one after the other, many chips at once."""
    place = np.cumsum(counts) * stored.itemsize // COPIED_BYTES
    for numbers in np.split(np.arange(len(counts)), np.flatnonzero(np.diff(place)) + 1):
        chips = [pool.chip(i).ravel() for i in numbers.tolist()]
        yield np.concatenate(chips).astype(stored, casting="same_kind", copy=False)
