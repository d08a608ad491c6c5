"""The conclusion of one comparison: its result in words, and the limits of the claim."""

from dataclasses import dataclass

from .metric import Metric
from .places import ALPHA
from .statistics.intervals import Interval
from .statistics.paired import Effect, PairedTest
from .statistics.units import FEWEST_GROUPS, FEWEST_SEEDS, Compares, Unit, labelled

NOT_METHODS = "This compares checkpoints; it makes no claim about their methods."


@dataclass(frozen=True)
class Tested:
    """A difference in one column and its test, before correction for other columns.

    Attributes:
        unit: Unit of the interval and the test.
        effect: Size of the difference; None without a pair of runs.
        test: Test over the units; None where the data do not allow one.
        new_chips: Interval of the difference of two checkpoints for other draws of labelled chips
            and other test chips.
        why: Reason for a missing test.
        starts: Number of pretraining seeds of each side, without controls that have none.
        draws: Number of draws of labelled chips; 0 with all labels.
    """

    unit: Unit
    effect: Effect | None = None
    test: PairedTest | None = None
    new_chips: Interval | None = None
    why: str = ""
    starts: tuple[int, ...] = ()
    draws: int = 0


@dataclass(frozen=True)
class Corrected:
    """The p-value of one column after Holm's correction.

    Attributes:
        p: Corrected p-value; None without a test.
        smallest: Smallest attainable value, given the p-values of the other columns.
        family: Number of tested columns.
        columns: Number of columns of the grid that both rows have.
    """

    p: float | None
    smallest: float | None
    family: int
    columns: int

    @property
    def words(self) -> str:
        """The correction in words, to follow a p-value."""
        if self.family < self.columns:
            return (
                f" after Holm's correction over {self.family} of {self.columns} columns of the grid"
            )
        return f" after Holm's correction over {self.family} columns" if self.family > 1 else ""


@dataclass(frozen=True)
class Conclusion:
    """The sentences of one column.

    Attributes:
        claim: Result of the test.
        scope: Limits of the claim; the same for columns with the same unit.
        new_chips: Statement on other draws of labelled chips and other test chips.
    """

    claim: str
    scope: str = ""
    new_chips: str = ""

    def __str__(self) -> str:
        """Return the whole text."""
        return " ".join(filter(None, (self.claim, self.scope, self.new_chips)))


def units_of(tested: Tested, test: PairedTest) -> str:
    """Return the units of a test in words."""
    n = test.n
    differing = " with different results" * test.exact  # the exact test leaves out the others
    of_chips = f"{n} test chips{differing}, near-duplicates counted once"
    of_seeds = f"{' and '.join(map(str, tested.starts))} pretraining seeds"
    return {
        "seeds": f"{n} draws of labelled chips",
        "chips": of_chips,
        "pretrain_seeds": of_seeds,
        "pretrain_seeds+chips": f"{of_seeds}, with the variance of test chips",
        "seeds+chips": f"{tested.draws} draws of labelled chips and {of_chips}",
    }[tested.unit]


def conclude(
    names: tuple[str, str],
    tested: Tested,
    corrected: Corrected,
    compares: Compares,
    single: tuple[bool, bool],
    metric: Metric,
) -> Conclusion:
    """Return the sentences of one column; `single` marks the sides with one checkpoint."""
    scope = _scope(tested, compares, "these two checkpoints" if all(single) else
                   "these checkpoints")  # fmt: skip
    test = tested.test
    if tested.effect is None or test is None or corrected.p is None:
        return Conclusion(f"Not tested: {tested.why}.", scope)
    gap, words = tested.effect.difference, corrected.words
    if corrected.p > ALPHA:
        text = f"No significant difference (p = {corrected.p:.3g}{words})."
        if corrected.smallest is not None and corrected.smallest > ALPHA:
            text += (
                f" With {units_of(tested, test)} p cannot be below {corrected.smallest:.3g}"
                f"{words}: no difference, however large, would be significant."
            )
        elif gap.low is not None and gap.high is not None:
            text += (
                " This does not show that they are equal: by itself, this column is compatible "
                f"with differences from {metric.signed(gap.low)} to {metric.signed(gap.high)}"
                f"{metric.points}."
            )
        else:
            text += " This does not show that they are equal."
    else:
        better, other = names if metric.sign * gap.mean > 0 else names[::-1]
        word = "lower" if metric.lower_is_better else "higher"
        text = f"{better} is {word} than {other} by {metric.text(abs(gap.mean))}{metric.points}"
        if gap.low is not None and gap.high is not None and gap.low * gap.high > 0:
            low, high = sorted((abs(gap.low), abs(gap.high)))
            text += f" (95% interval {metric.text(low)} to {metric.text(high)})"
        text += f", p = {corrected.p:.3g}{words}, over {units_of(tested, test)}."
    return Conclusion(text, scope, _new_chips(tested, metric))


def _scope(tested: Tested, compares: Compares, checkpoints: str) -> str:
    """Return the sentence about the limits of the claim."""
    if compares == "checkpoints":
        return NOT_METHODS
    if tested.unit == "pretrain_seeds":
        return f"The result holds for these test chips{labelled([tested.draws])}."
    if tested.unit == "pretrain_seeds+chips":
        return ""
    where = "these test chips" if tested.unit == "seeds" else "the labelled chips of these runs"
    return (
        f"The result holds for {checkpoints} and {where}, not for the methods: one checkpoint does "
        "not represent its method."
    )


def _new_chips(tested: Tested, metric: Metric) -> str:
    if tested.unit != "seeds":
        return ""
    interval = tested.new_chips
    if interval is None or interval.low is None or interval.high is None:
        return (
            f"No interval for other test chips: it needs predictions of {FEWEST_SEEDS} draws (or "
            f"one) and {FEWEST_GROUPS} groups of test chips."
        )
    limits = f"{metric.signed(interval.low)} to {metric.signed(interval.high)}{metric.points}"
    where = "outside" if interval.low > 0 or interval.high < 0 else "inside"
    return (
        "Interval for other draws of labelled chips and other test chips of this kind: "
        f"{limits}; zero is {where}."
    )
