"""`export splits`: the files, and the support sets in them."""

import csv
import errno
import json
import pickle
import shlex
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import call_here
from PIL import Image
from stores import link_synthetic, synthetic_sets

from sarbench.bench.dassl import registration
from sarbench.bench.dassl.pickles import UnsafePickleError, convert
from sarbench.bench.dassl.splits import (
    SplitFileError,
    draw_support,
    read_split,
    read_support,
    split_files,
    split_of,
    write_chips,
    write_files,
)
from sarbench.bench.data.chips import Chips
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.sources.mstar import members
from sarbench.bench.store.atomic import NoSpaceError
from sarbench.bench.store.records import Store
from sarbench.protocols._support_sets import support_set

DASSL = "dassl.data.datasets.base_dataset"


@pytest.fixture(scope="module")
def chips() -> Chips:
    """Return the bundled data set: 10 classes, 40 training and 120 test chips of each."""
    return prepare("synthetic", synthetic_sets(), synthetic_sets()).chips


@pytest.fixture
def datum(monkeypatch) -> type:
    """Return a class that is pickled as Dassl's `Datum`."""

    class Datum:
        def __init__(self, impath: str, label: int, classname: str) -> None:
            self._impath, self._label, self._domain = impath, label, 0
            self._classname = classname

    Datum.__module__, Datum.__qualname__ = DASSL, "Datum"
    names = DASSL.split(".")
    for end in range(1, len(names) + 1):
        name = ".".join(names[:end])
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[DASSL].Datum = Datum  # pyright: ignore[reportAttributeAccessIssue]
    return Datum


def cut(chips: Chips, count: int, **changes: object) -> Chips:
    """Return the first chips, with changes."""
    each = {n: v[:count] for n, v in vars(chips).items() if isinstance(v, np.ndarray)}
    return replace(chips, **each | {"pixels": chips.pixels} | changes)


def pickled(folder: Path, content: object, protocol: int = 4) -> Path:
    path = folder / "shot_2-seed_1.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def of_chips(datum: type, chips: Chips, chosen: list[int], path: str) -> list:
    return [datum(path.format(chips.ids[i]), 0, chips.classes[chips.labels[i]]) for i in chosen]


def test_a_support_set_holds_the_chips_of_a_run_in_its_order(chips):
    drawn = draw_support(chips, 3, 7)
    train = np.flatnonzero(~chips.is_test)
    ids = chips.ids[train]
    wanted = ids[support_set(chips.split_digest, 7, ids, chips.labels[train], 3)]
    assert [item.impath for item in drawn.train] == [f"chips/{one}.png" for one in wanted]
    assert [item.classname for item in drawn.train[::3]] == list(chips.classes)
    assert [item.label for item in drawn.train] == list(np.repeat(np.arange(10), 3))


def test_what_is_written_is_read_again_and_cannot_be_replaced_by_another_split(chips, tmp_path):
    split, drawn = split_of(chips), [draw_support(chips, 2, 0), draw_support(chips, "all", 1)]
    write_files(tmp_path, split_files(split, drawn, "dassl"))
    assert read_split(tmp_path, chips.name) == split
    assert (len(split.train), len(split.test)) == (400, 1200)
    assert [
        read_support(tmp_path, chips.name, 2, 0),
        read_support(tmp_path, chips.name, "all", 1),
    ] == drawn
    assert (tmp_path / "dataset.yaml").read_text() == 'DATASET:\n  NAME: "synthetic"\n'
    with pytest.raises(SplitFileError, match=r"shots 5 --seeds 4 --out"):
        read_support(tmp_path, chips.name, 5, 3)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    other = split.model_copy(update={"data_digest": "0"})
    with pytest.raises(SplitFileError, match="holds something else"):
        write_files(tmp_path, split_files(other, [draw_support(chips, 4, 0)], "dassl"))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


def test_the_lists_can_be_read_as_plain_json_triples(chips, tmp_path):
    write_files(tmp_path, split_files(split_of(chips), [draw_support(chips, 1, 0)], "dassl"))
    found = json.loads((tmp_path / "split_fewshot" / "shot_1-seed_0.json").read_text())
    impath, label, class_name = found["train"][9]
    assert (impath[:6], label, class_name) == ("chips/", 9, chips.classes[9])
    assert found["val"] == []


