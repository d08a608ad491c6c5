"""A user's folder of labelled chips as a data set."""

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chips import four, write_images
from PIL import Image

from sarbench.bench.data.find_set import Splits, find_set
from sarbench.bench.data.images import image_size
from sarbench.bench.data.listing import DatasetMismatchError
from sarbench.bench.data.names import full_name, placed, split_name, stored_name
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.registry import UnknownDatasetError, card, pool_unless_labelled
from sarbench.bench.data.set_descriptions import descriptions_of, write_description
from sarbench.bench.data.sources.split_file import Row, draw_sides
from sarbench.bench.data.splits import DamagedSetError
from sarbench.bench.data.verify import verify


def made(root: Path, name: str = "folder:set"):
    return prepare(name, root, root / "prepared")


def test_train_and_test_folders_are_a_data_set(tmp_path):
    four(tmp_path / "set")
    chips, summary = made(tmp_path)
    assert (chips.name, chips.classes, chips.ids.tolist()) == (
        "folder:set", ("a", "b"), ["a/0", "a/1", "b/0", "b/1"]
    )  # fmt: skip
    assert chips.is_test.tolist() == [False, True, False, True]
    assert summary.counts == {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 1}}
    report = verify("folder:set", tmp_path)
    assert (report.ok, report.data_digest) == (True, chips.data_digest)
    assert sum(count.found for count in report.counts) == 4


def test_equal_names_on_both_sides_are_told_apart_by_their_path(tmp_path):
    root = tmp_path / "set"
    write_images(root, *(f"{side}/{name}/0.png" for side in ("Train", "TEST") for name in "ab"))
    assert made(tmp_path).chips.ids.tolist() == ["TEST/a/0", "TEST/b/0", "Train/a/0", "Train/b/0"]


def test_chips_of_one_size_stay_whole_and_others_are_cut_to_128_px(tmp_path):
    four(tmp_path / "set")
    assert made(tmp_path).summary.crop_px is None
    write_images(tmp_path / "set", "train/a/9.png", side=20)
    chips, summary = made(tmp_path)
    assert (summary.crop_px, chips.height[0]) == (128, 128)
    assert made(tmp_path, "folder:set?crop=8").chips.width[0] == 8
    with pytest.raises(DatasetMismatchError, match="all whole chips of a data set have one size"):
        made(tmp_path, "folder:set?crop=none")


def test_a_split_file_gives_class_side_group_and_id(tmp_path):
    root = tmp_path / "set"
    write_images(root, *(f"{n}.png" for n in range(5)))
    root.joinpath("split.csv").write_text(
        "file,side,class,group,id,azimuth\n0.png,train,a,x,,10\n1.png,test,a,,one,20\n"
        "2.png,train,b,x,,0\n3.png,test,b,y,,\n"
    )
    chips = made(tmp_path).chips
    assert chips.ids.tolist() == ["a/0", "b/2", "b/3", "one"]
    assert chips.is_test.tolist() == [False, False, True, True]
    assert chips.group[0] == chips.group[1]
    assert len(set(chips.group.tolist())) == 3
    assert verify("folder:set", tmp_path).unexpected == ("4.png",)
    digest = chips.split_digest
    text = root.joinpath("split.csv").read_text()
    root.joinpath("split.csv").write_text(text.replace("2.png,train,b,x", "4.png,train,b,x"))
    assert made(tmp_path).chips.split_digest != digest  # packed again


def test_groups_and_results_need_neither_data_nor_path(tmp_path):
    root = tmp_path / "here" / "set"
    write_images(root, *(f"{c}/{g}/{n}.png" for c in "ab" for g in "uvw" for n in range(2)))
    name = "folder:set?test=0.5&by=group"
    chips, summary = made(tmp_path / "here", name)
    store = tmp_path / "store"
    write_description(store, f"folder:{root}?test=0.5&by=group", chips, summary)
    (known,) = descriptions_of(store, f"folder:/other/place/{name.removeprefix('folder:')}")
    known.check()
    assert np.array_equal(known.split.group, chips.group)
    split = Splits([store]).find(name, chips.data_digest, chips.split_digest)
    assert np.array_equal(split.groups(name), chips.group[chips.is_test])
    assert find_set(name, tmp_path / "nowhere", store).summary == summary


def test_a_rule_draws_sides_by_a_hash(tmp_path):
    root = tmp_path / "set"
    write_images(root, *(f"{c}/{n}.png" for c in "ab" for n in range(6)))
    first, other = (made(tmp_path, f"folder:set?test=0.34&seed={n}").chips for n in (0, 1))
    assert not np.array_equal(first.is_test, other.is_test)
    for chips in (first, other):
        assert Counter(chips.labels[chips.is_test].tolist()) == {0: 2, 1: 2}
    again = made(tmp_path, "folder:set?seed=0&test=0.34").chips
    assert np.array_equal(first.is_test, again.is_test)


