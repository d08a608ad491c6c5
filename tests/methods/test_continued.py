"""Methods that continue from the weights of a file: the encoder is that of the file, and trains."""

import json
from dataclasses import replace

import pytest
import torch

from sarbench.bench.method_facts.sample_batches import fresh_rng, sample_batch
from sarbench.methods import get
from sarbench.methods._channels import InputChannels
from sarbench.methods._encoders import (
    AnyEncoder,
    GivenConfig,
    InputConfig,
    TimmConfig,
    encoder_from_json,
    encoder_json,
)
from sarbench.methods._given import given_encoder
from sarbench.methods._method import Method, MethodConfigError

RGB = InputConfig(3, None, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
VIT = GivenConfig(48, 8, 24, 1, 3, hidden=48, input=RGB)
FILES = {
    "vit": VIT,
    "registers": replace(VIT, registers=2, layer_scale=True),
    "no class token": replace(VIT, class_token=False),
    "relative": replace(VIT, positions="relative"),
    "hivit": GivenConfig(
        32, 16, 24, 1, 3, hidden=48, class_token=False, stem_blocks=1, stem_hidden=18,
        family="hivit", input=RGB,
    ),
    "timm": TimmConfig("timm:test_resnet@32", 32, RGB),
}  # fmt: skip
WINDOW = {"window": 3, "windows": 1}


def given_weights(encoder: AnyEncoder) -> dict[str, torch.Tensor]:
    """Return weights that no rule draws."""
    assert isinstance(encoder, GivenConfig | TimmConfig)
    network = given_encoder(encoder, InputChannels(3, None, RGB.mean, RGB.std))
    rng = torch.Generator().manual_seed(0)
    return {
        name: one + 0.1 * torch.rand(one.shape, generator=rng) if one.is_floating_point() else one
        for name, one in network.state_dict().items()
    }


def continued(name: str, file: str, weights=None) -> Method:
    method = get(name)
    values = {key: value for key, value in WINDOW.items() if hasattr(method.Config(), key)}
    if hasattr(method.Config(), "context_least"):
        values = {"context_least": 2}
    more = {"classes": 2} if method.needs_labels else {}
    weights = given_weights(FILES[file]) if weights is None else weights
    return method(method.Config(**values), FILES[file], fresh_rng(), weights=weights, **more)


CAN = [
    *(("simclr", file) for file in ("hivit", "timm")), ("supervised", "registers"),
    ("mae", "registers"), ("mae", "no class token"), ("fg_mae", "vit"),
    ("i_jepa", "no class token"), ("i_jepa", "registers"),
    ("sar_jepa", "relative"), ("pgga", "relative"), ("hpm", "no class token"),
    ("dmt_jepa", "registers"), ("simmim", "registers"), ("maskfeat", "no class token"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file"), CAN)
def test_training_starts_at_the_weights_of_the_file_and_moves_all_but_the_positions(name, file):
    weights = given_weights(FILES[file])
    method = continued(name, file, weights)
    for encoder in (method.encoder, getattr(method, "target_encoder", method.encoder)):
        now = encoder.state_dict()
        assert now.keys() == weights.keys()
        assert all(torch.equal(now[key], one) for key, one in weights.items())
    method.loss(sample_batch(method, 4), fresh_rng())[0].backward()
    still = {key for key, one in method.encoder.named_parameters() if one.grad is None}
    assert still == {key for key in weights if key.endswith("pos_embed")}


def test_the_other_weights_do_not_depend_on_the_file():
    weights = given_weights(VIT)
    others = {name: one + 1 for name, one in weights.items()}
    first, second = (continued("mae", "vit", one).decoder.state_dict() for one in (weights, others))
    assert all(torch.equal(one, second[name]) for name, one in first.items())


@pytest.mark.parametrize("file", ["vit", "registers", "no class token"])
@torch.no_grad()
def test_the_tokens_of_patches_do_not_depend_on_their_order(file):
    encoder = continued("mae", file).encoder.eval()
    images = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(1))
    order = torch.stack([torch.randperm(36), torch.randperm(36)])
    first = int(encoder.has_class_token)
    found = encoder.encode(encoder.embed(images, order))
    expected = encoder(images)
    torch.testing.assert_close(found[:, :first], expected[:, :first])
    rows = order[..., None].expand(-1, -1, 24)
    torch.testing.assert_close(found[:, first:], expected[:, first:].gather(1, rows))


@pytest.mark.parametrize(
    ("name", "file", "reason"),
    [
        ("sar_jepa", "vit", "needs relative positions, and the weights have a table of positions"),
        ("pgga", "no class token", "use weights of SAR-JEPA or LoMaR, or a method such as mae"),
        ("mae", "relative", "needs a table of positions, and those of the weights are relative"),
        ("i_jepa", "relative", "use other weights, or a method such as sar_jepa"),
        ("mae", "hivit", "only some of the patches, which a HiViT cannot"),
        ("lomar", "timm", "only some of the patches, which timm:test_resnet@32 cannot"),
    ],
)
def test_weights_that_a_method_cannot_train_are_refused_with_the_reason(name, file, reason):
    with pytest.raises(MethodConfigError, match=reason):
        continued(name, file, {})


def test_a_method_with_a_network_of_its_own_is_refused():
    class Own(get("simclr")):
        @classmethod
        def build_encoder(cls, config, encoder, drop_path=0.0):
            return torch.nn.Flatten()

    with pytest.raises(MethodConfigError, match="builds a network of its own"):
        Own(Own.Config(), VIT, fresh_rng(), weights={})


@pytest.mark.parametrize("file", FILES)
def test_an_encoder_with_its_input_survives_json(file):
    values = json.loads(json.dumps(encoder_json(FILES[file])))
    assert encoder_from_json(values) == FILES[file]
    assert values["input"] == {"channels": 3, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}
    without = replace(FILES[file], input=None)
    assert "input" not in encoder_json(without)
