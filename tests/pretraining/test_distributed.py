"""A pretraining shared by several processes is the same pretraining."""

import json
import multiprocessing
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from small_pretrainings import make_pool, stop_after, tiny_identity
from stores import synthetic_sets

from sarbench.bench.augmentation.augment import Augmentation, augment
from sarbench.bench.data.pools import Pool
from sarbench.bench.data.prepare import prepare
from sarbench.bench.identity import RECIPES, Pretraining, Resources
from sarbench.bench.pretraining import checkpoints, training
from sarbench.bench.pretraining import loop as pretraining
from sarbench.bench.pretraining.batch_share import BatchShareError
from sarbench.bench.pretraining.checkpoints import load_checkpoint
from sarbench.bench.pretraining.claim import Interrupted
from sarbench.bench.pretraining.distributed import (
    Environment,
    Ranks,
    join_ranks,
)
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.pretraining.training import Loop
from sarbench.bench.seeding import torch_stream
from sarbench.bench.store.history import read_history
from sarbench.bench.store.provenance import Clock
from sarbench.bench.store.records import Store
from sarbench.methods import _registry
from sarbench.methods._encoders import SIZES, TimmConfig
from sarbench.methods._masking import context_and_targets, random_order


def identity_of(method: str) -> Pretraining:
    """Return a pretraining; "simclr resnet" means SimCLR on a small network of timm."""
    method, _, resnet = method.partition(" ")
    encoder = asdict(TimmConfig("timm:test_resnet@64", 64) if resnet else SIZES["vit_nano"])
    recipe = replace(RECIPES["quick"], epochs=3, batch=8, warmup_epochs=1.0)
    return Pretraining(
        method=method, method_version=1, config=asdict(_registry.get(method).Config()),
        encoder=encoder, precision="fp32", pool=[], pool_cap=16,
        pool_fraction=1.0, recipe=asdict(recipe), seed=0,
    )  # fmt: skip


def work(root: Path, method: str, environment: Environment | None) -> None:
    torch.set_num_threads(1)
    store = Store(root)
    pool = Pool([prepare("synthetic", root, synthetic_sets(), pool=True).chips], 16)
    with join_ranks(Resources(), environment) as ranks:
        pretrain(identity_of(method), pool, store, Resources(), ranks=ranks)


