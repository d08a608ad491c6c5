"""Files for a named network of timm: names, order, classifiers, channels, positions."""

from pathlib import Path
from typing import Any

import pytest
import torch
from timm import create_model
from torch import Tensor

from sarbench.bench.given_file import Stated
from sarbench.bench.seeding import torch_stream
from sarbench.bench.weights import fitting_networks
from sarbench.bench.weights.account import UnaccountedKeysError
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.given_weights import GivenWeights, StatedValueError
from sarbench.bench.weights.reading import WeightsFileError

RESNET = "timm:test_resnet@64"


def network(name: str, **options: Any) -> Any:
    """Return a network of timm whose norms are not those of an untrained one."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        made = create_model(name, **options)
        with torch.no_grad():
            for one in made.parameters():
                one += 0.05 * torch.randn_like(one)
    return made.eval()


def read(content: dict[str, Any], folder: Path, encoder: str = RESNET, **more: Any) -> GivenWeights:
    torch.save(content, folder / "a.pth")
    return find_encoder(folder / "a.pth", Stated(encoder=encoder, **more))


def chips(px: int = 64) -> Tensor:
    return torch.rand(2, 1, px, px, generator=torch_stream(0, "chips"))


def in_other_words(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the same tensors, in the same order, under names of another library."""
    return {f"part{n}.{name.rpartition('.')[2]}": one for n, (name, one) in
            enumerate(weights.items())}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("classes", [0, 7, 1000])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("renamed", [False, True])
def test_a_convolutional_network_is_read_by_name_or_in_order(classes, channels, renamed, tmp_path):
    theirs = network("test_resnet", num_classes=classes, in_chans=channels)
    weights = theirs.state_dict()
    content = in_other_words(weights) if renamed else {"module": weights}
    found = read(content, tmp_path)
    assert found.account.complete
    assert len(found.account.used) == len(weights) - 2 * (classes > 0)
    assert [len(keys) for keys in found.account.skipped.values()] == [2] * (classes > 0)
    assert found.config.channels == channels
    assert any("matched in order" in note for note in found.notes) == renamed
    assert any("compare some features" in note for note in found.notes) == renamed
    inputs = chips().expand(-1, channels, -1, -1)
    if channels == 3:
        settings = theirs.pretrained_cfg
        mean, std = (torch.tensor(settings[name])[:, None, None] for name in ("mean", "std"))
        inputs = (inputs - mean) / std
    expected = theirs.forward_features(inputs).flatten(2).mT
    torch.testing.assert_close(found.network()(chips()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("renamed", [False, True])
def test_a_lost_added_or_resized_weight_is_refused(renamed, tmp_path):
    weights = network("test_resnet", num_classes=7).state_dict()
    names = list(weights)
    for change in ("lose", "add", "resize"):
        changed = dict(weights)
        if change == "lose":
            del changed[names[4]]
        elif change == "add":
            changed["layer9.weight"] = torch.ones(3)
        else:
            changed[names[4]] = torch.ones(5)
        found = read(in_other_words(changed) if renamed else changed, tmp_path)
        assert not found.account.complete
        with pytest.raises(UnaccountedKeysError):
            found.network()
        if not renamed:
            problem = found.account.missing if change == "lose" else found.account.unexpected
            assert len(problem) == 1


def test_a_network_of_timm_without_its_name_is_proposed(tmp_path, monkeypatch):
    short = (("layer1.0.conv1.weight", ("resnet18", "resnet34")),)  # the others take seconds
    monkeypatch.setattr(fitting_networks, "FAMILIES", short)
    torch.save(network("resnet18", num_classes=5).state_dict(), tmp_path / "a.pth")
    with pytest.raises(WeightsFileError, match=r"timm:resnet18 of timm has these .*name it, --enc"):
        find_encoder(tmp_path / "a.pth")


def test_tensors_of_another_order_are_not_matched(tmp_path):
    weights = list(network("test_resnet", num_classes=7).state_dict().items())
    swapped = dict([*weights[6:], *weights[:6]])
    assert not read(in_other_words(swapped), tmp_path).account.complete


@torch.no_grad()
@pytest.mark.parametrize("px", [160, 96])
def test_positions_of_a_transformer_are_resized(px, tmp_path):
    weights = network("test_vit", num_classes=7).state_dict()
    found = read(weights, tmp_path, f"timm:test_vit@{px}", mean=(), std=())
    assert found.account.complete
    assert any("positions resized from 10 x 10" in note for note in found.notes) == (px != 160)
    theirs = create_model("test_vit", img_size=160, num_classes=0, global_pool="")
    theirs.load_state_dict({k: one for k, one in weights.items() if not k.startswith("head.")})
    theirs.set_input_size((px, px))
    expected = theirs.eval()(chips(px).expand(-1, 3, -1, -1))
    torch.testing.assert_close(found.network()(chips(px)), expected, rtol=1e-5, atol=1e-5)
    stored = read(weights, tmp_path, "timm:test_vit@160")
    assert stored.config.digest == found.config.digest


def test_the_input_is_that_of_timm_unless_it_is_stated(tmp_path):
    weights = network("test_vit").state_dict()
    assert read(weights, tmp_path, "timm:test_vit").encoder.name == "timm:test_vit@160"
    assert read(weights, tmp_path, "timm:test_vit", input_px=96).encoder.input_px == 96
    with pytest.raises(StatedValueError, match="input_px is 96, but the encoder is timm:test_vit@"):
        read(weights, tmp_path, "timm:test_vit@160", input_px=96)


def test_weights_of_another_network_are_refused(tmp_path):
    weights = network("test_convnext").state_dict()
    account = read(weights, tmp_path).account
    assert not account.used
    assert len(account.unexpected) == len(weights)
    with pytest.raises(StatedValueError, match="no model 'resnet81'"):
        read(weights, tmp_path, "timm:resnet81")
