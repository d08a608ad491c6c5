"""One process at a time trains a pretraining, and others see its progress."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from commands import TINY, Sarbench
from small_pretrainings import EVERY_STEP, STEPS, make_pool, outcome, stop_after, tiny_identity
from stores import planned

from sarbench.bench.identity import Resources
from sarbench.bench.pretraining.claim import LEASE, Interrupted, RunningElsewhereError
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.slurm import ledger
from sarbench.bench.slurm.ledger import LedgerError
from sarbench.bench.store import leases
from sarbench.bench.store.leases import lease
from sarbench.bench.store.progress import (
    PROGRESS_FILE,
    Progress,
    last_checkpoint,
    read_progress,
    steps_of,
    write_progress,
)
from sarbench.bench.store.records import Store

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.1)


def dead() -> int:
    """Return the id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return child.pid


def abandon(*paths: Path) -> None:
    """Leave leases as a killed process does."""

    def hold() -> None:
        with ExitStack() as held:
            for path in paths:
                held.enter_context(lease(path, lambda: False))
            os.kill(os.getpid(), signal.SIGKILL)

    child = FORK.Process(target=hold)
    child.start()
    child.join()
    assert all(path.exists() for path in paths)


def both_at_once(target, *arguments: object) -> list:
    """Call a function in two processes at the same time; return what each put into the queue."""
    queue, barrier = FORK.SimpleQueue(), FORK.Barrier(2)
    both = [FORK.Process(target=target, args=(*arguments, barrier, queue)) for _ in range(2)]
    for process in both:
        process.start()
    found = [queue.get() for _ in both]
    for process in both:
        process.join()
    return found


def train(root: Path, barrier, queue) -> None:
    torch.set_num_threads(1)
    steps: list[int] = []
    barrier.wait(60)
    try:
        pretrain(
            tiny_identity(), make_pool(), Store(root), Resources(),
            on_progress=lambda p: (steps.append(p.step), time.sleep(0.1)),
        )  # fmt: skip
    except RunningElsewhereError as error:
        queue.put(str(error))
    else:
        queue.put(steps)


@pytest.mark.parametrize("left", ["nothing", "the lease of a killed process"])
def test_of_two_processes_that_start_together_one_trains(tmp_path, left):
    folder = Store(tmp_path).folder("pretrain", tiny_identity().key)
    if left != "nothing":
        folder.mkdir(parents=True)
        abandon(folder / LEASE)
    found = both_at_once(train, tmp_path)
    assert found.count(list(range(1, STEPS + 1))) == 1
    (other,) = (text for text in found if isinstance(text, str))
    assert f"on {os.uname().nodename} trains it now" in other
    assert not (folder / LEASE).exists()
    assert not (folder / PROGRESS_FILE).exists()


def test_a_pretraining_that_another_process_finished_meanwhile_is_not_repeated(tmp_path):
    store, steps = Store(tmp_path), []
    record = pretrain(tiny_identity(), make_pool(), store, Resources())
    again = pretrain(tiny_identity(), make_pool(), store, Resources(), on_progress=steps.append)
    assert again == record
    assert not steps


def test_a_lease_of_another_machine_is_free_when_it_is_not_renewed(tmp_path, monkeypatch):
    path = tmp_path / "lease"
    abandon(path)
    path.write_text(path.read_text().replace(f"host={os.uname().nodename}", "host=elsewhere"))
    with (
        pytest.raises(leases.LeaseHeldError, match=r"process \d+ on elsewhere"),
        lease(path, lambda: False, 0.5),
    ):
        pass
    monkeypatch.setattr(leases, "LEASE_S", 0.6)
    path.write_text(path.read_text().replace("duration=120.0", "duration=0.6"))
    began = time.monotonic()
    with lease(path, lambda: False, 5.0) as held:
        assert 0.6 <= time.monotonic() - began < 4
        assert held.compromise is None


def test_a_process_that_lost_its_pretraining_to_another_stops(tmp_path):
    identity, store = tiny_identity(), Store(tmp_path)
    path = store.folder("pretrain", identity.key) / LEASE

    def taken_over(progress: Progress) -> None:
        path.unlink(missing_ok=True)
        path.write_text("of another process\n")
        time.sleep(0.5)

    with pytest.raises(RunningElsewhereError, match="took this pretraining over"):
        pretrain(identity, make_pool(), store, Resources(), on_progress=taken_over)
    assert store.read("pretrain", identity.key) is None


def test_the_progress_file_exists_from_the_first_step_to_the_last(tmp_path):
    identity, store, seen = tiny_identity(), Store(tmp_path), []
    folder = store.folder("pretrain", identity.key)

    def look() -> bool:
        seen.append(read_progress(folder))
        return False

    record = pretrain(identity, make_pool(), store, Resources(), should_stop=look)
    assert seen[0].progress == Progress(0, STEPS, 4)
    assert seen[0].host == os.uname().nodename
    assert read_progress(folder) is None
    assert steps_of(identity) == record.steps


def test_only_fresh_progress_of_a_living_process_counts(tmp_path):
    write_progress(tmp_path, Progress(3, 9, 4, 0.5, 100.0))
    path = tmp_path / PROGRESS_FILE
    whole = path.read_text()
    assert read_progress(tmp_path).progress == Progress(3, 9, 4, 0.5, 100.0)
    path.write_text(json.dumps(json.loads(whole) | {"pid": dead()}))
    assert read_progress(tmp_path) is None
    path.write_text(json.dumps(json.loads(whole) | {"pid": dead(), "host": "elsewhere"}))
    assert read_progress(tmp_path).host == "elsewhere"
    os.utime(path, (time.time() - 121,) * 2)
    assert read_progress(tmp_path) is None


