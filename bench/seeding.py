"""Named random streams, one for each purpose; no other file seeds anything.

A stream depends on a seed and on the names of its purpose alone. So a new draw for one purpose does
not change the numbers of another, and any step can be drawn again without the steps before it.
"""

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a plan or a table starts without torch
    import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return the 63-bit seed of one purpose."""
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
