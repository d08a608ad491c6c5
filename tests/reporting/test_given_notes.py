"""Notes about given encoders: what they have seen of the test sets."""

from dataclasses import replace

import numpy as np
import pytest
from given_files import grid_text, write_weights
from PIL import Image
from small_grids import grid_of
from stores import copy_synthetic

from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.set_descriptions import write_description
from sarbench.bench.data.sharing import Sharing
from sarbench.bench.plan.plan import Plan, make_plan
from sarbench.bench.reporting.notes import notes
from sarbench.bench.store.records import Store
from sarbench.results.notes import flags


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path / "runs")
    copy_synthetic(store)
    return store


def plan_of(tmp_path, store: Store, declared: str) -> Plan:
    write_weights(tmp_path / "a.pth")
    text = grid_text(f'{{weights = "a.pth", heads = 3, {declared}}}')
    return make_plan(grid_of(tmp_path, text), store, tmp_path / "data")


def write_seen(tmp_path, store: Store, test: int, train: int) -> None:
    """Prepare a folder that holds some chips of `synthetic` under other names."""
    chips = prepare("synthetic", tmp_path, store.prepared).chips
    wanted = [*np.flatnonzero(chips.is_test)[:test], *np.flatnonzero(~chips.is_test)[:train]]
    (tmp_path / "data" / "seen").mkdir(parents=True)
    for number, index in enumerate(wanted):
        Image.fromarray(chips.chip(int(index))).save(tmp_path / "data/seen" / f"{number}.png")
    name = "folder:seen"
    made = prepare(name, tmp_path / "data", store.prepared, pool=True)
    write_description(store.root, f"pool:{name}", made.chips, made.summary)


def test_a_row_that_has_seen_test_chips_is_marked(tmp_path, store):
    write_seen(tmp_path, store, test=3, train=2)
    plan = plan_of(tmp_path, store, 'seen = ["folder:seen", "imagenet-1k"]')
    found = notes(plan)
    assert "a has seen 3 test chips of synthetic." in flags(found)
    (text,) = [one.text for one in found if one.text.startswith("synthetic: a has seen")]
    assert text == (
        "synthetic: a has seen 3 of its test chips and 2 of its training chips, by id or "
        "identical image."
    )


def test_a_row_that_has_seen_training_chips_only_is_not_marked(tmp_path, store):
    write_seen(tmp_path, store, test=0, train=2)
    found = notes(plan_of(tmp_path, store, 'seen = ["folder:seen"]'))
    assert not any("has seen" in flag for flag in flags(found))


def test_a_row_that_has_seen_vehicles_of_the_test_set_or_labels_is_marked(tmp_path, store):
    plan = plan_of(tmp_path, store, 'seen = ["mstar_soc:train", "x"], labels = true')
    seen = {("mstar_soc:train",): {"synthetic": Sharing((9,), 0, 0, 2, 7)}}
    found = flags(notes(replace(plan, seen=seen)))
    assert "a has seen 2 vehicles of the test set of synthetic." in found
    assert "a has seen labels." in found


def test_an_unknown_overlap_is_flagged_and_free_text_is_not(tmp_path, store):
    flag = "Overlap of what a has seen with the test sets: unknown."
    for declared, unknown in (("mstar_soc:train", True), ("mstar_soc", True), ("imagenet", False)):
        found = flags(notes(plan_of(tmp_path, store, f'seen = ["{declared}"]')))
        assert (flag in found) == unknown, declared


def test_a_whole_data_set_is_a_declared_name(tmp_path, store):
    """All chips of a data set, its test chips among them."""
    plan = plan_of(tmp_path, store, 'seen = ["mstar_soc"]')
    found = [one.text for one in notes(plan)]
    assert any("what a has seen (mstar_soc) with the data sets is unknown" in one for one in found)


def test_a_name_of_a_pool_and_of_a_data_set_is_both(tmp_path, store):
    for name, pool in (("synthetic", False), ("synthetic", True)):
        made = prepare(name, tmp_path, store.prepared, pool=pool)
        write_description(store.root, "pool:" * pool + name, made.chips, made.summary)
    found = notes(plan_of(tmp_path, store, 'seen = ["synthetic"]'))
    assert "a has seen 1,200 test chips of synthetic." in flags(found)
    assert any("1,200 of its test chips and 400 of its training chips" in one.text for one in found)


def test_untrained_weights_are_flagged(tmp_path, store):
    plan = plan_of(tmp_path, store, 'seen = ["x"]')
    assert not any("untrained" in flag for flag in flags(notes(plan)))
    for entry in plan.pretrain:
        given = entry.planned.given
        marked = given and replace(given, untrained=True)
        entry.planned = replace(entry.planned, given=marked)
    assert "The weights of a look untrained." in flags(notes(plan))
