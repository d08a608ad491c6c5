"""Fixtures that every test may use."""

import gc
import multiprocessing
import os
import sys
from pathlib import Path

import beartype.door
import jaxtyping
import pytest
import timm
import torch
from commands import call_here
from stores import Shared

from sarbench.bench.method_facts.method_info import code_digest
from sarbench.bench.seeding import torch_stream
from sarbench.results.plugin_metrics import plugin_metrics

# These are imported here, because jaxtyping compiles whatever the packages that it
# checks import first, without a cache.
HEAVY = (timm, beartype)

torch.set_num_threads(1)  # the suite runs in parallel processes
gc.disable()  # until the tests are collected: it would look at a million objects many times

# Folders of tests of arrays. In these, calls are checked against annotations (shapes, types) for
# the packages in pyproject.toml; in all tests this would take a third of the time.
CHECKED = {"augmentation", "methods", "parity", "protocols", "results"}


def pytest_collection_finish() -> None:
    """Collect garbage from here on, but not what was imported."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def shared_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set the folders that all tests share."""
    Shared.process = Shared.session = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        Shared.session = Shared.process.parent
    os.environ["XDG_CACHE_HOME"] = str(Shared.session / "cache")


@pytest.fixture(scope="module", autouse=True)
def annotations_are_checked(request: pytest.FixtureRequest) -> None:
    """Check calls against annotations, or do not, by the folder of the tests."""
    folder = request.path.relative_to(request.config.rootpath / "tests").parts[0]
    jaxtyping.config.update("jaxtyping_disable", folder not in CHECKED)


@pytest.fixture
def rng() -> torch.Generator:
    """Return a fresh generator, the same for every test."""
    return torch_stream(0, "test")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real chips, or skip and say what is missing."""
    folder = os.environ.get("SARBENCH_DATA")
    if not folder or not (Path(folder) / "mstar").is_dir():
        pytest.skip("SARBENCH_DATA names no folder with real MSTAR chips (mstar/)")
    return Path(folder)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that installs a module as a plug-in, undone after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(module: str, text: str, *entry_points: str, group: str = "methods") -> None:
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{module}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        lines = "\n".join(entry_points or [f"{module} = {module}"])
        (info / "entry_points.txt").write_text(f"[sarbench.{group}]\n{lines}\n")
        code_digest.cache_clear()
        plugin_metrics.cache_clear()

    code_digest.cache_clear()  # it includes the plug-ins
    yield install
    code_digest.cache_clear()
    plugin_metrics.cache_clear()
    for module in set(sys.modules) - before:
        if module.startswith("plugin"):
            del sys.modules[module]


@pytest.fixture
def forked_workers(monkeypatch) -> None:
    """Fork the workers of `sarbench run`: they inherit what is imported, and what a test replaces.

    A worker that is spawned, as for a user, takes seconds to import everything.
    """
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: fork)


@pytest.fixture
def sarbench(tmp_path, monkeypatch):
    """Return a function that calls the command line here: its exit status and error stream."""
    monkeypatch.delenv("SARBENCH_RUNS", raising=False)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*words: object, runs: Path = tmp_path / "runs") -> tuple[int, str]:
        where = (
            [] if words[0] in ("methods", "protocols") or "verify" in words else ["--runs", runs]
        )
        done = call_here(*words, *where)
        return done.returncode, done.stderr.strip()

    return call
