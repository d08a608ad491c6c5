"""Pretrainings that continue from given weights, in a store."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from given_files import write_weights
from small_pretrainings import EVERY_STEP, RECIPE, identity_of, make_pool, outcome, stop_after, use

from sarbench.bench.given_file import Stated
from sarbench.bench.given_identity import continued_from, given_of
from sarbench.bench.identity import Pretraining, Resources
from sarbench.bench.method_facts.build import FirstWeightsError, NotTrainedHereError, build_method
from sarbench.bench.pretraining.claim import Interrupted
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.store.records import DamagedRecordError, Store
from sarbench.bench.store.weights import CheckpointMismatchError
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.given_weights import GivenWeights
from sarbench.bench.weights.storing import store_given
from sarbench.methods import get

SHORT = replace(RECIPE, epochs=2)  # 4 steps


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> GivenWeights:
    """The weights of a checkpoint of MAE with three channels."""
    path = write_weights(tmp_path_factory.mktemp("given") / "mae.pth", "mae")
    return find_encoder(path, Stated(heads=3))


def continued(found: GivenWeights, method: str = "mae") -> Pretraining:
    return replace(identity_of(method, SHORT), **continued_from(found.identity()))


def store_with(found: GivenWeights, folder: Path) -> Store:
    store = Store(folder)
    store_given(found, store, Resources())
    return store


def test_the_identity_holds_the_weights_their_network_and_their_input(found):
    identity = continued(found)
    assert given_of(identity) == found.identity()
    assert given_of(identity_of()) is None
    assert identity.init == {"digest": found.config.digest, "layout": "mae", "version": 1}
    assert identity.encoder["input"]["channels"] == 3
    for changed in (
        replace(identity, init=identity.init | {"digest": "other"}),
        replace(identity, encoder=identity.encoder | {"input": {"channels": 3}}),
    ):
        assert changed.key != identity.key


@torch.no_grad()
def test_before_the_first_step_the_features_are_those_of_the_file(found):
    method = build_method(continued(found), found.tensors)
    chips = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(method.eval().encoder(chips), found.network()(chips))


def test_a_resumed_training_has_the_same_bits_and_reads_the_weights_from_the_store(found, tmp_path):
    identity, pool = continued(found), make_pool()
    whole, parts = store_with(found, tmp_path / "a"), store_with(found, tmp_path / "b")
    record = pretrain(identity, pool, whole, EVERY_STEP)
    with pytest.raises(Interrupted):
        pretrain(identity, pool, parts, EVERY_STEP, should_stop=stop_after(2))
    pretrain(identity, pool, parts, EVERY_STEP)
    assert outcome(parts, identity) == outcome(whole, identity)
    assert record.identity["init"] == identity.init
    size = sum(one.numel() for one in found.network().parameters())
    assert record.architecture.encoder_parameters == size
    again = find_encoder(whole.encoder(identity.key))  # of the layout sarbench
    assert again.account.complete
    assert again.config.mean == found.config.mean
    assert again.encoder == found.encoder
    before = found.network().state_dict()
    same = {name for name, one in again.tensors.items() if torch.equal(one, before[name])}
    assert same == {"pos_embed"}


def test_without_the_given_weights_nothing_is_trained(found, tmp_path):
    identity, store = continued(found), store_with(found, tmp_path)
    with pytest.raises(NotTrainedHereError, match="come from a file"):
        build_method(identity)
    given = given_of(identity)
    other = replace(given, config=given.config | {"digest": "other"})
    shutil.copytree(store.folder("pretrain", given.key), store.folder("pretrain", other.key))
    wrong = replace(identity, **continued_from(other))
    with pytest.raises(DamagedRecordError, match="holds the record of"):
        pretrain(wrong, make_pool(), store, EVERY_STEP)
    whole = store.encoder(given.key).read_bytes()
    store.encoder(given.key).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointMismatchError, match="is not the file that its record"):
        pretrain(identity, make_pool(), store, EVERY_STEP)
    store.encoder(given.key).unlink()
    with pytest.raises(CheckpointMismatchError, match="cannot be read"):
        pretrain(identity, make_pool(), store, EVERY_STEP)
    assert not store.record("pretrain", identity.key).exists()
    store_given(found, store, Resources())  # completes the record without weights
    assert store.encoder(given.key).exists()


def test_a_method_that_draws_over_the_given_weights_is_refused(found, monkeypatch):
    class Draws(get("simclr")):
        def __init__(self, config, encoder, rng):
            super().__init__(config, encoder, rng)
            self.encoder.norm.reset_parameters()

    use(monkeypatch, Draws)
    with pytest.raises(FirstWeightsError, match=r"changes norm\.weight of the given weights"):
        build_method(continued(found, "simclr"), found.tensors)
