"""Answers of the command line: formats of files, bundled grids, a full disk, a missing command."""

import errno
import json
import os
import re
import shutil
import sys
from collections import namedtuple
from pathlib import Path
from unittest import mock

import pytest
from chips import write_images
from commands import TINY, call_here
from stores import link_synthetic

from sarbench.bench.cli import doctor as _doctor
from sarbench.bench.cli import results as _results
from sarbench.bench.cli import slurm as _slurm
from sarbench.bench.cli.data import list_data
from sarbench.bench.cli.grid_arguments import Request
from sarbench.bench.cli.results import SUFFIXES, chosen_format
from sarbench.bench.contract import preview as show_method
from sarbench.bench.contract import skeleton as method_skeleton
from sarbench.bench.contract.skeleton import skeleton, write_skeleton
from sarbench.bench.data import inventory, registry
from sarbench.bench.data.inventory import known_sets
from sarbench.bench.grid.schema import bundled_grids, grid_file, read_grid
from sarbench.bench.pretraining.step import NonFiniteLossError
from sarbench.bench.slurm import commands as slurm
from sarbench.bench.slurm.profile import ProfileError, check_site, parse_profile, read_profile
from sarbench.bench.store.records import Store
from sarbench.bench.suggest import RequestError
from sarbench.results.tables.render import FORMATS

Usage = namedtuple("Usage", "total used free")


def test_a_file_is_written_in_the_format_of_its_suffix():
    assert set(SUFFIXES.values()) == set(FORMATS)
    for suffix, style in SUFFIXES.items():
        assert chosen_format(None, False, Path(f"t{suffix}"), FORMATS) == style
        assert chosen_format(style, False, Path(f"t{suffix.upper()}"), FORMATS) == style
    assert chosen_format(None, True, Path("t.json"), FORMATS) == "json"
    assert chosen_format(None, False, None, FORMATS) == "text"
    assert chosen_format(None, True, None, FORMATS) == "json"
    assert chosen_format("latex", False, Path("table.inc"), FORMATS) == "latex"


def test_table_follows_the_suffix(sarbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("grid.toml").write_text(TINY)
    monkeypatch.setattr(_results, "leaderboard", lambda *rest, **more: None)
    monkeypatch.setattr(Request, "check_results", lambda *rest: None)
    monkeypatch.setattr(_results, "render", lambda board, style, layout, **more: style)
    for suffix, style in SUFFIXES.items():
        assert sarbench("table", "grid.toml", "--out", f"t{suffix}")[0] == 0
        assert Path(f"t{suffix}").read_text() == style


def test_compare_writes_json_into_the_file(sarbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("grid.toml").write_text(TINY)
    monkeypatch.setattr(_results, "compare_rows", lambda *rest, **more: [])
    monkeypatch.setattr(Request, "check_results", lambda *rest: None)
    for words in (("--out", "c.json"), ("--json", "--out", "d.json")):
        assert sarbench("compare", "grid.toml", "mae", "random_init", *words)[0] == 0
        assert json.loads(Path(words[-1]).read_text()) == []


def test_a_bundled_grid_is_given_by_its_name_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_grid(Path("demo")).name == "demo"
    assert {"demo", "paper", "real_small"} <= bundled_grids().keys()
    Path("paper").mkdir()
    assert grid_file(Path("paper")) == bundled_grids()["paper"]
    Path("demo").write_text(TINY)
    assert read_grid(Path("demo")).name == "tiny"


def test_plan_takes_the_name_of_a_bundled_grid(sarbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sarbench("plan", "demo", "-m", "mae", "-p", "knn")[0] == 0


def test_doctor_reports_a_nearly_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 2**21, 2**21))
    (found,) = _doctor._store(Store(tmp_path / "runs"))
    assert found.state == "wrong"
    assert "2 MB are free" in found.text


def test_doctor_reports_a_disk_too_full_for_the_probe(tmp_path, monkeypatch):
    def full(*rest):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    site = slurm.Site(10, {"gpu": slurm.Partition("gpu", 1e9)}, "gpu", False)
    monkeypatch.setattr(_doctor, "read_site", lambda **_: site)
    monkeypatch.setattr("sarbench.bench.slurm.node_check.refusals", lambda *_: [])
    monkeypatch.setattr("sarbench.bench.slurm.node_check.check_node", full)
    found = list(_doctor._slurm(Store(tmp_path), tmp_path, parse_profile({}, "p"), job=True))
    assert (found[-1].what, found[-1].state) == ("job", "wrong")
    assert "No space left" in found[-1].text


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/runs", "nfs4"),
        ("/homework/runs", "ext4"),
        ("/home", "nfs4"),
        ("/my disk/runs", "xfs"),
        ("/", "ext4"),
    ],
)
def test_a_file_system_is_found_by_whole_folder_names(monkeypatch, path, kind):
    mounts = "/dev/a / ext4 rw 0 0\nserver:/h /home nfs4 rw 0 0\n/dev/b /my\\040disk xfs rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda self: mounts)
    assert _doctor.file_system(Path(path)) == kind


