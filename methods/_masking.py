"""Masks: random patches, local windows, blocks."""

import math

import torch
from jaxtyping import Bool, Int
from torch import Tensor

CONTEXT_TRIES = 20  # contexts drawn before an image gets new targets (I-JEPA's code: 20 too)
TARGET_TRIES = 20


class MaskingError(ValueError):
    """A patch grid that is too small for the windows or blocks."""


def part(rng: torch.Generator) -> tuple[int, int]:
    """Return the number of the caller's part of the batch, and the number of parts.

    Every process of a shared batch draws for the whole batch and keeps its part, so masks do not
    depend on the number of processes.
    """
    return getattr(rng, "part", (0, 1))


def host_of(rng: torch.Generator) -> torch.Generator:
    """Return the generator that draws for `rng`: on the host, if the training gave it one.

    So crops and masks are the same on every device, and their sizes are known without waiting.
    """
    return getattr(rng, "host", rng)


def on_device(values: Tensor, device: torch.device | str) -> Tensor:
    """Return values of the host on a device, without waiting for it."""
    if torch.device(device).type != "cuda" or values.is_cuda:
        return values.to(device)
    return values.contiguous().pin_memory().to(device, non_blocking=True)


def draw(shape: tuple[int, ...], rng: torch.Generator, batch: int = 0) -> Tensor:
    """Return uniform numbers in [0, 1) on the rng's device; axis `batch` is the caller's part."""
    index, of = part(rng)
    rows, host = shape[batch], host_of(rng)
    whole = [size * of if axis == batch else size for axis, size in enumerate(shape)]
    drawn = torch.rand(whole, generator=host, device=host.device)
    return on_device(drawn.narrow(batch, index * rows, rows), rng.device)


def random_order(rows: int, count: int, rng: torch.Generator) -> Int[Tensor, "R N"]:
    """Return an independent random order of `count` patches for each row, on the rng's device."""
    return draw((rows, count), rng).argsort(dim=1)


def hidden_except(visible: Int[Tensor, "R V"], count: int) -> Bool[Tensor, "R N"]:
    """Return the mask of `count` patches, True except at `visible`."""
    mask = torch.ones(len(visible), count, dtype=torch.bool, device=visible.device)
    return mask.scatter(1, visible, False)


def windows(
    patch_grid: tuple[int, int],
    side: int,
    number: int,
    images: int,
    rng: torch.Generator,
    patch_px: int,
) -> Int[Tensor, "R M"]:
    """Return the patches of `number` square windows of each image, image after image.

    The windows of an image start in different rows and in different columns, as in the code of
    LoMaR. Every image has its own.

    Raises:
        MaskingError: The grid has fewer than `number` places for a window along an axis.
    """
    places = [length - side + 1 for length in patch_grid]
    if min(places) < number:
        raise MaskingError(_too_many(patch_grid, side, number, patch_px))
    top, left = (
        random_order(images, length, rng)[:, :number].reshape(-1, 1, 1) for length in places
    )
    step = torch.arange(side, device=rng.device)
    patches = (top + step[:, None]) * patch_grid[1] + left + step  # (R, side, side)
    return patches.flatten(1)


def _too_many(patch_grid: tuple[int, int], side: int, number: int, patch_px: int) -> str:
    """Return the message about windows that do not fit: inputs and numbers that do."""
    rows, columns = patch_grid
    one_px, least_px = side * patch_px, (number + side - 1) * patch_px
    area = f"{side} x {side} patches of {patch_px} px"
    given = f"{rows * patch_px} x {columns * patch_px} px"
    if number == 1:
        return (
            f"a window of {area} does not fit an input of {given}; it needs {one_px} px or more; "
            "use such an input, or set a smaller `window` in the method's config"
        )
    fit = min(patch_grid) - side + 1
    fewer = f"or set windows = 1 (up to {fit} fit)" if fit > 1 else "or set windows = 1"
    if fit < 1:
        fewer = f"below {least_px} px with windows = 1"
    return (
        f"{number} windows of {area} do not fit an input of {given}; they need {least_px} px or "
        f"more, and one window needs {one_px} px; use such an input, {fewer} in the method's config"
    )