def test_csv_has_the_same_chips(chips):
    drawn = draw_support(chips, 2, 0)
    text = split_files(split_of(chips), [drawn], "csv")["split_fewshot/shot_2-seed_0.csv"]
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["impath"] for row in rows] == [item.impath for item in drawn.train]
    assert {row["part"] for row in rows} == {"train"}


@pytest.mark.parametrize(
    ("kind", "suffix"), [(np.uint8, "png"), (np.uint16, "png"), (np.float32, "tiff")]
)
def test_images_hold_the_exact_pixels(kind, suffix, chips, tmp_path):
    pixels = (np.arange(2 * 3 * 4) * 10).astype(kind) / (7 if kind is np.float32 else 1)
    small = cut(
        chips, 2, ids=np.array(["a/1", "b"]), pixels=pixels.astype(kind),
        offset=np.array([0, 12]), height=np.array([3, 3]), width=np.array([4, 4]),
    )  # fmt: skip
    assert list(write_chips(tmp_path, small)) == [1, 2]
    for index, name in enumerate(("a/1", "b")):
        with Image.open(tmp_path / "chips" / f"{name}.{suffix}") as image:
            assert np.array_equal(np.array(image).astype(kind), small.chip(index))


def test_a_full_disk_has_the_message_of_other_commands(chips, tmp_path, monkeypatch):
    def save(image, path, format):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(NoSpaceError, match=r"no space left to write .*chips.*free some space"):
        list(write_chips(tmp_path, chips))
    assert not [one for one in tmp_path.rglob("*") if one.is_file()]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_dassl_is_converted_without_its_classes(chips, datum, tmp_path, protocol):
    chosen = [int(i) for i in np.flatnonzero(~chips.is_test)[::20]]
    train = of_chips(datum, chips, chosen, "/there/chips/{}.png")
    train += of_chips(datum, chips, [int(np.flatnonzero(chips.is_test)[0])], "chips/{}.png")
    train += [datum("/there/nothing.png", 0, "x"), train[0]]
    found = convert(pickled(tmp_path, {"train": train, "val": []}, protocol), chips)
    assert [item.impath for item in found.support.train] == [
        f"chips/{chips.ids[i]}.png" for i in chosen
    ]
    assert [item.label for item in found.support.train] == [int(chips.labels[i]) for i in chosen]
    assert (found.support.shots, found.support.seed) == (2, 1)
    assert found.support.unknown == ["/there/nothing.png", train[-3]._impath]
    assert found.unknown == ["/there/nothing.png"]
    assert found.tested == [train[-3]._impath]
    assert found.repeated == [train[0]._impath]


class Runs:
    """A pickle of it calls a function."""

    def __reduce__(self):
        return Path.touch, (Path("called"),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda datum: {"train": [Runs()]}, "the operation|names"),
        (lambda datum: {"train": [np.float64(1)]}, "the operation|names"),
        (lambda datum: {"train": [1, 2]}, "not a Datum"),
        (lambda datum: {"test": []}, "a list `train`"),
        (lambda datum: {"train": [datum(3, 0, "x")]}, "path and class"),
        (lambda datum: {"train": [datum("x.png", 0, "x")]}, "none of the training chips"),
        (lambda datum: [1.5], "BINFLOAT"),
    ],
)
def test_any_other_pickle_is_refused_and_runs_nothing(
    content, said, datum, chips, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafePickleError, match=said):
        convert(pickled(tmp_path, content(datum)), chips)
    assert not Path("called").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"no pickle", b"\x80\x04]\x94", b"\x80\x04r\xff\xff\xff\x7f.",
        b"cos\nsystem\n.", b"\x80\x04cdassl.data.datasets\nDatum.__init__\n.",
        b"\x80\x04" + b"\x8c\x01a" + b"b.",
    ],
)  # fmt: skip
def test_a_damaged_or_malicious_file_is_refused(content, chips, tmp_path):
    path = tmp_path / "shot_1-seed_1.pkl"
    path.write_bytes(content)
    with pytest.raises(UnsafePickleError, match="is refused"):
        convert(path, chips)


