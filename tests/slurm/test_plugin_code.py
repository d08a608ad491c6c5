"""The code of plug-ins is copied with a submission."""

import os
import subprocess
import sys
from importlib import invalidate_caches
from pathlib import Path

import pytest

from sarbench.bench.slurm import code_snapshot as snapshot
from sarbench.bench.slurm import plugin_code
from sarbench.bench.slurm.plugin_code import LargePluginError, installed_plugins

SCRIPT = """
import sys
from importlib.metadata import entry_points
from sarbench.bench.slurm.code_snapshot import check_code
check_code(sys.argv[1])
for point in entry_points(group="sarbench.methods"):
    print(point.name, point.load().WORD, sys.modules[point.module].__file__)
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch) -> Path:
    """Install a package with a method, in a namespace, and a data file; return its folder."""
    here = tmp_path / "site"
    own = here / "acme" / "sar"
    own.mkdir(parents=True)
    (own / "__init__.py").write_text("")
    (own / "theirs.py").write_text("WORD = 'first'")
    (own / "filters.npy").write_bytes(b"\0" * 10)
    (own / "__pycache__").mkdir()
    (own / "__pycache__" / "theirs.cpython-311.pyc").write_bytes(b"old")
    (here / "acme_extra.py").write_text("")
    info = here / "acme_sar-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-sar\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[sarbench.methods]\ntheirs = acme.sar.theirs\n")
    (info / "top_level.txt").write_text("acme_extra\nmissing_package\n")
    monkeypatch.syspath_prepend(str(here))
    yield own
    for name in [one for one in sys.modules if one.split(".")[0] == "acme"]:
        del sys.modules[name]
    invalidate_caches()


def run(code: Path, digest: str, *more: Path) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join(map(str, (code, *more)))
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, digest], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
    )  # fmt: skip


def test_packages_of_a_plugin_are_those_of_its_entry_points_and_next_to_them(plugin):
    (found,) = (one for one in installed_plugins() if one.name == "acme_sar")
    assert found.packages == ("acme.sar", "acme_extra")
    assert found.points == (("sarbench.methods", "theirs", "acme.sar.theirs"),)
    assert set(found.files()) == {
        "acme/sar/__init__.py", "acme/sar/theirs.py", "acme/sar/filters.npy", "acme_extra.py",
    }  # fmt: skip


def test_a_job_runs_a_plugin_as_it_was_even_where_it_was_edited_or_is_not_installed(
    plugin, tmp_path
):
    code, digest = snapshot.take_snapshot(tmp_path / "ledger")
    (plugin / "theirs.py").write_text("WORD = 'edited'")
    assert snapshot.running_digest() != digest
    site = plugin.parent.parent
    newer = site / "newer-1.dist-info"  # installed after the submission
    newer.mkdir()
    (newer / "METADATA").write_text("Metadata-Version: 2.1\nName: newer\nVersion: 1\n")
    (newer / "entry_points.txt").write_text("[sarbench.metrics]\nnewer = acme_extra:x\n")
    for more in ([site], []):
        done = run(code, digest, *more)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["theirs", "first", str(code / "acme" / "sar" / "theirs.py")]


def test_a_plugin_that_is_too_large_to_copy_is_refused(plugin, tmp_path, monkeypatch):
    monkeypatch.setattr(plugin_code, "MOST_MB", 5e-6)
    with pytest.raises(LargePluginError, match=r"the plug-in acme_sar.*Move data out"):
        snapshot.take_snapshot(tmp_path / "ledger")
    assert not (tmp_path / "ledger").exists()


def test_a_folder_of_methods_is_copied_and_run_from_the_copy(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "my_mae.py").write_text("WORD = 'first'")
    monkeypatch.setenv("SARBENCH_METHODS", str(mine))
    copy, digest = snapshot.take_snapshot(tmp_path / "ledger")
    (folder,) = snapshot.copied_methods(copy)
    (mine / "my_mae.py").write_text("WORD = 'second'")
    assert (folder / "my_mae.py").read_text() == "WORD = 'first'"
    with pytest.raises(snapshot.WrongCodeError):
        snapshot.check_code(digest)
    monkeypatch.setenv("SARBENCH_METHODS", str(folder))
    snapshot.check_code(digest)
