"""Runs `sarbench` as a user does: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TINY = """
name = "tiny"
methods = ["mae"]
[pretrain]
pool = ["synthetic"]
pool_cap = 32
encoder = "vit_nano"
recipe = "quick"
epochs = 1
warmup_epochs = 0.5
batch = 16
[evaluate]
datasets = ["synthetic"]
seeds = 2
[evaluate.protocols]
linear = [5]
knn = [5, "all"]
"""

CALL_S = 900  # a guard; a busy machine is slow
WITH_RUNS = (
    *("plan", "run", "demo", "submit", "status", "logs", "retry", "cancel"),
    *("table", "compare", "paper", "report", "merge", "check"),
)


class Sarbench:
    """The command line on one store and one grid."""

    def __init__(self, folder: Path, grid: str = TINY, **environment: str) -> None:
        self.folder, self.runs = folder, folder / "runs"
        self.grid = folder / "grid.toml"
        folder.mkdir(exist_ok=True)
        self.grid.write_text(grid)
        self.environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"} | environment

    def command(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "sarbench.bench.cli", *map(str, words)]

    def call(self, *words: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command and expect its exit status."""
        asks = words[0] in WITH_RUNS and "--help" not in words
        where = ["--runs", self.runs] if asks else []
        done = subprocess.run(
            self.command(*words, *where), capture_output=True, text=True, cwd=self.folder,
            env=self.environment, check=False, timeout=CALL_S,
        )  # fmt: skip
        assert done.returncode == status, f"{done.args}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, *words: str | Path) -> "subprocess.Popen[str]":
        """Start a command and return at once."""
        return subprocess.Popen(
            self.command(*words, "--runs", self.runs), cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def plan(self) -> dict[str, list[dict[str, Any]]]:
        return json.loads(self.call("plan", self.grid, "--json").stdout)

    def cells(self) -> list[dict[str, Any]]:
        return json.loads(self.call("table", self.grid, "--format", "json").stdout)
