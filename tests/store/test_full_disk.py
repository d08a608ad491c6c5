"""A full disk gives one message, leaves no incomplete file, and the same command resumes."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import TINY, Sarbench
from made_records import make_record
from small_pretrainings import identity_of, make_pool, outcome

from sarbench.bench.cli import main
from sarbench.bench.execution.job import Event, execute
from sarbench.bench.identity import Job, Resources
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.store import records as stores
from sarbench.bench.store.atomic import NoSpaceError
from sarbench.bench.store.records import Store
from sarbench.results.record import Attempt


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A disk with room for `left` files and half of the next one."""
    disk = SimpleNamespace(left=0)

    def write_bytes(path: Path, content: bytes) -> int:
        disk.left -= 1
        with path.open("wb") as file:
            if disk.left >= 0:
                return file.write(content)
            file.write(memoryview(content)[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    monkeypatch.setattr(Path, "write_text", lambda path, text: write_bytes(path, text.encode()))
    return disk


def files_of(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("write", ["record", "attempt"])
def test_records_and_attempts_are_complete_or_missing_on_a_full_disk(tmp_path, full_disk, write):
    store, record = Store(tmp_path), make_record()
    attempt = Attempt(failure="E", message="m", traceback="", host="h", time="t")

    def do() -> object:
        if write == "record":
            return store.write("evaluate", record)
        return store.write_attempt("evaluate", record.key, attempt)

    with pytest.raises(NoSpaceError, match=r"no space left to write .*run the same command again"):
        do()
    assert files_of(tmp_path) == []
    full_disk.left = 1
    assert do()
    assert len(files_of(tmp_path)) == 1


def test_a_pretraining_resumes_to_the_same_bits_after_a_full_disk(tmp_path, full_disk):
    identity, pool = identity_of(), make_pool()
    straight, store = Store(tmp_path / "straight"), Store(tmp_path / "full")
    full_disk.left = 1000
    pretrain(identity, pool, straight, Resources())
    full_disk.left = fits = 0
    while store.read("pretrain", identity.key) is None:
        full_disk.left = fits = fits + 1
        try:
            pretrain(identity, pool, store, Resources(checkpoint_s=0.0))
        except NoSpaceError:
            left = files_of(store.root)
            assert not [name for name in left if "/." in name], left
    assert fits > 3
    assert outcome(store, identity) == outcome(straight, identity)


def test_a_full_disk_stops_a_job_without_failed_runs(tmp_path, full_disk):
    job = Job("Raw pixels", identity_of("raw_pixels", None, encoder=None, pool=[]), [], [])
    store, events = Store(tmp_path), list[Event]()
    with pytest.raises(NoSpaceError):
        execute(job, store, Resources(), events.append)
    assert [event.kind for event in events] == ["started"]
    assert store.last_attempt("pretrain", job.pretraining.key) is None
    full_disk.left = 1000
    execute(job, store, Resources(), events.append)
    assert store.read("pretrain", job.pretraining.key) is not None


def test_too_little_space_is_reported_before_anything_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 2**20))
    grid = tmp_path / "grid.toml"
    grid.write_text(TINY)
    monkeypatch.setattr(sys, "argv", ["sarbench", "run", str(grid), "--runs", str(tmp_path / "r")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert f"5 MB are free at {tmp_path / 'r'}" in capsys.readouterr().err
    assert not [n for n in files_of(tmp_path / "r") if not n.startswith("methods-")]


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of its own, and a function that sets its size in KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")

    def resize(kib: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kib}k", str(folder)], check=True)

    yield folder, resize
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_grid_on_a_small_disk_stops_and_resumes_after_space_is_freed(tmp_path, small_disk):
    disk, resize = small_disk
    sarbench = Sarbench(tmp_path)
    sarbench.runs = disk / "runs"
    code = (
        "import sarbench.bench.store.records as s; s.FREE_MB = 0; import sys; "
        "sys.argv[0] = 'sarbench'; from sarbench.bench.cli import main; main()"
    )

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, "run", sarbench.grid, "--runs", sarbench.runs,
             "--workers", "1"],
            capture_output=True, text=True, env=sarbench.environment, check=False, timeout=300,
        )  # fmt: skip

    def stops() -> None:
        done = run()
        assert done.returncode == 1, done.stderr
        assert done.stderr.count("error:") == 1, done.stderr
        assert "no space left to write" in done.stderr
        assert "Traceback" not in done.stderr
        torn = [name for name in files_of(disk) if "/." in name]
        assert not torn
        for path in sarbench.runs.glob("*/*/*.json"):
            json.loads(path.read_text())

    for kib in (1024, 10 * 1024):  # not even the data
        resize(kib)
        stops()
    resize(64 * 1024)
    sarbench.call("data", "prepare", "synthetic", "pool:synthetic", "--runs", sarbench.runs)
    used = int(shutil.disk_usage(disk).used / 1024)
    for more in (16, 300, 700):  # no encoder; the first; an encoder and some runs
        resize(used + more)
        stops()
    resize(64 * 1024)
    done = run()
    assert done.returncode == 0, done.stderr
    assert {entry["state"] for entry in sarbench.plan()["runs"]} == {"done"}
    assert not list(disk.rglob("attempt-*"))


def test_other_errors_do_not_count_as_a_full_disk():
    assert not stores.is_full(OSError(errno.EROFS, "read-only"))
    assert stores.is_full(OSError(errno.EDQUOT, "quota"))
