"""A pretraining ends with the same bits after any number of stops, and names causes of failure."""

import json
import multiprocessing
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from math import cos, pi
from pathlib import Path

import numpy as np
import pytest
import torch
from chips import speckled_chips
from small_pretrainings import (
    EVERY_STEP,
    RECIPE,
    STEPS,
    NotFinite,
    identity_of,
    make_pool,
    outcome,
    stop_after,
    tiny_identity,
    use,
)
from torch import nn

from sarbench.bench.data.pools import Member
from sarbench.bench.data.prepare import prepare
from sarbench.bench.execution.job import Event, execute
from sarbench.bench.identity import Job, Recipe, Resources
from sarbench.bench.method_facts.architecture import architecture_of
from sarbench.bench.method_facts.sample_batches import build, sample_batch
from sarbench.bench.pretraining import loop as pretraining
from sarbench.bench.pretraining.batches import Batches, PoolTooSmallError
from sarbench.bench.pretraining.checkpoints import (
    load_checkpoint,
    remove_checkpoints,
    save_checkpoint,
)
from sarbench.bench.pretraining.claim import Claim, Interrupted, RunningElsewhereError
from sarbench.bench.pretraining.collapse import feature_spread
from sarbench.bench.pretraining.distributed import Ranks
from sarbench.bench.pretraining.loop import build_method, pretrain
from sarbench.bench.pretraining.optimisation import learning_rate, make_optimizer, weight_decay
from sarbench.bench.pretraining.step import NonFiniteLossError, train_step
from sarbench.bench.seeding import torch_stream
from sarbench.bench.store.progress import Progress
from sarbench.bench.store.records import Store
from sarbench.bench.store.sample_predictions import load
from sarbench.methods import get, mae
from sarbench.methods._masking import context_and_targets
from sarbench.methods._method import View


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> tuple[bytes, list[dict]]:
    """Return the outcome of an uninterrupted training, for the tests that stop one."""
    store = Store(tmp_path_factory.mktemp("straight"))
    pretrain(tiny_identity(), make_pool(), store, Resources())
    return outcome(store, tiny_identity())


@pytest.mark.parametrize(
    "method",
    ["mae", *(pytest.param(name, marks=pytest.mark.slow) for name in ("i_jepa", "sar_jepa"))],
)
def test_stopping_after_every_step_gives_the_same_bits(tmp_path, method):
    identity, pool = tiny_identity(method), make_pool()
    straight, stopped = Store(tmp_path / "straight"), Store(tmp_path / "stopped")
    record = pretrain(identity, pool, straight, Resources())
    for _ in range(STEPS - 1):
        with pytest.raises(Interrupted, match="state is saved"):
            pretrain(identity, pool, stopped, Resources(), should_stop=stop_after(1))
        assert stopped.read("pretrain", identity.key) is None
    again = pretrain(identity, pool, stopped, Resources(), should_stop=stop_after(1))
    weights, history = outcome(straight, identity)
    assert outcome(stopped, identity) == (weights, history)
    assert again.weights_digest == record.weights_digest
    assert (again.steps, again.final_loss) == (STEPS, record.final_loss)
    assert [line["step"] for line in history] == [0, 2, 4, 6]
    assert history[1]["loss"] != history[3]["loss"]
    names = {path.name for path in stopped.folder("pretrain", identity.key).iterdir()}
    assert names == {"record.json", "encoder.safetensors", "history.jsonl", "predictions.npz"}


@pytest.mark.parametrize("method", ["mae", "i_jepa"])
def test_predictions_of_the_trained_method_are_stored(tmp_path, monkeypatch, method):
    monkeypatch.setattr(pretraining, "architecture_of", lambda identity: None)  # a second
    identity, store = tiny_identity(method), Store(tmp_path)
    pretrain(identity, make_pool(), store, Resources())
    kept = load(store.folder("pretrain", identity.key))
    assert kept is not None
    side = identity.encoder["input_px"]
    assert kept.chips.shape[1:] == (side, side)
    assert set(kept.images) == set(range(len(kept.chips)))
    assert kept.predicted.shape == kept.target.shape
    assert kept.mask.any()
    assert np.isfinite(kept.predicted).all()


