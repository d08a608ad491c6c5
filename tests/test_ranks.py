"""A pretraining shared by several processes is the same pretraining."""

import json
import multiprocessing
import socket
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from sarbench.bench.augment import Augmentation, augment
from sarbench.bench.data.pools import Pool
from sarbench.bench.data.prepare import open_chips, prepare
from sarbench.bench.pretrain import pretrain
from sarbench.bench.ranks import BatchShareError, Environment, Ranks, join_ranks
from sarbench.bench.run import RECIPES, Pretraining, Resources
from sarbench.bench.seeding import torch_stream
from sarbench.bench.store import Store
from sarbench.methods import _registry
from sarbench.methods._masking import context_and_targets, random_order
from sarbench.methods._sizes import SIZES


def identity_of(method: str) -> Pretraining:
    recipe = replace(RECIPES["quick"], epochs=3, batch=8, warmup_epochs=1.0)
    return Pretraining(
        method=method, method_version=1, config=asdict(_registry.get(method).Config()),
        encoder=asdict(SIZES["vit_nano"]), precision="fp32", pool=[], pool_cap=16,
        pool_fraction=1.0, recipe=asdict(recipe), seed=0,
    )  # fmt: skip


def work(root: Path, method: str, environment: Environment | None) -> None:
    torch.set_num_threads(1)
    store = Store(root)
    pool = Pool([open_chips("synthetic", root, root.parent / "prepared", pool=True)], 16)
    with join_ranks(Resources(), environment) as ranks:
        pretrain(identity_of(method), pool, store, Resources(), ranks=ranks)


def losses(root: Path) -> list[float]:
    (path,) = root.glob("pretrain/*/history.jsonl")
    return [json.loads(line)["loss"] for line in path.read_text().splitlines()]


SLOW = [pytest.param("mae", marks=pytest.mark.slow), pytest.param("i_jepa", marks=pytest.mark.slow)]


@pytest.mark.parametrize("method", ["lomar", *SLOW])
def test_two_processes_give_the_loss_curve_of_one(tmp_path, method):
    prepare("synthetic", tmp_path, tmp_path / "prepared", pool=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work(tmp_path / "one", method, None)
    context = multiprocessing.get_context("fork")
    both = [
        context.Process(
            target=work, args=(tmp_path / "two", method, Environment("127.0.0.1", port, r, r, 2))
        )
        for r in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
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
    with pytest.raises(BatchShareError, match="300 cannot be shared by 7"):
        Ranks(0, 7).share(300)
