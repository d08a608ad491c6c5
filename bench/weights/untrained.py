"""A fingerprint of encoders that were never trained."""

from torch import Tensor, nn

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)  # pyright: ignore[reportPrivateUsage]


def looks_untrained(encoder: nn.Module) -> bool:
    """Return whether every norm has weights of exactly 1 or exactly 0, and biases of exactly 0.

    Libraries draw matrices at random, but norms begin with these values (0 at the end of a residual
    branch), and one step of an optimiser moves them. A network without norms is never called
    untrained.
    """
    norms = [one for one in encoder.modules() if isinstance(one, NORMS) and one.weight is not None]
    return bool(norms) and all(_is_first(one.weight, one.bias) for one in norms)


def _is_first(weight: Tensor, bias: Tensor | None) -> bool:
    ones_or_zeros = bool((weight == 1).all()) or bool((weight == 0).all())
    return ones_or_zeros and (bias is None or bool((bias == 0).all()))
