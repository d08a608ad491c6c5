"""Call `sarbench` in a process of its own, as a user does, or quickly in this one."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from sarbench.bench.cli import main

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

CALL_S = 900  # generous, for a busy machine
WITH_RUNS = (
    *("plan", "run", "demo", "submit", "status", "logs", "retry", "cancel"),
    *("table", "compare", "paper", "report", "merge", "check"),
)


class Answer(NamedTuple):
    """Exit status and output of a command, named as in `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def call_here(*words: object, environment: Mapping[str, str] | None = None) -> Answer:
    """Call the command line in this process."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        redirect_stdout(out), redirect_stderr(err),
        mock.patch.object(sys, "argv", ["sarbench", *map(str, words)]),
        mock.patch.dict(os.environ, environment or {}),
    ):  # fmt: skip
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return Answer(status, out.getvalue(), err.getvalue())


class Sarbench:
    """The command line on one store and one grid."""

    def __init__(self, folder: Path, grid: str = TINY, **environment: str) -> None:
        self.folder, self.runs = folder, folder / "runs"
        self.grid = folder / "grid.toml"
        folder.mkdir(exist_ok=True)
        self.grid.write_text(grid)
        self.given = {"OMP_NUM_THREADS": "1", "COLUMNS": "200"} | environment
        self.environment = os.environ | self.given

    def command(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "sarbench.bench.cli", *map(str, words)]

    def call(self, *words: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own and expect its exit status."""
        done = subprocess.run(
            self.command(*self._on_store(words)), capture_output=True, text=True, cwd=self.folder,
            env=self.environment, check=False, timeout=CALL_S,
        )  # fmt: skip
        assert done.returncode == status, f"{done.args}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def here(self, *words: str | Path, status: int = 0) -> Answer:
        """Run a command in this process, which saves its imports, and expect its exit status."""
        done = call_here(*self._on_store(words), environment=self.given)
        assert done.returncode == status, f"{words}\n{done.stdout}\n{done.stderr}"
        return done

    def _on_store(self, words: tuple[str | Path, ...]) -> list[str | Path]:
        on_store = words[0] in WITH_RUNS and "--help" not in words
        return [*words, *(["--runs", self.runs] if on_store else [])]

    def _read(self, *words: str | Path) -> Any:
        plugins = "PYTHONPATH" in self.given  # only a process of its own finds them
        return json.loads((self.call if plugins else self.here)(*words).stdout)

    def start(self, *words: str | Path) -> "subprocess.Popen[str]":
        """Start a command and return at once."""
        return subprocess.Popen(
            self.command(*words, "--runs", self.runs), cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def plan(self) -> dict[str, list[dict[str, Any]]]:
        return self._read("plan", self.grid, "--json")

    def cells(self) -> list[dict[str, Any]]:
        return self._read("table", self.grid, "--format", "json")
