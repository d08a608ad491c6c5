"""Jobs on a real SLURM, which `make cluster` starts: submitted, killed, preempted, resumed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from commands import Sarbench

CLUSTER = Path(__file__).parent.parent / "cluster" / "slurm"
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        subprocess.run([CLUSTER, "status"], check=False).returncode != 0,
        reason="no SLURM controller answers; `make cluster` starts one on a Debian machine",
    ),
]
PROFILE = """
partition = "gpu"
gpus = 1
device = "cpu"
cpus = 1
memory_gb = 2
checkpoint_s = 0.2
signal_s = 30
[pretrain]
time_min = 30
[evaluate]
time_min = 10
"""
GRID = """
name = "drill"
methods = ["mae", "lomar", "sar_jepa"]
controls = ["random_init"]
[pretrain]
pool = ["synthetic"]
pool_cap = 8
encoder = "vit_nano"
recipe = "quick"
epochs = 150
batch = 4
[evaluate]
datasets = ["synthetic"]
seeds = 3
[evaluate.protocols]
linear = [5]
knn = [5, 10, "all"]
"""


class Cluster(Sarbench):
    """The command line on one store, one grid and one profile."""

    def __init__(self, folder: Path, ready: Path, profile: str = PROFILE) -> None:
        super().__init__(folder, GRID)
        shutil.copytree(ready, self.runs)
        self.profile = folder / "profile.toml"
        self.profile.write_text(profile)
        clone = folder / "sarbench" / "bench"  # jobs start in a folder with another clone
        clone.mkdir(parents=True)
        (clone / "__init__.py").write_text("raise ImportError('this is the wrong clone')")

    def command(self, *words: str | Path) -> list[str]:
        """Return the installed command; `python -m` would import the clone in this folder."""
        return [str(Path(sys.executable).with_name("sarbench")), *map(str, words)]

    def submit(self, *words: str | Path, status: int = 0) -> str:
        done = self.call("submit", self.grid, "--profile", self.profile, *words, status=status)
        return done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        done = subprocess.run(
            self.command("status", self.grid, "--json", "--runs", self.runs),
            capture_output=True, text=True, cwd=self.folder, env=self.environment, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    def jobs(self) -> dict[str, str]:
        """Return the newest job of every key in the ledger."""
        found = {}
        for path in sorted(self.runs.glob("ledger/[0-9]*.json")):
            for array in json.loads(path.read_text())["arrays"]:
                alone = len(array["elements"]) == 1
                for index, element in enumerate(array["elements"]):
                    for key in element["runs"] or [element["pretraining"]]:
                        job = array["job_id"]
                        found[key] = job if alone or job is None else f"{job}_{index}"
        if None in found.values():  # `submit` was killed before it could write their ids
            states = self.status()
            known = {e["key"]: e["job"] for e in (*states["pretrain"], *states["runs"])}
            found |= {key: known.get(key) for key, job in found.items() if job is None}
        return {key: job for key, job in found.items() if job}

    def wait(self, seconds: float = 1500) -> dict[str, Any]:
        """Wait until no job is queued or running; return the last status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            live = set(self.jobs().values()) & set(queued())
            if not live:
                return self.status()
            hurry(live)
            time.sleep(2)
        raise TimeoutError(self.call("status", self.grid, status=1).stdout)

    def freeze(self, *keys: str, seconds: float = 600) -> list[tuple[str, int]]:
        """Stop pretrainings at their first checkpoint; return their jobs and processes."""
        frozen: dict[str, tuple[str, int]] = {}
        end = time.monotonic() + seconds
        while len(frozen) < len(keys):
            assert time.monotonic() < end, f"{set(keys) - set(frozen)} stored no checkpoint"
            for key in set(keys) - set(frozen):
                if list((self.runs / "pretrain" / key).glob("checkpoint-*.pt")):
                    job = self.jobs()[key]
                    process = worker_of(job)
                    os.kill(process, signal.SIGSTOP)
                    frozen[key] = job, process
            time.sleep(0.02)
        return [frozen[key] for key in keys]

    def first_steps(self, job: str) -> list[int]:
        """Return the first step in the log after each start of a pretraining's job."""
        starts = self.log(job).split("started pretraining")[1:]
        return [int(found[1]) for text in starts if (found := re.search(r"step (\d+) of", text))]

    def log(self, job: str) -> str:
        (path,) = self.runs.glob(f"ledger/*/*/{job}_0_log.out")
        return path.read_text()


