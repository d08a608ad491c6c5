"""The difference of two rows in one column, and its test.

Unit and requirements are those of the table: rows are complete and fulfil their contract, and
methods have three pretraining seeds or more. Pretraining seeds of two methods are not paired, so
they are compared by Welch's test. A control without an encoder (raw pixels) has no pretraining
seeds; the other row is compared with it by Student's one-sample test. If a row has one checkpoint,
or if the grid compares checkpoints, the test is about these checkpoints: over draws of labelled
chips, if there are any, and over test chips.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .cells import Outcome, outcomes_of
from .conclusions import Tested
from .scores import ChipSource, Column, Score, starts_of
from .statistics.intervals import (
    Interval,
    Variance,
    add,
    seed_variance,
    single_score,
    with_chips,
)
from .statistics.paired import Effect, PairedTest, chip_test, effect, sign_flip
from .statistics.units import (
    FEWEST_GROUPS,
    FEWEST_PRETRAINED,
    FEWEST_SEEDS,
    Compares,
    Unit,
    unit_of,
)

Cell = Sequence[Score]


def column_difference(
    column: Column,
    a: Cell,
    b: Cell,
    metric: str,
    chips: ChipSource | None,
    rng: np.random.Generator,
    *,
    compares: Compares = "methods",
) -> Tested:
    """Return the test of one column over the unit of `statistics/units.py`."""
    starts = tuple(starts_of(cell) for cell in (a, b) if not _without_seeds(cell))
    draws = min(len({score.seed for score in cell}) for cell in (a, b))
    outcomes = outcomes_of({"a": a, "b": b}, compares, metric, chips)
    unit: Unit = unit_of(
        compares, column.shots, min(starts, default=1), stored=outcomes is not None
    )
    if unit == "seeds" and draws == 1 and compares == "methods":  # only test chips can vary
        unit = "chips"
    draws = 0 if column.shots == "all" else draws
    sides = shared_values(a, b, lambda score: score.values.get(metric))
    if sides is None:
        return Tested(unit, starts=starts, draws=draws)
    gap = float(sides[0].mean() - sides[1].mean())

    def tested(
        why: str = "",
        found: tuple[Effect, PairedTest] | None = None,
        new_chips: Interval | None = None,
    ) -> Tested:
        size, test = found or (Effect(single_score(gap), None), None)
        return Tested(unit, size, test, new_chips, why, starts, draws)

    if why := _unmet(a, b, metric, unit, starts):
        return tested(why)
    if unit in ("pretrain_seeds", "pretrain_seeds+chips"):
        parts = [
            seed_variance(side.mean(axis=1))
            for side, cell in zip(sides, (a, b), strict=True)
            if not _without_seeds(cell)
        ]
        of_chips = outcomes["a"].variance("chips", outcomes["b"]) if outcomes else None
        unit = "pretrain_seeds+chips" if of_chips else "pretrain_seeds"
        variance = with_chips(add(*parts), of_chips) if of_chips else add(*parts)
        if variance.value < 1e-18:  # all scores are equal up to rounding
            return tested("the scores do not vary")
        return tested(found=_student(gap, variance, sum(starts)))
    if outcomes is None:  # tests of checkpoints need them in columns with draws too
        outcomes = outcomes_of({"a": a, "b": b}, "checkpoints", metric, chips)
    both = (outcomes["a"], outcomes["b"]) if outcomes else None
    if unit == "seeds" and compares == "methods":
        differences = sides[0].mean(axis=0) - sides[1].mean(axis=0)
        return tested(
            found=(effect(differences), sign_flip(differences, rng)),
            new_chips=_interval(gap, _variance("seeds+chips", both), len(differences)),
        )
    variance = _variance("chips" if unit == "chips" else "seeds+chips", both)
    if both and compares == "methods" and metric == "accuracy" and len(a) == len(b) == 1:
        exact = chip_test(both[0].shares > 0.5, both[1].shares > 0.5, both[0].groups)
        size = _interval(gap, variance, both[0].group_count) or single_score(gap)
        return tested(found=(Effect(size, None), exact))
    if both is None or variance is None:
        return tested(_no_chips(unit))
    return tested(found=_student(gap, variance, both[0].group_count))


def _variance(unit: Unit, both: tuple[Outcome, Outcome] | None) -> Variance | None:
    """Return the variance of the difference over the unit."""
    return both[0].variance(unit, both[1]) if both else None


def _interval(gap: float, variance: Variance | None, n: int) -> Interval | None:
    if variance is None:
        return None
    return Interval(gap, gap - variance.half(), gap + variance.half(), n)


def _student(gap: float, variance: Variance, n: int) -> tuple[Effect, PairedTest]:
    """Return a difference with its interval, and the two-sided test that it is 0."""
    half = variance.half()
    size = Effect(Interval(gap, gap - half, gap + half, n), None)
    return size, PairedTest(variance.p(gap), 0.0, n, False)


def _unmet(a: Cell, b: Cell, metric: str, unit: Unit, starts: Sequence[int]) -> str:
    """Return the requirement that two rows do not fulfil; empty if they fulfil all."""
    for cell in (a, b):
        if cell[0].fails_contract:
            name = cell[0].name or cell[0].method
            return f"{cell[0].method} fails its contract (`sarbench methods check {name}`)"
    if any(metric not in score.values for cell in (a, b) for score in cell):
        counts = f"{count_runs(a, metric)} and {count_runs(b, metric)}"
        return f"only complete rows are tested (finished runs: {counts})"
    if unit.startswith("pretrain_seeds") and min(starts) < FEWEST_PRETRAINED:
        found = " and ".join(map(str, starts))
        return (
            f"a comparison of methods needs {FEWEST_PRETRAINED} pretraining seeds or more of each "
            f"(`seeds` under [pretrain]); these have {found}"
        )
    return ""


def _no_chips(unit: Unit) -> str:
    draws = "" if unit == "chips" else f", {FEWEST_SEEDS} draws of labelled chips"
    over = "test chips" if unit == "chips" else "labelled chips and test chips"
    return (
        f"a test over {over} needs accuracy or balanced accuracy, predictions{draws} and "
        f"{FEWEST_GROUPS} groups of test chips"
    )


def shared_values(
    a: Cell, b: Cell, value: Callable[[Score], Any]
) -> tuple[Float[np.ndarray, "A S"], Float[np.ndarray, "B S"]] | None:
    """Return the values of both sides, pretraining seeds x evaluation seeds; None without a pair.

    Only evaluation seeds of all pretraining seeds of both sides are used, because these share
    their labelled chips. A pretraining seed without a value is left out.
    """
    sides: list[list[dict[int, Any]]] = []
    for cell in (a, b):
        starts: dict[int, dict[int, Any]] = {}
        for score in cell:
            if (one := value(score)) is not None:
                starts.setdefault(score.pretrain_seed, {})[score.seed] = one
        sides.append([starts[start] for start in sorted(starts)])
    if not all(sides):
        return None
    seeds = sorted(set.intersection(*(set(start) for side in sides for start in side)))
    if not seeds:
        return None
    of_a, of_b = (
        np.array([[start[seed] for seed in seeds] for start in side], dtype=np.float64)
        for side in sides
    )
    return of_a, of_b


def _without_seeds(cell: Cell) -> bool:
    """Return True for a control without an encoder, which has no pretraining seed."""
    return all(score.control and score.encoder is None for score in cell)


def count_runs(cell: Cell, metric: str) -> str:
    """Return the finished runs of a cell and the runs in the grid, as `3/4`."""
    return f"{sum(metric in score.values for score in cell)}/{len(cell)}"
