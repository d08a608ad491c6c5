"""Networks of timm as encoders."""

import pytest
import torch
from torch import nn

from sarbench.methods import TimmConfig
from sarbench.methods._timm import create


def chances(model: nn.Module) -> set[float]:
    """Return the probabilities above 0 with which a network drops values or paths in training."""
    found = {getattr(module, "p", 0.0) for module in model.modules()}
    for name in ("drop_prob", "drop_rate"):
        found |= {getattr(module, name, 0.0) or 0.0 for module in model.modules()}
    return found - {0.0}


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224@56", "ghostnet_050@64"])
def test_a_network_has_no_chance_of_its_own(name):
    """timm gives Swin a drop path of 0.1 and GhostNet a dropout of 0.2 by default."""
    config = TimmConfig(f"timm:{name}", int(name.partition("@")[2]))
    with torch.device("meta"):
        assert chances(create(config, 0.0, 1)) == set()


def test_a_drop_path_that_is_asked_for_is_kept():
    with torch.device("meta"):
        model = create(TimmConfig("timm:swin_tiny_patch4_window7_224@56", 56), 0.3, 1)
    assert max(chances(model)) == pytest.approx(0.3)
