"""A file of given weights, and the values that a person states about it."""

from dataclasses import asdict, dataclass, fields
from typing import Any

MOST_PX = 4096  # of an input; a larger one makes more patches than a memory holds
LOOKS_UNTRAINED = "looks untrained: every norm has weights of 1 (or 0) and biases of 0"


@dataclass(frozen=True)
class Stated:
    """Values that a person states about a file; None = as the file or its layout says.

    Attributes:
        heads: Attention heads of a block.
        input_px: Side of the input; positions are resized to it.
        part: Which encoder of a file with two.
        encoder: A network of timm, `timm:NAME` or `timm:NAME@PX`.
        channel: Index of the only channel that a chip is given to.
        mean: One value, or one for each channel; an empty tuple = not subtracted.
        std: The same for the deviation.
    """

    heads: int | None = None
    input_px: int | None = None
    part: str | None = None
    encoder: str | None = None
    channel: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the values that are stated, as plain JSON values."""
        stated = {name: value for name, value in asdict(self).items() if value is not None}
        return {n: list(one) if isinstance(one, tuple) else one for n, one in stated.items()}


NOTHING_STATED = Stated()
STATED_NAMES = tuple(field.name for field in fields(Stated))


@dataclass(frozen=True)
class GivenFile:
    """The file of given weights. Its digest is in the identity of the pretraining, not its path."""

    path: str
    stated: Stated
