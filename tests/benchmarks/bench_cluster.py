"""Seconds and memory of submitting 1,000 runs to a real SLURM, and of the status of 10,000.

Needs a controller (`make cluster`). The jobs wait in the partition `parked`, then are cancelled.
Goals: submit 10 s; status 3 s and 500 MB, with one question to the queue.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GRID = """
name = "many"
methods = ["mae", "lomar", "i_jepa", "fg_mae", "sar_hog", "pgga", "sar_jepa", "low_pass"]
[pretrain]
pool = ["synthetic"]
encoder = "vit_nano"
recipe = "quick"
[evaluate]
datasets = ["synthetic"]
seeds = {seeds}
[evaluate.protocols]
linear = [1, 2, 5, 10, 20]
few_shot = [1, 2, 5, 10, 20]
"""
PROFILE = """
partition = "parked"
gpus = 1
device = "cpu"
cpus = 1
memory_gb = 1
pack_min = 2
"""
COUNTED = '#!/bin/sh\necho x >> "{count}"\nexec {real} "$@"\n'


def sarbench(*words: str | Path, environment: dict[str, str]) -> tuple[float, float, float, str]:
    """Run a command; return wall seconds, CPU seconds, peak MB and its output."""
    command = [Path(sys.executable).with_name("sarbench"), *words]
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=printed, env=environment)
        _, _, usage = os.wait4(process.pid, 0)
        printed.seek(0)
        text = printed.read()
    return (
        time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text,
    )  # fmt: skip


def measure(folder: Path, seeds: int) -> None:
    """Submit a grid, ask for its status, cancel it; print the seconds of each."""
    grid, profile, runs = folder / "grid.toml", folder / "profile.toml", folder / "runs"
    grid.write_text(GRID.format(seeds=seeds))
    profile.write_text(PROFILE)
    count = folder / "count"
    real = subprocess.run(["sh", "-c", "command -v squeue"], capture_output=True, text=True)
    tools = folder / "tools"
    tools.mkdir()
    (tools / "squeue").write_text(COUNTED.format(count=count, real=real.stdout.strip()))
    (tools / "squeue").chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "SARBENCH_RUNS": str(runs)}
    sarbench("data", "prepare", "synthetic", "pool:synthetic", environment=environment)
    sarbench("plan", grid, environment=environment)  # learns the methods, which imports torch once
    for name, words in (
        ("submit", ["submit", grid, "--profile", profile]), ("status", ["status", grid]),
        ("submit again", ["submit", grid, "--profile", profile]), ("cancel", ["cancel", grid]),
    ):  # fmt: skip
        count.unlink(missing_ok=True)
        wall_s, cpu_s, peak_mb, text = sarbench(*words, environment=environment)
        questions = count.read_text().count("x") if count.exists() else 0
        print(
            f"{name:12} {seeds * 90:6} runs: {wall_s:6.2f} s wall, {cpu_s:6.2f} s of one core, "
            f"{peak_mb:4.0f} MB, {questions} questions to the queue"
        )
        lines = [line for line in text.splitlines() if " runs: " in line or "cancelled" in line]
        print(f"             {lines[-1][:100] if lines else text[-300:]}")


def main() -> None:
    """Measure a grid of about 1,000 runs and one of about 10,000."""
    if subprocess.run([Path(__file__).parent.parent / "cluster" / "slurm", "status"]).returncode:
        print("skipped: no SLURM controller answers (make cluster)")
        return
    for seeds in (11, 111):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), seeds)


if __name__ == "__main__":
    main()
