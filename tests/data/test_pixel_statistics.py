"""Pixel statistics of data sets, and the inputs that do not fit them."""

import numpy as np
import pytest
from chips import labelled_chips

from sarbench.bench.data.pixel_statistics import (
    PixelStatistics,
    input_problem,
    pixel_statistics,
)
from sarbench.methods._encoders import InputConfig


def fits(pixels: PixelStatistics, mean, std, channel: int | None = None) -> str | None:
    count = len(mean or std or (0,))
    return input_problem(pixels, InputConfig(count, channel, mean, std))


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5,), (0.5,)
SAT = (0.430, 0.411, 0.296), (0.213, 0.156, 0.143)
SARATR_X = (0.2109,), (0.2178,)
MEASURED = {  # of 400 training chips
    "mstar_soc": PixelStatistics(0.182, 0.149),
    "sar_acd": PixelStatistics(0.029, 0.084),
    "synthetic": PixelStatistics(0.220, 0.139),
}


def test_statistics_are_those_of_numpy() -> None:
    pixels, _ = labelled_chips(3, 4, 16)
    found = pixel_statistics(list(pixels))
    assert found.mean == pytest.approx(np.mean(pixels, dtype=np.float64))
    assert found.std == pytest.approx(np.std(pixels, dtype=np.float64))


@pytest.mark.parametrize("pixels", MEASURED.values(), ids=MEASURED)
@pytest.mark.parametrize("declared", [IMAGENET, HALF, SAT, SARATR_X])
def test_usual_values_fit_amplitudes_of_sar(pixels: PixelStatistics, declared) -> None:
    assert fits(pixels, *declared) is None
    assert fits(pixels, None, None) is None


@pytest.mark.parametrize("pixels", MEASURED.values(), ids=MEASURED)
@pytest.mark.parametrize(
    "declared",
    [
        ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4)),  # of bytes
        ((-14.0,), (4.0,)),  # of decibels
        ((0.5,), (0.01,)),
        ((116.0,), None),
        (None, (58.0,)),
    ],
)
def test_values_of_another_scale_do_not_fit(pixels: PixelStatistics, declared) -> None:
    problem = fits(pixels, *declared)
    assert problem is not None
    assert "usual are a mean within 2.5 of 0 and a deviation of 0.1 to 4" in problem


def test_only_the_channel_of_the_chip_counts() -> None:
    declared = (0.5, 100.0), (0.5, 50.0)
    pixels = MEASURED["mstar_soc"]
    assert fits(pixels, *declared, channel=0) is None
    problem = fits(pixels, *declared, channel=1)
    assert problem is not None
    assert "with the declared mean 100 and deviation 50 the input has mean -2 and" in problem
    assert fits(pixels, *declared) == problem