def in_two_processes(target: Callable[..., None], *arguments: object) -> list[int | None]:
    """Run a function in two connected processes; return their exit statuses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    places = [Environment("127.0.0.1", port, rank, rank, 2) for rank in range(2)]
    both = [context.Process(target=target, args=(*arguments, place)) for place in places]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    for process in both:
        process.kill()
        process.join()
    return [process.exitcode for process in both]


def stopped_at_step_4(root: Path, environment: Environment) -> None:
    """Train four of six steps, with checkpoints of steps 3 and 4."""
    torch.set_num_threads(1)
    steps = iter(range(1, 100))
    pool = Pool([prepare("synthetic", root, synthetic_sets(), pool=True).chips], 16)
    every_step = Resources(checkpoint_s=0.0)
    with join_ranks(every_step, environment) as ranks, suppress(Interrupted):
        pretrain(
            identity_of("lomar"), pool, Store(root), every_step, ranks=ranks,
            should_stop=lambda: next(steps) == 4,
        )  # fmt: skip


def blind(hidden: int, root: Path, environment: Environment) -> None:
    """Resume while the second process sees neither the newest checkpoints nor the history."""
    if environment.rank == 1:
        see, read = checkpoints._checkpoints, training.read_history
        checkpoints._checkpoints = lambda folder: see(folder)[hidden:]
        training.read_history = lambda path: read(path)[:-hidden] if hidden else read(path)
    work(root, "lomar", environment)


@pytest.mark.slow
def test_a_process_that_sees_older_checkpoints_resumes_where_the_first_one_does(tmp_path):
    synthetic_sets()  # not made by both processes
    assert in_two_processes(stopped_at_step_4, tmp_path / "0") == [0, 0]
    assert len(list(tmp_path.glob("0/pretrain/*/checkpoint-*.pt"))) == 2
    results = []
    for hidden in (0, 1):
        root = tmp_path / f"hides {hidden}"
        shutil.copytree(tmp_path / "0", root)
        assert in_two_processes(blind, hidden, root) == [0, 0]
        (weights,) = root.glob("pretrain/*/encoder.safetensors")
        results.append((weights.read_bytes(), losses(root)))
    assert results[0] == results[1]
    assert len(results[0][1]) == 3


class Second(Ranks):
    """The second of two processes, which gets the given values from the first."""

    handed: list

    def from_first(self, value, device):
        assert value is None, "it looked by itself"
        return self.handed

    def check_same(self, step, module):
        pass


def test_the_second_process_takes_the_state_of_the_first_and_lists_nothing(tmp_path):
    identity, store = identity_of("lomar"), Store(tmp_path)
    identity = replace(identity, recipe=identity.recipe | {"batch": 4})
    with pytest.raises(Interrupted):
        pretrain(identity, make_pool(), store, Resources(), should_stop=stop_after(3))
    folder = store.folder("pretrain", identity.key)
    state, history = load_checkpoint(folder, pytest.fail), read_history(folder / "history.jsonl")
    second = Second(1, 2)
    object.__setattr__(second, "handed", [state, history])
    loop = Loop(
        identity, pretraining.build_method(identity), make_pool(), tmp_path / "empty",
        Resources(), pytest.fail, second, Clock(Resources()),
    )  # fmt: skip
    assert (loop.step, loop.history) == (3, history)
    for name, tensor in loop.method.state_dict().items():
        assert torch.equal(tensor, state["method"][name]), name
    assert loop.optimizer.state_dict()["state"].keys() == state["optimizer"]["state"].keys()


def through_a_state(root: Path, environment: Environment | None) -> None:
    torch.set_num_threads(1)
    whole = tiny_identity("lomar")
    pool = Pool([prepare("synthetic", root, synthetic_sets(), pool=True).chips], 16)
    with join_ranks(Resources(), environment) as ranks:
        earlier = [replace(whole, at=0.4)]
        pretrain(whole, pool, Store(root), Resources(), ranks=ranks, earlier=earlier)


@pytest.mark.slow
def test_two_processes_write_the_state_of_one(tmp_path):
    synthetic_sets()  # not made by both processes
    key = replace(tiny_identity("lomar"), at=0.4).key
    through_a_state(tmp_path / "one", None)
    assert in_two_processes(through_a_state, tmp_path / "two") == [0, 0]
    one, two = (Store(tmp_path / name).read("pretrain", key) for name in ("one", "two"))
    assert one.steps == two.steps == 5  # of 12
    assert two.final_loss == pytest.approx(one.final_loss, rel=1e-5)
    assert two.feature_spread == pytest.approx(one.feature_spread, rel=1e-3)


def check_weights(step: list[int], seed: list[int], environment: Environment) -> None:
    """Compare the step and the drawn weights of each process."""
    rank = environment.rank
    weights = torch.nn.Linear(3, 2)
    torch.nn.init.normal_(weights.weight, generator=torch_stream(seed[rank], "weights"))
    torch.nn.init.zeros_(weights.bias)
    with join_ranks(Resources(), environment) as ranks:
        ranks.check_same(step[rank], weights)
        arrived = ranks.from_first([rank, {"w": weights.weight.detach() * (1 - rank)}], "cpu")
        assert arrived[0] == 0
        assert torch.equal(arrived[1]["w"], weights.weight)


@pytest.mark.parametrize(
    ("step", "seed", "statuses"), [([4, 4], [0, 0], [0, 0]), ([4, 2], [0, 0], [1, 1]),
    ([4, 4], [0, 1], [1, 1])],
)  # fmt: skip
def test_processes_begin_at_one_step_with_the_same_weights_or_not_at_all(step, seed, statuses):
    assert in_two_processes(check_weights, step, seed) == statuses


def test_a_record_is_written_only_when_every_process_has_finished(tmp_path, monkeypatch):
    order, finish = [], pretraining._finish
    monkeypatch.setattr(Ranks, "wait", lambda self: order.append("wait for all"))
    monkeypatch.setattr(
        pretraining, "_finish", lambda *given: (order.append("record"), finish(*given))
    )
    identity = identity_of("lomar")
    identity = replace(identity, recipe=identity.recipe | {"batch": 4, "epochs": 2})
    pretrain(identity, make_pool(), Store(tmp_path), Resources())
    assert order == ["wait for all", "record", "wait for all"]


def losses(root: Path) -> list[float]:
    (path,) = root.glob("pretrain/*/history.jsonl")
    before, *lines = map(json.loads, path.read_text().splitlines())
    assert before["step"] == 0
    return [line["loss"] for line in lines]


SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("mae", "i_jepa", "simclr", "simclr resnet")
]


@pytest.mark.parametrize("method", ["lomar", *SLOW])
def test_two_processes_give_the_loss_curve_of_one(tmp_path, method):
    synthetic_sets()  # not made by both processes
    work(tmp_path / "one", method, None)
    assert in_two_processes(work, tmp_path / "two", method) == [0, 0]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 3
    for a, b in zip(one, two, strict=True):
        assert abs(a - b) / a < 1e-4


def shares(rng_of) -> list:
    """Return what each of three processes draws."""
    return [rng_of(Ranks(rank, 3).stream(1, "mask", 5, device="cpu")) for rank in range(3)]


def test_the_parts_of_a_draw_are_the_draw_of_the_whole_batch():
    whole = random_order(12, 9, torch_stream(1, "mask", 5))
    parts = shares(lambda rng: random_order(4, 9, rng))
    assert torch.equal(torch.cat(parts), whole)


def test_the_parts_of_block_masks_are_those_of_the_whole_batch():
    def draw(images, rng):
        return context_and_targets(
            (14, 14), images, 4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0), 4, rng
        )

    contexts, targets = zip(*shares(lambda rng: draw(2, rng)), strict=True)
    whole = draw(6, torch_stream(1, "mask", 5))
    assert torch.equal(torch.cat(contexts), whole[0])
    assert torch.equal(torch.cat(targets), whole[1])


def test_the_parts_of_an_augmented_batch_are_those_of_the_whole_batch():
    images = torch.rand(6, 20, 20, generator=torch_stream(0, "images"))
    side = torch.full((6,), 20)
    whole = augment(images, side, side, 16, Augmentation(), torch_stream(1, "mask", 5))
    for rank in range(3):
        own = slice(2 * rank, 2 * rank + 2)
        rng = Ranks(rank, 3).stream(1, "mask", 5, device="cpu")
        part = augment(images[own], side[own], side[own], 16, Augmentation(), rng)
        assert torch.allclose(part, whole[own], atol=1e-6)


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(BatchShareError, match="7 processes do not divide a batch of 300"):
        Ranks(0, 7).share(300)
