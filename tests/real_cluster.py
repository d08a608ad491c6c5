"""The command line on a real SLURM, which `make cluster` starts."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from commands import Sarbench

CLUSTER = Path(__file__).parent / "cluster" / "slurm"
NEEDS_SLURM = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        subprocess.run([CLUSTER, "status"], check=False).returncode != 0,
        reason="no SLURM controller answers; `make cluster` starts one on a Debian machine",
    ),
    pytest.mark.usefixtures("no_job_is_left"),
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

    def freeze(
        self, jobs: dict[str, str], *keys: str, seconds: float = 600
    ) -> list[tuple[str, int]]:
        """Stop pretrainings at their first checkpoint; return their jobs and processes.

        A training takes a second or two on a fast machine: `jobs` must be known before it starts
        (`held`).
        """
        frozen: dict[str, tuple[str, int]] = {}
        end = time.monotonic() + seconds
        while len(frozen) < len(keys):
            assert time.monotonic() < end, f"{set(keys) - set(frozen)} stored no checkpoint"
            for key in set(keys) - set(frozen):
                if list((self.runs / "pretrain" / key).glob("checkpoint-*.pt")):
                    process = worker_of(jobs[key])
                    os.kill(process, signal.SIGSTOP)
                    frozen[key] = jobs[key], process
            time.sleep(0.02)
        return [frozen[key] for key in keys]

    def first_steps(self, job: str) -> list[int]:
        """Return the first step in the log after each start of a pretraining's job."""
        starts = self.log(job).split("started pretraining")[1:]
        return [int(found[1]) for text in starts if (found := re.search(r"step (\d+) of", text))]

    def log(self, job: str) -> str:
        (path,) = self.runs.glob(f"ledger/*/*/{job}_0_log.out")
        return path.read_text()


@contextmanager
def held() -> Iterator[None]:
    """Let no job start until the end of the block."""
    partition = ["scontrol", "update", "partitionname=gpu"]
    subprocess.run([*partition, "state=down"], check=True)
    try:
        yield
    finally:
        subprocess.run([*partition, "state=up"], check=True)


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


def continue_with(process: int, number: signal.Signals) -> None:
    """Continue a stopped process as soon as SLURM, which takes its time, has sent it a signal."""
    end = time.monotonic() + 60
    while not has_pending(process, number) and time.monotonic() < end:
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


def has_pending(process: int, number: int) -> bool:
    """Return whether a stopped process has a signal waiting."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except FileNotFoundError:  # it has ended already
        return True
    pending = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in pending)
