"""Speckle-MAE: the encoder sees more speckle than is predicted."""

import pytest
import torch

from sarbench.bench.method_facts.sample_batches import build, fresh_rng
from sarbench.methods import get
from sarbench.methods._method import MethodConfigError
from sarbench.methods._vit import patchify
from sarbench.methods.speckle_mae import Config

CHIPS = 24


def test_about_half_of_the_chips_are_seen_with_speckle_and_all_are_predicted_without(monkeypatch):
    method = build(get("speckle_mae"))
    images = torch.full((CHIPS, 1, 112, 112), 0.2)
    seen = []
    embed = method.encoder.embed
    monkeypatch.setattr(
        method.encoder, "embed", lambda *given: (seen.append(given[0]), embed(*given))[1]
    )
    prediction = method.predict(images, fresh_rng())
    assert torch.equal(prediction.target, patchify(images, 8))
    same = (seen[0] == images).flatten(1).float().mean(1)
    assert set(same.round().tolist()) == {0.0, 1.0}
    assert 6 <= same.round().sum() <= 18  # binomial: outside with a probability of 0.7%
    # Intensity has mean 1 and variance 1 / 2 under two looks: 12,544 pixels of each chip.
    intensity = (seen[0][same.round() == 0] / 0.2).square()
    assert float(intensity.mean()) == pytest.approx(1, abs=0.01)
    assert float(intensity.var()) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("config", [{"looks": 0}, {"share": 0.0}, {"share": 1.5}])
def test_speckle_without_looks_or_chips_is_refused(config):
    with pytest.raises(MethodConfigError):
        Config(**config)
