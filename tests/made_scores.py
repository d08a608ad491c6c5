"""Scores made by hand."""

import numpy as np
import scipy.stats

from sarbench.results.scores import Column, Score
from sarbench.results.tables.render import render

DRAWN, WHOLE = Column("synthetic", "linear", 10), Column("synthetic", "linear", "all")


def score(method, value, *, start=0, seed=0, column=DRAWN, state="done", **more):
    return Score(
        method=method, control=more.pop("control", False), unconfirmed=False, pretrain_seed=start,
        seed=seed, state=state, values={} if value is None else {"accuracy": value},
        **Column(*column)._asdict(), **more,
    )  # fmt: skip


def cell_scores(method, starts, column=DRAWN, **more):
    """Return two evaluation seeds of each pretraining seed, of the given means."""
    return [
        score(method, value + wobble, start=start, seed=seed, column=column, **more)
        for start, value in enumerate(starts)
        for seed, wobble in enumerate((-0.001, 0.001))
    ]


class Chips:
    """Outcomes of M chips: chip j of a run with accuracy a is right if j/M < a, after a shift."""

    def __init__(self, count=200, groups=None, shift=0, classes=None):
        self.count, self.of_group, self.shift, self.of_class = count, groups, shift, classes

    def right(self, score):
        right = np.arange(self.count) < round(score.values["accuracy"] * self.count)
        return np.roll(right, self.shift * (score.seed + 7 * len(score.method)))

    def groups(self, dataset):
        return self.of_group

    def classes(self, dataset):
        return self.of_class


def two_way_limits(found):
    """Return the limits of the 95% Student interval of a mean over seeds and test chips."""
    mean, variance = found
    half = scipy.stats.t.ppf(0.975, variance.df) * np.sqrt(variance.value)
    return mean - half, mean + half


def said(board, style="text"):
    """Return a table with its notes on one line."""
    return " ".join(render(board, style, notes=True).split())
