"""`linear` and `few_shot` equal the trainers of the paper, whose results are in `protocols/`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import ks_2samp

from parity.checkouts import MissingCheckoutError, checkout
from parity.effects import CROP_PX, by_pillow, ours
from parity.inputs import labelled_chips
from parity.make_protocols import FOLDER
from parity.our_protocols import outcome
from parity.reference_protocols import CHECKOUT, CLASSES, TRAINERS
from sarbench.bench.data.images import centre_crop
from sarbench.bench.seeding import torch_stream
from sarbench.protocols._settings import FewShot, Linear
from sarbench.protocols._training import head_weight

SETTINGS = {"linear": Linear(), "few_shot": FewShot()}


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def largest(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference relative to the largest absolute value."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def check(name: str, theirs: dict[str, np.ndarray]) -> None:
    """Check everything that the paper's trainer computes."""
    found, predictions = outcome(name, theirs)
    wanted = {"linear": {"head", "bias", "mean", "variance"}, "few_shot": {"losses"}}[name]
    assert set(found) == {"rates", *wanted}
    # Theirs multiply the rate of the epoch before by a ratio.
    assert largest(found.pop("rates"), theirs["rates"]) < 1e-12
    # With a first head of 2e-5 the encoder has tiny gradients, whose rounding AdamW enlarges.
    limit = {"linear": 1e-5, "few_shot": 1e-4}[name]
    assert {n: d for n in found if not (d := largest(found[n], theirs[n])) < limit} == {}
    probability = softmax(theirs["logits"].astype(np.float64), axis=1)
    np.testing.assert_array_equal(predictions.classes, probability.argmax(1))
    # They are further apart than any loss: less than 1e-4 on one processor, 1.2e-4 on another.
    np.testing.assert_allclose(np.exp(predictions.scores), probability, atol=5 * limit)


@pytest.mark.parametrize("name", TRAINERS)
def test_rates_weights_and_predictions_equal_those_of_the_trainers_of_the_paper(name):
    check(name, load(FOLDER / f"{name}.npz"))


@pytest.mark.parametrize("name", TRAINERS)
def test_the_head_is_drawn_from_the_same_distribution(name):
    theirs = load(FOLDER / f"{name}.npz")
    drawn = theirs["first head"]
    ours = head_weight((50, 500), SETTINGS[name].head_std, torch_stream(0, "head"))
    assert ks_2samp(drawn.flatten(), ours.flatten().numpy()).pvalue > 0.01
    assert not theirs["first bias"].any()


def test_an_input_differs_from_that_of_the_paper_by_rounding_to_grey_levels_only():
    speckle = labelled_chips(1, CLASSES)[0][0, 0, :158, :158]
    image = (64 + 127 * speckle).byte().numpy()  # far from 0 and 255, where Pillow clips too
    for px in (112, 224):  # Pillow rounds after each of its two passes
        levels = 255 * (ours(image, px) - by_pillow(centre_crop(image, CROP_PX), px)).abs()
        assert levels.max() < 1.1
        assert levels.mean() < 0.5


@pytest.mark.parametrize("name", TRAINERS)
def test_the_trainers_of_the_paper_still_give_the_files(name, tmp_path):
    try:
        checkout(*CHECKOUT)
    except MissingCheckoutError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "parity.make_protocols", name, "--out", str(tmp_path)]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True)
    made, frozen = (load(folder / f"{name}.npz") for folder in (tmp_path, FOLDER))
    assert np.array_equal(made["order"], frozen["order"])
    check(name, made)
