"""The whole path of a user: run, table, check, failures, Ctrl-C."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
from commands import TINY, Sarbench, call_here
from stores import link_synthetic

from sarbench.bench.store.records import Store
from sarbench.protocols import _settings

SMALL = TINY.replace('"vit_nano"', '"vit_nano@48"')  # quick
PLUGIN = '''"""A method of another package: as MAE.

Hidden: 75 % of the patches.
Predicted: their pixels.

Paper: none.
Source: a test.
Differs from the source: nothing.
"""

from dataclasses import dataclass

import torch
from sarbench.methods import mae, register


@dataclass(frozen=True)
class Config(mae.Config):
    """As MAE, with settings of its own."""

    {field}


@register(label="Theirs", paper="none")
class Theirs(mae.MAE):
    """MAE under another name{body}
'''
FAILING = ''', but broken."""

    Config = Config

    def loss(self, batch, rng):
        """Fail in training, with a batch that `plan` and the contract do not try."""
        if len(batch.index) > 8:
            raise RuntimeError("broken on purpose")
        return super().loss(batch, rng)
'''


def install(folder: Path, name: str, body: str, field: str = "strength: float = 1.0") -> str:
    """Build and install a package with one method; return the folder for PYTHONPATH."""
    source = folder / f"source_{name}"
    source.mkdir()
    (source / f"{name}.py").write_text(PLUGIN.format(body=body, field=field))
    (source / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\n'
        f'[project.entry-points."sarbench.methods"]\n{name} = "{name}:Theirs"\n'
        f'[tool.setuptools]\npy-modules = ["{name}"]\n'
    )
    target = folder / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--target", target, source],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(target)


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "record.json"
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Sarbench:
    """A tiny grid that ran to its end with one worker process."""
    sarbench = Sarbench(tmp_path_factory.mktemp("finished"), SMALL)
    link_synthetic(Store(sarbench.runs))
    lines = sarbench.here("run", sarbench.grid, "--workers", "1").stderr.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith(("pre", "fin"))] == [
        "pretrained MAE", "finished MAE", "finished Raw pixels", "finished Random init"
    ]  # fmt: skip
    assert lines[-2].endswith("15 of 15 runs")
    return sarbench


def test_a_grid_runs_to_a_leaderboard(finished):
    cells = finished.cells()
    assert {cell["method"] for cell in cells} == {"MAE", "Raw pixels", "Random init"}
    assert len(cells) == 3 * 3
    for cell in cells:
        expected = 1 if (cell["protocol"], cell["shots"]) == ("knn", "all") else 2
        assert (cell["n"], cell["expected"], cell["failed"]) == (expected, expected, 0)
        assert 0 < cell["mean"] <= 1
        assert cell["unit"] == ("chips" if cell["shots"] == "all" else "seeds")
        assert cell["low"] <= cell["mean"] <= cell["high"]  # equal if all draws score the same
        assert (cell["place"], cell["pretrain_seeds"], cell["compares"]) == (None, 1, "methods")
    raw = next(c for c in cells if (c["method"], c["shots"]) == ("Raw pixels", "all"))
    assert raw["mean"] > 0.4  # chance is 0.1
    text = finished.here("table", finished.grid).stdout
    assert "±" in text
    assert "synthetic" in text


def test_plan_says_done_and_running_again_does_nothing(finished):
    before = snapshot(finished.runs)
    assert {entry["state"] for entry in finished.plan()["runs"]} == {"done"}
    assert "0 to do" in finished.here("run", finished.grid).stderr
    checked = finished.here("check", finished.grid).stdout
    assert re.fullmatch(r"checked \d pretrainings, 1\d runs: all hold\n", checked)
    assert snapshot(finished.runs) == before


@pytest.mark.slow
def test_the_same_grid_in_another_store_gives_the_same_bits(finished, tmp_path):
    again = Sarbench(tmp_path, SMALL)
    again.call("run", again.grid)
    for kind in ("pretrain", "evaluate"):
        for folder in (finished.runs / kind).iterdir():
            for name in ("encoder.safetensors", "predictions.npz"):
                if (folder / name).exists():
                    mine = (again.runs / kind / folder.name / name).read_bytes()
                    assert mine == (folder / name).read_bytes(), (kind, folder.name)


def test_filters_narrow_every_command(finished):
    text = finished.here("table", finished.grid, "-m", "mae", "-k", "all").stdout
    assert "MAE" in text
    assert "raw pixels" not in text
    wrong = finished.here("table", finished.grid, "-m", "nope", status=2)
    assert "it has: " in wrong.stderr


@pytest.mark.slow
def test_a_damaged_record_is_named_moved_aside_and_rerun(finished, tmp_path):
    sarbench = Sarbench(tmp_path, SMALL)
    shutil.copytree(finished.runs, sarbench.runs)
    key = sarbench.plan()["runs"][0]["key"]
    path = sarbench.runs / "evaluate" / key / "record.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    damaged = sarbench.plan()["runs"][0]
    assert damaged["state"] == "failed"
    assert "damaged" in damaged["reason"]
    cell = next(c for c in sarbench.cells() if c["n"] < c["expected"])
    assert cell["failed"] == 1
    assert "moved to" in sarbench.call("run", sarbench.grid).stderr
    assert {entry["state"] for entry in sarbench.plan()["runs"]} == {"done"}
    assert list((sarbench.runs / "evaluate").glob(f"{key}.aside-*"))


def test_a_change_of_version_makes_a_record_stale_not_done(finished, tmp_path, monkeypatch):
    sarbench = Sarbench(tmp_path, TINY.replace("[pretrain]", "[pretrain]\nseeds = [0]"))
    shutil.copytree(finished.runs, sarbench.runs)
    monkeypatch.setattr(_settings.Linear, "version", 99)
    shown = sarbench.here("plan", sarbench.grid).stdout
    assert "stale" in shown
    assert "protocol_version" in shown


@pytest.mark.slow
def test_a_crashing_method_fails_alone_and_is_listed(tmp_path):
    site = install(tmp_path, "theirs", FAILING)
    grid = TINY.replace('["mae"]', '["theirs", "mae"]')
    sarbench = Sarbench(tmp_path, grid, PYTHONPATH=site)
    done = sarbench.call("run", sarbench.grid, status=1)
    assert "RuntimeError: broken on purpose" in done.stderr
    by_method = {cell["method"]: cell for cell in sarbench.cells()}
    assert by_method["MAE"]["failed"] == 0
    assert by_method["Theirs"]["failed"] == by_method["Theirs"]["expected"]
    assert by_method["Theirs"]["mean"] is None
    assert "failed" in sarbench.call("table", sarbench.grid).stdout
    (attempt,) = sarbench.runs.glob("pretrain/*/attempt-1.json")
    assert "broken on purpose" in attempt.read_text()


@pytest.mark.slow
def test_a_method_of_another_package_is_found_checked_run_and_ranked(finished, tmp_path):
    site = install(tmp_path, "theirs", '."""\n\n    Config = Config\n')
    theirs = '[{name = "theirs", config = {strength = 2.0}}]\ncontrols = ["raw_pixels"]'
    grid = TINY.replace('["mae"]', theirs).replace("[pretrain]", "[pretrain]\nseeds = 1")
    sarbench = Sarbench(tmp_path, grid, PYTHONPATH=site)
    shutil.copytree(finished.runs / "prepared", sarbench.runs / "prepared")
    sarbench.call("methods", "check", "theirs")
    sarbench.call("run", sarbench.grid)
    assert {cell["method"] for cell in sarbench.cells()} == {"Raw pixels", "Theirs"}


