"""Resize whole batches, on the CPU or a GPU.

Antialiased bicubic resampling is linear and separable, so two matrices resize an image:
`rows @ image @ columns.T`. The values are those of torchvision on float tensors, clamped to [0, 1],
because bicubic weights overshoot and amplitude is never negative (Pillow clips too).
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def cubic(distance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the bicubic kernel (Keys, a = -0.5), as in Pillow and antialiased torch."""
    x = distance.abs().clamp_(max=2)
    near = (1.5 * x - 2.5).mul_(x).mul_(x).add_(1)
    far = (-0.5 * x + 2.5).mul_(x).sub_(4).mul_(x).add_(2)
    return torch.where(x < 1, near, far)


def resampling(
    start: Int[Tensor, " B"],
    length: Int[Tensor, " B"],
    size: int,
    px: int,
    flip: Bool[Tensor, " B"] | None = None,
) -> Float[Tensor, "B P S"]:
    """Return the matrices that resize `length` of `size` pixels, beginning at `start`, to `px`.

    Pixels outside the crop have weight zero. The weights of one output pixel sum to 1. `flip`
    reverses the result.
    """
    device = start.device
    scale = (length.float() / px)[:, None]
    stretch = scale.clamp(min=1)  # antialias: shrinking widens the kernel
    centre = (torch.arange(px, device=device) + 0.5) * scale  # (B, P), from `start`
    if flip is not None:
        centre = torch.where(flip[:, None], centre.flip(1), centre)
    first = (centre - 2 * stretch + 0.5).floor()
    reach = torch.arange(math.ceil(4 * max(1, size / px)) + 1, device=device)
    pixel = first[..., None] + reach  # (B, P, taps): all pixels that the kernel reaches
    weight = cubic((pixel + 0.5 - centre[..., None]) / stretch[..., None])
    weight *= (pixel >= 0) & (pixel < length[:, None, None])
    weight /= weight.sum(-1, keepdim=True)
    place = (pixel.long() + start[:, None, None]).clamp_(0, size - 1)
    return weight.new_zeros(len(start), px, size).scatter_add_(-1, place, weight)


def resize(images: Float[Tensor, "B 1 H W"], px: int) -> Float[Tensor, "B 1 px px"]:
    """Resize whole images to `px` pixels a side: bicubic, antialiased, clamped to [0, 1]."""
    height, width = images.shape[-2:]
    if (height, width) == (px, px):
        return images.clamp(0, 1)
    zero = torch.zeros(1, dtype=torch.long, device=images.device)
    rows = resampling(zero, zero + height, height, px)
    columns = resampling(zero, zero + width, width, px)
    return (rows @ images @ columns.mT).clamp_(0, 1)