def test_a_method_whose_prediction_fails_after_training_has_a_record(tmp_path, monkeypatch):
    class Mute(mae.MAE):
        """Fails to predict outside of training."""

        def predict(self, images, rng):
            if not self.training:
                raise RuntimeError("not now")
            return super().predict(images, rng)

    use(monkeypatch, Mute)
    identity, store, said = tiny_identity(), Store(tmp_path), []
    pretrain(identity, make_pool(), store, Resources(), warn=said.append)
    assert len(said) == 1
    assert "what mae predicts: RuntimeError: not now" in said[0]
    assert load(store.folder("pretrain", identity.key)) is None


def test_another_seed_gives_other_weights(tmp_path):
    pool, store = make_pool(), Store(tmp_path)
    records = [
        pretrain(
            tiny_identity(seed=seed, recipe=replace(RECIPE, epochs=1, warmup_epochs=0.5)),
            pool,
            store,
            Resources(),
        )
        for seed in (0, 1)
    ]
    assert records[0].weights_digest != records[1].weights_digest


def test_lines_after_the_checkpoint_are_cut_from_the_history(tmp_path, straight):
    identity, pool, store = tiny_identity(), make_pool(), Store(tmp_path)
    with pytest.raises(Interrupted):
        pretrain(identity, pool, store, Resources(), should_stop=stop_after(3))
    path = store.folder("pretrain", identity.key) / "history.jsonl"
    ahead = {"step": 4, "epoch": 2, "loss": 99.0, "lr": 0.0, "spread": 0.0, "images_per_s": 1.0}
    path.write_text(path.read_text() + json.dumps(ahead) + '\n{"step": 6, "epo')
    pretrain(identity, pool, store, Resources())
    assert outcome(store, identity) == straight


@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, straight, damage):
    identity, pool, store = tiny_identity(), make_pool(), Store(tmp_path)
    with pytest.raises(Interrupted):
        pretrain(identity, pool, store, EVERY_STEP, should_stop=stop_after(4))
    folder = store.folder("pretrain", identity.key)
    older, newest = sorted(folder.glob("checkpoint-*.pt"))
    whole = newest.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    newest.write_bytes({"truncated": whole[:middle], "one bit": flipped, "empty": b""}[damage])
    warnings: list[str] = []
    state = load_checkpoint(folder, warnings.append)
    assert state is not None
    assert state["step"] == 3 == int(older.name.split("-")[1])
    pretrain(identity, pool, store, Resources(), warn=warnings.append)
    assert len(warnings) == 2
    assert str(newest) in warnings[1]
    assert "damaged" in warnings[1]
    assert outcome(store, identity) == straight


def test_with_every_checkpoint_damaged_it_starts_again_with_a_warning(tmp_path, straight):
    identity, pool, store = tiny_identity(), make_pool(), Store(tmp_path)
    with pytest.raises(Interrupted):
        pretrain(identity, pool, store, EVERY_STEP, should_stop=stop_after(4))
    for path in store.folder("pretrain", identity.key).glob("checkpoint-*.pt"):
        path.write_bytes(b"no checkpoint")
    warnings: list[str] = []
    pretrain(identity, pool, store, Resources(), warn=warnings.append)
    assert len(warnings) == 3
    assert "from the beginning" in warnings[-1]
    assert outcome(store, identity) == straight


def test_wall_time_and_pace_cover_the_time_before_a_resume(tmp_path):
    identity, pool, store = tiny_identity(), make_pool(), Store(tmp_path)

    def slowly(_: Progress) -> None:
        time.sleep(0.1)

    for _ in range(2):
        with pytest.raises(Interrupted):
            pretrain(
                identity, pool, store, Resources(), on_progress=slowly, should_stop=stop_after(2)
            )
    began = time.monotonic()
    record = pretrain(identity, pool, store, Resources(), on_progress=slowly)
    last_s = time.monotonic() - began
    # six steps of 0.1 s or more and four chips each; four of the steps came before
    assert record.provenance.wall_s >= 6 * 0.1
    assert record.provenance.wall_s >= last_s + 2 * 0.1
    assert 0 < record.images_per_s <= 4 / 0.1
    assert record.images_per_s >= STEPS * 4 / record.provenance.wall_s


