"""The reading of one comparison, in words that cannot be taken for more than was tested."""

from typing import Literal

from .paired import PairedTest
from .stats import Interval
from .ties import ALPHA
from .two_way import FEWEST_GROUPS, FEWEST_SEEDS

Unit = Literal["seeds", "chips", "pretrain_seeds", "pretrain_seeds+chips"]
WORDS: dict[Unit, str] = {
    "seeds": "draws of labelled chips",
    "chips": "test chips (groups of near-duplicates)",
    "pretrain_seeds": "pretraining seeds",
    "pretrain_seeds+chips": "pretraining seeds, with the variance of test chips",
}


def read_result(
    names: tuple[str, str],
    unit: Unit,
    gap: Interval,
    test: PairedTest | None,
    p_holm: float | None,
    smallest: float | None,
    family: int,
    new_chips: Interval | None,
    single: tuple[bool, bool],
) -> str:
    """Return the sentences of one column; `single` tells the sides that have one checkpoint."""
    scope = _scope(unit, "these two checkpoints" if all(single) else "these checkpoints")
    if test is None or p_holm is None or smallest is None:
        return _untested(unit) + scope
    family_text = f" after Holm's correction over {family} columns" if family > 1 else ""
    if p_holm > ALPHA:
        text = f"No difference shown (p = {p_holm:.3g}{family_text})."
        if smallest > ALPHA:
            text += (
                f" With {test.n} {WORDS[unit]} p cannot go below {smallest:.3g}{family_text}: "
                "this comparison could not have shown a difference, however large."
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
        text += f", p = {p_holm:.3g}{family_text}, over {test.n} {WORDS[unit]}."
    return text + scope + _new_images(unit, new_chips)


def _untested(unit: Unit) -> str:
    if unit == "chips":
        return (
            "Not tested: labelled chips do not vary here, and a test over test chips needs "
            f"accuracy, predictions and {FEWEST_GROUPS} groups of test chips."
        )
    return (
        "Not tested: a test over pretraining seeds needs 2 finished ones of each method, and "
        "scores that vary."
    )


def _scope(unit: Unit, checkpoints: str) -> str:
    """Return the sentence about the limits of the claim."""
    if unit == "pretrain_seeds":
        return " This is about these test images."
    if unit == "pretrain_seeds+chips":
        return ""
    where = "on these test images" if unit == "seeds" else "with the labelled chips of these runs"
    return (
        f" One checkpoint is not a method: this is about {checkpoints} {where}, not about the "
        "methods."
    )


def _new_images(unit: Unit, interval: Interval | None) -> str:
    if unit != "seeds":
        return ""
    if interval is None or interval.low is None or interval.high is None:
        return (
            f" Other test images: no interval; it needs predictions of {FEWEST_SEEDS} draws (or "
            f"one) and {FEWEST_GROUPS} groups of test chips."
        )
    limits = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f} points of accuracy"
    where = "outside" if interval.low > 0 or interval.high < 0 else "inside"
    return (
        f" For other draws of labelled chips and other test images of this kind: {limits}; zero "
        f"is {where}."
    )