def test_the_files_of_mstar_are_found_by_their_names(chips, tmp_path, datum):
    inside = members("mstar_soc")
    known = next(i for i, (name, tested) in inside.items() if name == "2S1" and not tested)
    named = datum(f"D:\\data\\TRAIN\\2S1\\{known.split('.')[0]}.jpeg", 4, "2s1")
    mstar = cut(
        chips, 1, name="mstar_soc", ids=np.array([known]), labels=np.array([0]),
        classes=("2S1",), is_test=np.array([False]),
    )  # fmt: skip
    found = convert(pickled(tmp_path, {"train": [named]}), mstar)
    assert [item.impath for item in found.support.train] == [f"chips/{known}.png"]
    assert not found.other_class


def test_the_command_writes_a_split_or_nothing(tmp_path, chips):
    link_synthetic(Store(tmp_path / "runs"))
    words = "export", "splits", "synthetic", "--no-chips", "--runs", tmp_path / "runs"
    done = call_here(*words, "--out", tmp_path / "a", "--shots", "2,all", "--seeds", 2)
    assert done.returncode == 0
    assert "400 training and 1200 test chips, support sets: 4, images: 0" in done.stdout
    assert read_support(tmp_path / "a", chips.name, "all", 1) == draw_support(chips, "all", 1)
    for bad, said in (
        (["--shots", "0"], "--shots has '0'; a value must be a whole number from 1, 'all'"),
        (["--shots", "41"], "set at most 40 shots"),
        (["--from", "shot_1.pkl"], "rename it to shot_K-seed_S.pkl"),
        (["--from", "shot_1-seed_1.pkl", "--seeds", 2], "leave --shots and --seeds out"),
    ):
        done = call_here(*words, "--out", tmp_path / "b", *bad)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "b").exists()


def test_a_labelled_folder_is_exported_by_its_name_in_tables(tmp_path):
    for one in ("a", "b"):
        (tmp_path / "data" / "ships" / one).mkdir(parents=True)
        for number in range(4):
            chip = Image.fromarray(np.full((16, 16), 10 * number + ord(one), np.uint8))
            chip.save(tmp_path / "data" / "ships" / one / f"{number}.png")
    places = "--runs", tmp_path / "runs", "--data", tmp_path / "data"
    words = "export", "splits", "folder:ships?test=0.5", *places, "--shots", "1", "--seeds", 1
    done = call_here(*words, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    split = json.loads((tmp_path / "out" / "split.json").read_text())
    assert len(split["train"]) + len(split["test"]) == 8
    assert split["dataset"] in registration._dataset_names(Store(tmp_path / "runs"))
    for name in ("folder:ships", "synthetic:train", "pool:synthetic"):
        done = call_here("export", "splits", name, *places, "--out", tmp_path / "b")
        assert (done.returncode, "which has no test chips" in done.stderr) == (2, True), done.stderr
    done = call_here("data", "new", "ships?test=0.3", "--data", tmp_path / "data")
    assert (done.returncode, "data new 'ships' --test 0.3" in done.stderr) == (2, True), done.stderr


def test_the_command_that_data_new_advises_for_folders_of_classes_works(tmp_path):
    for one in ("a", "b"):
        (tmp_path / "my ships" / one).mkdir(parents=True)
        for number in range(4):
            chip = Image.fromarray(np.full((16, 16), 10 * number + ord(one), np.uint8))
            chip.save(tmp_path / "my ships" / one / f"{number}.png")
    refused = call_here("data", "new", tmp_path / "my ships", "--name", "s", "--data", tmp_path)
    assert refused.returncode == 2
    advised = refused.stderr.partition("test chips: sarbench ")[2].partition(" (with")[0]
    done = call_here(*shlex.split(advised), "--data", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "test = 0.3" in (tmp_path / "s.card.toml").read_text()
