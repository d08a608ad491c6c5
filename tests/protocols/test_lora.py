"""lora: low-rank updates of a frozen encoder's linear layers."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from one_test_set import images_of, run_one
from torch import Tensor, nn

from sarbench.bench.seeding import torch_stream
from sarbench.methods._channels import ONE_CHANNEL
from sarbench.methods._encoders import EncoderConfig, GivenConfig, TimmConfig
from sarbench.methods._given import given_encoder
from sarbench.methods._timm import TimmEncoder
from sarbench.methods._vit import Encoder, initialise
from sarbench.protocols import lora
from sarbench.protocols._settings import BadSettingsError, Lora
from sarbench.protocols._training import Classifier
from sarbench.protocols._types import LabelledImages, NotConvergedError, Predictions

QUICK = Lora(epochs=3, warmup_epochs=1, batch=16, rank=2, alpha=4.0, lr=1e-2)
LINEAR = ["qkv", "proj", "fc1", "fc2"]
MATRICES = {"qkv": ["attn.qkv"], "proj": ["attn.proj"], "fc1": ["mlp.fc1"], "fc2": ["mlp.fc2"],
            "attention": ["attn.qkv", "attn.proj"], "mlp": ["mlp.fc1", "mlp.fc2"]}  # fmt: skip


def vit(drop_path: float = 0.0, positions: str = "absolute") -> Encoder:
    encoder = Encoder(EncoderConfig("", 8, 2, 24, 2, 2), positions, drop_path=drop_path)
    initialise(encoder, torch_stream(1, "pretrained"))
    return encoder


def bars(train: int = 60, test: int = 40) -> LabelledImages:
    """Return chips whose class is the brightest quarter of the rows; no two alike."""
    rng, labels = torch_stream(0, "images"), torch.arange(train + test) % 4
    images = 0.3 * torch.rand(train + test, 1, 8, 8, generator=rng)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, 2 * label : 2 * label + 2] += 0.6
    return images_of(images[:train], labels[:train], images[train:], 4)


def run(settings: Lora, make: Callable[[float], nn.Module] = vit, seed: int = 0) -> Predictions:
    return run_one(lora, make, bars(), np.arange(60), torch_stream(seed, "run"), settings)


@pytest.fixture
def trained(monkeypatch) -> Iterator[list[Classifier]]:
    """Keep the classifiers that are trained."""
    kept: list[Classifier] = []

    def noted(classifier: Classifier, settings: Lora, rng: torch.Generator) -> list[dict]:
        kept.append(classifier)
        return add(classifier, settings, rng)

    add = lora.add_updates
    monkeypatch.setattr(lora, "add_updates", noted)
    return iter([kept])


def updated(settings: Lora, encoder: nn.Module | None = None) -> tuple[Classifier, list[dict]]:
    """Return a classifier with updates before its training, and the groups of its optimiser."""
    rng = torch_stream(0, "run")
    classifier = Classifier(encoder or vit(), 4, settings, rng)
    return classifier, lora.add_updates(classifier, settings, rng)


def plain_weights(encoder: nn.Module) -> dict[str, Tensor]:
    """Return the frozen weights by the names that they have without updates."""
    return {
        name.replace("parametrizations.weight.original", "weight"): weight.detach().clone()
        for name, weight in encoder.state_dict().items()
        if ".parametrizations.weight.0." not in name
    }


def merged(encoder: nn.Module, settings: Lora) -> Encoder:
    """Return a plain ViT with the weights W + s B A."""
    weights, state = plain_weights(encoder), encoder.state_dict()
    for name in [one for one in state if one.endswith(".0.up")]:
        up, down = state[name], state[name.replace(".up", ".down")]
        weight = name.replace("parametrizations.weight.0.up", "weight")
        weights[weight] += settings.alpha / settings.rank * torch.einsum("or,ri->oi", up, down)
    plain = vit()
    plain.load_state_dict(weights)
    return plain.eval()


@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_the_first_output_is_that_of_the_frozen_encoder(positions: str) -> None:
    classifier, _ = updated(QUICK, vit(positions=positions))
    images = bars().train[:5]
    assert torch.equal(classifier.encoder(images), vit(positions=positions).eval()(images))


@pytest.mark.parametrize(
    ("layers", "names"), [*MATRICES.items(), ("all", [MATRICES[kind][0] for kind in LINEAR])]
)
def test_the_updated_layers_are_those_of_the_setting(layers: str, names: list[str]) -> None:
    classifier, groups = updated(replace(QUICK, layers=layers))
    found = {
        n for n, part in classifier.encoder.named_modules() if hasattr(part, "parametrizations")
    }
    assert found == {f"blocks.{block}.{name}" for block in (0, 1) for name in names}
    weights = [weight for group in groups for weight in group["params"]]
    assert {id(one) for one in weights} == {
        id(one) for one in classifier.parameters() if one.requires_grad
    }
    assert len(weights) == 2 + 2 * len(found)


def test_only_updates_and_head_are_trained(trained) -> None:
    run(QUICK)
    ((classifier,),) = trained
    before = vit().state_dict()
    after = plain_weights(classifier.encoder)
    assert after.keys() == before.keys()
    for name, weight in before.items():
        assert torch.equal(after[name], weight), name
    first, _ = updated(QUICK)
    for name, weight in first.named_parameters():
        moved = not torch.equal(classifier.get_parameter(name), weight)
        assert moved == (name.startswith("head.") or name.endswith((".up", ".down"))), name


def test_merged_weights_predict_the_same(trained) -> None:
    found = run(replace(QUICK, epochs=6))
    ((classifier,),) = trained
    plain = merged(classifier.encoder, QUICK)
    features = plain(bars().tests[0])[:, 1:].mean(1)
    assert not torch.equal(features, vit()(bars().tests[0])[:, 1:].mean(1))
    scores = classifier.head(features).softmax(1)
    np.testing.assert_array_equal(found.classes, scores.argmax(1).numpy())
    np.testing.assert_allclose(np.exp(found.scores), scores.detach().numpy(), atol=1e-5)


def test_a_reader_of_the_weight_sees_the_update(trained) -> None:
    """timm's EVA multiplies by `qkv.weight` itself where the biases of q, k and v are apart."""
    run(QUICK)
    ((classifier,),) = trained
    layer = classifier.encoder.blocks[0].attn.qkv
    x = torch.randn(3, 24, generator=torch_stream(0, "x"))
    expected = nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected, atol=1e-6, rtol=1e-5)


