"""Warnings of grids whose tables can claim little."""

from ...results.statistics.units import FEWEST_PRETRAINED, FEWEST_SEEDS
from .schema import Grid, seeds_of


def claim_warning(grid: Grid) -> str | None:
    """Return a warning if tables cannot rank rows, for lack of pretraining seeds or draws."""
    if grid.compare == "checkpoints":
        return _draws_warning(grid)
    count = len(seeds_of(grid.pretrain.seeds))
    if not grid.methods or count >= FEWEST_PRETRAINED:
        return None
    return (
        f"{count} pretraining seed{'s' * (count > 1)}: tables will show no places and no mean "
        f"ranks, because one checkpoint is not a method; set seeds = {FEWEST_PRETRAINED} or more "
        'under [pretrain], or compare = "checkpoints" at the top of the grid'
    )


def _draws_warning(grid: Grid) -> str | None:
    """Return a warning if a protocol has too few draws of labelled chips to test checkpoints."""
    few = {}
    for name, protocol in grid.evaluate.protocols.items():
        seeds = seeds_of(grid.evaluate.seeds if protocol.seeds is None else protocol.seeds)
        if any(shots != "all" for shots in protocol.shots) and len(seeds) < FEWEST_SEEDS:
            few[name] = len(seeds)
    if not few:
        return None
    listed = ", ".join(f"{name} with {count}" for name, count in few.items())
    return (
        f"too few draws of labelled chips ({listed}): tables will show no ±, no places and no mean "
        f"ranks of such columns, because an interval of checkpoints takes {FEWEST_SEEDS} draws or "
        f"more; set seeds = {FEWEST_SEEDS} or more under [evaluate]"
    )
