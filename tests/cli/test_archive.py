"""An archive of a grid prints what its store prints; one that was cut or edited is refused."""

import io
import json
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import archives
import numpy as np
import pytest
from chips import write_pool
from commands import Answer, call_here
from stores import MISSING, fill, pooled_grid, share

from sarbench.bench.plan import archived
from sarbench.bench.reporting import html_report
from sarbench.bench.store import archive as store_archive

GRID = pooled_grid("kept", ["mae", "lomar", "sar_hog"])
LARGEST = 2**20  # bytes of a member in these tests
LEVEL = {"mae": 0.8, "lomar": 0.6, "raw_pixels": 0.9, "random_init": 0.3}
READING = [
    ("plan",), ("plan", "--json"), ("table",), ("table", "--notes"), ("table", "-f", "csv"),
    ("table", "--metric", "recall:battle_tank"), ("table", "-m", "mae"), ("paper",),
    ("compare", "mae", "lomar"), ("check",),
]  # fmt: skip
Call = Callable[..., Answer]


def right(run, labels) -> np.ndarray | None:
    start = run.pretraining
    place = start.method, start.seed, run.protocol, run.seed
    if place == ("lomar", 0, "linear", 0):
        return MISSING
    if place == ("lomar", 0, "linear", 1):
        return None  # failed
    return share(LEVEL[start.method] + 0.01 * start.seed, run.seed, len(labels))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in `runs`, whose grid has failed, missing and finished runs, and its archive."""
    home = tmp_path_factory.mktemp("kept")
    write_pool(home / "runs" / "data")
    (home / "grid.toml").write_text(GRID)
    fill(home / "grid.toml", home / "runs", right, fails=lambda method: method == "sar_hog")
    done = call_here("archive", home / "grid.toml", "--runs", home / "runs", "--data",
                     home / "runs" / "data", "--out", home / "kept.zip")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "of 64 runs, the archive lacks: 1 new, 13 failed\n" in done.stdout
    return home


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Return a function that runs `sarbench` here, in an empty folder, without other stores."""
    monkeypatch.setenv("COLUMNS", "300")
    for name in ("SARBENCH_RUNS", "SARBENCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return call_here


def on_store(made: Path) -> list[object]:
    return ["--runs", made / "runs", "--data", made / "runs" / "data"]


def edited(made: Path, path: Path, *given, source: Path | None = None, **named) -> Path:
    """Write a copy of the archive with other contents."""
    return archives.edited(source or made / "kept.zip", path, *given, **named)


@contextmanager
def no_folder_left() -> Iterator[None]:
    """Expect that no temporary folder of an archive is left."""
    # In a folder of its own, because tests in other processes unpack archives too.
    with tempfile.TemporaryDirectory() as own, patch.object(tempfile, "tempdir", own):
        yield
        assert list(Path(own).iterdir()) == []


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_reading_command_prints_the_same_from_an_archive(words, made: Path, call: Call):
    command, *options = words
    before = call(command, made / "grid.toml", *options, *on_store(made))
    after = call(command, made / "kept.zip", *options)
    assert before.stdout
    said = after.stdout.replace("weights were not checked: an archive holds none\n", "")
    assert (after.returncode, said, after.stderr) == (
        before.returncode, before.stdout, before.stderr,
    )  # fmt: skip
    assert list(Path.cwd().iterdir()) == []


def test_a_report_is_the_same_from_an_archive(
    made: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(html_report, "FORMATS", ("svg",))
    first, second = tmp_path / "one", tmp_path / "two"
    options = ("--paper", "none", "--out")
    call("report", made / "grid.toml", *on_store(made), "--no-encoders", *options, first)
    assert call("report", made / "kept.zip", *options, second).returncode == 0
    page = second / "index.html"
    skipped = "t-SNE and attention distances: no weights are here (an archive holds none)"
    assert skipped in page.read_text()
    switched_off = "t-SNE and attention distances (switched off)"
    page.write_text(page.read_text().replace(skipped, switched_off))
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(names) > 5
    assert [(first / name).read_bytes() for name in names] == [
        (second / name).read_bytes() for name in names
    ]


def test_the_same_records_give_the_same_bytes_without_weights(made: Path, call: Call):
    again = made / "again.zip"
    words = ("archive", made / "grid.toml", *on_store(made), "--out", again)
    assert call(*words).returncode == 0
    content = again.read_bytes()
    assert content == (made / "kept.zip").read_bytes()
    status, _, errors = call(*words)
    assert (status, errors) == (2, f"error: {again} exists; give another --out, or add --replace\n")
    assert call(*words, "-m", "mae", "--replace").returncode == 0
    assert len(again.read_bytes()) < len(content)
    with zipfile.ZipFile(made / "kept.zip") as stored:
        kept = {Path(name).name for name in stored.namelist() if name.startswith("evaluate/")}
        assert not [name for name in stored.namelist() if "encoder" in name]
    assert kept == {"predictions.npz"}


def test_an_archive_without_scores_prints_the_same_and_is_not_merged(
    made: Path, tmp_path: Path, call: Call
):
    small = tmp_path / "small.zip"
    call("archive", made / "grid.toml", *on_store(made), "--no-scores", "--out", small)
    assert small.stat().st_size < (made / "kept.zip").stat().st_size / 2
    for command, *options in READING[2:-1]:
        assert call(command, small, *options) == call(command, made / "kept.zip", *options)
    status, out, _ = call("check", small)
    assert (status, "50 runs: all hold" in out) == (0, True)
    assert "scores of single chips were not checked" in out
    forged = edited(made, tmp_path / "forged.zip", source=small, listed=True,
                    edit=lambda n, c: c[:-1] + bytes([c[-1] ^ 1]) if n.startswith("classes/")
                    else None)  # fmt: skip
    assert "record, " in call("table", forged).stderr
    status, _, errors = call("merge", small, "--runs", tmp_path / "runs")
    assert (status, "was made with --no-scores" in errors) == (2, True)


def test_an_archive_without_pictures(made: Path, tmp_path: Path, call: Call):
    copy = shutil.copytree(made, tmp_path / "copy")
    for folder in (copy / "runs/pretrain").iterdir():
        (folder / "predictions.npz").write_bytes(b"drawn")
    names = []
    for options in ((), ("--no-pictures",)):
        path = tmp_path / f"{len(options)}.zip"
        call("archive", copy / "grid.toml", *on_store(copy), *options, "--out", path)
        with zipfile.ZipFile(path) as stored:
            names.append(set(stored.namelist()))
        assert call("table", path) == call("table", made / "kept.zip")
    left_out = names[0] - names[1]
    assert len(left_out) == 2  # of MAE and LoMaR
    assert all(name.startswith("pretrain/") for name in left_out)
    assert names[1] < names[0]


def test_an_archive_is_printed_with_its_own_versions(
    made: Path, call: Call, monkeypatch: pytest.MonkeyPatch
):
    before = call("table", made / "kept.zip").stdout

    def raised(names, folder):
        found = describe(names, folder)
        return found | {"mae": replace(found["mae"], version=9, label="Another name")}

    describe = archived.describe
    monkeypatch.setattr(archived, "describe", raised)
    monkeypatch.setattr(archived, "own_names", lambda: {"mae", "lomar", "random_init"})
    monkeypatch.setattr(archived, "method_names", lambda: ["mae", "lomar", "random_init"])
    protocols = {"knn": SimpleNamespace(version=7)}
    monkeypatch.setattr(archived, "PROTOCOLS", protocols)
    moved = (
        "MAE 1 (now 9); SAR-HOG 1 (not installed here); Raw pixels 1 (not installed here); "
        "linear 1 (removed since); knn 2 (now 7)."
    )
    after = call("table", made / "kept.zip").stdout
    (line,) = set(after.splitlines()) - set(before.splitlines())
    assert moved in line
    assert after.replace(f"{line}\n", "") == before
    assert moved.rstrip(".") in call("plan", made / "kept.zip").stdout


def test_commands_that_write_and_options_of_a_store_are_refused(made: Path, call: Call):
    archive = made / "kept.zip"
    for words in (("run",), ("status",), ("logs",), ("archive", "--out", "x.zip")):
        status, out, errors = call(words[0], archive, *words[1:])
        assert (status, out) == (2, "")
        assert f"is an archive, which `sarbench {words[0]}` cannot use" in errors
    for option in ("--runs", "--data", "--pixels"):
        value = "synthetic=0" if option == "--pixels" else "x"
        status, _, errors = call("table", archive, option, value)
        assert status == 2
        assert f"leave out {option}" in errors
    environment = {"SARBENCH_RUNS": "/nowhere", "SARBENCH_DATA": "/nowhere"}
    assert call("table", archive, environment=environment).returncode == 0
    for name, why in (("a.tar", "the name of an archive ends with .zip"), (".", "is a folder")):
        status, _, errors = call("archive", made / "grid.toml", *on_store(made), "--out", name)
        assert (status, why in errors) == (2, True)
    status, _, errors = call("table", archive, "-m", "sar_hog", "-p", "knn")
    assert (status, "FAILED" in errors) == (0, False)
    assert list(Path.cwd().iterdir()) == []


def of_run(name: str) -> bool:
    return name == "evaluate.jsonl"


def of_prediction(name: str) -> bool:
    return name.startswith("evaluate/")


def header_of(shape: tuple[int, ...]) -> bytes:
    """Return the start of a .npy file, without its numbers."""
    file = io.BytesIO()
    given = {"descr": "|i1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, given)
    return file.getvalue()


def other_side(found: re.Match[bytes]) -> bytes:
    return b"0" if found[0] == b"1" else b"1"


def without_method(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda plan: plan | {"methods": {k: v for k, v in plan["methods"].items() if k != name}}


DAMAGES = [
    ("cut", lambda made, path: path.write_bytes((made / "kept.zip").read_bytes()[:-500]),
     "is cut off or not a zip file"),
    ("text", lambda made, path: path.write_text("name = 'x'"), "is cut off or not a zip file"),
    ("none", lambda made, path: None, "no archive"),
    ("score", lambda made, path: edited(
        made, path, lambda n, c: c.replace(b'"accuracy":0.', b'"accuracy":0.9') if of_run(n)
        else None), "not as in its manifest: evaluate.jsonl"),
    ("classes", lambda made, path: edited(
        made, path, lambda n, c: c + b"0" if of_prediction(n) else None),
     "predictions.npz and 47 more"),
    ("plan", lambda made, path: edited(
        made, path, lambda n, c: c.replace(b"MAE", b"XAE") if n == "plan.json" else None),
     "not as in its manifest: plan.json"),
    ("missing", lambda made, path: edited(
        made, path, lambda n, c: b"" if of_run(n) else None), "lacks evaluate.jsonl"),
    ("added", lambda made, path: edited(made, path, added={"sets/x.json": b"{}"}),
     "holds sets/x.json, which its manifest does not list"),
    ("above", lambda made, path: edited(made, path, added={"../x": b"x"}, listed=True),
     "holds ../x, which no archive has"),
    ("absolute", lambda made, path: edited(made, path, added={"/x": b"x"}, listed=True),
     "holds /x, which no archive has"),
    ("large", lambda made, path: edited(
        made, path, added={"sets/x.json": b"0" * (LARGEST + 1)}, listed=True),
     "sets/x.json would be larger than 1 MB"),
    ("manifest", lambda made, path: edited(
        made, path, lambda n, c: b"" if n == "manifest.json" else None), "it has no manifest.json"),
    ("digests", lambda made, path: edited(
        made, path, lambda n, c: b"{" if n == "manifest.json" else None),
     "manifest.json is damaged"),
    ("newer", lambda made, path: edited(
        made, path,
        lambda n, c: b'{"format": 2, "sarbench": "9.1", "more": 1}' if n == "manifest.json"
        else None), "has format 2, of sarbench 9.1; this is sarbench"),
    ("forged", lambda made, path: edited(
        made, path, lambda n, c: c.replace(b'"accuracy":0.', b'"accuracy":0.0') if of_run(n)
        else None, listed=True), "records disagree with their predictions"),
    ("bad record", lambda made, path: edited(
        made, path, lambda n, c: c.replace(b'"key":"', b'"key":"../') if of_run(n) else None,
        listed=True), "its records cannot be read ('../"),
    ("no record", lambda made, path: edited(
        made, path, lambda n, c: c.split(b"\n", 1)[1] if of_run(n) else None, listed=True),
     "is missing); use the version that wrote it"),
    ("huge array", lambda made, path: edited(
        made, path, added={f"classes/{'0' * 64}.npy": header_of((10**12, 12))}, listed=True),
     "classes/" + "0" * 64 + ".npy is cut off"),
    ("compression", lambda made, path: edited(
        made, path, lambda n, c: b"" if n == "plan.json" else None, lzma={"plan.json": b"{}"}),
     "plan.json is compressed by a method that no archive has; members are stored or deflated"),
    ("deep grid", lambda made, path: edited(
        made, path, lambda n, c: b"x = " + b"[" * 10**5 if n == "grid.toml" else None, listed=True),
     "grid.toml is not a TOML file: maximum recursion depth"),
    ("no method", lambda made, path: archives.with_plan(
        made / "kept.zip", path, without_method("raw_pixels")),
     "its plan.json does not describe the methods raw_pixels, which its grid"),
    ("no predictions", lambda made, path: edited(
        made, path, lambda n, c: b"" if of_prediction(n) and n > "evaluate/8" else None,
        listed=True), "are without predictions, so nothing verifies the scores; get a whole copy"),
    ("other labels", lambda made, path: edited(
        made, path, lambda n, c: re.sub(rb'(?<="is_test": \[)[01]', other_side, c)
        if n.startswith("sets/") else None, listed=True),
     "the split of synthetic has digest "),
    ("no set", lambda made, path: archives.with_plan(
        made / "kept.zip", path, lambda plan: plan | {"sets": {}}),
     "are without a description of synthetic in sets/"),
    ("no text of a set", lambda made, path: edited(
        made, path, lambda n, c: b"{" if n.startswith("sets/") else None, listed=True),
     ".json does not describe a set (Expecting property name"),
    ("other plan", lambda made, path: edited(
        made, path, lambda n, c: c.replace(b'"start":', b'"starts":') if n == "plan.json" else None,
        listed=True), "cannot be read by this version (runs.0.start: Field required)"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_a_damaged_archive_is_refused_with_the_reason(
    damage, said: str, made: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_archive, "LARGEST_MEMBER", LARGEST)
    path = tmp_path / "bad.zip"
    damage(made, path)
    with no_folder_left():
        status, out, errors = call("table", path)
        assert (status, out) == (2, "")
        assert said in errors
        assert str(path) in errors
        assert tempfile.gettempdir() + "/sarbench-" not in errors
    assert not (tmp_path / "x").exists()


def test_a_run_without_predictions_is_not_archived(made: Path, tmp_path: Path, call: Call):
    kept = next((made / "runs" / "evaluate").glob("*/predictions.npz"))
    aside = kept.rename(tmp_path / "aside.npz")
    try:
        words = ("archive", made / "grid.toml", *on_store(made), "--out", tmp_path / "new.zip")
        status, _, errors = call(*words)
    finally:
        aside.rename(kept)
    said = f"error: {kept} is missing; run the grid again with --force for this run\n"
    assert (status, errors, (tmp_path / "new.zip").exists()) == (2, said, False)


def test_only_rows_of_the_wanted_part_are_named_as_not_in_the_table(
    made: Path, tmp_path: Path, call: Call
):
    listed = [["LoMaR", "linear with readout 'class'", "x"], ["Other", "encoder vit_base", "x"]]
    path = archives.with_plan(
        made / "kept.zip", tmp_path / "kept.zip", lambda plan: plan | {"not_applicable": listed}
    )
    said = "Not in the table: Other (n/a on vit_base)."
    for options, shown in (((), True), (("-p", "knn"), True), (("-p", "knn", "-m", "mae"), False)):
        out = call("table", path, *options).stdout
        assert (said in out, "Not in the table: LoMaR" in out) == (shown, False)
        assert ("Not in the table" in out) == shown


def test_a_member_that_is_there_twice_is_refused(made: Path, tmp_path: Path, call: Call):
    path = shutil.copy(made / "kept.zip", tmp_path / "twice.zip")
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "a") as target:
        target.writestr("plan.json", "{}")
    status, _, errors = call("table", path)
    assert (status, "holds plan.json more than once" in errors) == (2, True)


def test_parts_are_merged_and_count_as_done_without_weights(
    made: Path, tmp_path: Path, call: Call, forked_workers: None
):
    grid, runs = made / "grid.toml", tmp_path / "runs"
    for name, part in (("one", ["mae"]), ("two", ["lomar", "raw_pixels", "random_init"])):
        options = [word for method in part for word in ("-m", method)]
        call("archive", grid, *on_store(made), *options, "--out", tmp_path / f"{name}.zip")
    status, out, _ = call("merge", tmp_path / "one.zip", tmp_path / "two.zip", "--runs", runs)
    assert status == 0
    assert "conflicts, 0 refused\n13 pretrainings are without weights" in out
    assert not list(runs.rglob("encoder.safetensors"))
    states = json.loads(call("plan", grid, "--runs", runs, "--json").stdout)
    before = json.loads(call("plan", grid, *on_store(made), "--json").stdout)
    done = [[e["key"] for e in s["runs"] if e["state"] == "done"] for s in (states, before)]
    assert done[0] == done[1] != []
    blocked = [e for e in states["runs"] if e["cause"] == "no_weights"]
    assert [(e["label"], e["pretrain_seed"], e["seed"]) for e in blocked] == [
        ("LoMaR", 0, 0), ("LoMaR", 0, 1),
    ]  # fmt: skip
    shutil.copytree(made / "runs" / "prepared", runs / "prepared")  # else all chips are simulated
    status, _, errors = call("run", grid, *on_store(made)[2:], "--runs", runs, "-m", "lomar",
                             "--workers", "1")  # fmt: skip
    assert status == 1
    assert errors.count("the weights of its pretraining are not in the store; merge a store") == 2
    assert "`sarbench run GRID -m 'LoMaR' --force`" in errors
    assert not list(runs.rglob("attempt-*.json"))
    status, out, _ = call("merge", made / "runs", "--runs", runs)
    assert "13 of those present before lacked files: added too" in out
    again = json.loads(call("plan", grid, "--runs", runs, "--json").stdout)
    assert not [e for e in again["runs"] if e["cause"] == "no_weights"]


def test_a_damaged_archive_merges_nothing_of_any_source(made: Path, tmp_path: Path, call: Call):
    bad = edited(made, tmp_path / "bad.zip", added={"sets/x.json": b"{}"})
    status, _, errors = call("merge", made / "kept.zip", bad, "--runs", tmp_path / "runs")
    assert (status, "sets/x.json" in errors) == (2, True)
    assert not (tmp_path / "runs").exists()