def test_a_drawn_group_is_on_one_side_and_the_share_is_kept():
    rows = [
        Row(f"{c}{g}{n}", c, group=f"{c}/{g}" if g % 3 else "", name=f"{g}/{n}")
        for c in "abc" for g in range(60) for n in range(1 + g % 4)
    ]  # fmt: skip
    sides = draw_sides(rows, 0.3, by_group=True, seed=0)
    by_group = {row.group: set() for row in rows if row.group}
    for row in rows:
        if row.group:
            by_group[row.group].add(sides[row.file])
    assert all(len(of) == 1 for of in by_group.values())
    for name in "abc":
        of = [sides[row.file] for row in rows if row.class_name == name]
        assert abs(of.count("test") - 0.3 * len(of)) <= 4  # the largest group


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/0.png", "a/1.png"], r"does not say which images are for training.*\?test=SHARE"),
        (["train/a/0.png", "test/a/1.png"], "has 1 classes"),
        (["train/a/0.png", "train/b/0.png", "train/b/1.png"], "classes with one chip: a"),
        (["train/a/0.png", "train/a/1.png", "test/b/0.png", "test/b/1.png"], "without a training"),
        (["train/a/0.png", "train/a/1.png", "train/b/0.png", "train/b/1.png"], "no test chip"),
        (["train/T72/0.png", "test/T72/1.png", "train/t72/2.png"], "T72 and t72"),
        (["train/a/0.png", "train/0.png"], r"outside the folder of a class: train/0\.png"),
        (["train/a/0.png", "val/a/0.png"], "does not say which images"),
        (["train/a/0.png", "test/a/1.png", "train/b/0.png", "test/b/1.png", "train/a/0.bmp"],
         "two images of one name: train/a/0"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_a_data_set_is_refused(tmp_path, names, message):
    write_images(tmp_path / "set", *names)
    with pytest.raises(DatasetMismatchError, match=message):
        made(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,class\n", r"no column file, but path, class; its first line must be file,class"),
        ("file,class,side\n0.png,a,train\nx.png,a,test\n", r"line 3: x\.png is not an image below"),
        ("file,class,side\n0.png,a,train\n0.png,a,test\n", r"line 3: 0\.png is also in line 2"),
        ("file,class,side\n0.png,a,val\n", "line 2: side is 'val'; allowed: train, test"),
        ("file,class,side\n0.png,,train\n", "line 2: 0.png has no class"),
        ("file,class,side,group\n0.png,a,train,g\n1.png,a,test,g\n2.png,b,train,\n3.png,b,test,\n",
         r"groups of near duplicates on both sides: g; .*by=group"),
        ("file,class,side,id\n0.png,a,train,i\n1.png,a,test,i\n2.png,b,train,\n3.png,b,test,\n",
         "two images of one name: i"),
        ("", "no column file and class, but no line"),
    ],
)  # fmt: skip
def test_a_split_file_with_a_mistake_is_refused(tmp_path, text, message):
    write_images(tmp_path / "set", *(f"{n}.png" for n in range(4)))
    (tmp_path / "set" / "split.csv").write_text(text)
    with pytest.raises(DatasetMismatchError, match=message):
        made(tmp_path)


def test_an_image_on_both_sides_is_refused(tmp_path):
    four(tmp_path / "set")
    shutil.copy(tmp_path / "set/train/a/0.png", tmp_path / "set/test/b/7.png")
    with pytest.raises(DatasetMismatchError, match=r"b/7 is a/0; .*data audit pool:folder:"):
        made(tmp_path)


def test_more_classes_than_a_data_set_has_are_refused(tmp_path):
    root = tmp_path / "set"
    write_images(root, "0.png")
    lines = [f"{side}/{n}.png,{n},{side}\n" for n in range(1001) for side in ("train", "test")]
    for line in lines:
        path = root / line.partition(",")[0]
        path.parent.mkdir(exist_ok=True)
        path.hardlink_to(root / "0.png")
    (root / "split.csv").write_text("file,class,side\n" + "".join(lines))
    with pytest.raises(DatasetMismatchError, match="has 1001 classes; allowed are 2 to 1000"):
        made(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["folder:", "folder:x?test=1", "folder:x?crop=7", "folder:x?by=size", "folder:x?seed=-1",
     "folder:x?test=nan", "folder:x?crop=", "folder:x?"[:-1] + "?test"],
)  # fmt: skip
def test_a_name_with_a_wrong_option_is_refused(name):
    with pytest.raises(UnknownDatasetError, match=r"folder:PATH|allowed, joined by &: transform="):
        card(name)


@pytest.mark.parametrize(
    "option", ["test=0.3", "crop=64", "transform=none", "rendering=raw/log", "seed=1", "by=group"]
)
def test_an_option_that_is_given_twice_is_refused(option):
    name, key = f"folder:x?{option}&{option}", option.partition("=")[0]
    with pytest.raises(UnknownDatasetError, match=f"has the option {key} twice; each option is"):
        card(name)


