"""Accuracy by azimuth, depression, serial number and size is that of the chips with that fact."""

import json
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import scipy.stats
from chips import write_images
from commands import call_here
from stores import fill, planned

from sarbench.bench.data import facts_file
from sarbench.bench.data.facts import LARGEST_DEG, ChipFacts, Facts, angle
from sarbench.bench.data.listing import DatasetMismatchError
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.registry import card
from sarbench.bench.data.verify import verify
from sarbench.bench.python.open_results import open_store
from sarbench.bench.reporting import breakdown
from sarbench.bench.reporting.breakdown import report_breakdowns
from sarbench.bench.reporting.leaderboard import leaderboard, predictions_of, scores_of
from sarbench.bench.store.records import Store
from sarbench.results.page.html_page import Report, report_page

GRID = """
name = "facts"
methods = []
controls = ["raw_pixels"]
[evaluate]
datasets = ["folder:chips", "synthetic"]
seeds = 2
[evaluate.protocols]
knn = [2]
"""
TEST = [f"{name}/t{number}" for name in "ab" for number in range(6)]
AZIMUTH = {chip: 31.0 * number for number, chip in enumerate(TEST)}  # 0 to 341
UNKNOWN = TEST[3]


def right(run, labels: np.ndarray) -> np.ndarray:
    """Return made-up results, which differ between the seeds."""
    return np.random.default_rng([run.seed, len(labels)]).random(len(labels)) < 0.6


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("facts")
    chips = folder / "runs" / "data" / "chips"
    write_images(
        chips, *(f"train/{c}/{n}.png" for c in "ab" for n in range(3)),
        *(f"test/{chip}.png" for chip in TEST),
    )  # fmt: skip
    write_images(chips, "test/b/t5.png", side=20)
    lines = [
        f"{chip},{'' if chip == UNKNOWN else azimuth},{15 if azimuth < 100 else 30},SN {chip[0]}"
        for chip, azimuth in AZIMUTH.items()
    ]
    (chips / "metadata.csv").write_text("\n".join(["id,azimuth,depression,serial", *lines]))
    (folder / "grid.toml").write_text(GRID)
    fill(folder / "grid.toml", folder / "runs", right)
    return folder


def table(home: Path, *words: str, grid: Path | None = None):
    runs = home / "runs"
    where = [] if grid else ["--runs", runs, "--data", runs / "data"]
    return call_here("table", grid or home / "grid.toml", *words, *where)


def by_hand(home: Path, chosen: list[str]) -> float:
    """Return the mean over both seeds of the accuracy on some chips."""
    results = open_store(home / "runs").predictions()
    rows = results[(results["method"] == "raw_pixels") & results["chip"].isin(chosen)]
    return rows.groupby("seed", observed=True)["correct"].mean().mean()


