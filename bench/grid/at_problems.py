"""Problems of `evaluate.at`, the shares of the steps after which encoders are evaluated."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from ..method_facts.method_info import MethodInfo
from ..store.progress import steps_of
from .expand import PlannedPretraining
from .schema import Grid, GridError
from .sweeps import AT
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
    if all(methods[entry.name].control for entry in grid.entries):
        yield (
            "evaluate.at is for encoders while they are trained, but the grid trains no method; "
            "leave it out, or name a method"
        )


def check_states(planned: Sequence[PlannedPretraining]) -> None:
    """Refuse shares that end before the first step of a training, and shares of the same step.

    Raises:
        GridError: With one line for each problem.
    """
    ends: dict[tuple[str, int], dict[float, int]] = {}
    for one in planned:
        if one.identity and AT in one.axes:
            whole = steps_of(replace(one.identity, at=None))
            training = ends.setdefault((one.without_at().row, whole), {})
            training[one.axes[AT]] = steps_of(one.identity)
    problems = [text for (row, whole), of in ends.items() for text in _problems(row, whole, of)]
    if problems:
        raise GridError("\n".join(problems))


def _problems(row: str, whole: int, ends: dict[float, int]) -> Iterator[str]:
    ordered = sorted(ends.items())
    for share, end in ordered:
        if end == 0:
            yield (
                f"evaluate.at: {share:g} of the {whole} steps of {row} is before its first step; "
                f"give {1 / whole:.2g} or more, or train longer"
            )
    for (share, end), (other, next_end) in pairwise(ordered):
        if end == next_end and end:
            yield (
                f"evaluate.at: {share:g} and {other:g} of the {whole} steps of {row} are both step "
                f"{end}; leave one of them out, or train longer"
            )
