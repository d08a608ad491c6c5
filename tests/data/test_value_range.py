"""The range of the values of a set is that of its pixels without padding, in amplitude too."""

from pathlib import Path

import numpy as np
import pytest
from chips import write_images
from commands import call_here
from PIL import Image

from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.rendering import FORMULAS, Rendering
from sarbench.bench.data.value_range import value_range


def chips_of(folder: Path, name: str):
    return prepare(name, folder, folder / "prepared").chips


def test_zeros_that_pad_small_chips_are_not_counted(tmp_path: Path):
    """One chip is 20 x 20 of 255 with 10 zeros, in 32 x 32; the others are 32 x 32 of 7, 8, 9."""
    paths = [f"{side}/{c}/{side}.png" for side in ("train", "test") for c in "ab"]
    write_images(tmp_path / "set", *paths)
    for value, path in zip((6, 7, 8, 9), paths, strict=True):
        Image.fromarray(np.full((32, 32), value, np.uint8)).save(tmp_path / "set" / path)
    small = np.full((20, 21), 255, np.uint8)
    small[0, :10] = 0
    Image.fromarray(small).save(tmp_path / "set" / paths[0])
    found = value_range(chips_of(tmp_path, "folder:set?crop=32"))
    pixels = np.concatenate([small.ravel(), np.repeat([7, 8, 9], 1024)])
    assert (found.low, found.high, found.full_scale, found.stored) == (0, 255, 255, "uint8")
    assert found.zeros == pytest.approx(10 / pixels.size)
    assert found.saturated == pytest.approx(410 / pixels.size)
    assert found.padding == pytest.approx(1 - pixels.size / 4096)
    assert list(found.percentiles.values()) == np.percentile(pixels, [1, 50, 99, 99.9]).tolist()
    assert "pad small chips and are left out" in found.lines()[1]


@pytest.mark.parametrize("name", FORMULAS)
def test_the_amplitude_of_rendered_values_is_the_raw_one(name: str):
    amplitude = np.geomspace(0.02, 64, 50)
    rendering = Rendering(name)
    again = rendering.amplitude(rendering.render(amplitude))
    np.testing.assert_allclose(again, amplitude, rtol=1e-3)


def test_data_show_names_a_full_scale_that_fits(tmp_path: Path):
    """The largest amplitude is 2.19, as that of the public Phoenix files."""
    rng = np.random.default_rng(0)
    for side in ("train", "test"):
        for name in "ab":
            path = tmp_path / "set" / side / name
            path.mkdir(parents=True)
            chip = rng.rayleigh(0.04, (32, 32)).astype(np.float32)
            chip[5, 5] = 2.19
            np.save(path / f"{side}.npy", chip)
    wide = "folder:set?rendering=raw/log&full_scale=64"
    done = call_here(
        "data", "show", wide, "--data", tmp_path, "--runs", tmp_path, "--out", tmp_path / "x.png"
    )
    assert "values (float32, full scale 1): least " in done.stdout
    assert "0% of the pixels are 0, 0% at full scale" in done.stdout
    assert ", largest 2.19 (percentiles of 4 chips)" in done.stdout
    assert "full scale 64 is 29.2 times the largest amplitude; &full_scale=4 in" in done.stdout
    found = value_range(chips_of(tmp_path, wide.replace("64", "4")))
    fitting = "; ".join(found.lines(Rendering("raw/log", 4)))
    assert ", largest 2.19 " in fitting
    assert "times the largest" not in fitting