def queued() -> list[str]:
    """Return the jobs that wait or run."""
    words = ["squeue", "--noheader", "--array", "-o", "%i"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()


def hurry(jobs) -> None:
    """Let requeued jobs start at once, without SLURM's delay."""
    for job in set(jobs):
        subprocess.run(
            ["scontrol", "update", f"jobid={job}", "starttime=now"], check=False,
            capture_output=True,
        )  # fmt: skip


def worker_of(job: str) -> int:
    """Return the worker process of a running job."""
    raw = subprocess.run(
        ["squeue", "-h", "-j", job, "-o", "%A"], check=True, capture_output=True, text=True
    ).stdout.strip()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        is_worker = b"submitit.core._submit" in words and not words[0].endswith(b"srun")
        if is_worker and f"SLURM_JOB_ID={raw}".encode() in environment:
            return int(folder.name)
    raise LookupError(f"no process of job {job}")


def has_pending(process: int, number: int) -> bool:
    """Return whether a stopped process has a signal waiting."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except FileNotFoundError:  # it has ended already
        return True
    pending = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in pending)


def encoders(runs: Path) -> dict[str, bytes]:
    return {
        path.parent.name: path.read_bytes() for path in runs.glob("pretrain/*/encoder.safetensors")
    }


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Path:
    """Return a store with prepared data and cached facts of methods, for every test to copy."""
    sarbench = Sarbench(tmp_path_factory.mktemp("ready"), GRID)
    sarbench.call("data", "prepare", "synthetic", "pool:synthetic", "--runs", sarbench.runs)
    sarbench.call("plan", sarbench.grid)
    return sarbench.runs


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, ready) -> Iterator[Callable[[], Path]]:
    """Run the grid on this machine, without SLURM and without interruption.

    The fixture is a function that waits for the end and returns the store.
    """
    folder = tmp_path_factory.mktemp("uninterrupted")
    sarbench = Sarbench(folder, GRID)
    shutil.copytree(ready, sarbench.runs)
    process = sarbench.start("run", sarbench.grid, "--threads", "1", "--workers", "1")

    def finish() -> Path:
        _, errors = process.communicate(timeout=1500)
        assert process.returncode == 0, errors
        return sarbench.runs

    yield finish
    process.terminate()
    process.communicate()


def test_after_kills_and_requeues_every_run_but_the_failing_one_has_the_same_bits(
    tmp_path, ready, uninterrupted
):
    cluster = Cluster(tmp_path, ready)
    planned = cluster.plan()
    mae, lomar, sar_jepa = (entry["key"] for entry in planned["pretrain"][:3])
    failing = next(e for e in planned["runs"] if (e["method"], e["shots"]) == ("lomar", "all"))
    (cluster.runs / "evaluate" / failing["key"] / "predictions.npz").mkdir(parents=True)

    # The submitting process is killed as soon as the first array is submitted.
    submitter = cluster.start("submit", cluster.grid, "--profile", cluster.profile)
    end = time.monotonic() + 60
    while time.monotonic() < end and not list(cluster.runs.glob("ledger/*/000-pretrain/*.pkl")):
        time.sleep(0.01)
    submitter.send_signal(signal.SIGKILL)
    submitter.communicate()
    cluster.submit()
    (requeued, _), (timed_out, process) = cluster.freeze(mae, lomar)
    subprocess.run(["scontrol", "requeue", requeued], check=True)
    subprocess.run(["scancel", "--signal=USR2", timed_out], check=True)
    os.kill(process, signal.SIGCONT)
    hurry([requeued, timed_out])
    ((killed, process),) = cluster.freeze(sar_jepa)
    os.kill(process, signal.SIGKILL)
    assert (
        "0 jobs in 0 arrays" in cluster.submit()
    )  # everything is queued: nothing is submitted twice

    last = cluster.wait()
    not_done = [e for e in last["runs"] if e["state"] != "done"]
    assert [e["key"] for e in not_done] == [failing["key"]]
    assert len(last["runs"]) == 50  # an untrained control of both kinds of encoder
    assert not_done[0]["failure"] == "exception"
    assert "IsADirectoryError" in not_done[0]["reason"]
    shown = cluster.call("status", cluster.grid, status=1).stdout
    assert "predictions.npz" in shown
    assert f"sarbench retry {cluster.grid}" in shown
    assert "received SIGUSR2" in cluster.log(timed_out)
    assert "SIGKILL" in cluster.log(killed)
    for job in (requeued, timed_out, killed):
        first, *later = cluster.first_steps(job)
        assert first == 1
        assert later, f"{job} was not interrupted"
        assert min(later) > 1, f"{job} started from the beginning"

    (cluster.runs / "evaluate" / failing["key"] / "predictions.npz").rmdir()
    assert "left out, failed" in cluster.submit()
    cluster.call("retry", cluster.grid, "--failed", "exception")
    assert {e["state"] for e in cluster.wait()["runs"]} == {"done"}
    expected = uninterrupted()
    assert encoders(cluster.runs) == encoders(expected)
    for path in expected.glob("evaluate/*/predictions.npz"):
        here = cluster.runs / "evaluate" / path.parent.name / "predictions.npz"
        assert here.read_bytes() == path.read_bytes()
    assert not list(cluster.runs.glob("*/*/.record*"))


def test_a_preempted_pretraining_saves_is_requeued_and_ends_with_the_same_bits(
    tmp_path, ready, uninterrupted
):
    cluster = Cluster(tmp_path, ready)
    cluster.submit("-m", "mae", "-p", "knn", "-k", "5")
    key = cluster.plan()["pretrain"][0]["key"]
    ((job, process),) = cluster.freeze(key)
    urgent = subprocess.run(
        ["sbatch", "--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null",
         "--wrap=sleep 5"],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    ).stdout.strip()  # fmt: skip
    end = time.monotonic() + 60
    while not has_pending(process, signal.SIGUSR2) and time.monotonic() < end:
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)
    last = cluster.wait()
    assert {e["state"] for e in last["runs"] if e["method"] == "mae"} >= {"done"}
    assert next(e["state"] for e in last["pretrain"] if e["key"] == key) == "done"
    assert urgent not in queued()
    # SIGUSR2, or SIGTERM if the controller sends no user signal.
    assert "the step is finished and saved" in cluster.log(job)
    first, *later = cluster.first_steps(job)
    assert first == 1 < min(later)
    assert encoders(cluster.runs)[key] == encoders(uninterrupted())[key]


def losses(runs: Path, key: str) -> list[float]:
    lines = (runs / "pretrain" / key / "history.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines[1:]]  # the first is before the training


@pytest.mark.skipif(os.cpu_count() == 1, reason="two processes at once need two cores")
def test_two_processes_of_one_job_give_the_loss_curve_of_one(tmp_path, ready, uninterrupted):
    both = PROFILE.replace("[pretrain]", "[pretrain]\nprocesses = 2")
    cluster = Cluster(tmp_path, ready, profile=both)
    cluster.submit("-m", "mae", "-p", "knn", "-k", "5")
    cluster.wait()
    key = cluster.plan()["pretrain"][0]["key"]
    two, one = losses(cluster.runs, key), losses(uninterrupted(), key)
    assert len(two) == len(one) == 150
    assert all(abs(a - b) / b < 1e-4 for a, b in zip(two, one, strict=True))


def test_nothing_is_submitted_twice_by_two_processes_or_with_a_damaged_ledger(tmp_path, ready):
    cluster = Cluster(tmp_path, ready, profile=PROFILE.replace('"gpu"', '"parked"'))
    words = cluster.command(
        "submit", cluster.grid, "--profile", cluster.profile, "--runs", cluster.runs
    )
    both = [
        subprocess.Popen(
            words, env=cluster.environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=900)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("0 jobs in 0 arrays" in text for text in printed) == 1

    (path,) = cluster.runs.glob("ledger/[0-9]*.json")
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    again = cluster.submit()
    assert "is damaged" in again
    assert "0 jobs in 0 arrays" in again
    path.write_text(whole)

    assert "7 jobs cancelled" in cluster.call("cancel", cluster.grid).stdout
    states = cluster.wait()
    assert {e["failure"] for e in states["pretrain"]} <= {"cancelled", None}
    assert "50 submitted" in cluster.submit()
    cluster.call("cancel", cluster.grid)


def test_a_wrong_profile_and_a_controller_that_does_not_answer_are_reported_and_lose_nothing(
    tmp_path, ready
):
    cluster = Cluster(tmp_path, ready, profile=PROFILE.replace('"gpu"', '"gup"'))
    assert "Did you mean 'gpu'" in cluster.submit(status=2)
    cluster.profile.write_text(PROFILE.replace("time_min = 30", "time_min = 99999"))
    assert "allows at most 10080 minutes" in cluster.submit(status=2)
    assert not cluster.runs.exists() or not list(cluster.runs.glob("ledger/[0-9]*"))

    cluster.profile.write_text(PROFILE.replace('"gpu"', '"parked"'))
    cluster.submit("-m", "random_init", "-p", "knn", "-k", "5")
    configuration = Path("/etc/slurm/slurm.conf").read_text()
    elsewhere = tmp_path / "slurm.conf"
    elsewhere.write_text(configuration + "SlurmctldPort=6999\nMessageTimeout=2\n")
    cluster.environment["SLURM_CONF"] = str(elsewhere)
    answer = subprocess.run(
        cluster.command("status", cluster.grid, "--runs", cluster.runs), capture_output=True,
        text=True, env=cluster.environment, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert "controller does not answer" in answer.stderr
    assert "3 queued" in answer.stdout
    del cluster.environment["SLURM_CONF"]
    assert "jobs cancelled" in cluster.call("cancel", cluster.grid).stdout


def test_the_trials_of_a_tuning_are_submitted_first_and_then_the_grid(tmp_path, ready):
    cluster = Cluster(tmp_path, ready)
    tune = '[tune]\nepochs = 1\nbase_lr = [4e-3, 1.6e-2]\ndataset = "synthetic"\n[evaluate]'
    short = GRID.replace("150", "4").replace(', "lomar", "sar_jepa"', "").replace("8\n", "64\n")
    cluster.grid.write_text(short.replace("[evaluate]", tune))
    said = cluster.submit()
    assert "run the same command again to submit the grid" in said
    assert {entry["cause"] for entry in cluster.wait()["runs"]} == {"not_run"}  # tuned
    shown = cluster.call("status", cluster.grid, "--tuning").stdout
    assert "4 done" in shown, shown
    cluster.submit()
    assert {entry["state"] for entry in cluster.wait()["runs"]} == {"done"}


LAUNCHER = '#!/bin/bash\necho "$*" >> "$0.log"\nshift 2\nexport PATH=/nowhere\nexec "$@"\n'


def test_a_job_in_a_container_without_slurm_is_requeued_and_the_rest_is_submitted_later(
    tmp_path, ready
):
    launcher = tmp_path / "launch"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    profile = f"""
launcher = "{launcher} exec image.sif"
max_submitted = 1
runs_per_gpu = 2
sbatch = {{export = "NONE"}}
{PROFILE}"""
    cluster = Cluster(tmp_path, ready, profile=profile)
    words = "-m", "mae", "-p", "knn", "-k", "5"
    assert "1 jobs are left for later: max_submitted = 1" in cluster.submit(*words)
    key = cluster.plan()["pretrain"][0]["key"]
    ((job, process),) = cluster.freeze(key)
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    os.kill(process, signal.SIGCONT)
    hurry([job])
    cluster.wait()
    first, *later = cluster.first_steps(job)
    assert first == 1 < min(later)
    called = (tmp_path / "launch.log").read_text().splitlines()
    assert ["slurm.on_exit" in line for line in called] == [False, True, False]
    assert "1 jobs in 1 arrays" in cluster.submit(*words)
    last = cluster.wait()
    chosen = [
        e for e in last["runs"] if (e["method"], e["protocol"], e["shots"]) == ("mae", "knn", 5)
    ]
    assert [one["state"] for one in chosen] == ["done"] * 3  # two at once
