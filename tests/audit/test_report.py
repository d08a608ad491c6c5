"""Reports: counts, limits, conflicts, sides, groups, bad input."""

from dataclasses import replace

import numpy as np
import pytest
from planted import chips_of, made_images

from sarbench.bench.audit import report
from sarbench.bench.audit.groups_file import groups_text
from sarbench.bench.audit.pictures import draw_pairs
from sarbench.bench.audit.pools import copied_from
from sarbench.bench.audit.report import audit
from sarbench.bench.data.pools import Pool
from sarbench.bench.suggest import RequestError

IMAGES = made_images(6, 64)


def test_one_chip_cannot_be_compared():
    with pytest.raises(RequestError, match=r"holds one chip.*name a set with two or more"):
        audit([chips_of(IMAGES[:1])])


def test_equal_chips_are_counted_and_a_limited_number_of_pairs_is_listed(monkeypatch):
    monkeypatch.setattr(report, "LISTED", 20)
    result = audit([chips_of([IMAGES[0]] * 3000)])
    assert result.counts["exact_pairs"] == 3000 * 2999 // 2
    assert len(result.exact) == 20
    assert result.counts["groups"] == 1
    assert result.near == []


def test_blank_and_tiny_chips_are_only_compared_exactly():
    tiny = np.arange(64, dtype=np.uint8).reshape(8, 8)
    result = audit([chips_of([np.zeros((32, 32), np.uint8), tiny, tiny, IMAGES[0]])])
    assert [pair.ids for pair in result.exact] == [("made/000001", "made/000002")]
    assert result.counts["not_compared"] == 2


def test_conflicts_and_sides_by_hand():
    # classes 0 1 0 1 0 1, test from the fourth chip on
    images = [IMAGES[0], IMAGES[0], IMAGES[1], IMAGES[0][::-1].copy(), IMAGES[2], IMAGES[1]]
    result = audit([chips_of(images, classes=2)])
    assert [(one.classes, one.exact_pairs) for one in result.label_conflicts] == [
        ({"class 0": 1, "class 1": 2}, 1),
        ({"class 0": 1, "class 1": 1}, 1),
    ]
    shared = result.shared
    assert shared is not None
    assert (shared.sides, shared.exact, shared.near, shared.of) == (("train", "test"), 1, 1, 3)
    assert shared.ids == ("made/000003", "made/000005")


def test_two_sets_share_chips():
    both = audit([chips_of(IMAGES[:3], "one"), chips_of([IMAGES[2], IMAGES[1].T.copy()], "two")])
    assert both.shared is not None
    assert both.shared.sides == ("one", "two")
    assert (both.shared.exact, both.shared.near, both.shared.of) == (1, 1, 2)
    assert [pair.kind for pair in both.near] == ["flip"]


def test_a_pool_is_audited_against_test_chips():
    dataset = chips_of([IMAGES[3], IMAGES[4], IMAGES[0][:, ::-1].copy(), IMAGES[1]], classes=2)
    pool = Pool([chips_of(IMAGES[:3])])
    assert copied_from(pool, [dataset, chips_of(IMAGES[3:5], classes=2)]) == [2, 0]


def test_groups_are_written_as_a_split_file():
    result = audit([chips_of([IMAGES[0], IMAGES[1], IMAGES[0].T.copy(), IMAGES[2]], classes=2)])
    text = groups_text(result, 0, {})
    assert text.splitlines() == [
        "file,class,side,group,id",
        ",class 0,train,duplicates-0,made/000000",
        ",class 1,train,,made/000001",
        ",class 0,test,duplicates-0,made/000002",
        ",class 1,test,,made/000003",
    ]


def test_duplicates_join_the_groups_that_a_set_has():
    chips = chips_of([IMAGES[0], IMAGES[1], IMAGES[0].T.copy(), IMAGES[2], IMAGES[3]], classes=2)
    text = groups_text(audit([replace(chips, group=np.array([4, 4, 1, 7, 2]))]), 0, {})
    groups = [line.split(",")[3] for line in text.splitlines()[1:]]
    assert groups[0] == groups[1] == groups[2] != ""  # two are one image, two are one group
    assert groups[3:] == ["", ""]


def test_pairs_are_drawn(tmp_path):
    chips = chips_of([IMAGES[0], IMAGES[0], IMAGES[1], np.rot90(IMAGES[1]).copy()])
    draw_pairs(audit([replace(chips, name="a name with $ and _")]), tmp_path / "pairs.png")
    assert (tmp_path / "pairs.png").stat().st_size > 5000
