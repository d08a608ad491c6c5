"""A fingerprint of encoders that were never trained."""

from torch import nn

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)  # pyright: ignore[reportPrivateUsage]


def looks_untrained(encoder: nn.Module) -> bool:
    """Return whether every norm has weights of exactly 1 and biases of exactly 0.

    Every library draws matrices at random and begins with these values, and one step of an
    optimiser moves them. A network without norms is never called untrained.
    """
    norms = [one for one in encoder.modules() if isinstance(one, NORMS) and one.weight is not None]
    return bool(norms) and all(
        bool((one.weight == 1).all()) and (one.bias is None or bool((one.bias == 0).all()))
        for one in norms
    )