def test_gradients_of_rank_1_are_those_worked_by_hand() -> None:
    """y = W x + s b (a.x), with a = (1, -2, 2), b = (3, 1), s = alpha / rank = 2.

    At x = (1, 1, 2) a.x = 3. The loss (1, 10).y has the gradient s (1, 10) (a.x) = (6, 60) in b,
    and s ((1, 10).b) x = 26 x in a.
    """
    layer = nn.Linear(3, 2)
    update = lora._update(layer, Lora(rank=1, alpha=2.0), torch_stream(0, "run"))
    with torch.no_grad():
        layer.parametrizations["weight"].original.copy_(torch.eye(2, 3))
        layer.bias.zero_()
        update.down.copy_(torch.tensor([[1.0, -2.0, 2.0]]))
        update.up.copy_(torch.tensor([[3.0], [1.0]]))
    x, factors = torch.tensor([1.0, 1.0, 2.0]), torch.tensor([1.0, 10.0])
    for out in (layer(x), layer.weight @ x):
        assert out.tolist() == [1 + 18, 1 + 6]
        found = torch.autograd.grad(out @ factors, [update.up, update.down])
        assert found[0].tolist() == [[6.0], [60.0]]
        assert found[1].tolist() == [[26.0, 26.0, 52.0]]


def test_first_updates_have_the_deviation_of_the_docstring() -> None:
    update = lora.LowRank(nn.Linear(400, 50), Lora(rank=100), torch_stream(0, "run"))
    assert update.down.std().item() == pytest.approx(400**-0.5, rel=0.02)
    assert not update.up.any()


def test_matrices_decay_and_the_bias_does_not() -> None:
    classifier, groups = updated(QUICK)
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    assert [id(one) for one in groups[1]["params"]] == [id(classifier.head.bias)]


def test_a_separable_problem_is_solved() -> None:
    found = run(replace(QUICK, epochs=20))
    np.testing.assert_array_equal(found.classes, np.arange(60, 100) % 4)


def test_same_stream_same_numbers_and_another_seed_others() -> None:
    one, same, other = (run(QUICK, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.scores, same.scores)
    assert not np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize("changed", [{"rank": 1}, {"alpha": 2.0}, {"layers": "mlp"}])
def test_every_field_changes_the_numbers(changed: dict) -> None:
    assert not np.array_equal(run(QUICK).scores, run(replace(QUICK, **changed)).scores)


def test_a_loss_that_is_not_finite_names_the_epoch() -> None:
    def broken(drop_path: float) -> nn.Module:
        encoder = vit()
        nn.init.constant_(encoder.norm.weight, torch.nan)
        return encoder

    with pytest.raises(NotConvergedError, match="not finite in epoch 0 of 3"):
        run(QUICK, broken)


def hivit() -> nn.Module:
    config = GivenConfig(
        32,
        16,
        32,
        1,
        2,
        hidden=64,
        class_token=False,
        family="hivit",
        stem_blocks=1,
        stem_hidden=24,
    )
    return given_encoder(config, ONE_CHANNEL)


def test_other_networks_have_the_layers_that_they_have() -> None:
    assert lora.kinds_of(hivit()) == LINEAR
    assert len(list(lora.layers_of(hivit(), "mlp"))) == 2 * 3  # two stages and a block
    eva = TimmEncoder(TimmConfig("timm:eva02_tiny_patch14_224@28", 28))
    assert lora.kinds_of(eva) == LINEAR
    assert lora.kinds_of(TimmEncoder(TimmConfig("timm:test_resnet@32", 32))) == []


def test_a_convolutional_network_has_none_of_the_layers() -> None:
    def resnet(drop_path: float) -> nn.Module:
        return TimmEncoder(TimmConfig("timm:test_resnet@8", 8))

    with pytest.raises(lora.NoLinearLayersError, match="updates the linear layers qkv, proj, fc1"):
        run(QUICK, resnet)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rank": 0}, "rank is 0; it must be 1 or more"),
        ({"alpha": 0.0}, "alpha is 0.0; it must be above 0"),
    ],
)
def test_settings_that_update_nothing_are_refused(given: dict, message: str) -> None:
    with pytest.raises(BadSettingsError, match=message):
        Lora(**given)