def test_a_checkpoint_of_an_older_version_without_times_is_resumed(tmp_path, straight):
    identity, pool, store = tiny_identity(), make_pool(), Store(tmp_path)
    with pytest.raises(Interrupted):
        pretrain(identity, pool, store, Resources(), should_stop=stop_after(3))
    folder = store.folder("pretrain", identity.key)
    state = load_checkpoint(folder, pytest.fail)
    del state["timing"]
    remove_checkpoints(folder)
    save_checkpoint(folder, 3, state)
    record = pretrain(identity, pool, store, Resources())
    assert outcome(store, identity) == straight
    assert record.provenance.wall_s > 0
    assert record.images_per_s >= 3 * 4 / record.provenance.wall_s


def _train_and_save_every_step(root: Path) -> None:
    torch.set_num_threads(1)
    pretrain(identity_of(), make_pool(), Store(root), EVERY_STEP)


@pytest.mark.slow
def test_a_process_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    identity, straight, killed = identity_of(), Store(tmp_path / "a"), Store(tmp_path / "b")
    pretrain(identity, make_pool(), straight, Resources())
    context = multiprocessing.get_context("spawn")
    folder = killed.folder("pretrain", identity.key)
    kills = 0
    for _ in range(4):
        before = {path.name for path in folder.glob("checkpoint-*.pt")}
        process = context.Process(target=_train_and_save_every_step, args=(killed.root,))
        process.start()
        while process.is_alive() and {p.name for p in folder.glob("checkpoint-*.pt")} <= before:
            time.sleep(0.002)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        if killed.read("pretrain", identity.key):
            break
    assert kills >= 1
    if not killed.read("pretrain", identity.key):
        _train_and_save_every_step(killed.root)
    assert outcome(killed, identity) == outcome(straight, identity)


class Explodes(get("mae")):
    """MAE whose gradients are not finite in its first step of two."""

    calls, fatal = 0, 1

    def loss(self, batch, rng):
        self.calls += 1
        loss, kept = super().loss(batch, rng)
        if self.calls == self.fatal:
            loss.register_hook(lambda gradient: gradient * float("nan"))
        return loss, kept


def test_a_loss_that_is_not_finite_names_the_step_and_the_method(tmp_path, monkeypatch):
    use(monkeypatch, NotFinite)
    message = (
        "step 3 of 6: the loss is inf: images and weights are finite, so the loss of mae is at"
    )
    with pytest.raises(NonFiniteLossError, match=message):
        pretrain(tiny_identity(), make_pool(), Store(tmp_path), Resources())


def test_weights_that_are_not_finite_are_named(tmp_path, monkeypatch):
    use(monkeypatch, Explodes)
    with pytest.raises(NonFiniteLossError, match=r"step 2 of 6: .*the weights .*lower base_lr"):
        pretrain(tiny_identity(), make_pool(), Store(tmp_path), Resources())


def test_weights_that_are_not_finite_after_the_last_step_are_not_a_result(tmp_path, monkeypatch):
    use(monkeypatch, Explodes)
    monkeypatch.setattr(Explodes, "fatal", 2)
    identity, store = (
        tiny_identity(recipe=replace(RECIPE, epochs=1, warmup_epochs=0.5)),
        Store(tmp_path),
    )
    with pytest.raises(NonFiniteLossError, match=r"after step 2 of 2.*lower base_lr"):
        pretrain(identity, make_pool(), store, Resources())
    assert not store.folder("pretrain", identity.key).joinpath("encoder.safetensors").exists()


def test_pixels_that_are_not_finite_are_named(tmp_path):
    pool = make_pool()
    pool.chip(0)[:] = np.nan  # its memory, not a copy
    with pytest.raises(NonFiniteLossError, match="the batch holds pixels that are not finite"):
        pretrain(tiny_identity(), pool, Store(tmp_path), Resources())


def test_a_failed_pretraining_is_stored_as_an_attempt_and_can_be_rerun(tmp_path, monkeypatch):
    folder, store = tmp_path / "images", Store(tmp_path / "runs")
    folder.mkdir()
    for i, chip in enumerate(speckled_chips(9, 48)):
        np.save(folder / f"{i}.npy", chip)
    name = f"folder:{folder}"
    made = prepare(name, tmp_path, store.prepared, pool=True).chips
    member = {"name": "folder", "digest": made.data_digest, "count": 9}
    job = Job("MAE", tiny_identity(pool=[member]), [name], [])
    events: list[Event] = []
    with monkeypatch.context() as patched:
        use(patched, NotFinite)
        execute(job, store, Resources(), events.append)
    assert [event.kind for event in events if event.kind != "progress"] == ["started", "failed"]
    assert "NonFiniteLossError: step 3 of 6: the loss is inf" in events[-1].text
    attempt = store.last_attempt("pretrain", job.pretraining.key)
    assert attempt is not None
    assert (attempt.failure, "step 3 of 6" in attempt.message) == ("NonFiniteLossError", True)
    assert "Traceback" in attempt.traceback
    assert store.read("pretrain", job.pretraining.key) is None
    execute(job, store, Resources(), events.append)
    assert store.read("pretrain", job.pretraining.key).steps == STEPS