def worker_of(process: "subprocess.Popen[str]") -> int:
    """Return a spawned worker of a running command."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
            return int(child)
    raise LookupError("no worker yet")


LONG = TINY.replace("epochs = 1", "epochs = 2000").replace("seeds = 2", "seeds = 1")


def wait_for(condition, seconds: float = 90):
    """Return the first true value of `condition`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := condition():
                return value
        except (LookupError, FileNotFoundError):
            pass
        time.sleep(0.2)
    raise TimeoutError


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the worker")
@pytest.mark.slow
def test_a_killed_worker_is_recorded_and_other_runs_continue(tmp_path):
    sarbench = Sarbench(tmp_path, LONG)
    process = sarbench.start("run", sarbench.grid, "--workers", "1")
    wait_for(lambda: list(sarbench.runs.glob("pretrain/*/progress.json")))
    os.kill(worker_of(process), signal.SIGKILL)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 1
    assert "SIGKILL" in errors
    states = {entry["method"]: entry["state"] for entry in sarbench.plan()["runs"]}
    assert states == {"mae": "failed", "raw_pixels": "done", "random_init": "done"}


ENOUGH = TINY.replace("epochs = 1", "epochs = 30").replace("seeds = 2", "seeds = 1")


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_resumes_to_the_same_bits(tmp_path):
    stopped, straight = Sarbench(tmp_path / "stopped", ENOUGH), Sarbench(tmp_path / "a", ENOUGH)
    process = stopped.start("run", stopped.grid, "-m", "mae", "--workers", "1")
    folder = wait_for(lambda: [p.parent for p in stopped.runs.glob("pretrain/*/history.jsonl")])[0]
    process.send_signal(signal.SIGTERM)  # raises KeyboardInterrupt, as Ctrl-C does
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "run the same command again" in errors
    (checkpoint,) = folder.glob("checkpoint-*.pt")
    assert 0 < int(checkpoint.name.split("-")[1]) < 60
    assert not list(stopped.runs.glob("*/*/record.json"))
    assert {entry["state"] for entry in stopped.plan()["pretrain"]} == {"new"}
    for sarbench in (stopped, straight):
        sarbench.call("run", sarbench.grid, "-m", "mae", "--workers", "1")
    assert not list(folder.glob("checkpoint-*.pt"))
    for path in (*stopped.runs.glob("*/*/encoder.safetensors"), *stopped.runs.glob("*/*/*.npz")):
        other = straight.runs / path.relative_to(stopped.runs)
        assert path.read_bytes() == other.read_bytes(), path
    assert len(list(stopped.runs.glob("evaluate/*/record.json"))) == 3