@pytest.mark.parametrize("text", ["", '{"step": 3, "st', "[]", "7", '{"step": 3}'])
def test_a_torn_progress_file_is_ignored(tmp_path, text):
    (tmp_path / PROGRESS_FILE).write_text(text)
    assert read_progress(tmp_path) is None


def state(grid: Path, runs: Path) -> tuple[str, str, int]:
    """Return state and reason of the first pretraining, and the number of jobs to run."""
    plan, _ = planned(grid, runs)
    return plan.pretrain[0].state, plan.pretrain[0].reason, len(plan.jobs())


def test_a_plan_skips_running_pretrainings_and_names_the_step_to_resume_from(tmp_path, monkeypatch):
    grid = tmp_path / "grid.toml"
    grid.write_text(TINY)
    plan, store = planned(grid, tmp_path / "runs")
    identity = plan.pretrain[0].planned.identity
    folder = store.folder("pretrain", identity.key)
    jobs = len(plan.jobs())
    assert (plan.pretrain[0].state, plan.pretrain[0].reason) == ("new", "not run yet")
    folder.mkdir(parents=True)
    write_progress(folder, Progress(1, 2, 16))
    assert state(grid, tmp_path / "runs") == (
        "running", f"step 1 of 2 on {os.uname().nodename}", jobs - 1,
    )  # fmt: skip
    with monkeypatch.context() as patched:
        # A process that reads the file twice does not find it the second time.
        there = Path.exists
        patched.setattr(
            Path, "exists", lambda p: there(p) and (p.name != PROGRESS_FILE or p.unlink() is None)
        )
        assert state(grid, tmp_path / "runs")[0] in ("running", "new")
    (folder / PROGRESS_FILE).unlink(missing_ok=True)
    (folder / f"checkpoint-000000001-{'0' * 16}.pt").touch()
    assert state(grid, tmp_path / "runs") == ("new", "stopped at step 1 of 2; run resumes it", jobs)


def test_a_stopped_pretraining_names_its_last_step(tmp_path):
    identity, store = tiny_identity(), Store(tmp_path)
    folder = store.folder("pretrain", identity.key)
    assert last_checkpoint(folder) == 0
    with pytest.raises(Interrupted):
        pretrain(identity, make_pool(), store, EVERY_STEP, should_stop=stop_after(4))
    assert last_checkpoint(folder) == 4
    straight = Store(tmp_path / "straight")
    pretrain(identity, make_pool(), straight, Resources())
    pretrain(identity, make_pool(), store, Resources())
    assert outcome(store, identity) == outcome(straight, identity)


def submit(stores: list[Store], barrier, queue) -> None:
    overlaps = []
    for store in stores:
        inside = store.root / "inside"
        barrier.wait(60)
        with ledger.submitting(store, lambda message: None):
            overlaps.append(inside.exists())
            inside.touch()
            time.sleep(0.05)
            inside.unlink(missing_ok=True)
    queue.put(overlaps)


def test_two_submitters_take_over_a_dead_lock_one_after_the_other(tmp_path):
    stores = [Store(tmp_path / str(number)) for number in range(8)]
    for store in stores:
        ledger.folder(store).mkdir(parents=True)
    abandon(*(ledger.folder(store) / "submitting" for store in stores))
    assert both_at_once(submit, stores) == [[False] * 8] * 2


def test_a_submitter_that_waits_too_long_names_the_other_one(tmp_path):
    store, said = Store(tmp_path), list[str]()

    def wait_in_vain(queue) -> None:
        try:
            with ledger.submitting(store, said.append, wait_s=0.3):
                queue.put("entered")
        except LedgerError as error:
            queue.put([str(error), *said])

    queue = FORK.SimpleQueue()
    with ledger.submitting(store, pytest.fail):
        child = FORK.Process(target=wait_in_vain, args=(queue,))
        child.start()
        error, told = queue.get()
        child.join()
    who = f"process {os.getpid()} on {os.uname().nodename} ("
    assert error.startswith(who)
    assert f"since {time.strftime('%Y-', time.gmtime())}" in error
    assert "is submitting into this store; submit again when it has ended" in error
    assert told.startswith(f"waiting for {who}")
    with ledger.submitting(store, pytest.fail, wait_s=0.3):
        pass
    assert not list(ledger.folder(store).iterdir())


LONG = TINY.replace("epochs = 1", "epochs = 4000").replace("seeds = 2", "seeds = 1")


@pytest.mark.slow
def test_a_second_run_skips_a_pretraining_that_the_first_trains(tmp_path):
    sarbench = Sarbench(tmp_path, LONG)
    first = sarbench.start("run", sarbench.grid, "-m", "mae", "--workers", "1")
    end = time.monotonic() + 90
    while not (found := list(sarbench.runs.glob(f"pretrain/*/{PROGRESS_FILE}"))):
        assert time.monotonic() < end
        time.sleep(0.1)
    second = sarbench.call("run", sarbench.grid, "--workers", "1")
    assert "1 pretrainings (3 runs) are running in another process" in second.stderr
    (plan,) = (entry for entry in sarbench.plan()["pretrain"] if entry["method"] == "mae")
    assert plan["state"] == "running"
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=120)
    (plan,) = (entry for entry in sarbench.plan()["pretrain"] if entry["method"] == "mae")
    assert plan["state"] == "new"
    assert plan["reason"].startswith("stopped at step ")
    assert plan["reason"].endswith(" of 8000; run resumes it")
    assert not found[0].exists()