def test_a_pool_smaller_than_a_batch_is_refused_with_both_numbers(tmp_path):
    with pytest.raises(PoolTooSmallError, match="pool holds 3 chips, a batch takes 4"):
        pretrain(tiny_identity(), make_pool(3), Store(tmp_path), Resources())


def test_the_rate_warms_up_linearly_and_falls_on_a_cosine_to_zero():
    recipe = Recipe(epochs=5, batch=512, base_lr=1e-3, warmup_epochs=1.0)
    # peak = 1e-3 * 512 / 256; then 4 epochs of cosine: a quarter of it is cos 45 degrees
    expected = {
        0.0: 0.0, 0.25: 0.5e-3, 0.5: 1e-3, 1.0: 2e-3,
        2.0: 1e-3 * (1 + 0.5**0.5), 3.0: 1e-3, 4.0: 1e-3 * (1 - 0.5**0.5), 5.0: 0.0,
    }  # fmt: skip
    for epoch, rate in expected.items():
        assert learning_rate(recipe, epoch) == pytest.approx(rate, abs=1e-12)


def test_rate_and_decay_follow_a_recipe_with_a_start_and_an_end():
    recipe = Recipe(
        epochs=5, batch=512, base_lr=1e-3, warmup_epochs=1.0, lr_start_share=0.2, lr_end_share=0.1,
        weight_decay=0.04, weight_decay_end=0.4,
    )  # fmt: skip
    # By hand, peak 2e-3: from 4e-4 in a line, then on half a cosine to 2e-4; decay over all epochs.
    expected = {0.0: 4e-4, 0.5: 1.2e-3, 1.0: 2e-3, 3.0: 1.1e-3, 5.0: 2e-4}
    for epoch, rate in expected.items():
        assert learning_rate(recipe, epoch) == pytest.approx(rate, abs=1e-12)
    half = 0.4 - 0.36 * 0.5 * (1 + cos(pi / 4))
    for epoch, decay in {0.0: 0.04, 1.25: half, 2.5: 0.22, 5.0: 0.4}.items():
        assert weight_decay(recipe, epoch) == pytest.approx(decay)
    assert weight_decay(Recipe(epochs=5, warmup_epochs=1.0), 2.5) == 0.05


def test_weight_decay_follows_its_schedule_step_by_step(tmp_path, monkeypatch):
    used, step = [], torch.optim.AdamW.step

    def spying(self, *args, **kwargs):
        used.append([group["weight_decay"] for group in self.param_groups])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", spying)
    recipe = replace(RECIPE, weight_decay=0.0, weight_decay_end=1.0)
    pretrain(tiny_identity(recipe=recipe), make_pool(), Store(tmp_path), Resources())
    expected = [0.5 - 0.5 * cos(pi * done / STEPS) for done in range(STEPS)]
    assert [decay for decay, _ in used] == pytest.approx(expected)
    assert {plain for _, plain in used} == {0.0}


def test_the_moving_average_counts_steps_from_zero_as_its_source_does(tmp_path, monkeypatch):
    # The source's momentum of step i of n is 0.996 + i * 0.004 / n: the first step moves with
    # 0.996 itself, and the last one still moves.
    given, method = [], get("i_jepa")
    monkeypatch.setattr(pretraining, "architecture_of", lambda identity: None)
    monkeypatch.setattr(method, "after_step", lambda self, progress, *_: given.append(progress))
    pretrain(tiny_identity("i_jepa"), make_pool(), Store(tmp_path), Resources())
    assert given == [step / STEPS for step in range(STEPS)]


def test_rows_are_gathered_only_for_a_method_with_after_step():
    gathered = []

    class Spying(Ranks):
        def gather(self, rows):
            gathered.append(rows)
            return rows

    for name, times in (("mae", 0), ("i_jepa", 1)):
        gathered.clear()
        method = build(get(name))
        optimizer = torch.optim.SGD(method.parameters(), lr=0.0)
        train_step(method, optimizer, sample_batch(method, 4), torch_stream(0), Spying())
        assert len(gathered) == times  # of `index`; neither has rows for `after_step`


