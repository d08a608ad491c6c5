"""The critical-difference diagram of Demsar (2006)."""

import matplotlib as mpl
from matplotlib.figure import Figure

from ..statistics.ranks import Ranking
from .style import SETTINGS, figure, plain, width_of

AXIS_INCHES = 2.6
TICK_INCHES = 0.16  # at least, between two ranks


def ranks_figure(ranking: Ranking) -> Figure:
    """Draw mean ranks on a line, best on the left; bars join methods within the difference."""
    count = len(ranking.names)
    half = -(-count // 2)
    with mpl.rc_context(SETTINGS):
        names = [plain(name) for name in ranking.names]
        beside = width_of(names[:half], 8) + width_of(names[half:], 8) + 1.0  # with the ranks
        drawn = figure(max(AXIS_INCHES, TICK_INCHES * count) + beside,
                       1.0 + 0.19 * (half + len(ranking.groups)))  # fmt: skip
        axes = drawn.subplots()
        axes.set_axis_off()
        depth = 0.55 + 0.22 * len(ranking.groups)
        axes.hlines(0, 1, count, color="black", linewidth=1)
        for tick in range(1, count + 1):
            axes.vlines(tick, 0, 0.12, color="black", linewidth=1)
            axes.text(tick, 0.2, str(tick), ha="center", va="bottom")
        axes.hlines(0.75, 1, 1 + ranking.critical_difference, color="black", linewidth=1.5)
        axes.text(1 + ranking.critical_difference / 2, 0.82,
                  f"critical difference {ranking.critical_difference:.2f}",
                  ha="center", va="bottom", fontsize=7)  # fmt: skip
        for number, (name, rank) in enumerate(zip(names, ranking.ranks, strict=True)):
            left = number < half
            level = -depth - 0.3 * (number if left else count - 1 - number)
            end = 1 - 0.3 if left else count + 0.3
            axes.plot([rank, rank, end], [0, level, level], color="black", linewidth=0.8)
            label = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
            axes.text(end, level, f"{label} " if left else f" {label}", va="center",
                      ha="right" if left else "left")  # fmt: skip
        position = dict(zip(ranking.names, ranking.ranks, strict=True))
        for number, group in enumerate(ranking.groups):
            ends = [position[name] for name in group]
            axes.hlines(-0.25 - 0.2 * number, min(ends) - 0.03, max(ends) + 0.03,
                        color="black", linewidth=3)  # fmt: skip
        axes.set_xlim(0.7, count + 0.3)  # texts are outside
        axes.set_ylim(-depth - 0.3 * half, 1.25)
    return drawn