def block_size(
    patch_grid: tuple[int, int],
    scale: tuple[float, float],
    aspect: tuple[float, float],
    rng: torch.Generator,
) -> tuple[int, int]:
    """Draw the (rows, columns) of a block; one number sets area and aspect, as in I-JEPA's code.

    `scale` is the range of the block's share of all patches, `aspect` that of rows / columns. A
    block is always smaller than the grid along both axes.
    """
    position = torch.rand(1, generator=rng, device=rng.device).item()
    rows, columns = patch_grid
    area = int(rows * columns * (scale[0] + position * (scale[1] - scale[0])))
    ratio = aspect[0] + position * (aspect[1] - aspect[0])
    height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    return max(1, min(height, rows - 1)), max(1, min(width, columns - 1))


def place_blocks(
    patch_grid: tuple[int, int], size: tuple[int, int], number: int, rng: torch.Generator
) -> Int[Tensor, "R M"]:
    """Return the patches of `number` blocks placed at random.

    No block covers the last row or column, because the largest offset is exclusive in I-JEPA's
    code.
    """
    offsets = [
        torch.randint(0, length - extent, (number, 1, 1), generator=rng, device=rng.device)
        for length, extent in zip(patch_grid, size, strict=True)
    ]
    rows, columns = (torch.arange(extent, device=rng.device) for extent in size)
    patches = (offsets[0] + rows[:, None]) * patch_grid[1] + offsets[1] + columns
    return patches.flatten(1)


def context_and_targets(
    patch_grid: tuple[int, int],
    images: int,
    targets: int,
    target_scale: tuple[float, float],
    target_aspect: tuple[float, float],
    context_scale: tuple[float, float],
    least: int,
    rng: torch.Generator,
) -> tuple[Int[Tensor, "B V"], Int[Tensor, "R M"]]:
    """Return the context patches of each image and the patches of its target blocks (I-JEPA).

    Block sizes are drawn once per batch, places for each image. The context is one square block
    without the patches of the image's targets. All contexts are cut, in row order, to the length of
    the shortest. A context with fewer than `least` patches is drawn again, and after 20 draws the
    targets of its image too. The rows of targets are image after image.

    Raises:
        MaskingError: No context of `least` patches was found in 400 draws.
    """
    count = patch_grid[0] * patch_grid[1]
    index, of = part(rng)
    device, rng = rng.device, host_of(rng)  # on a GPU, sizes and lengths would wait for it
    own = slice(index * images, (index + 1) * images)
    images *= of
    target_size = block_size(patch_grid, target_scale, target_aspect, rng)
    context_size = block_size(patch_grid, context_scale, (1.0, 1.0), rng)
    nothing = torch.zeros(images, count, dtype=torch.bool, device=rng.device)
    blocks = torch.zeros(
        images, targets * math.prod(target_size), dtype=torch.long, device=rng.device
    )
    taken, context = nothing, nothing
    short = torch.ones(images, 1, dtype=torch.bool, device=rng.device)
    for attempt in range(TARGET_TRIES * CONTEXT_TRIES):
        if attempt % CONTEXT_TRIES == 0:
            drawn = place_blocks(patch_grid, target_size, images * targets, rng)
            blocks = torch.where(short, drawn.reshape(images, -1), blocks)
            taken = nothing.scatter(1, blocks, True)
        places = place_blocks(patch_grid, context_size, images, rng)
        context = torch.where(short, nothing.scatter(1, places, True) & ~taken, context)
        length = context.sum(1, keepdim=True)
        short = length < least
        shortest = int(length.min())
        if shortest >= least:
            # Sorting is stable, so True patches come first and in row order.
            order = context.logical_not().to(torch.uint8).argsort(dim=1, stable=True)
            targets_of = blocks[own].reshape(-1, math.prod(target_size))
            return on_device(order[own, :shortest], device), on_device(targets_of, device)
    raise MaskingError(
        f"no context of {least} patches fits next to {targets} targets of {target_size} patches "
        f"on a patch grid of {patch_grid}; set fewer or smaller targets"
    )
