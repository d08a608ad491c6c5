"""Fixtures that every test may use.

Heavy packages are imported in the processes that run tests, not in the one of xdist that starts
them: they would wait for it.
"""

import gc
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jaxtyping
import pytest

if TYPE_CHECKING:
    import torch

os.fsync = lambda descriptor: None  # no test needs its files after a power cut

# Folders of tests of arrays. In these, calls are checked against annotations (shapes, types) for
# the packages in pyproject.toml; in all tests this would take a third of the time.
CHECKED = {"augmentation", "methods", "parity", "protocols", "results"}


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect tests; garbage is collected after that, but never what was imported."""
    gc.disable()  # it would look at a million objects again and again
    try:
        if session.config.getoption("dist", "no") == "no":  # "load..." where xdist starts others
            _import_heavy()
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _import_heavy() -> None:
    # Before our own packages, because jaxtyping compiles whatever those import first.
    import beartype.door
    import timm
    import torch

    assert beartype.door
    assert timm
    torch.set_num_threads(1)  # the suite runs in parallel processes


@pytest.fixture(scope="session", autouse=True)
def shared_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set the folders that all tests share."""
    from stores import Shared

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
def rng() -> "torch.Generator":
    """Return a fresh generator, the same for every test."""
    from sarbench.bench.seeding import torch_stream

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
    from sarbench.bench.method_facts.method_info import code_digest
    from sarbench.results.plugin_metrics import plugin_metrics

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
    from commands import call_here

    monkeypatch.delenv("SARBENCH_RUNS", raising=False)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*words: object, runs: Path = tmp_path / "runs") -> tuple[int, str]:
        where = (
            [] if words[0] in ("methods", "protocols") or "verify" in words else ["--runs", runs]
        )
        done = call_here(*words, *where)
        return done.returncode, done.stderr.strip()

    return call


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    """Return a real browser, or skip and say what is missing."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs chromium")
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def open_tab(browser) -> Callable[[int, int], Any]:
    """Return a function that opens a tab: the tab, its complaints, the addresses it asks for."""

    def opened(width: int, height: int) -> Any:
        tab, said, asked = browser.new_page(viewport={"width": width, "height": height}), [], []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("dialog", lambda dialog: said.append("dialog"))
        tab.on("request", lambda request: asked.append(request.url))
        return tab, said, asked

    return opened