def test_a_record_holds_the_network_as_it_was_built(tmp_path):
    record = pretrain(tiny_identity(), make_pool(), Store(tmp_path), Resources())
    built = build_method(tiny_identity())
    known = record.architecture
    assert known.encoder == "Encoder, absolute positions"
    assert known.encoder_parameters == sum(p.numel() for p in built.encoder.parameters())
    assert known.trained_parameters == sum(p.numel() for p in built.parameters())


def transformer_gflop(depth: int, width: int, tokens: int) -> float:
    """Return the cost of blocks by hand: qkv, projection and MLP are 12 W^2, attention 2 N W."""
    return 2e-9 * depth * tokens * (12 * width**2 + 2 * tokens * width)


def test_the_cost_of_mae_is_that_of_its_matrix_products_by_hand():
    found = architecture_of(identity_of())
    # vit_nano: 3 blocks of 64 on 196 patches of 64 pixels and a class token; decoder 2 x 64.
    embed = 2e-9 * 196 * 64 * 64
    assert found.encoder_gflop == pytest.approx(embed + transformer_gflop(3, 64, 197), rel=1e-6)
    visible = 49
    linear = 2e-9 * 64 * 64 * (visible + (visible + 1) + 197)  # embedding, decoder in and out
    forward = transformer_gflop(3, 64, 50) + transformer_gflop(2, 64, 197) + linear
    # Backward costs twice the forward; the embedding's has no gradient of the pixels.
    assert found.step_gflop == pytest.approx(3 * forward - 2e-9 * visible * 64 * 64, rel=0.01)


@pytest.mark.slow
def test_the_cost_of_i_jepa_is_that_of_contexts_cut_in_batches_of_the_recipe():
    """The longer the batch, the shorter the context that all its images have."""
    costs = []
    for batch in (2, 32):
        recipe = asdict(Recipe(batch=batch))
        recipe = {name: value for name, value in recipe.items() if value is not None}
        identity = identity_of("i_jepa")
        costs.append(architecture_of(replace(identity, recipe=recipe)).step_gflop)
    grid, drawn = (14, 14), []
    for number in range(8):
        context, blocks = context_and_targets(
            grid, 32, 4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0), 11, torch_stream(number, "mask")
        )
        known, asked = context.shape[1], blocks.shape[1]
        # Encoder on the context, predictor (width 32, 3 blocks) on each of 4 targets, backward
        # twice; the target encoder sees all 196 patches, forward only.
        trained = transformer_gflop(3, 64, known) + 4 * transformer_gflop(3, 32, known + asked)
        drawn.append(3 * trained + transformer_gflop(3, 64, 196))
    assert costs[1] == pytest.approx(np.mean(drawn), rel=0.05)
    assert costs[0] > 1.1 * costs[1]


def test_counting_a_network_moves_no_stream():
    before = torch.get_rng_state()
    architecture_of(tiny_identity("lomar"))  # which no other test here has counted
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_that_cannot_be_counted_has_a_record_all_the_same(tmp_path, monkeypatch):
    def broken(identity):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("sarbench.bench.pretraining.loop.architecture_of", broken)
    warnings = []
    record = pretrain(
        tiny_identity(), make_pool(), Store(tmp_path), Resources(), warn=warnings.append
    )
    assert record.architecture is None
    assert "will not hold its architecture: RuntimeError: no such kernel" in warnings[-1]


def test_the_learning_rate_changes_within_an_epoch(tmp_path):
    identity, store = tiny_identity(), Store(tmp_path)
    pretrain(identity, make_pool(), store, Resources())
    peak = 2e-2 * 4 / 256
    _, history = outcome(store, identity)
    # the last step of each epoch of two starts at epoch 0.5, 1.5 and 2.5; warm-up ends at 1
    expected = [peak * 0.5] + [0.5 * peak * (1 + cos(pi * share)) for share in (0.25, 0.75)]
    assert [line["lr"] for line in history[1:]] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["mae", "i_jepa", "sar_jepa"])
