"""Coverage of intervals over pretraining seeds and test chips: the table of docs/statistics.md.

python tests/benchmarks/coverage_over_chips.py [--tables 20000]
"""

import argparse
from collections.abc import Sequence

import numpy as np
from scipy.special import erf

from sarbench.results.statistics.intervals import Variance, add, with_chips

DF_CHIPS = 300  # effective number of groups of test chips
RATIOS = (0, 0.03, 0.1, 0.3, 1, 3, 10)  # variance of the mean over chips / over seeds
CASES = [(ratio, 0.0) for ratio in RATIOS] + [(1, 1.0)]  # the last with as much interaction
# pretraining seeds of each side, and the standard deviation of one of its scores
ROWS: dict[str, list[tuple[int, float]]] = {
    **{f"a method, {seeds} seeds": [(seeds, 1.0)] for seeds in (2, 3, 5, 10)},
    **{f"two methods, {seeds} seeds": [(seeds, 1.0)] * 2 for seeds in (3, 5, 10)},
    "two methods, 3 seeds, one 4 times as wide": [(3, 1.0), (3, 4.0)],
    "two methods, 3 seeds, one without spread": [(3, 1.0), (3, 0.0)],
}


def coverage(
    sides: Sequence[tuple[int, float]],
    ratio: float,
    interaction: float,
    tables: int,
    draw: np.random.Generator,
) -> tuple[float, float]:
    """Return the coverage of the sum of variances alone, and of our interval.

    The spread of the seeds and that of the chips both contain their interaction. Given both, the
    coverage is that of a normal mean, so only the variances are drawn.

    Args:
        sides: Pretraining seeds, and standard deviation of one score, of each side.
        ratio: Variance of the mean, or of the difference, over chips divided by that over seeds.
        interaction: Variance of the interaction of seeds and chips divided by that over seeds.
        tables: Number of simulated cells.
        draw: The random numbers.
    """
    true = [width**2 / seeds for seeds, width in sides]
    error = np.sqrt(sum(true) * (1 + ratio + interaction))
    of_chips = sum(true) * (ratio + interaction) * draw.chisquare(DF_CHIPS, tables) / DF_CHIPS
    of_seeds = [
        value * (1 + interaction) * draw.chisquare(seeds - 1, tables) / (seeds - 1)
        for value, (seeds, _) in zip(true, sides, strict=True)
    ]
    covered = np.zeros(2)
    for chips, *seeds in zip(of_chips, *of_seeds, strict=True):
        part = add(*(Variance(value, n - 1) for value, (n, _) in zip(seeds, sides, strict=True)))
        over_chips = Variance(chips, DF_CHIPS)
        both = add(part, over_chips), with_chips(part, over_chips)
        covered += erf(np.array([variance.half() for variance in both]) / np.sqrt(2) / error)
    alone, ours = covered / tables
    return float(alone), float(ours)


def main() -> None:
    """Print one line for each pair of sides."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", type=int, default=20_000)
    tables, draw = parser.parse_args().tables, np.random.default_rng(4)
    print("| interval of | " + " | ".join(map(str, RATIOS)) + " | 1, interaction |")
    for name, sides in ROWS.items():
        entries = []
        for ratio, interaction in CASES:
            found = coverage(sides, ratio, interaction, tables, draw)
            entries.append(" / ".join(f"{100 * share:.1f}" for share in found))
        print(f"| {name} | {' | '.join(entries)} |", flush=True)


if __name__ == "__main__":
    main()
