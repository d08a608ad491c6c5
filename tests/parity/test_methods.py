"""Methods equal their published code, whose results are in `methods/`.

`make_methods.py` makes the files. The last test makes them again where a checkout is named.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from parity.checkouts import MissingCheckoutError, code_of
from parity.frozen import FOLDER, LIMITS, differences, inputs_digest, load
from parity.inputs import rounded_chip
from parity.methods_table import END, PAGE, START
from parity.our_methods import CASES
from sarbench.methods import get
from sarbench.methods._gradients import orientation_histograms, sobel_gradients

QUICK = ("mae", "lomar", "i_jepa", "fg_mae", "sar_jepa", "vicreg", "dino")  # others are slow ones
STEPS = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("name", CASES)
def test_the_inputs_are_those_of_the_files(name):
    assert inputs_digest(name) == load(FOLDER / f"{name}.npz")[2], "run make_methods.py again"


def above(found: dict[str, float]) -> dict[str, str]:
    """Return the differences above their limits."""
    return {kind: f"{value:.1e}" for kind, value in found.items() if not value <= LIMITS[kind]}


@pytest.mark.parametrize("name", STEPS)
def test_ten_steps_equal_those_of_the_published_code(name):
    found = differences(name)
    assert {"tokens", "predictions", "losses", "weights"} <= set(found)
    assert "targets" in found or name in ("vicreg", "lejepa")  # which predict other crops
    assert above(found) == {}


def test_fg_mae_differs_where_rounding_chooses_between_the_first_and_the_last_bin():
    """A Sobel difference x of 0 is on the border of bins 0 and 8, for any y.

    Ours is exactly 0 there. The convolution of the source leaves a rounding error, whose sign
    decides. Elsewhere, and in the sum of the two bins, the histograms agree.
    """
    theirs = np.load(FOLDER / "fg_mae_histograms.npy")  # (9, 2, 28)
    gradients = sobel_gradients(rounded_chip())
    ours = orientation_histograms(gradients, 8, 16)[0, :, :2].numpy()
    zero = (gradients[0, 0, :16] == 0).numpy().reshape(2, 8, 28, 8).any(axis=(1, 3))
    assert zero[:, [0, -1]].all()  # columns are mirrored at the border
    assert not zero.all()
    wrong = np.abs(ours - of_unit_length(theirs)).max(axis=0) > 1e-5
    assert wrong[zero].any()
    assert not wrong[~zero].any()
    for one in (ours, theirs):
        one[0] += one[8]
        one[8] = 0
    np.testing.assert_allclose(of_unit_length(ours), of_unit_length(theirs), atol=1e-5)


def of_unit_length(histograms):
    return histograms / np.linalg.norm(histograms, axis=0)


def test_the_table_in_the_readme_has_every_method_and_keeps_the_limits():
    table = PAGE.read_text("utf-8").partition(START)[2].partition(END)[0].strip().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert rows[0][1:] == list(LIMITS)
    assert [row[0] for row in rows[2:-1]] == [get(name).label for name in CASES]
    for row in rows[2:]:
        found = {kind: float(cell) for kind, cell in zip(LIMITS, row[1:], strict=True) if cell}
        assert above(found) == {}


def test_another_target_is_seen(monkeypatch):
    monkeypatch.setitem(CASES["mae"].config, "standardise", True)
    assert {"targets", "losses", "weights", "change of weights"} == set(above(differences("mae")))


@pytest.mark.parametrize("name", CASES)
def test_the_published_code_still_gives_the_files(name, tmp_path):
    try:
        code_of(name)
    except MissingCheckoutError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "parity.make_methods", name, "--out", str(tmp_path)]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True)
    assert above(differences(name, tmp_path / f"{name}.npz")) == {}
    made, frozen = (load(folder / f"{name}.npz")[0] for folder in (tmp_path, FOLDER))
    for draw, wanted in zip(made, frozen, strict=True):
        assert all(np.array_equal(draw[kind], wanted[kind]) for kind in draw | wanted)