def test_every_trainable_weight_is_in_one_group_and_one_dimensional_ones_do_not_decay(name):
    method = build_method(identity_of(name))
    optimizer = make_optimizer(method, Recipe(weight_decay=0.07, beta2=0.9))
    decaying, plain = optimizer.param_groups
    assert (decaying["weight_decay"], plain["weight_decay"]) == (0.07, 0.0)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.9)}
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters() if p.requires_grad)
    without = {id(p) for p in plain["params"]}
    for part, weight in method.named_parameters():
        if weight.requires_grad and part.endswith(".bias"):
            assert id(weight) in without, part
    frozen = {id(p) for p in method.parameters() if not p.requires_grad}
    assert (len(frozen) > 0) == (name == "i_jepa")


class Reads(nn.Module):
    """An encoder with one token, the values of the chip."""

    def forward(self, images):
        return images.flatten(1)[:, None]


@pytest.mark.parametrize(
    ("features", "spread"),
    [
        (torch.full((4, 1, 1, 3), 5.0), 0.0),  # collapsed
        (
            torch.tensor([[1.0, 0], [0, 1]]).reshape(2, 1, 1, 2),
            0.5**0.5,
        ),  # var 1/4, mean square 1/2
        (torch.tensor([[1.0, 1], [-1, -1]]).reshape(2, 1, 1, 2), 1.0),
        (torch.tensor([[3.0], [5]]).reshape(2, 1, 1, 1), 17**-0.5),  # var 1, mean square 17
    ],
)
def test_the_spread_of_features_has_its_closed_form(features, spread):
    assert feature_spread(Reads(), features) == pytest.approx(spread, abs=1e-6)


def test_unrelated_features_have_a_spread_of_about_one(rng):
    features = torch.randn(200, 1, 1, 50, generator=rng)
    assert feature_spread(Reads(), features) == pytest.approx(1, abs=0.01)


def test_measuring_the_spread_leaves_the_encoder_in_training():
    encoder = Reads().train()
    feature_spread(encoder, torch.ones(2, 1, 1, 2))
    assert encoder.training


SLOW = [
    pytest.param("i_jepa", marks=pytest.mark.slow),
    pytest.param("sar_jepa", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("method", ["mae", *SLOW])
def test_bf16_trains_on_a_cpu_and_keeps_float32_weights(tmp_path, method):
    pool = make_pool()
    identity = tiny_identity(method, precision="bf16", recipe=replace(RECIPE, epochs=2))
    record = pretrain(identity, pool, Store(tmp_path), Resources())
    full = pretrain(replace(identity, precision="fp32"), pool, Store(tmp_path), Resources())
    assert record.final_loss == pytest.approx(full.final_loss, rel=0.05)
    assert record.weights_digest != full.weights_digest
    assert {p.dtype for p in build_method(identity).encoder.parameters()} == {torch.float32}


def test_every_chip_is_seen_once_an_epoch_but_for_an_incomplete_batch(monkeypatch):
    pool = make_pool()
    batches = Batches(pool, RECIPE, seed=0, views=(View(),), px=16, device="cpu")
    seen: list[int] = []
    stack = batches._pixels.stack
    monkeypatch.setattr(
        batches._pixels,
        "stack",
        lambda rows, index: (seen.extend(rows.tolist()), stack(rows, index))[1],
    )
    for step in range(4):
        assert batches.batch(step).views[0].shape == (4, 1, 16, 16)
    first, second = seen[:8], seen[8:]
    assert len(set(first)) == len(set(second)) == 8
    assert first != second


def test_the_pool_names_its_members():
    assert make_pool().members == (Member("speckle", "d", 9),)


@pytest.mark.parametrize("chips", [9, 4])  # 6 steps, or the last one of 3 at once
def test_a_process_that_lost_its_claim_writes_no_record(tmp_path, monkeypatch, chips):
    done: list[bool] = []

    @contextmanager
    def overtaken(*_):
        yield Claim(done=False, lost=lambda: len(done) == (1 if chips == 9 else 3))

    monkeypatch.setattr(pretraining, "claim", overtaken)
    identity = tiny_identity()
    with pytest.raises(RunningElsewhereError):
        pretrain(
            identity, make_pool(chips), Store(tmp_path), Resources(),
            on_progress=lambda _: done.append(True),
        )  # fmt: skip
    folder = Store(tmp_path).folder("pretrain", identity.key)
    assert {path.name for path in folder.iterdir()} <= {"history.jsonl"}
