"""A store for the tests on a real SLURM, and the end of their jobs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Sarbench
from real_cluster import GRID


@pytest.fixture(scope="session")
def ready(tmp_path_factory) -> Path:
    """Return a store with prepared data and cached facts of methods, for every test to copy."""
    sarbench = Sarbench(tmp_path_factory.mktemp("ready"), GRID)
    sarbench.call("data", "prepare", "synthetic", "pool:synthetic", "--runs", sarbench.runs)
    sarbench.call("plan", sarbench.grid)
    return sarbench.runs


@pytest.fixture
def no_job_is_left() -> Iterator[None]:
    """Cancel the jobs that a failed test leaves, stopped ones too: they would hold the node."""
    yield
    for name in ("drill-pretrain", "drill-evaluate"):
        subprocess.run(["scancel", "--name", name], check=True)
