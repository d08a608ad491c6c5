"""Pixels, looks at the losses, the compiler and memory: the same numbers on every device."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_pretrainings import (
    EVERY_STEP,
    RECIPE,
    NotFinite,
    identity_of,
    make_pool,
    outcome,
    pool_from,
    stop_after,
    tiny_identity,
    use,
)
from torch import nn

from sarbench.bench.data.pools import Pool
from sarbench.bench.identity import Resources
from sarbench.bench.method_facts.build import build_method
from sarbench.bench.pretraining import device, loop, pixels, training
from sarbench.bench.pretraining.batches import Batches
from sarbench.bench.pretraining.checkpoints import load_checkpoint
from sarbench.bench.pretraining.claim import Interrupted
from sarbench.bench.pretraining.device import (
    DeviceMemoryError,
    PrecisionError,
    check_precision,
    compile_blocks,
)
from sarbench.bench.pretraining.distributed import ALONE, Ranks, StepGenerator
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.pretraining.pixels import DevicePixels, HostPixels, pixels_of
from sarbench.bench.pretraining.step import NonFiniteLossError, queue_step
from sarbench.bench.seeding import torch_stream
from sarbench.bench.store.records import Store
from sarbench.methods import get, names
from sarbench.methods._masking import context_and_targets, random_order
from sarbench.methods._method import View

# The compiler warns while it traces, and would give up if that were an error.
compiles = pytest.mark.filterwarnings("ignore")
COMPILED = "mae", "i_jepa", "sar_jepa"  # in tests that take long enough for all methods
TRAINED = [name for name in names() if get(name).trains]


def mixed_pool(*kinds: tuple[type, float]) -> Pool:
    """Return a pool whose members have different types, full scales and sizes."""
    rng = np.random.default_rng(0)
    members = []
    for kind, full_scale in kinds:
        sides = rng.integers(5, 40, (12, 2)).tolist()
        drawn = [full_scale * rng.random(side) for side in sides]
        (chips,), _ = pool_from([chip.astype(kind) for chip in drawn]).places
        members.append(replace(chips, full_scale=full_scale))
    return Pool(members)


KINDS = [
    [(np.uint8, 255.0)],
    [(np.uint16, 65535.0)],
    [(np.float32, 3.0)],
    [(np.uint8, 255.0), (np.uint16, 4095.0), (np.uint8, 200.0)],
    [(np.uint16, 65535.0), (np.float32, 1.5), (np.uint8, 255.0)],
]


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("place", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_batch_gathered_from_a_device_has_the_bits_of_its_chips(monkeypatch, kinds, place):
    monkeypatch.setattr(pixels, "COPIED_BYTES", 3000)  # the pool is copied in several parts
    pool = mixed_pool(*kinds)
    resident, host = DevicePixels(pool, place), HostPixels(pool, place)
    rng = np.random.default_rng(1)
    for size in (1, 2, len(pool)):
        rows = rng.permutation(len(pool))[:size]
        found = resident.stack(rows, torch.from_numpy(rows).to(place))
        images, height, width = (part.cpu() for part in found)
        chips = [pool.chip(row) / np.float32(pool.full_scale(row)) for row in rows.tolist()]
        assert [*zip(height.tolist(), width.tolist(), strict=True)] == [c.shape for c in chips]
        assert images.shape == (size, height.max(), width.max())
        for image, chip in zip(images, chips, strict=True):
            padded = np.zeros(image.shape, np.float32)
            padded[: chip.shape[0], : chip.shape[1]] = chip
            np.testing.assert_array_equal(image.numpy(), padded)
        for ours, copied in zip(found, host.stack(rows, torch.from_numpy(rows)), strict=True):
            assert torch.equal(ours, copied)


def test_a_pool_on_a_cpu_stays_where_it_is_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "DevicePixels", pytest.fail)
    assert isinstance(pixels_of(make_pool(), "cpu", True, pytest.fail), HostPixels)


@pytest.mark.parametrize(("free", "kind"), [(4000, DevicePixels), (3999, HostPixels)])
def test_a_pool_that_a_gpu_cannot_hold_stays_on_the_host_with_a_message(monkeypatch, free, kind):
    pool = pool_from([np.zeros((10, 25), np.float32)])  # 1000 bytes, a quarter of 4000
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (free, 10**6))
    monkeypatch.setattr(DevicePixels, "__init__", lambda self, pool, where: None)
    messages: list[str] = []
    assert type(pixels_of(pool, "cuda:0", True, messages.append)) is kind
    assert len(messages) == (kind is HostPixels)
    assert all("at most 25% of the" in text for text in messages)
    assert type(pixels_of(pool, "cuda:0", False, pytest.fail)) is HostPixels


def test_a_pool_stays_on_the_host_where_its_place_on_the_gpu_is_taken(monkeypatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (10**6, 10**6))
    monkeypatch.setattr(DevicePixels, "__init__", full)
    messages: list[str] = []
    assert type(pixels_of(make_pool(1), "cuda:0", True, messages.append)) is HostPixels
    assert len(messages) == 1


@pytest.mark.parametrize(
    "method",
    ["mae", *(pytest.param(name, marks=pytest.mark.slow) for name in ("i_jepa", "simclr"))],
)
def test_looking_at_losses_every_few_steps_changes_no_bit(tmp_path, monkeypatch, method):
    """Two looks in an epoch of two steps; then one, at its end."""
    identity, pool = tiny_identity(method, recipe=replace(RECIPE, batch=3)), make_pool()
    found, moments = [], []
    for look in (1, 2, 16):
        monkeypatch.setitem(training.LOOK_STEPS, "cpu", look)
        store, seen = Store(tmp_path / str(look)), []
        pretrain(identity, pool, store, Resources(), on_progress=seen.append)
        found.append(outcome(store, identity))
        moments.append([progress.step for progress in seen])
    assert found[0] == found[1] == found[2]
    assert moments == [list(range(1, 10)), [2, 3, 4, 6, 8, 9], [3, 6, 9]]


def test_a_resume_between_two_looks_ends_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setitem(training.LOOK_STEPS, "cpu", 2)
    identity, pool = tiny_identity("lomar", recipe=replace(RECIPE, batch=3)), make_pool()
    straight, stopped = Store(tmp_path / "straight"), Store(tmp_path / "stopped")
    pretrain(identity, pool, straight, Resources())
    for _ in range(5):
        with pytest.raises(Interrupted):
            pretrain(identity, pool, stopped, EVERY_STEP, should_stop=stop_after(1))
    monkeypatch.setitem(training.LOOK_STEPS, "cpu", 16)
    pretrain(identity, pool, stopped, EVERY_STEP)
    assert outcome(stopped, identity) == outcome(straight, identity)


def test_a_loss_seen_later_is_reported_with_its_step_and_no_checkpoint_follows(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(training.LOOK_STEPS, "cpu", 2)
    use(monkeypatch, NotFinite)  # in its third step
    identity, store = tiny_identity(recipe=replace(RECIPE, batch=2)), Store(tmp_path)
    message = r"step 3 of 12: the loss is inf: its images are finite.*\(seen after step 4"
    with pytest.raises(NonFiniteLossError, match=message):
        pretrain(identity, make_pool(), store, EVERY_STEP)
    state = load_checkpoint(store.folder("pretrain", identity.key), pytest.fail)
    assert state is not None
    assert state["step"] == 2
    assert all(tensor.isfinite().all() for tensor in state["method"].values())


def test_pixels_that_are_not_finite_are_named_also_when_seen_later(tmp_path, monkeypatch):
    monkeypatch.setitem(training.LOOK_STEPS, "cpu", 2)
    pool = make_pool()
    pool.chip(0)[:] = np.nan
    with pytest.raises(NonFiniteLossError, match=r"step \d of 6: .* holds pixels that are not"):
        pretrain(tiny_identity(), pool, Store(tmp_path), Resources())


def test_all_draws_are_those_of_the_host():
    """A generator of a GPU is stood for by one of another seed on the CPU."""
    rng = StepGenerator("cpu")
    rng.part, rng.host = (1, 3), torch_stream(4, "mask")
    whole = random_order(12, 9, torch_stream(4, "mask"))
    assert torch.equal(random_order(4, 9, rng), whole[4:8])
    shape = (14, 14), 4, 4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0), 11
    rng.host = torch_stream(4, "mask")
    part = Ranks(1, 3).stream(4, "mask", device="cpu")
    for ours, theirs in zip(
        context_and_targets(*shape, rng), context_and_targets(*shape, part), strict=True
    ):
        assert torch.equal(ours, theirs)


class Full(get("mae")):
    """MAE that finds the device's memory full in some of its steps."""

    calls, full = 0, ()

    def loss(self, batch, rng):
        type(self).calls += 1
        if self.calls in self.full:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore")
        return super().loss(batch, rng)


