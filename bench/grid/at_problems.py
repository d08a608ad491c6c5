"""Problems of `evaluate.at`, the shares of the steps after which encoders are evaluated."""

from collections.abc import Iterator
from itertools import pairwise

from ..method_facts.method_info import MethodInfo
from ..store.progress import steps_at
from .schema import Grid
from .value_problems import list_problems

EXAMPLE = "for example at = [0.1, 0.3, 1.0]"


def share_problems(grid: Grid, methods: dict[str, MethodInfo]) -> Iterator[str]:
    """Yield shares out of range or given twice, and shares of a grid that trains nothing."""
    at = grid.evaluate.at
    if at is None:
        return
    yield from list_problems("evaluate.at", at, "share")
    for share in at:
        if not 0 < share <= 1:  # NaN too
            yield f"evaluate.at must be shares of the steps in (0, 1], got {share:g}; {EXAMPLE}"
    entries = (*grid.methods, *grid.controls)
    if all(methods[entry.name].control for entry in entries):
        yield (
            "evaluate.at is for encoders while they are trained, but the grid trains no method; "
            "leave it out, or name a method"
        )


def at_problems(grid: Grid, name: str, steps: int) -> Iterator[str]:
    """Yield shares that end before the first step of a training, and shares of the same step."""
    shares = sorted(grid.evaluate.at or [])
    ends = [(share, steps_at(share, steps)) for share in shares]
    for share, end in ends:
        if end == 0:
            yield (
                f"evaluate.at: {share:g} of the {steps} steps of {name} is before its first step; "
                f"give {1 / steps:.2g} or more, or train longer"
            )
    for (share, end), (other, next_end) in pairwise(ends):
        if end == next_end and end:
            yield (
                f"evaluate.at: {share:g} and {other:g} of the {steps} steps of {name} are both "
                f"step {end}; leave one of them out, or train longer"
            )
