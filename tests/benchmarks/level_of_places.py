"""Level and power of the test of places next to its alternatives: the table of docs/statistics.md.

python tests/benchmarks/level_of_places.py [--columns 2500]
"""

import argparse
from collections.abc import Callable

import numpy as np
import scipy.optimize
import scipy.stats

from sarbench.results.statistics.tukey import WIDE, range_p

ALPHA = 0.05
UNEQUAL: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda i: np.where(i % 2, 4.0, 1.0),
    lambda i: np.where(i % 2, 8.0, 1.0),
    lambda i: np.where(i == 1, 8.0, 1.0),
    lambda i: np.where((i == 1) | (i == 2), 4.0, 1.0),
    lambda i: np.where((i == 1) | (i == 2), 0.01, 1.0),
]


def separated(values: np.ndarray, test: str) -> np.ndarray:
    """Return the methods of each column that a test puts below the best: (columns, methods).

    Args:
        values: Columns, methods, pretraining seeds.
        test: ours, tukey, dunnett, games_howell or welch_holm.
    """
    columns, methods, seeds = values.shape
    mean, own = values.mean(axis=2), values.var(axis=2, ddof=1)
    row, best = np.arange(columns), mean.argmax(axis=1)
    gap = mean[row, best][:, None] - mean
    pooled, df = own.mean(axis=1, keepdims=True), float(methods * (seeds - 1))
    if test in ("tukey", "dunnett"):
        t = gap / np.sqrt(2 * pooled / seeds)
        if test == "dunnett":
            return t > dunnett(methods, df)
        return sf(t, methods, np.full_like(t, df)) <= ALPHA
    taken = np.maximum(own, pooled) if test == "ours" else own
    shared = own <= WIDE * pooled if test == "ours" else np.zeros_like(own, bool)
    best_taken, best_shared = taken[row, best][:, None], shared[row, best][:, None]
    together = np.where(shared, taken, 0) + np.where(best_shared, best_taken, 0)
    apart = np.where(shared, 0, taken**2) + np.where(best_shared, 0, best_taken**2)
    error = taken + best_taken
    degrees = error**2 / (together**2 / df + apart / (seeds - 1))
    t = gap / np.sqrt(error / seeds)
    if test != "welch_holm":
        return sf(t, methods, degrees) <= ALPHA
    p = 2 * scipy.stats.t.sf(t, degrees)
    p[row, best] = 2.0  # itself, last in the order
    order = np.argsort(p, axis=1)
    stepped = np.take_along_axis(p, order, axis=1) * np.arange(methods - 1, -1, -1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(stepped, axis=1), axis=1)
    adjusted[row, best] = 1.0
    return adjusted <= ALPHA


def sf(t: np.ndarray, methods: int, df: np.ndarray) -> np.ndarray:
    """Return the p of Tukey's range test."""
    p = [range_p(q, methods, d) for q, d in zip(np.sqrt(2) * t, df, strict=True)]
    return np.stack(p)


def dunnett(methods: int, df: float) -> float:
    """Return the one-sided critical value of Dunnett, as Hsu compares with the best."""
    node, weight = np.polynomial.legendre.leggauss(64)
    value, weight = 8 * node, 8 * weight * scipy.stats.norm.pdf(8 * node)
    spread = np.sqrt(scipy.stats.chi2.ppf((np.arange(400) + 0.5) / 400, df) / df)

    def excess(d: float) -> float:
        below = scipy.stats.norm.cdf(np.sqrt(2) * d * spread[:, None] + value) ** (methods - 1)
        return float((below @ weight).mean()) - (1 - ALPHA)

    return float(scipy.optimize.brentq(excess, 0, 30))


def main() -> None:
    """Print one line for each number of seeds and methods."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--columns", type=int, default=2500)
    columns, draw = parser.parse_args().columns, np.random.default_rng(4)
    tests = ("ours", "tukey", "dunnett", "games_howell", "welch_holm")
    print("| seeds | methods | " + " | ".join(tests) + " |")
    for seeds in (3, 5, 10):
        for methods in (4, 7, 10):
            noise = [draw.normal(size=(columns, methods, seeds))]
            for spread in UNEQUAL:
                width = spread(np.arange(methods))[:, None]
                noise.append(draw.normal(size=(columns, methods, seeds)) * width)
            entries = []
            for test in tests:
                level = [separated(part, test) for part in noise]
                some = [100 * found.any(axis=1).mean() for found in level]
                below = 100 * max(found.mean(axis=0).max() for found in level)
                ahead = [noise[0][: columns // 3].copy() for _ in range(2)]
                for part, gap in zip(ahead, (3, 5), strict=True):
                    part[:, 0] += gap
                power = [100 * separated(part, test)[:, 1:].mean() for part in ahead]
                entries.append(
                    f"{some[0]:.0f} / {max(some[1:]):.0f} / {below:.0f}; "
                    f"{power[0]:.0f}, {power[1]:.0f}"
                )
            print(f"| {seeds} | {methods} | {' | '.join(entries)} |", flush=True)


if __name__ == "__main__":
    main()
