"""Labels that the best encoders doubt, against a case by hand."""

from dataclasses import replace

import numpy as np
import pytest
from made_records import make_record
from small_plans import make_plan

from sarbench.bench.data.splits import Split
from sarbench.bench.reporting.label_audit import label_audit
from sarbench.bench.suggest import RequestError

CLASSES = ("bus", "tank", "truck")
# (accuracy, called classes of the four test chips) of two runs of each row
CALLED = {
    "M0": [(0.9, [0, 1, 1, 2]), (0.9, [0, 1, 1, 0])],
    "M1": [(0.8, [0, 1, 1, 2]), (0.8, [0, 1, 1, 0])],
    "M2": [(0.7, [0, 1, 1, 2]), (0.7, [0, 1, 1, 0])],
    "M3": [(0.1, [1, 1, 2, 0]), (0.1, [1, 1, 1, 0])],
}


class Predictions:
    """The predictions above, of a data set with four test chips and two of training."""

    def __init__(self, called: dict[str, np.ndarray]) -> None:
        self.called = called

    def split(self, dataset: str) -> Split:
        return Split(
            np.array(list("abcdef")), np.array([0, 1, 2, 2, 0, 1]),
            np.array([True] * 4 + [False] * 2), CLASSES,
        )  # fmt: skip

    def predicted(self, key: str) -> np.ndarray:
        return self.called[key]


def made(rows: int, controls: int = 0):
    """Return the plan and the predictions of the first rows; the last ones may be controls."""
    plan = make_plan(2, trained=rows, untrained=0)
    called = {}
    for number, (start, runs) in enumerate(plan.grouped()):
        for seed, (entry, (accuracy, classes)) in enumerate(
            zip(runs, CALLED[start.planned.row], strict=True)
        ):
            entry.set("done")
            entry.record = make_record(10 * number + seed, accuracy)
            called[entry.record.key] = np.array(classes)
    from small_grids import METHODS

    methods = {
        f"m{number}": replace(METHODS["mae"], control=number >= rows - controls)
        for number in range(rows)
    }
    return replace(plan, methods=methods), Predictions(called)


def test_a_chip_is_doubted_if_all_runs_of_the_best_rows_agree_on_another_class():
    plan, predictions = made(4)
    found = label_audit(plan, predictions, "d")
    assert found.encoders == (("M0", 0.9), ("M1", 0.8), ("M2", 0.7))
    assert (found.runs, found.of) == (6, 4)
    # c is a truck that all call a tank; of d, a truck, one run in two says bus
    assert [(one.chip_id, one.label, one.called) for one in found.chips] == [("c", "truck", "tank")]
    assert found.chips[0].agreeing == pytest.approx(7 / 8)
    assert found.wrong == pytest.approx((6 + 3) / 24)


def test_a_control_does_not_count():
    found = label_audit(*made(3, controls=1), "d")
    assert [row for row, _ in found.encoders] == ["M0", "M1"]


def test_one_row_is_not_enough():
    with pytest.raises(RequestError, match=r"2 ranked rows on d, which are needed.*runs on d"):
        label_audit(*made(1), "d")