@pytest.fixture
def filling(monkeypatch) -> Callable[..., None]:
    """Let a method run out of memory in the given calls, with the pool on the device."""

    def fill(*calls: int, resident: bool = True) -> None:
        use(monkeypatch, Full)
        monkeypatch.setattr(Full, "calls", 0)
        monkeypatch.setattr(Full, "full", calls)
        monkeypatch.setattr(
            "sarbench.bench.pretraining.batches.pixels_of",
            lambda pool, where, wanted, warn: (
                DevicePixels(pool, where) if wanted and resident else HostPixels(pool, where)
            ),
        )

    return fill


def test_a_pool_leaves_a_device_that_runs_out_of_memory_and_no_bit_changes(tmp_path, filling):
    identity, pool = tiny_identity(), make_pool()
    filling()
    straight, moved = Store(tmp_path / "straight"), Store(tmp_path / "moved")
    pretrain(identity, pool, straight, Resources())
    filling(4)
    messages: list[str] = []
    pretrain(identity, pool, moved, EVERY_STEP, warn=messages.append)
    assert outcome(moved, identity) == outcome(straight, identity)
    (message,) = messages
    assert "ran out of memory at step 4 of 6; the training resumes" in message


@pytest.mark.parametrize(("calls", "resident", "step"), [((2,), False, 2), ((3, 4), True, 3)])
def test_a_training_without_memory_says_so_and_keeps_its_checkpoint(
    tmp_path, filling, calls, resident, step
):
    identity, store = tiny_identity(), Store(tmp_path)
    filling(*calls, resident=resident)
    message = rf"cpu ran out of memory at step {step} of 6; .*Use a GPU with more .*2.00 GiB\.\)$"
    with pytest.raises(DeviceMemoryError, match=message):
        pretrain(identity, make_pool(), store, EVERY_STEP)
    state = load_checkpoint(store.folder("pretrain", identity.key), pytest.fail)
    assert state is not None
    assert state["step"] == step - 1


