"""An archive joined from archives of parts is the archive of the undivided store."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chips import write_pool
from commands import Answer, call_here
from given_files import EVALUATE, grid_text, write_weights
from stores import MISSING, fill, pooled_grid, share

from sarbench.bench.store.archive import write_archive

GRID = pooled_grid("parts", ["mae", "lomar", "sar_hog"], "seeds = 2", "linear = [5]")
Call = Callable[..., Answer]


def right(run, labels) -> np.ndarray | None:
    start = run.pretraining
    if (start.method, run.seed) == ("lomar", 1):
        return MISSING if start.seed else None  # seed 0 failed
    return share(0.6 if start.method == "mae" else 0.5, start.seed, len(labels))


def other(run, labels) -> np.ndarray:
    return share(0.3, 0, len(labels))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, its archives with and without scores (all.zip, all_small.zip), and their parts.

    Parts with scores are of some methods, those without scores of one evaluation seed.
    """
    home = tmp_path_factory.mktemp("parts")
    write_pool(home / "runs" / "data")
    (home / "grid.toml").write_text(GRID)
    fill(home / "grid.toml", home / "runs", right, fails=lambda method: method == "sar_hog")
    for folder in (home / "runs" / "pretrain").glob("*/"):
        for name in ("history.jsonl", "predictions.npz"):
            (folder / name).write_text(f"{name} of {folder.name}")
    small = ("--no-scores",)
    for name, options in {
        "all": (), "one": ("-m", "mae", "-m", "sar_hog"),
        "two": ("-m", "lomar", "-m", "raw_pixels", "-m", "random_init"),
        "all_small": small, "seed_0": ("-s", 0, *small), "seed_1": ("-s", 1, *small),
    }.items():  # fmt: skip
        store = ("--runs", home / "runs", "--data", home / "runs" / "data")
        target = home / f"{name}.zip"
        done = call_here("archive", home / "grid.toml", *store, *options, "--out", target)
        assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def join(made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Return a function that joins archives in an empty folder into ALL.zip."""
    monkeypatch.setenv("COLUMNS", "300")
    for name in ("SARBENCH_RUNS", "SARBENCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    def joined(*parts: Path, options: tuple[object, ...] = (), grid: Path | None = None) -> Answer:
        given = [word for part in parts for word in ("--from", part)]
        return call_here(
            "archive", grid or made / "grid.toml", *given, "--out", "ALL.zip", *options
        )

    return joined


def edited(source: Path, target: Path, edit: Callable[[str, bytes], bytes | None]) -> Path:
    """Write a copy of an archive with other contents and a manifest that fits."""
    with zipfile.ZipFile(source) as stored:
        members = {one: stored.read(one) for one in stored.namelist() if one != "manifest.json"}
    write_archive(target, {name: edit(name, one) or one for name, one in members.items()})
    return target


def changed(name: str, edit: Callable[[dict], object]) -> Callable[[str, bytes], bytes | None]:
    """Return an edit of the first record of a member, or of its whole content."""

    def apply(member: str, content: bytes) -> bytes | None:
        if not member.startswith(name):
            return None
        first, *more = content.splitlines(keepends=True)
        record = json.loads(first)
        edit(record)
        return json.dumps(record).encode() + b"\n" + b"".join(more)

    return apply


def refused(answer: Answer) -> str:
    """Expect that nothing was written; return the message."""
    assert (answer.returncode, answer.stdout) == (2, "")
    assert list(Path.cwd().iterdir()) == []
    assert "/sarbench-" not in answer.stderr
    return answer.stderr


def test_parts_without_scores_make_the_archive_of_the_undivided_store(made: Path, join: Call):
    answer = join(made / "seed_0.zip", made / "seed_1.zip", options=("--no-scores",))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "of 32 runs, the archive lacks: 7 failed, 2 new\n" in answer.stdout
    listed = f"13 of {made}/seed_0.zip, 10 of {made}/seed_1.zip (one in several counts once)"
    assert listed in answer.stdout
    assert Path("ALL.zip").read_bytes() == (made / "all_small.zip").read_bytes()
    assert call_here("check", "ALL.zip").returncode == 0


def test_scores_are_kept_if_every_run_has_them_in_some_source(made: Path, join: Call):
    whole = (made / "all.zip").read_bytes()
    message = refused(join(made / "one.zip", made / "seed_1.zip"))
    assert f"7 of 13 runs are without the scores of single chips (in {made}/seed_1.zip)" in message
    assert "add --no-scores" in message
    assert join(made / "seed_1.zip", made / "one.zip", made / "two.zip").returncode == 0
    assert Path("ALL.zip").read_bytes() == whole
    options = ("--replace", "--runs", made / "runs", "--data", made / "runs" / "data")
    answer = join(made / "seed_1.zip", options=options)
    assert f"runs: 23 of {made}/runs, 0 of {made}/seed_1.zip" in answer.stdout
    assert Path("ALL.zip").read_bytes() == whole
    answer = join(made / "seed_0.zip", options=("--replace", "--no-scores", "-m", "lomar"))
    assert "written: ALL.zip (3 runs" in answer.stdout


def test_other_records_of_one_key_are_listed_and_nothing_is_written(
    made: Path, join: Call, tmp_path: Path
):
    weights = edited(made / "one.zip", tmp_path / "weights.zip", changed(
        "pretrain.jsonl", lambda record: record.update(weights_digest="ab" * 32)))  # fmt: skip
    message = refused(join(made / "all.zip", weights))
    assert "records of the sources differ or are damaged" in message
    assert f"in {made}/all.zip and abababababab in {weights}" in message
    (tmp_path / "runs").mkdir()
    for name in ("data", "prepared"):
        (tmp_path / "runs" / name).symlink_to(made / "runs" / name)
    shutil.copytree(made / "runs" / "pretrain", tmp_path / "runs" / "pretrain")
    fill_runs = tmp_path / "runs"
    fill(made / "grid.toml", fill_runs, other)
    message = refused(join(made / "seed_0.zip", options=("--runs", fill_runs, "--no-scores")))
    assert "and 8 more" in message
    assert "predictions_digest is" in message


def test_a_run_that_does_not_follow_from_its_source_is_refused(
    made: Path, join: Call, tmp_path: Path
):
    def flipped(name: str, content: bytes) -> bytes | None:
        return content[:-1] + bytes([content[-1] ^ 1]) if name.startswith("classes/") else None

    forged = edited(made / "seed_0.zip", tmp_path / "forged.zip", flipped)
    message = refused(join(forged, made / "seed_1.zip", options=("--no-scores",)))
    assert "scores: evaluate/" in message
    assert "by its predictions" in message

    alone = edited(made / "one.zip", tmp_path / "alone.zip", changed(
        "evaluate.jsonl", lambda record: record.update(weights_digest="ab" * 32)))  # fmt: skip
    assert "it was measured with weights abababababab" in refused(join(alone))
    bad = edited(made / "one.zip", tmp_path / "bad.zip", changed(
        "sets/synthetic", lambda known: known["labels"].reverse()))  # fmt: skip
    assert f"{bad}: the split of synthetic has digest" in refused(join(bad))


def test_wrong_sources_are_refused_with_the_reason(made: Path, join: Call, tmp_path: Path):
    assert "is a folder; name a store with --runs" in refused(join(made / "runs"))
    assert "no archive" in refused(join(tmp_path / "none.zip"))
    for parts in ([], [made / "one.zip"]):
        assert "no grid file none.toml" in refused(join(*parts, grid=Path("none.toml")))
    grid = tmp_path / "grid.toml"
    grid.write_text(GRID.replace("batch = 4", "batch = 2").replace('"lomar"', '"i_jepa"'))
    assert "has no run of this part of the grid; give" in refused(
        join(made / "one.zip", grid=grid, options=("-m", "mae"))
    )
    other_pool = edited(made / "one.zip", tmp_path / "pool.zip", changed(
        "sets/pool", lambda known: known["summary"].update(dtype="uint16")))  # fmt: skip
    message = refused(join(made / "two.zip", other_pool))
    assert "describes pool:folder:pool with other counts than the sources before it" in message
    other_pool = edited(made / "one.zip", tmp_path / "count.zip", changed(
        "sets/pool", lambda known: known["summary"].update(count=5)))  # fmt: skip
    assert "(MAE) differ in pool, so it was edited" in refused(join(other_pool))


WEIGHTS = '{weights = "vit.pth", heads = 4, seen = ["synthetic:train"]}'
STARTS = {
    "row": grid_text(WEIGHTS, "controls = []"),
    "init": f"""
name = "started"
compare = "checkpoints"
methods = ["mae"]
controls = []
[pretrain]
init = {WEIGHTS}
pool = ["synthetic:train"]
pool_cap = 8
epochs = 1
warmup_epochs = 0
batch = 8
seeds = 1
{EVALUATE}""",
}


@pytest.mark.parametrize("text", STARTS.values(), ids=STARTS)
def test_given_encoders_are_found_in_a_part_without_their_files(
    text: str, made: Path, join: Call, tmp_path: Path
):
    (tmp_path / "home").mkdir()
    grid = tmp_path / "home" / "given.toml"
    write_weights(tmp_path / "home" / "vit.pth")
    grid.write_text(text)
    runs = tmp_path / "runs"
    fill(grid, runs, other)
    whole = tmp_path / "given.zip"
    assert call_here("archive", grid, "--runs", runs, "--out", whole).returncode == 0
    (tmp_path / "home" / "vit.pth").unlink()
    message = call_here("archive", grid, "--out", "ALL.zip", "--from", made / "one.zip").stderr
    assert f"the store {made}/one.zip has no encoder from it" in message
    assert join(whole, grid=grid).returncode == 0
    assert Path("ALL.zip").read_bytes() == whole.read_bytes()
    assert "400 of its training chips" in call_here("table", "ALL.zip", "--notes").stdout
