"""What a protocol knows of an encoder, and how tokens become one feature per chip."""

from collections.abc import Iterator
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

READOUTS = ("default", "class", "patch_mean")


class Encoder(Protocol):
    """Chips (B, 1, H, W) in [0, 1] -> tokens (B, N, D), class token first if there is one."""

    has_class_token: bool
    width: int  # D

    def __call__(self, images: Tensor) -> Tensor:
        """Return the tokens of `images`."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Return the weights by name; block `i` is named `blocks.i.*`."""
        ...


def read_out(
    tokens: Float[Tensor, "B N D"], readout: str, has_class_token: bool
) -> Float[Tensor, "B D"]:
    """Return one feature per chip.

    Args:
        tokens: Tokens after the encoder's final norm.
        readout: `class`, `patch_mean`, or `default`: the class token where there is one, else the
            patch mean (paper_facts 4.1, 6.3).
        has_class_token: Whether token 0 is a class token.

    Raises:
        ValueError: `class` is asked of an encoder without a class token, or an unknown readout.
    """
    if readout not in READOUTS:
        raise ValueError(f"unknown readout {readout!r}; allowed: {', '.join(READOUTS)}")
    if readout == "class" and not has_class_token:
        raise ValueError("this encoder has no class token; use readout = 'patch_mean'")
    if has_class_token and readout != "patch_mean":
        return tokens[:, 0]
    patches = tokens[:, 1:] if has_class_token else tokens
    return torch.mean(patches, dim=1)