@pytest.mark.parametrize(
    ("native", "emulated", "answer"),
    [(True, True, ""), (False, True, "emulates"), (False, False, "Ampere")],
)
def test_a_gpu_without_bf16_is_refused_and_a_slow_one_is_named(
    monkeypatch, native, emulated, answer
):
    class Nothing:
        def __init__(self, where): ...
        def __enter__(self): ...
        def __exit__(self, *_): ...

    monkeypatch.setattr(torch.cuda, "device", Nothing)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla")
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: emulated if including_emulation else native,
    )
    messages: list[str] = []
    check_precision("fp32", "cuda:0", pytest.fail)
    check_precision("bf16", "cpu", pytest.fail)
    try:
        check_precision("bf16", "cuda:0", messages.append)
    except PrecisionError as error:
        assert not emulated
        messages.append(str(error))
    assert len(messages) == bool(answer)
    assert all(answer in text and "Tesla (cuda:0)" in text for text in messages)


def test_a_missing_compiler_is_said_and_the_method_stays_as_it_is(monkeypatch):
    method, messages = nn.Linear(2, 2), []
    monkeypatch.setattr(device, "missing_compiler", lambda where: "no C compiler")
    monkeypatch.setattr(device, "compile_in_place", pytest.fail)
    assert not compile_blocks(method, "cuda:0", messages.append)
    assert "not compiled" in messages[0]
    assert "no C compiler" in messages[0]
    monkeypatch.setenv("SARBENCH_COMPILE", "0")
    assert not compile_blocks(method, "cuda:0", pytest.fail)
    assert not compile_blocks(method, "cpu", pytest.fail)


def test_the_reason_of_a_compiler_that_fails_is_named(monkeypatch):
    def broken(function):
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")

    monkeypatch.setattr(torch, "compile", broken)
    device.missing_compiler.cache_clear()
    assert device.missing_compiler("cpu") == "RuntimeError: Failed to find C compiler."
    device.missing_compiler.cache_clear()


STEPS_OF_BOTH = """
import json, sys
from dataclasses import replace
import torch, torch._dynamo.utils
from small_pretrainings import AnyDevice, identity_of
from sarbench.bench.method_facts.build import build_method
from sarbench.bench.method_facts.sample_batches import sample_batch
from sarbench.bench.pretraining.device import compile_in_place
from sarbench.bench.pretraining.step import queue_step
from sarbench.bench.seeding import torch_stream
from sarbench.methods import _relative_positions

_relative_positions.BlockedAttention = AnyDevice
methods = [build_method(identity_of(sys.argv[1])).train().double() for _ in range(2)]
losses = []
compile_in_place(methods[1])
for method in methods:
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    batch = sample_batch(method, 4)
    batch = replace(batch, views=tuple(view.double() for view in batch.views))
    losses.append(
        [float(queue_step(method, optimizer, batch, torch_stream(step))) for step in range(3)]
    )
plain, compiled = (method.state_dict() for method in methods)
torch.testing.assert_close(plain, compiled, atol=1e-4, rtol=1e-3)
print(json.dumps([losses, torch._dynamo.utils.counters]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mae", "sar_jepa", "i_jepa"])
def test_compiled_blocks_give_the_same_steps_and_the_same_names(name):
    """In a process of its own, because a compiler does not see through the type checks of tests.

    In float64, for which a CPU has no ways of its own.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STEPS_OF_BOTH, name],
        check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    (plain, compiled), counters = json.loads(done.stdout)
    assert plain == pytest.approx(compiled, rel=1e-4)
    assert plain[2] < plain[0]
    assert counters["frames"]["ok"] == counters["frames"]["total"] >= 1  # all could be compiled
    assert not counters.get("graph_break")


