"""Results are read from the store alone: data may be moved or deleted, the store copied."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chips import speckled_chips, write_pool
from commands import Answer, call_here
from PIL import Image
from stores import fill, pooled_grid, share

from sarbench.bench.data.find_set import describe_set
from sarbench.bench.reporting import html_report

GRID = pooled_grid("alone", ["mae", "lomar"])
READING = [
    ("plan", "--json"), ("status", "--json"), ("table",), ("table", "--format", "csv"),
    ("table", "--metric", "recall:battle_tank"), ("compare", "mae", "lomar"), ("paper",),
]  # fmt: skip
Call = Callable[..., Answer]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs `sarbench` in this process."""
    monkeypatch.setenv("COLUMNS", "200")
    return call_here


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store in `runs`, its grid, and its raw data in `runs/data`."""
    home = tmp_path_factory.mktemp("alone")
    write_pool(home / "runs" / "data")
    (home / "grid.toml").write_text(GRID)
    level = {"mae": 0.8, "lomar": 0.6, "raw_pixels": 0.9, "random_init": 0.3}

    def right(run, labels):
        start = run.pretraining
        return share(level[start.method] + 0.01 * start.seed, run.seed, len(labels))

    plan = fill(home / "grid.toml", home / "runs", right)
    for name in plan.needs():
        describe_set(name, plan.data[name], home / "runs")
    return home


def answers(call: Call, grid: Path, runs: Path, *more: str | Path) -> list[tuple[int, str]]:
    found = []
    for command, *options in READING:
        words = [o for o in options if not o.startswith("-")] if command == "compare" else []
        rest = [] if command == "compare" else options
        status, out, _ = call(command, grid, *words, *rest, "--runs", runs, *more)
        found.append((status, out.replace(str(runs), "RUNS").replace(str(grid), "GRID")))
    return found


def test_every_reading_command_needs_the_store_alone(made: Path, tmp_path: Path, call: Call,
                                                     monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    before = answers(call, made / "grid.toml", made / "runs", "--data", made / "runs" / "data")
    assert [status for status, out in before if out] == [0] * len(READING), before
    monkeypatch.setattr(
        html_report, "FORMATS", ("svg",)
    )  # the drawing is the same, PDF and PNG are slow
    report = ("--no-encoders", "--paper", "none", "--out")
    call("report", made / "grid.toml", "--runs", made / "runs", *report, tmp_path / "one")
    shutil.copytree(made / "runs", tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "data")
    shutil.rmtree(tmp_path / "copy" / "prepared")
    (tmp_path / "third").mkdir()
    monkeypatch.chdir(tmp_path / "third")
    monkeypatch.delenv("SARBENCH_DATA", raising=False)
    assert answers(call, made / "grid.toml", tmp_path / "copy") == before
    call("report", made / "grid.toml", "--runs", tmp_path / "copy", *report, tmp_path / "two")
    first, second = (
        {p.relative_to(top): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}
        for top in (tmp_path / "one", tmp_path / "two")
    )
    assert first == second
    assert list((tmp_path / "third").iterdir()) == []


def test_a_store_without_results_of_the_grid_says_so(made: Path, tmp_path: Path, call: Call):
    status, out, errors = call("table", made / "grid.toml", "--runs", tmp_path / "none")
    assert (status, out) == (2, "")
    assert "no store at" in errors
    assert not (tmp_path / "none").exists()
    shutil.copytree(made / "runs" / "evaluate", tmp_path / "bare" / "evaluate")
    status, _, errors = call("table", made / "grid.toml", "--runs", tmp_path / "bare", "--data",
                             tmp_path)  # fmt: skip
    assert status == 2
    assert "sarbench data prepare synthetic pool:folder:pool" in errors


@pytest.mark.parametrize("command", ["plan", "status"])
def test_a_command_that_reads_creates_no_store(
    command: str, made: Path, tmp_path: Path, call: Call
):
    call(command, made / "grid.toml", "--runs", tmp_path / "none", "--data", tmp_path)
    assert not (tmp_path / "none").exists()


def test_the_data_folder_or_a_digest_chooses_between_two_versions_of_a_pool(
    made: Path, tmp_path: Path, call: Call
):
    runs = tmp_path / "runs"
    shutil.copytree(made / "runs", runs)
    write_pool(tmp_path / "other", first=100)
    grid = made / "grid.toml"
    call("data", "prepare", "folder:pool", "--runs", runs, "--data", tmp_path / "other")
    status, _, errors = call("table", grid, "--runs", runs, "--data", tmp_path / "nowhere")
    assert status == 2
    assert "2 versions of pool:folder:pool" in errors
    digest = errors.split("pool:folder:pool: ")[1][:12]
    outs = [
        call("table", grid, "--runs", runs, *more)[:2]
        for more in (("--data", made / "runs" / "data"), ("--pixels", f"pool:folder:pool={digest}"))
    ]
    assert outs[0] == outs[1]
    assert outs[0][0] == 0
    status, out, _ = call("table", grid, "--runs", runs, "--data", tmp_path / "other", "--json")
    cells = [cell for cell in json.loads(out) if cell["method"] == "MAE"]
    assert status == 0
    assert [cell["stale"] for cell in cells] == [9, 3]  # pretrained on the first pool


@pytest.mark.slow  # runs a job in a process of its own
def test_a_table_of_a_labelled_folder_needs_neither_its_files_nor_its_place(tmp_path, call):
    root = tmp_path / "data" / "ships"
    for number, name in enumerate(("train/a/0", "train/b/1", "test/a/2", "test/b/3")):
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(255 * speckled_chips(1, 16, seed=number)[0])).save(path)
    grid = tmp_path / "own.toml"
    grid.write_text(
        'name = "own"\nmethods = ["chip_size"]\ncontrols = ["raw_pixels"]\n'
        f'[evaluate]\ndatasets = ["folder:{root}"]\n[evaluate.protocols]\nknn = ["all"]\n'
    )
    call("run", grid, "--runs", tmp_path / "runs", "--workers", "1")
    root.rename(tmp_path / "elsewhere")
    for place in (root, "ships"):
        grid.write_text(re.sub('"folder:.*"', f'"folder:{place}"', grid.read_text()))
        status, said, _ = call(
            "table", grid, "--runs", tmp_path / "runs", "--data", tmp_path / "nowhere"
        )
        assert (status, "folder:ships" in said) == (0, True)
        assert str(tmp_path) not in said