def test_several_partitions_are_taken_where_slurm_takes_them():
    partitions = {"a": slurm.Partition("a", 60.0), "b": slurm.Partition("b", 600.0)}
    site = slurm.Site(1000, partitions, "a", False)
    asked = {"partition": "a,b", "time_min": 600}
    check_site(parse_profile(asked, "p"), site)
    with pytest.raises(ProfileError, match=r"a,b allows at most 600 minutes"):
        check_site(parse_profile(asked | {"time_min": 601}, "p"), site)
    with pytest.raises(ProfileError, match=r"unknown partition of this site 'c'"):
        check_site(parse_profile(asked | {"partition": "a,c"}, "p"), site)


@pytest.mark.parametrize("missing", ["srun", "sbatch"])
def test_a_missing_command_of_slurm_is_named_before_anything_is_submitted(
    sarbench, tmp_path, monkeypatch, missing
):  # fmt: skip
    (tmp_path / "bin").mkdir()
    answers = {"scontrol": "PartitionName=gpu Default=YES MaxTime=UNLIMITED", "sinfo": "n1"}
    for name in {"scontrol", "sinfo", "srun", "sbatch", "squeue"} - {missing}:
        script = tmp_path / "bin" / name
        script.write_text(f"#!/bin/sh\necho '{answers.get(name, '')}'\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "grid.toml").write_text(TINY)
    (tmp_path / "p.toml").write_text("")
    status, said = sarbench("submit", tmp_path / "grid.toml", "--profile", tmp_path / "p.toml")
    assert (status, f"the command '{missing}' is not on PATH" in said) == (1, True), said
    assert not (tmp_path / "runs").exists()


OWN_LOSS = """
    def loss(self, batch, rng):
        return self.encoder(batch.views[0]).square().mean(), None

    def _unused(self, images"""


def test_a_method_without_predict_has_nothing_to_show(
    sarbench, package, tmp_path, monkeypatch
):  # fmt: skip
    text = skeleton("plugin_own_loss", in_this_repository=False)
    text = text.replace("\n    def predict(self, images", OWN_LOSS)
    package("plugin_own_loss", text.replace("MaskedPrediction", "Method"))
    monkeypatch.setattr(show_method, "draw_method", None)  # called, it would fail
    status, said = sarbench("methods", "show", "plugin_own_loss")
    assert (status, "MaskedPrediction" in said) == (2, True), said


def test_a_loss_that_is_not_finite_is_explained(sarbench, tmp_path, monkeypatch):
    def loss(*_: object) -> None:
        raise NonFiniteLossError("the loss is nan: the batch holds pixels that are not finite")

    monkeypatch.setattr(show_method, "train_step", loss)
    link_synthetic(Store(tmp_path / "runs"))
    words = ("--steps", 1, "--out", tmp_path / "m.png", "--runs", tmp_path / "runs")
    status, said = sarbench("methods", "show", "mae", *words)
    assert (status, "the loss is nan" in said, "Traceback" in said) == (2, True, False), said


def test_a_skeleton_is_not_written_into_an_installed_package(tmp_path, monkeypatch):
    installed, here = tmp_path / "site-packages" / "sarbench" / "methods", tmp_path / "here"
    for folder in (installed, here):
        folder.mkdir(parents=True)
    monkeypatch.setattr(method_skeleton, "METHODS_FOLDER", installed)
    assert write_skeleton("my_own", here) == here / "my_own.py"
    assert (here / "my_own.py").read_text() == skeleton("my_own", in_this_repository=False)
    with pytest.raises(RequestError, match="belongs to the installed package"):
        write_skeleton("my_own", installed)
    assert list(installed.iterdir()) == []
    (installed.parent / "pyproject.toml").write_text("")
    assert write_skeleton("my_own", installed) == installed / "my_own.py"
    assert (installed / "my_own.py").read_text() == skeleton("my_own", in_this_repository=True)


def test_a_new_method_is_written_here_and_its_next_command_finds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call_here("methods", "new", "my_own")
    assert (done.returncode, (tmp_path / "my_own.py").is_file()) == (0, True)
    assert "next: sarbench methods check my_own --methods .\n" in done.stdout
    again = call_here("methods", "new", "my_own", "--methods", ".")
    assert (again.returncode, "'my_own' exists already" in again.stderr) == (2, True)


def test_doctor_runs_to_its_end(sarbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, said = sarbench("doctor")
    assert status in (0, 1)  # 2 would be a wrong request
    assert "unknown" not in said


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_batch_that_the_processes_of_a_profile_do_not_divide_is_refused(
    sarbench, tmp_path, monkeypatch, dry
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_slurm, "read_site", lambda report: slurm.NO_SITE)
    monkeypatch.setattr(_slurm, "check_site", lambda profile, site: None)
    (tmp_path / "p.toml").write_text("[pretrain]\nnodes = 2\ngpus = 3\n")
    words = ("submit", "demo", "--profile", tmp_path / "p.toml", "--runs", tmp_path / "runs")
    status, said = sarbench(*words, *dry)
    assert status == 2
    assert "6 processes do not divide a batch of 8 evenly; change `batch`, or `gpus`" in said
    assert not (tmp_path / "runs").exists()


def test_batch_scripts_are_printed_and_a_profile_is_checked_without_slurm(
    sarbench, tmp_path, monkeypatch
):  # fmt: skip
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "grid.toml").write_text(TINY)
    profile = tmp_path / "p.toml"
    profile.write_text('launcher = "apptainer exec image.sif"\nmax_submitted = 1\n')
    link_synthetic(Store(tmp_path / "runs"))
    done = call_here(
        "submit", tmp_path / "grid.toml", "--profile", profile, "--dry-run", "--runs",
        tmp_path / "runs",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("#!/bin/bash") == 1
    assert f"apptainer exec image.sif {sys.executable} -u -m submitit" in done.stdout
    assert "SLURM is not installed here" in done.stderr
    assert "more jobs do not fit into max_submitted = 1" in done.stderr
    assert "1 job in 1 array for 0 runs; nothing is submitted" in done.stdout
    profile.write_text('partition = "gpu"\nmemory_gb = 20\n[evaluate]\ntime_min = 90\n')
    words = ("submit", tmp_path / "grid.toml", "--profile", profile, "--runs", tmp_path / "runs")
    short, long = call_here(*words, "--dry-run"), call_here(*words, "--dry-run", "--all")
    assert re.search(r"^partition +gpu +gpu *$", short.stdout, re.MULTILINE)
    assert re.search(r"^memory_gb +20 +20 *$", short.stdout, re.MULTILINE)
    assert re.search(r"^time_min +1440 +90 *$", short.stdout, re.MULTILINE)
    scripts = long.stdout.count("#!/bin/bash")
    assert (short.stdout.count("#!/bin/bash"), scripts > 1) == (1, True)
    assert f"this is the first of {scripts} batch scripts" in short.stderr
    assert "   0: " in long.stdout
    early = call_here(*words[:-1], tmp_path / "none", "--dry-run", "--all")
    assert _without_paths(early.stdout) == _without_paths(long.stdout)
    assert "published sizes are used, and `submit` prepares them" in early.stderr
    (tmp_path / "folder.toml").write_text(TINY.replace('"synthetic"', '"folder:none"', 1))
    refused = call_here("submit", tmp_path / "folder.toml", *words[2:], "--dry-run")
    assert refused.returncode == 2
    assert "these pools have no published size and are not prepared: folder:none." in refused.stderr
    assert not (tmp_path / "none").exists()
    wrong = call_here(*words, "--all")
    assert (wrong.returncode, "--all is for --dry-run" in wrong.stderr) == (2, True)
    assert not (tmp_path / "runs" / "ledger").exists()
    found = list(_doctor._slurm(Store(tmp_path), tmp_path, read_profile(profile), job=False))
    assert [(one.what, one.state) for one in found] == [("SLURM", "note"), ("profile", "ok")]


def _without_paths(said: str) -> str:
    """Return the output of a dry run without its store, its time and its digest of the code."""
    return re.sub(r"/\S*/runs\b|/\S*/none\b|\d{8}T\d{6}-\w+|code-\w+", "", said)


def test_doctor_does_not_wait_for_a_controller_that_is_stopped(tmp_path, monkeypatch):
    for name in ("scontrol", "sinfo", "srun", "sbatch"):
        (tmp_path / name).write_text("#!/bin/sh\nexec sleep 30\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(_doctor, "QUICK_S", 0.1)
    (found,) = list(_doctor._slurm(Store(tmp_path), tmp_path, None, job=False))
    assert found.state == "note"
    assert "does not answer (no answer in 0.1 s)" in found.text


def test_data_ls_says_prepared_found_or_absent(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(registry, "_added", {})
    (tmp_path / "data" / "SAR-ACD" / "A220").mkdir(parents=True)
    for name in ("mine/a.png", "notes/a.txt", ".cache/a.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir()
        path.touch()
    (tmp_path / "data" / "broken.card.toml").write_text("title = 3\n")
    link_synthetic(Store(tmp_path / "runs"))
    list_data(tmp_path / "runs", tmp_path / "data", as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    states = {name: rows[name]["state"] for name in ("synthetic", "sar_acd", "mstar_soc")}
    assert states == {"synthetic": "prepared", "sar_acd": "found", "mstar_soc": "absent"}
    assert (rows["sar_acd"]["found"], rows["sar_acd"]["prepared"]) == (True, None)
    assert rows["sar_acd"]["place"] == str(tmp_path / "data" / "SAR-ACD")
    assert rows["synthetic"]["prepared"]["count"] == 1600
    assert not rows["mstar_soc"]["found"]
    done = call_here("data", "ls", "--runs", tmp_path / "runs", "--data", tmp_path / "data")
    assert "folder:mine: images of no set above, usable as a pool" in done.stdout
    assert "folder:notes" not in done.stdout
    assert "the card of broken cannot be used: " in done.stderr


def test_data_ls_walks_a_folder_of_many_sets_once(tmp_path, monkeypatch):
    names = "HB03333.000", "HB03334.000", "HB03335.000"
    write_images(tmp_path / "mstar", *(f"TEST/2S1/{name}.png" for name in names))
    walk = mock.Mock(wraps=inventory.files_below)
    monkeypatch.setattr(inventory, "files_below", walk)
    found = known_sets(tmp_path, tmp_path / "runs")
    parts = {one.name: one.part for one in found if one.place == (tmp_path / "mstar").resolve()}
    assert parts["mstar_soc"] == (3, 5172)
    assert {part[0] for part in parts.values() if part} == {3}
    assert len(parts) == 8
    walk.assert_called_once_with((tmp_path / "mstar").resolve())


def test_data_ls_shows_what_a_store_holds_without_its_files(tmp_path):
    link_synthetic(Store(tmp_path / "runs"))
    done = call_here("data", "ls", "--runs", tmp_path / "runs", "--data", tmp_path / "nowhere")
    assert f"there is no folder {tmp_path}/nowhere" in done.stdout
    assert "2 prepared, 0 found, " in done.stdout
