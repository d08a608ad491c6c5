"""Warnings about given encoders: what they have seen, their weights, their declared input."""

from collections.abc import Iterator
from pathlib import Path

from ..data.pixel_statistics import input_problem, stored_statistics
from ..given_file import LOOKS_UNTRAINED
from ..given_identity import input_of
from ..grid.seen_names import seen_warnings
from .plan import Plan


def given_warnings(plan: Plan, root: Path) -> Iterator[str]:
    """Yield all warnings about the given encoders of a plan; `root` is the store's folder."""
    yield from seen_warnings(plan.grid)
    for row in dict.fromkeys(
        one.planned.row
        for one in plan.pretrain
        if one.planned.given and one.planned.given.untrained
    ):
        yield (
            f"{row}: its file {LOOKS_UNTRAINED}. "
            "Tables say so, and rank it as any other; take the file of a trained encoder if you "
            "have one"
        )
    yield from _input_warnings(plan, root)


def _input_warnings(plan: Plan, root: Path) -> Iterator[str]:
    """Yield a warning for each given encoder and data set that do not fit.

    Only packed data sets are compared; `root` is the store's folder.
    """
    for start, runs in plan.grouped():
        if not start.planned.given:
            continue
        declared = input_of(start.planned.encoder, start.planned.config)
        for name in dict.fromkeys(entry.planned.dataset for entry in runs):
            known = plan.data.get(name)
            pixels = stored_statistics(name, known, root) if known else None
            if pixels and (problem := input_problem(pixels, declared)):
                yield (
                    f"{start.planned.row} on {name}: {problem}. If the declared mean and "
                    "deviation are for another scale, state others in its entry: mean = NUMBER "
                    "and std = NUMBER, or [] for none"
                )
