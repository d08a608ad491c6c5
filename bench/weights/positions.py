"""Stored tables of positions for an input of another size."""

from math import isqrt

from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor


def is_square(count: int) -> bool:
    """Return whether a number of patches is that of a square."""
    return count > 0 and isqrt(count) ** 2 == count


def resize_table(table: Tensor, side: int, prefix: int) -> tuple[Tensor, list[str]]:
    """Return a table for `side` x `side` patches, resized as timm does it, and a note if it was.

    Args:
        table: A row for each token (1, N, D).
        side: Patches along each side.
        prefix: Rows that belong to no patch.
    """
    found = isqrt(table.shape[1] - prefix)
    if found == side:
        return table, []
    resized = resample_abs_pos_embed(table, [side, side], [found, found], num_prefix_tokens=prefix)
    return resized, [
        f"positions resized from {found} x {found} to {side} x {side} patches (bicubic, "
        "antialiased)"
    ]