@pytest.mark.parametrize("width", [30, 45])
def test_accuracy_by_azimuth_is_that_of_the_chips_in_each_sector(home: Path, width: int):
    done = table(
        home, "--by", f"azimuth:{width}", "--json", "-d", "folder:chips", "-m", "raw_pixels"
    )
    lines = json.loads(done.stdout)
    sectors: dict[str, list[str]] = {}
    for chip, azimuth in AZIMUTH.items():
        low = int(azimuth // width) * width
        name = "unknown" if chip == UNKNOWN else f"{low}-{low + width} deg"
        sectors.setdefault(name, []).append(chip)
    assert {one["azimuth"]: one["test_chips"] for one in lines} == {
        name: len(chips) for name, chips in sectors.items()
    }
    for one in lines:
        assert one["accuracy"] == pytest.approx(by_hand(home, sectors[one["azimuth"]]))
    assert lines[-1]["azimuth"] == "unknown"


@pytest.mark.parametrize(
    ("by", "parts"),
    [
        ("depression", {"15 deg": TEST[:4], "30 deg": TEST[4:]}),
        ("serial", {"a SN a": TEST[:6], "b SN b": TEST[6:]}),
        ("size", {"16 x 16 px": TEST[:-1], "20 x 20 px": TEST[-1:]}),
    ],
)
def test_accuracy_by_another_fact(home: Path, by: str, parts: dict[str, list[str]]):
    lines = json.loads(
        table(home, "--by", by, "--json", "-d", "folder:chips", "-m", "raw_pixels").stdout
    )
    assert [one[by] for one in lines] == list(parts)
    for one in lines:
        assert one["test_chips"] == len(parts[one[by]])
        mean, count = by_hand(home, parts[one[by]]), len(parts[one[by]])
        assert one["accuracy"] == pytest.approx(mean)
        if float(mean * count).is_integer():
            known = scipy.stats.binomtest(round(mean * count), count).proportion_ci(method="wilson")
            assert (one["low"], one["high"]) == pytest.approx((known.low, known.high))


def test_the_table_needs_only_the_store_and_names_sets_without_the_fact(home: Path, tmp_path):
    path = tmp_path / "facts.zip"
    done = call_here(
        "archive", home / "grid.toml", "--out", path, "--runs", home / "runs",
        "--data", home / "runs" / "data",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = table(home, "--by", "azimuth", grid=path)
    assert "folder:chips/knn/2: accuracy by azimuth sector of 45 degrees in percent" in shown.stdout
    assert "Wilson interval over its test chips" in shown.stdout
    assert "few: fewer than 20 test chips." in shown.stdout
    assert "2 chips, few" in shown.stdout.replace("\n", " ")
    assert "Chance" not in shown.stdout
    assert "synthetic is left out: the store does not have" in shown.stderr
    alone = table(home, "--by", "azimuth", "-d", "synthetic")
    assert alone.returncode == 2
    assert "the store has no azimuth of the test chips of synthetic; it is known" in alone.stderr
    wrong = table(home, "--by", "elevation")
    assert wrong.returncode == 2
    assert "--by elevation is not a breakdown; allowed: azimuth, azimuth:30" in wrong.stderr
    assert table(home, "--by", "size", "--per-class").returncode == 2


def test_a_report_has_the_breakdowns_that_divide_a_set(home: Path, monkeypatch):
    """Serial numbers are those of the classes here, so they are left out; `synthetic` has none."""
    plan, store = planned(home / "grid.toml", home / "runs")
    scores, predictions = scores_of(plan), predictions_of(plan, store)
    board = leaderboard(plan, predictions=predictions)
    found = report_breakdowns(board, scores, predictions)
    assert [one.title for one in found] == [
        "Accuracy by azimuth sector of 45 degrees", "Accuracy by depression", "Accuracy by size",
    ]  # fmt: skip
    for one, by in zip(found, ("azimuth", "depression", "size"), strict=True):
        shown = table(home, "--by", by, "-d", "folder:chips").stdout
        (sheet,) = one.sheets
        assert sheet.title == "Accuracy in folder:chips/knn/2"
        lines = [line for section in sheet.sections for line in section]
        assert min(map(len, lines)) > 2
        assert all(entry.text in shown for line in lines for entry in line)
    page = report_page(Report("", [], [board], [], [], [], [], breakdowns=found))
    assert page.index('id="breakdowns"') < page.index("<summary>Accuracy by depression")
    assert "breakdowns" not in report_page(Report("", [], [board], [], [], [], []))
    monkeypatch.setattr(breakdown, "MOST_PARTS", 2)
    few = report_breakdowns(board, scores, predictions)
    assert [one.title for one in few] == ["Accuracy by depression", "Accuracy by size"]
    changed = [replace(score, condition="shift:4") for score in scores]
    assert report_breakdowns(board, changed, predictions) == []


def test_predictions_hold_the_facts_of_each_chip(home: Path):
    frame = open_store(home / "runs").predictions()
    one = frame[(frame["chip"] == "b/t5") & (frame["seed"] == 0)].iloc[0]
    assert (one["azimuth_deg"], one["depression_deg"]) == (341, 30)
    assert (one["serial"], one["size"]) == ("SN b", "20 x 20")
    assert np.isnan(frame[frame["chip"] == UNKNOWN]["azimuth_deg"]).all()
    assert np.isnan(frame[frame["dataset"] == "synthetic"]["azimuth_deg"]).all()


def test_facts_change_no_digest_and_may_be_added_later(tmp_path: Path):
    write_images(tmp_path / "set", *(f"{s}/{c}/{s}.png" for s in ("train", "test") for c in "ab"))
    store = Store(tmp_path / "runs")
    before = prepare("folder:set", tmp_path, store.prepared).chips
    assert before.facts is None
    (tmp_path / "set" / "metadata.csv").write_text("id,azimuth\na/test,90\nnobody,1\n")
    after = prepare("folder:set", tmp_path, store.prepared).chips
    assert (after.data_digest, after.split_digest) == (before.data_digest, before.split_digest)
    assert after.facts is not None
    assert after.facts.azimuth_deg[list(after.ids).index("a/test")] == 90
    assert np.isnan(after.facts.azimuth_deg).sum() == 3


def test_ids_that_match_no_chip_are_refused_and_some_are_named(tmp_path: Path):
    write_images(tmp_path / "set", *(f"{s}/{c}/{s}.png" for s in ("train", "test") for c in "ab"))
    facts = tmp_path / "set" / "metadata.csv"
    facts.write_text("id,azimuth\na/test.png,90\nb/test.png,1\n")  # with the suffix
    cause = "0 of 2 ids of metadata.csv are chips of this set; not a chip: a/test.png, b/test.png;"
    with pytest.raises(DatasetMismatchError, match=f"{cause} ids of this set look like a/test:"):
        prepare("folder:set", tmp_path, tmp_path / "prepared")
    (problem,) = verify("folder:set", tmp_path).problems
    assert cause in problem
    assert len(prepare("folder:set", tmp_path, tmp_path / "prepared", pool=True).chips) == 4
    facts.write_text("id,azimuth\na/test,90\nnobody,1\n")
    done = call_here(
        "data", "prepare", "folder:set", "--data", tmp_path, "--runs", tmp_path / "runs"
    )
    assert "1 of 2 ids of metadata.csv are chips of this set; not a chip: nobody;" in done.stderr


def test_one_prepare_reads_the_metadata_file_once(tmp_path: Path, monkeypatch):
    """It is checked, packed and reported; a changed file is read again."""
    write_images(tmp_path / "set", *(f"{s}/{c}/{s}.png" for s in ("train", "test") for c in "ab"))
    facts, read_lines = tmp_path / "set" / "metadata.csv", mock.Mock(wraps=facts_file.read_lines)
    monkeypatch.setattr(facts_file, "read_lines", read_lines)
    for times, azimuth in enumerate(("90", "45"), start=1):
        facts.write_text(f"id,azimuth\na/test,{azimuth}\nnobody,1\n")
        done = call_here(
            "data", "prepare", "folder:set", "--data", tmp_path, "--runs", tmp_path / "runs"
        )
        assert "1 of 2 ids of metadata.csv are chips of this set" in done.stderr
        assert read_lines.call_count == times
        chips = prepare("folder:set", tmp_path, tmp_path / "runs" / "prepared").chips
        assert chips.facts is not None
        assert chips.facts.azimuth_deg[list(chips.ids).index("a/test")] == float(azimuth)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "name,azimuth\nx,1\n",
            "it must have id and one or more of azimuth, depression and serial",
        ),
        ("id,angle\nx,1\n", "has the columns id, angle; it must have id"),
        ("id,azimuth\nx,400\n", "line 2: azimuth is '400'; it must be a number from 0 to 360"),
        ("id,depression\nx,flat\n", "line 2: depression is 'flat'; it must be a number from 0"),
        ("id,azimuth\nx,1\nx,2\n", "line 3: x is named twice"),
    ],
)
def test_a_wrong_metadata_file_is_refused(tmp_path: Path, text: str, cause: str):
    write_images(tmp_path / "set", *(f"{s}/{c}/{s}.png" for s in ("train", "test") for c in "ab"))
    (tmp_path / "set" / "metadata.csv").write_text(text)
    with pytest.raises(DatasetMismatchError, match=cause):
        prepare("folder:set", tmp_path, tmp_path / "prepared")


