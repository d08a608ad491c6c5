"""Warnings about given encoders whose declared input does not fit the chips of a data set."""

from collections.abc import Iterator
from pathlib import Path

from ..data.pixel_statistics import input_problem, stored_statistics
from .plan import Plan


def input_warnings(plan: Plan, root: Path) -> Iterator[str]:
    """Yield a warning for each given encoder and data set that do not fit.

    Only packed data sets are compared; `root` is the store's folder.
    """
    for start, runs in plan.grouped():
        config = (start.planned.encoder or {}).get("input") or start.planned.config
        if not (start.planned.given and (config.get("mean") or config.get("std"))):
            continue
        for name in dict.fromkeys(entry.planned.dataset for entry in runs):
            known = plan.data.get(name)
            pixels = stored_statistics(name, known, root) if known else None
            if pixels and (problem := input_problem(
                pixels, config.get("mean"), config.get("std"), config.get("channel")
            )):  # fmt: skip
                yield (
                    f"{start.planned.row} on {name}: {problem}. If they are for another scale, "
                    "state others in its entry: mean = NUMBER and std = NUMBER, or [] for none"
                )
