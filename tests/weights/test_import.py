"""`weights import`: the encoder of a file under a key of the store."""

import numpy as np
import torch
from commands import call_here

from parity.encoders.drawn import chips, published
from sarbench.bench.given_file import Stated
from sarbench.bench.weights.find_encoder import find_encoder


def test_an_imported_file_has_the_features_of_the_file_under_its_key(tmp_path):
    torch.save(published("mae"), tmp_path / "mae.pth")
    runs = ("--runs", tmp_path / "runs")
    done = call_here("weights", "import", tmp_path / "mae.pth", "--heads", 3, *runs)
    assert done.returncode == 0
    key = done.stdout.strip()
    found = find_encoder(tmp_path / "mae.pth", Stated(heads=3))
    assert key == found.identity().key
    again = call_here("weights", "import", tmp_path / "mae.pth", "--heads", 3, *runs)
    assert again.stdout == done.stdout
    assert "had this encoder before" in again.stderr
    chip = tmp_path / "chips" / "a.npy"
    chip.parent.mkdir()
    np.save(chip, chips(32)[0, 0].numpy())
    for words, out in (((key[:12],), "a.npz"), ((tmp_path / "mae.pth", "--heads", 3), "b.npz")):
        done = call_here("features", *words[:1], chip.parent, *words[1:], *runs,
                         "--readout", "tokens", "--out", tmp_path / out)  # fmt: skip
        assert done.returncode == 0, done.stderr
    first, second = (np.load(tmp_path / name)["features"] for name in ("a.npz", "b.npz"))
    assert np.array_equal(first, second)


def test_the_stated_input_is_that_of_the_key(tmp_path):
    torch.save(published("mae"), tmp_path / "mae.pth")
    words = "--heads", 3, "--channel", 1, "--mean", "0.5,0.4,0.3", "--std", "none"
    done = call_here("weights", "import", tmp_path / "mae.pth", *words, "--runs", tmp_path / "runs")
    stated = Stated(heads=3, channel=1, mean=(0.5, 0.4, 0.3), std=())
    identity = find_encoder(tmp_path / "mae.pth", stated).identity()
    assert done.stdout.strip() == identity.key
    assert "3 channels: 1 is the chip" in done.stderr
    found = identity.config
    assert (found["channel"], found["mean"], "std" in found) == (1, [0.5, 0.4, 0.3], False)


def test_a_file_that_is_not_an_encoder_is_not_imported(tmp_path):
    content = published("mae")
    content["model"]["extra"] = content["model"].pop("norm.bias")
    torch.save(content, tmp_path / "a.pth")
    runs = ("--runs", tmp_path / "runs")
    for words, problem in (
        ((tmp_path / "a.pth", "--heads", 3), "1 missing: norm.bias; 1 unexpected: model.extra"),
        ((tmp_path / "none.pth",), "No such file"),
        ((tmp_path,), "is a folder; give the file of weights in it"),
    ):
        done = call_here("weights", "import", *words, *runs)
        assert done.returncode == 2
        assert problem in done.stderr
    assert not (tmp_path / "runs").exists()
