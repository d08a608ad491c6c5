"""States of a training after a share of its steps have the bits of a training that ends there."""

from dataclasses import replace

import pytest
from small_pretrainings import (
    EVERY_STEP,
    RECIPE,
    NotFinite,
    make_pool,
    outcome,
    stop_after,
    tiny_identity,
    use,
)

from sarbench.bench.identity import Pretraining, Resources
from sarbench.bench.pretraining.claim import Interrupted
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.pretraining.step import NonFiniteLossError
from sarbench.bench.store.leases import lease
from sarbench.bench.store.progress import steps_at, steps_of
from sarbench.bench.store.records import Store
from sarbench.methods import get


def states(method: str = "mae") -> tuple[Pretraining, Pretraining, Pretraining]:
    """Return a training of 6 steps, and its states after 4 and 1; an epoch has 2 steps."""
    whole = tiny_identity(method)
    return whole, replace(whole, at=0.7), replace(whole, at=0.2)


def test_the_steps_of_a_state_are_rounded():
    assert [steps_of(one) for one in states()] == [6, 4, 1]
    assert steps_at(None, 10) == 10
    assert steps_at(0.04, 10) == 0


@pytest.mark.parametrize(
    "method", ["mae", *(pytest.param(m, marks=pytest.mark.slow) for m in ("i_jepa", "sar_jepa"))]
)
def test_a_state_written_on_the_way_is_that_of_a_training_to_it(tmp_path, method):
    whole, *earlier = states(method)
    together, alone, plain = (Store(tmp_path / name) for name in ("together", "alone", "plain"))
    written: list[Pretraining] = []
    pretrain(whole, make_pool(), together, Resources(), earlier=earlier, on_earlier=written.append)
    assert written == earlier[::-1]
    for one in earlier:
        record = pretrain(one, make_pool(), alone, Resources())
        assert outcome(together, one) == outcome(alone, one)
        also = together.read("pretrain", one.key)
        kept = {"steps", "final_loss", "feature_spread", "collapsed_step", "weights_digest"}
        assert record.model_dump(include=kept) == also.model_dump(include=kept)
        assert record.steps == steps_of(one)
        files = {path.name for path in together.folder("pretrain", one.key).iterdir()}
        assert files == {"record.json", "encoder.safetensors", "history.jsonl"}
    pretrain(whole, make_pool(), plain, Resources())
    assert outcome(together, whole) == outcome(plain, whole)
    _, history = outcome(together, earlier[1])
    assert [(line["step"], line["epoch"]) for line in history] == [(0, 0), (1, 0.5)]
    assert [line["step"] for line in outcome(together, earlier[0])[1]] == [0, 2, 4]


def test_a_state_has_the_rate_and_the_length_of_the_whole_training(tmp_path, monkeypatch):
    lengths, progress = [], []

    class Notes(get("mae")):
        def after_step(self, share, index, kept):
            lengths.append(self.steps)
            progress.append(share)
            super().after_step(share, index, kept)

    use(monkeypatch, Notes)
    whole, state, _ = states()
    straight, store = Store(tmp_path / "whole"), Store(tmp_path / "state")
    pretrain(whole, make_pool(), straight, Resources())
    pretrain(state, make_pool(), store, Resources())
    assert set(lengths) == {6}
    assert progress[6:] == progress[:4]
    assert outcome(store, state)[1] == outcome(straight, whole)[1][:3]


def test_stopped_and_resumed_it_writes_the_same_states(tmp_path):
    whole, *earlier = states()
    straight, stopped = Store(tmp_path / "straight"), Store(tmp_path / "stopped")
    pretrain(whole, make_pool(), straight, Resources(), earlier=earlier)
    for _ in range(2):
        with pytest.raises(Interrupted):
            pretrain(
                whole, make_pool(), stopped, EVERY_STEP, earlier=earlier, should_stop=stop_after(2)
            )
    pretrain(whole, make_pool(), stopped, EVERY_STEP, earlier=earlier)
    for one in (whole, *earlier):
        assert outcome(stopped, one) == outcome(straight, one)


def test_a_stored_state_is_left_alone_and_one_in_the_past_stays_missing(tmp_path):
    whole, later, first = states()
    store, written = Store(tmp_path), []
    pretrain(later, make_pool(), store, Resources())
    before = store.record("pretrain", later.key).read_bytes()
    with pytest.raises(Interrupted):  # after the step of `first`
        pretrain(whole, make_pool(), store, Resources(), should_stop=stop_after(3))
    pretrain(
        whole, make_pool(), store, Resources(), earlier=[later, first], on_earlier=written.append
    )
    assert written == []
    assert store.record("pretrain", later.key).read_bytes() == before
    assert store.read("pretrain", first.key) is None


def test_a_state_that_another_process_trains_is_left_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr("sarbench.bench.store.leases.RENEW_S", 0.1)
    whole, later, _ = states()
    store, written = Store(tmp_path), []
    with lease(store.folder("pretrain", later.key) / "running.lease", lambda: False):
        record = pretrain(
            whole, make_pool(), store, Resources(), earlier=[later], on_earlier=written.append
        )
    assert (record.steps, written) == (6, [])
    assert store.read("pretrain", later.key) is None


def test_a_state_from_before_a_failure_is_kept(tmp_path, monkeypatch):
    use(monkeypatch, NotFinite)  # in step 3
    whole, later, first = states()
    store = Store(tmp_path)
    with pytest.raises(NonFiniteLossError, match="step 3 of 6"):
        pretrain(whole, make_pool(), store, Resources(), earlier=[later, first])
    assert store.read("pretrain", first.key).steps == 1
    assert store.read("pretrain", later.key) is None


def test_one_state_at_the_end_of_an_epoch_has_the_loss_of_that_epoch(tmp_path):
    identity = tiny_identity(recipe=replace(RECIPE, epochs=2), at=0.5)
    record = pretrain(identity, make_pool(), Store(tmp_path), Resources())
    _, history = outcome(Store(tmp_path), identity)
    assert record.final_loss == history[-1]["loss"]
    assert [line["epoch"] for line in history] == [0, 1]
