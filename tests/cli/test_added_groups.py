"""Groups and facts that are added to a set later reach its tables, archives and merged stores."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from archives import edited
from chips import write_images
from commands import Answer, call_here
from stores import fill

from sarbench.bench.data import registry
from sarbench.bench.data.registry import add_cards
from sarbench.bench.plan.archived import read_plan
from sarbench.bench.plan.filters import Filters
from sarbench.bench.store.archive import unpacked
from sarbench.bench.verification.check import Checked
from sarbench.bench.verification.submission import Submission
from sarbench.bench.verification.verify_data import with_raw_data

GRID = """
name = "added"
methods = []
controls = ["raw_pixels"]
[evaluate]
datasets = ["folder:chips"]
seeds = 1
[evaluate.protocols]
knn = ["all"]
"""
TEST = [f"{name}/t{number}" for name in "ab" for number in range(8)]
GROUPS = "file,class,side,group\n" + "".join(
    f"{side}/{chip}.png,{chip[0]},{side},{group}\n"
    for side, chips in {"train": ["a/0", "b/0"], "test": TEST}.items()
    for chip in chips
    for group in [f"{chip[0]}{int(chip[-1]) // 4}" if side == "test" else ""]
)
FACTS = "id,azimuth\n" + "".join(f"{chip},{10 * row}\n" for row, chip in enumerate(TEST))


def right(run, labels: np.ndarray) -> np.ndarray:
    return np.arange(len(labels)) % 8 < 4  # whole groups are right or wrong


@dataclass(frozen=True)
class Made:
    """Archives of one run: without groups and facts, with groups, with facts, with both."""

    folder: Path
    said: dict[str, str]  # by `data prepare` before each

    def __getattr__(self, name: str) -> Path:
        return self.folder / f"{name}.zip"


def interval(grid: Path, *options: object) -> tuple[float, float]:
    """Return the interval of raw pixels in a table."""
    answer = call_here("table", grid, "--json", *options)
    assert answer.returncode == 0, answer.stderr
    (cell,) = (one for one in json.loads(answer.stdout) if one["name"] == "raw_pixels")
    return cell["low"], cell["high"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    home = tmp_path_factory.mktemp("added")
    chips = home / "runs" / "data" / "chips"
    write_images(chips, "train/a/0.png", "train/b/0.png", *(f"test/{chip}.png" for chip in TEST))
    (home / "grid.toml").write_text(GRID)
    fill(home / "grid.toml", home / "runs", right)
    said = {}
    for name, files in {
        "plain": {}, "grouped": {"split.csv": GROUPS}, "facts": {"metadata.csv": FACTS},
        "both": {"split.csv": GROUPS, "metadata.csv": FACTS},
    }.items():  # fmt: skip
        for file in ("split.csv", "metadata.csv"):
            (chips / file).unlink(missing_ok=True)
        for file, text in files.items():
            (chips / file).write_text(text)
        where = ("--runs", home / "runs", "--data", home / "runs" / "data")
        answer = call_here("data", "prepare", "folder:chips", *where)
        assert answer.returncode == 0, answer.stderr
        said[name] = answer.stdout + answer.stderr
        done = call_here("archive", home / "grid.toml", *where, "--out", home / f"{name}.zip")
        assert done.returncode == 0, done.stderr
    return Made(home, said)


def with_set(source: Path, target: Path, edit: Callable[[dict], object]) -> Path:
    """Write an archive with another description of its data set, and a manifest that fits."""

    def change(name: str, content: bytes) -> bytes | None:
        if not name.startswith("sets/"):
            return None
        known = json.loads(content)
        edit(known)
        return json.dumps(known).encode()

    return edited(source, target, change, listed=True)


def join(made: Made, target: Path, *parts: Path) -> Answer:
    given = [word for part in parts for word in ("--from", part)]
    store = ("--runs", made.folder / "none")
    return call_here("archive", made.folder / "grid.toml", *store, *given, "--out", target)


def test_preparing_again_replaces_the_groups_and_says_that_intervals_change(made: Made):
    assert "have changed" not in made.said["plain"]
    for name, counts in {"grouped": "none before, 4 now", "facts": "4 before, none now"}.items():
        assert (
            f"folder:chips: the groups of near duplicates of its 16 test chips have changed "
            f"({counts}), so intervals and tests over test chips change"
        ) in " ".join(made.said[name].split())
    plain, grouped, facts, both = map(interval, (made.plain, made.grouped, made.facts, made.both))
    assert plain == facts
    assert grouped == both
    assert plain != grouped


def test_joining_takes_groups_and_facts_of_every_source_in_any_order(made: Made, tmp_path: Path):
    for number, (parts, whole) in enumerate([
        ((made.plain, made.grouped), made.grouped), ((made.grouped, made.plain), made.grouped),
        ((made.grouped, made.facts), made.both), ((made.facts, made.grouped), made.both),
    ]):  # fmt: skip
        target = tmp_path / f"{number}.zip"
        assert join(made, target, *parts).returncode == 0
        assert target.read_bytes() == whole.read_bytes()


def regroup(known: dict) -> None:
    known["group"] = list(range(len(known["ids"])))


def turn(known: dict) -> None:
    known["facts"]["azimuth_deg"][1] = 5.0


@pytest.mark.parametrize(
    ("edit", "what"), [(regroup, "groups of near duplicates"), (turn, "azimuth_deg")]
)
def test_sources_that_contradict_each_other_are_a_conflict(
    made: Made, tmp_path: Path, edit: Callable[[dict], object], what: str
):
    other = with_set(made.both, tmp_path / "other.zip", edit)
    answer = join(made, tmp_path / "ALL.zip", made.both, other)
    assert answer.returncode == 2
    assert f"folder:chips has other {what} in {made.both} than in {other}" in answer.stderr
    runs = tmp_path / "runs"
    answer = call_here("merge", made.both, other, "--runs", runs)
    assert (answer.returncode, answer.stdout.count("  conflict: ")) == (1, 1)
    assert f"sets/folder:chips: folder:chips has other {what} in {runs} than" in answer.stdout
    assert interval(made.folder / "grid.toml", "--runs", runs) == interval(made.both)


def test_merging_adds_groups_and_facts_and_says_so(made: Made, tmp_path: Path):
    runs = ("--runs", tmp_path / "runs")
    assert call_here("merge", made.plain, *runs).returncode == 0
    (path,) = (tmp_path / "runs" / "sets").glob("*.json")
    before = path.read_text()
    answer = call_here("merge", made.grouped, made.facts, *runs, "--dry-run")
    assert "folder:chips: its groups of near duplicates would be added, so" in answer.stdout
    assert path.read_text() == before
    answer = call_here("merge", made.grouped, made.facts, *runs)
    assert answer.returncode == 0
    assert answer.stdout.count("folder:chips: its groups of near duplicates were added, so") == 1
    shutil.copy(made.both, tmp_path / "both.zip")
    with unpacked(tmp_path / "both.zip", whole=True) as both:
        (whole,) = (both.root / "sets").glob("*.json")
        assert path.read_text() == whole.read_text()
    assert "were added" not in call_here("merge", made.both, *runs).stdout
    assert interval(made.folder / "grid.toml", *runs) == interval(made.both)


def test_the_files_of_a_set_show_edited_groups(made: Made, tmp_path: Path):
    def findings(archive: Path) -> list[str]:
        with unpacked(archive) as store:
            plan = read_plan(store, Filters())
            found = Submission(Checked(0, 0, []), [])
            data = made.folder / "runs" / "data"  # as for both.zip
            made_of = with_raw_data(found, store, plan, data, lambda name: None)
            return [finding.line() for finding in made_of.checked.findings]

    other = with_set(made.both, tmp_path / "other.zip", regroup)
    assert call_here("check", other).returncode == 0  # not to be found without data
    assert findings(made.both) == []
    for archive in (other, made.plain):
        (line,) = findings(archive)
        assert line.startswith(
            "data: folder:chips: the archive has other groups of near duplicates"
        )


def test_a_set_with_a_card_is_derived_from_its_files_too(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(registry, "_added", {})
    data, card = tmp_path / "runs" / "data", tmp_path / "runs" / "data" / "ships.card.toml"
    write_images(data / "set", "train/a/0.png", "train/b/0.png", *(f"test/{c}.png" for c in TEST))
    card.write_text('title = "Ships"\nfolder = "set"\n')
    add_cards(data)
    (tmp_path / "grid.toml").write_text(GRID.replace("folder:chips", "ships"))
    fill(tmp_path / "grid.toml", tmp_path / "runs", right)
    archive = tmp_path / "made.zip"
    where = "--runs", tmp_path / "runs", "--data", data
    assert call_here("archive", tmp_path / "grid.toml", *where, "--out", archive).returncode == 0

    def said() -> str:
        monkeypatch.setattr(registry, "_added", {})
        return call_here("submit-check", archive, "--data", data).stdout

    assert "not in" not in said()
    write_images(data / "set", "test/a/t0.png", side=24)
    assert "data: ships: the archive has pixels" in said()
    card.write_text("title = 3\n")
    assert "data: ships: its card cannot be used" in said()
