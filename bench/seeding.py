"""The named random stream of each purpose; the only file that seeds anything.

A stream is a function of a seed and of the names of its purpose, so a draw added for one
purpose never moves the numbers of another, and any step can be drawn again without replaying
those before it.
"""

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # plan and table start without torch
    import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return the 63-bit seed of one purpose, independent of that of any other."""
    digest = sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the NumPy generator of one purpose."""
    return np.random.default_rng(derive_seed(seed, *purpose))


def torch_stream(
    seed: int, *purpose: str | int, device: "torch.device | str" = "cpu"
) -> "torch.Generator":
    """Return the torch generator of one purpose on `device`."""
    import torch

    return torch.Generator(device).manual_seed(derive_seed(seed, *purpose))