@compiles
@pytest.mark.gpu
@pytest.mark.parametrize("name", TRAINED)
def test_no_step_waits_for_the_gpu(monkeypatch, name):
    """After the first two steps, which fill caches and build kernels."""
    monkeypatch.setenv("SARBENCH_COMPILE", str(int(name in COMPILED)))
    resources = Resources(device="cuda:0")
    identity = identity_of(name)
    method = build_method(labelled(identity)).to("cuda:0").train()
    compile_blocks(method, "cuda:0", pytest.fail)
    pool = make_pool(40)
    pool.labels = np.arange(40) % 3
    for resident in (True, False):
        batches = Batches(
            pool, RECIPE, 0, type(method).views(method.config), 112, resources.device,
            labelled=method.needs_labels, resident=resident,
        )  # fmt: skip
        optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad])
        try:
            for step in range(6):
                torch.cuda.set_sync_debug_mode("error" if step >= 2 else "default")
                rng = ALONE.stream(0, "mask", step, device="cuda:0")
                queue_step(method, optimizer, batches.batch(step), rng, precision="bf16")
        finally:
            torch.cuda.set_sync_debug_mode("default")


def labelled(identity):
    """Return an identity with three classes, where its method needs labels."""
    if not get(identity.method).needs_labels:
        return identity
    member = {"name": "speckle", "digest": "d", "count": 9, "split": "s", "classes": 3}
    return replace(identity, pool=[member])


@pytest.mark.gpu
@pytest.mark.parametrize("name", TRAINED)
def test_a_gpu_and_a_cpu_train_on_the_same_crops_and_masks(tmp_path, monkeypatch, name):
    monkeypatch.setenv("SARBENCH_COMPILE", "0")
    identity, pool = labelled(identity_of(name)), make_pool()
    pool.labels = np.arange(9) % 3
    losses = []
    for place in ("cpu", "cuda:0"):
        store = Store(tmp_path / place[:4])
        pretrain(identity, pool, store, Resources(device=place))
        losses.append([line["loss"] for line in outcome(store, identity)[1]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


@compiles
@pytest.mark.gpu
@pytest.mark.parametrize("name", TRAINED)
def test_a_resume_on_a_gpu_is_bit_identical_with_deterministic_algorithms(
    tmp_path, monkeypatch, name
):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setenv("SARBENCH_COMPILE", str(int(name in COMPILED)))
    identity, pool = labelled(identity_of(name)), make_pool()
    pool.labels = np.arange(9) % 3
    gpu = Resources(device="cuda:0", checkpoint_s=0.0)
    straight, stopped = Store(tmp_path / "straight"), Store(tmp_path / "stopped")
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        pretrain(identity, pool, straight, gpu)
        with pytest.raises(Interrupted):
            pretrain(identity, pool, stopped, gpu, should_stop=stop_after(1))
        pretrain(identity, pool, stopped, gpu)
    finally:
        torch.use_deterministic_algorithms(False)
    assert outcome(stopped, identity) == outcome(straight, identity)


@compiles
@pytest.mark.gpu
def test_compiled_blocks_on_a_gpu_change_rounding_only():
    losses = []
    for compiled in (False, True):
        method = build_method(identity_of("sar_jepa")).to("cuda:0").train()
        if compiled:
            assert compile_blocks(method, "cuda:0", pytest.fail)
        optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
        batches = Batches(make_pool(), RECIPE, 0, (View(),), 112, "cuda:0")
        rngs = [ALONE.stream(0, "mask", step, device="cuda:0") for step in range(4)]
        losses.append(
            [
                float(queue_step(method, optimizer, batches.batch(step), rng))
                for step, rng in enumerate(rngs)
            ]
        )
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@compiles
@pytest.mark.gpu
def test_a_pool_on_the_gpu_and_one_on_the_host_give_the_same_bits(tmp_path, monkeypatch):
    identity, found = identity_of(), []
    for share in (0.25, 0.0):
        monkeypatch.setattr(pixels, "DEVICE_SHARE", share)
        batches = Batches(make_pool(), RECIPE, 0, (View(),), 112, "cuda:0")
        assert batches.resident == bool(share)
        found.append([batches.batch(step).views[0] for step in range(5)])
    assert all(map(torch.equal, *found))
    assert loop.pretrain(identity, make_pool(), Store(tmp_path), Resources(device="cuda:0"))
