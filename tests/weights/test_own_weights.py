"""Encoders of a store as given weights, and given weights as encoders of a store."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from made_chips import chips_from
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_pretrainings import identity_of

from parity.encoders.drawn import chips, published
from sarbench.bench.evaluation.evaluate import Evaluation
from sarbench.bench.given_file import Stated
from sarbench.bench.identity import Resources
from sarbench.bench.method_facts.build import NotTrainedHereError, build_method
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.store.records import Store
from sarbench.bench.store.weights import CheckpointMismatchError, save_encoder
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.given_weights import StatedValueError
from sarbench.bench.weights.reading import WeightsFileError
from sarbench.bench.weights.storing import store_given
from sarbench.methods import Encoder, get
from sarbench.methods._encoders import TimmConfig, encoder_json
from sarbench.methods._given import GivenTimmEncoder

RESNET = asdict(TimmConfig("timm:test_resnet@64", 64))


@torch.no_grad()
@pytest.mark.parametrize("name", ["mae", "sar_jepa", "i_jepa", "fg_mae", "simclr", "lomar"])
def test_an_encoder_of_a_store_gives_its_tokens_again(name, tmp_path):
    identity = identity_of(name)
    method = build_method(identity).eval()
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, method.encoder, identity)
    found = find_encoder(path)
    assert (found.layout, found.account.complete) == ("sarbench", True)
    assert found.encoder.heads == 4
    assert any(identity.key[:12] in note for note in found.notes)
    expected = method.encoder(chips(112))
    torch.testing.assert_close(found.network()(chips(112)), expected, rtol=0, atol=1e-5)
    assert find_encoder(path, Stated(input_px=56)).network()(chips(56)).shape[2] == 64


@torch.no_grad()
def test_a_network_of_timm_of_a_store_gives_its_tokens_again(tmp_path):
    identity = identity_of("simclr", encoder=RESNET)
    method = build_method(identity).eval()
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, method.encoder, identity)
    found = find_encoder(path)
    assert torch.equal(found.network()(chips(64)), method.encoder(chips(64)))
    with pytest.raises(StatedValueError, match="whose header says what it is"):
        find_encoder(path, Stated(heads=3))


def test_a_control_without_a_network_is_refused_with_its_key(tmp_path):
    identity = identity_of("raw_pixels", recipe=None, pool=[], encoder=None)
    save_encoder(tmp_path / "a", torch.nn.Linear(2, 2), identity)
    with pytest.raises(WeightsFileError, match=identity.key[:12]):
        find_encoder(tmp_path / "a")


@torch.no_grad()
def test_the_standardised_pixels_of_an_encoder_are_its_mean_and_deviation(tmp_path, monkeypatch):
    def build(config, size, drop_path=0.0):
        return Encoder(size, standardise=(0.3, 0.5))

    monkeypatch.setattr(get("mae"), "build_encoder", staticmethod(build))
    identity = identity_of("mae")
    method = build_method(identity).eval()
    save_encoder(tmp_path / "a", method.encoder, identity)
    found = find_encoder(tmp_path / "a")
    assert (found.config.mean, found.config.std) == ((0.3,), (0.5,))
    expected = method.encoder(chips(112))
    torch.testing.assert_close(found.network()(chips(112)), expected, rtol=0, atol=1e-5)


@pytest.fixture
def given(tmp_path):
    torch.save(published("fg_mae_2"), tmp_path / "a.pth")
    return find_encoder(tmp_path / "a.pth", Stated(heads=3))


@torch.no_grad()
def test_evaluation_reads_stored_given_weights_like_any_encoder(given, tmp_path):
    store = Store(tmp_path / "runs")
    record = store_given(given, store, Resources())
    assert store_given(given, store, Resources()) == record
    assert record.key == given.identity().key
    assert record.architecture.trained_parameters == 0
    assert record.architecture.step_gflop is None
    pixels = chips(64, 5).numpy()[:, 0]
    evaluation = Evaluation(given.identity(), chips_from(pixels), store, Resources())
    features = evaluation.features(np.arange(5), ["class", "patch_mean"])
    tokens = given.network()(torch.from_numpy(pixels)[:, None])
    assert torch.equal(features["class"], tokens[:, 0])
    torch.testing.assert_close(features["patch_mean"], tokens[:, 1:].mean(1))
    again = find_encoder(store.encoder(record.key))
    assert again.config == given.config
    assert torch.equal(again.network()(torch.from_numpy(pixels)[:, None]), tokens)


def test_given_weights_are_never_replaced_by_drawn_ones(given, tmp_path):
    with pytest.raises(NotTrainedHereError, match="come from a file"):
        pretrain(given.identity(), None, Store(tmp_path / "runs"), Resources())
    assert not list((tmp_path / "runs").rglob("record.json"))


def test_a_stored_encoder_of_other_weights_is_not_evaluated(given, tmp_path):
    store = Store(tmp_path / "runs")
    record = store_given(given, store, Resources())
    path = store.encoder(record.key)
    path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    with pytest.raises(CheckpointMismatchError):
        Evaluation(given.identity(), chips_from(np.ones((1, 64, 64), "f4")), store, Resources())


@torch.no_grad()
@pytest.mark.parametrize("encoder", [None, "timm:test_resnet@64"])
def test_an_edited_copy_of_a_stored_encoder_is_another_encoder(encoder, given, tmp_path):
    if encoder:
        network = GivenTimmEncoder(TimmConfig(encoder, 64)).model
        torch.save(network.state_dict(), tmp_path / "a.pth")
        given = find_encoder(tmp_path / "a.pth", Stated(encoder=encoder))
    store = Store(tmp_path / "runs")
    path = store.encoder(store_given(given, store, Resources()).key)
    assert find_encoder(path).identity() == given.identity()
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    tensors = load_file(path)
    name = max(tensors)
    save_file(tensors | {name: tensors[name] + 1}, tmp_path / "b", header)
    edited = find_encoder(tmp_path / "b")
    assert edited.identity().key != given.identity().key
    assert any("not " + given.config.digest[:12] in note for note in edited.notes)


@torch.no_grad()
def test_an_untrained_control_of_given_weights_has_their_input(given, tmp_path):
    identity = identity_of(
        "random_init", recipe=None, pool=[], encoder=encoder_json(given.encoder),
        config={"like": "given", "channels": 2},
    )  # fmt: skip
    method = build_method(identity).eval()
    save_encoder(tmp_path / "a", method.encoder, identity)
    found = find_encoder(tmp_path / "a")
    assert (found.config.channels, found.account.complete) == (2, True)
    assert torch.equal(found.network()(chips(64)), method.encoder(chips(64)))
