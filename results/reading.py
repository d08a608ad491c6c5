"""The reading of one comparison, in words that cannot be taken for more than was tested."""

from dataclasses import dataclass

from .statistics.intervals import Interval
from .statistics.paired import Effect, PairedTest
from .statistics.units import FEWEST_GROUPS, FEWEST_SEEDS, Compares, Unit, labelled
from .ties import ALPHA

NOT_METHODS = "This compares checkpoints: nothing is claimed of the methods that made them."


@dataclass(frozen=True)
class Tested:
    """A difference in one column and its test, before correction for other columns.

    Attributes:
        unit: What the interval and the test run over.
        effect: Size of the difference; None where nothing pairs.
        test: Over the units; None where it cannot or must not be made.
        new_chips: Interval of the difference of two checkpoints for other draws of labelled chips
            and other test chips.
        why: Reason why there is no test.
        starts: Pretraining seeds of each side that has some to vary.
        draws: Draws of labelled chips; 0 with all labels.
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
    """The p of one column after Holm's correction.

    Attributes:
        p: Corrected; None without a test.
        smallest: The least that it could be, given the p of the other columns.
        family: Columns that are tested.
        columns: Columns that both rows have in the grid.
    """

    p: float | None
    smallest: float | None
    family: int
    columns: int

    @property
    def words(self) -> str:
        """The correction, as it stands after a p."""
        if self.family < self.columns:
            return (
                f" after Holm's correction over {self.family} of {self.columns} columns of the grid"
            )
        return f" after Holm's correction over {self.family} columns" if self.family > 1 else ""


def units_of(tested: Tested, n: int) -> str:
    """Return the units of a test in words, with their number; `n` is that of the test."""
    of_seeds = f"{' and '.join(map(str, tested.starts))} pretraining seeds"
    return {
        "seeds": f"{n} draws of labelled chips",
        "chips": f"{n} test chips (groups of near-duplicates)",
        "pretrain_seeds": of_seeds,
        "pretrain_seeds+chips": f"{of_seeds}, with the variance of test chips",
        "seeds+chips": (
            f"{tested.draws} draws of labelled chips and {n} test chips (groups of near-duplicates)"
        ),
    }[tested.unit]


def read_result(
    names: tuple[str, str],
    tested: Tested,
    corrected: Corrected,
    compares: Compares,
    single: tuple[bool, bool],
) -> str:
    """Return the sentences of one column; `single` marks the sides that have one checkpoint."""
    scope = _scope(tested, compares, "these two checkpoints" if all(single) else
                   "these checkpoints")  # fmt: skip
    test = tested.test
    if tested.effect is None or test is None or corrected.p is None:
        return f"Not tested: {tested.why}.{scope}"
    gap, words = tested.effect.difference, corrected.words
    if corrected.p > ALPHA:
        text = f"No difference shown (p = {corrected.p:.3g}{words})."
        if corrected.smallest is not None and corrected.smallest > ALPHA:
            text += (
                f" With {units_of(tested, test.n)} p cannot go below {corrected.smallest:.3g}"
                f"{words}: this comparison could not have shown a difference, however large."
            )
        elif gap.low is not None and gap.high is not None:
            text += (
                " That is not a proof that they are equal: taken alone, this column agrees with "
                f"differences from {100 * gap.low:+.1f} to {100 * gap.high:+.1f} points."
            )
        else:
            text += " That is not a proof that they are equal."
    else:
        higher, lower = names if gap.mean > 0 else names[::-1]
        text = f"{higher} is higher than {lower} by {100 * abs(gap.mean):.1f} points"
        if gap.low is not None and gap.high is not None and gap.low * gap.high > 0:
            low, high = sorted((abs(gap.low), abs(gap.high)))
            text += f" (95 % interval {100 * low:.1f} to {100 * high:.1f})"
        text += f", p = {corrected.p:.3g}{words}, over {units_of(tested, test.n)}."
    return text + scope + _new_chips(tested)


def _scope(tested: Tested, compares: Compares, checkpoints: str) -> str:
    """Return the sentence about the limits of the claim."""
    if compares == "checkpoints":
        return f" {NOT_METHODS}"
    if tested.unit == "pretrain_seeds":
        return f" This is on these test chips{labelled([tested.draws])}."
    if tested.unit == "pretrain_seeds+chips":
        return ""
    where = "on these test chips" if tested.unit == "seeds" else (
        "with the labelled chips of these runs"
    )  # fmt: skip
    return (
        f" One checkpoint is not a method: this is about {checkpoints} {where}, not about the "
        "methods."
    )


def _new_chips(tested: Tested) -> str:
    if tested.unit != "seeds":
        return ""
    interval = tested.new_chips
    if interval is None or interval.low is None or interval.high is None:
        return (
            f" Other test chips: no interval; it needs predictions of {FEWEST_SEEDS} draws (or "
            f"one) and {FEWEST_GROUPS} groups of test chips."
        )
    limits = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f} points"
    where = "outside" if interval.low > 0 or interval.high < 0 else "inside"
    return (
        f" For other draws of labelled chips and other test chips of this kind: {limits}; zero "
        f"is {where}."
    )