@pytest.mark.parametrize("name", ["split.csv", "metadata.csv"])
def test_a_pipe_folder_or_dead_link_with_the_name_of_a_file_is_refused(tmp_path, name):
    four(tmp_path / "set")
    path = tmp_path / "set" / name
    for make in (os.mkfifo, Path.mkdir, lambda path: path.symlink_to("nothing")):
        make(path)
        with pytest.raises(DatasetMismatchError, match=f"{name} is not a file; {name} must be"):
            made(tmp_path)
        if name == "metadata.csv":
            assert any("is not a file" in text for text in verify("folder:set", tmp_path).problems)
        path.rmdir() if path.is_dir() else path.unlink()
    assert len(made(tmp_path).chips) == 4


def test_advice_names_a_folder_as_a_shell_reads_it(tmp_path):
    four(tmp_path / "a & b")
    store = tmp_path / "store"
    write_description(store, "folder:a & b", *made(tmp_path, "folder:a & b"))
    (known,) = descriptions_of(store, "folder:a & b")
    with pytest.raises(DamagedSetError, match=r"run `sarbench data prepare 'folder:a & b'`"):
        replace(known, summary=replace(known.summary, count=5)).check()


def test_a_folder_is_described_by_its_own_name_where_another_has_the_same_chips(tmp_path):
    store = tmp_path / "store"
    for name in ("one", "two"):
        four(tmp_path / name)
        lines = [f"{side}/{c}/{n}.png,{c},{side},{name if side == 'test' else ''}"
                 for n, side in enumerate(("train", "test")) for c in "ab"]  # fmt: skip
        if name == "two":
            (tmp_path / name / "split.csv").write_text("\n".join(["file,class,side,group", *lines]))
        chips, summary = made(tmp_path, f"folder:{name}")
        write_description(store, f"folder:{name}", chips, summary)
    digests = chips.data_digest, chips.split_digest
    found = {name: Splits([store]).find(f"folder:{name}", *digests) for name in ("one", "two")}
    assert found["one"].group is None
    assert len(set(found["two"].groups("folder:two").tolist())) == 1
    assert Splits([store]).find("folder:three", *digests).group is None  # the first


def test_a_pool_has_no_options_of_data_sets():
    with pytest.raises(UnknownDatasetError, match=r"only options are transform"):
        card("folder:x?test=0.5", pool=True)


def test_names_of_folders():
    assert stored_name("folder:/a/b/ships/?crop=64") == "folder:ships?crop=64"
    assert split_name("folder:x") == ("folder:x", False)
    assert split_name("pool:folder:x") == ("folder:x", True)
    assert full_name("folder:/a/x:train") == "folder:/a/x"
    assert placed("folder:/a/x") == "folder:x"
    assert placed("folder:/a/x").place == "folder:/a/x"


def test_commands_take_a_folder_without_a_split_as_a_pool(tmp_path):
    four(tmp_path / "set")
    write_images(tmp_path / "pool", "x/0.png")
    assert pool_unless_labelled("folder:set", tmp_path) == "folder:set"
    assert pool_unless_labelled("folder:pool", tmp_path) == "pool:folder:pool"
    assert pool_unless_labelled("folder:pool?test=0.5", tmp_path) == "folder:pool?test=0.5"
    assert pool_unless_labelled("mstar_soc", tmp_path) == "mstar_soc"


def test_the_size_of_an_image_is_known_without_its_pixels(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 5), np.float32))
    Image.fromarray(np.zeros((4, 7), np.uint8)).save(tmp_path / "x.png")
    assert image_size((tmp_path / "x.npy").read_bytes(), "x.npy") == (3, 5)
    assert image_size((tmp_path / "x.png").read_bytes()[:60], "x.png") == (4, 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sar_acd", "mstar_soc"])
def test_a_built_in_set_as_a_plain_folder_has_the_same_digests(real_data, tmp_path, name):
    ours = prepare(name, real_data, tmp_path / "prepared").chips
    source = card(name).source.find(card(name), real_data)
    by_id = listed(name, source)
    root, lines = tmp_path / "copy", ["file,class,side,id"]
    for chip_id, label, is_test in zip(ours.ids, ours.labels, ours.is_test, strict=True):
        side, class_name = "test" if is_test else "train", ours.classes[label]
        target = root / side / class_name / by_id[str(chip_id)].name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(by_id[str(chip_id)])
        lines.append(f"{target.relative_to(root)},{class_name},{side},{chip_id}")
    if name == "mstar_soc":  # its ids are not class and file name
        (root / "split.csv").write_text("\n".join(lines) + "\n")
    theirs = made(tmp_path, "folder:copy").chips
    assert (theirs.data_digest, theirs.split_digest) == (ours.data_digest, ours.split_digest)


def listed(name: str, source: Path) -> dict[str, Path]:
    """Return the file of each chip id of a data set."""
    from sarbench.bench.data.files import open_source
    from sarbench.bench.data.listing import list_chips

    with open_source(source) as files:
        return {one.chip_id: one.file.path for one in list_chips(card(name), source, files).entries}