STATES = (
    SMALL.replace("epochs = 1", "epochs = 100")
    .replace("seeds = 2", "seeds = 1\nat = [0.05, 0.5, 1.0]")
    .replace("linear = [5]\n", "")
)


@pytest.mark.slow
def test_states_of_a_stopped_training_have_the_bits_of_those_of_others(tmp_path):
    """Stopped and resumed, uninterrupted, and trained alone to a state."""
    stopped, straight = Sarbench(tmp_path / "stopped", STATES), Sarbench(tmp_path / "a", STATES)
    alone = Sarbench(tmp_path / "alone", STATES.replace("0.05, 0.5, 1.0", "0.5"))
    process = stopped.start("run", stopped.grid, "-m", "mae", "--workers", "1")
    wait_for(lambda: list(stopped.runs.glob("pretrain/*/record.json")))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "pretrained MAE, at 0.05: " in errors
    states = [entry["state"] for entry in stopped.plan()["pretrain"] if entry["axes"]]
    assert states[0] == "done"
    assert states[2] == "new"
    for sarbench in (stopped, straight, alone):
        sarbench.call("run", sarbench.grid, "-m", "mae", "--workers", "1")
    for sarbench, count in ((stopped, 3), (alone, 1)):
        found = [*sarbench.runs.glob("pretrain/*/encoder.safetensors")]
        assert len(found) == count
        for path in (*found, *sarbench.runs.glob("evaluate/*/*.npz")):
            other = straight.runs / path.relative_to(sarbench.runs)
            assert path.read_bytes() == other.read_bytes(), path
    archive = tmp_path / "states.zip"
    words = "archive", straight.grid, "-m", "mae", "--runs", straight.runs, "--out", archive
    assert call_here(*words).returncode == 0
    shown = call_here("table", archive, "--format", "csv").stdout
    assert all(f"MAE, at {share}" in shown for share in (0.05, 0.5, "1.0"))
    merged = Sarbench(tmp_path / "merged", STATES)
    link_synthetic(Store(merged.runs))
    merged.here("merge", stopped.runs, alone.runs)
    assert "checked 3 pretrainings, 6 runs: all hold" in merged.here("check", merged.grid).stdout


def test_a_wrong_request_exits_with_2_and_one_message(finished, tmp_path):
    # in a process of its own; tests/cli/test_bad_input.py has the other wrong requests
    sarbench = Sarbench(tmp_path, TINY.replace("linear = [5]", "linear = [0]"))
    sarbench.runs = finished.runs
    refused = sarbench.call("plan", sarbench.grid, status=2)
    assert "evaluate.protocols.linear" in refused.stderr
    assert (refused.stdout, refused.stderr.count("error:")) == ("", 1)