def test_facts_survive_json_and_damaged_ones_are_refused():
    facts = Facts.of(
        [ChipFacts(90.5, 15, "SN_1"), ChipFacts()], np.array([[128, 129], [54, 54]])
    )  # fmt: skip
    stored = json.loads(json.dumps(facts.to_json()))
    assert Facts.from_json(stored, 2).to_json() == stored
    assert Facts.of([ChipFacts()]).to_json() == {}
    for damaged in (
        {"azimuth_deg": [1]}, {"azimuth_deg": [1, 360]}, {"azimuth_deg": [None, -1]},
        {"azimuth_deg": [1, float("inf")]}, {"azimuth_deg": ["1", 2]}, {"depression_deg": [1, 91]},
        {"depression_deg": [-1, 1]}, {"depression_deg": [True, 1]}, {"serial": ["a", 7]},
        {"size": [[1, 2], [3, -4]]}, {"size": [[1, 2], [3, 4.5]]},
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            Facts.from_json(damaged, 2)


def test_angles_of_files_are_angles_that_a_description_may_have():
    for name, most in LARGEST_DEG.items():
        for text in ("0", "-0.0", "17.5", f"{most:g}", f"{most - 1e-9}"):
            value = angle(name, text)
            assert value == (0 if text in ("-0.0", "360") else float(text))
            assert Facts.from_json({name: [value]}, 1).columns()[name].tolist() == [value]
        for text in ("", "x", "nan", "inf", "-1", f"{most + 1e-9}"):
            assert angle(name, text) is None


def test_depression_and_serial_of_mstar_are_known_without_files():
    facts = card("mstar_soc").source.facts("HB03333.000")
    assert (facts.depression_deg, facts.serial) == (15, "SN_9563")
