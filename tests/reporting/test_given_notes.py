"""Notes about given encoders: what they have seen of the test sets."""

from dataclasses import replace

import numpy as np
import pytest
from given_files import EVALUATE, grid_text, write_weights
from PIL import Image
from small_grids import grid_of
from stores import link_synthetic

from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.set_descriptions import write_description
from sarbench.bench.data.sharing import Sharing
from sarbench.bench.grid.seen_names import seen_lines, seen_warnings
from sarbench.bench.plan.given_warnings import given_warnings
from sarbench.bench.plan.plan import Plan, make_plan
from sarbench.bench.reporting.notes import notes
from sarbench.bench.store.records import Store
from sarbench.results.notes import flags


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path / "runs")
    link_synthetic(store)
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


@pytest.fixture
def ships(tmp_path) -> str:
    """The name of a folder of labelled chips, of which a hash makes some test chips."""
    rng = np.random.default_rng(0)
    for one in ("a", "b"):
        (tmp_path / "data" / "ships" / one).mkdir(parents=True)
        for number in range(6):
            chip = Image.fromarray(rng.integers(0, 255, (32, 32), np.uint8))
            chip.save(tmp_path / "data" / "ships" / one / f"{number}.png")
    return f"folder:{tmp_path / 'data' / 'ships'}?test=0.5"


def plan_of_ships(tmp_path, store: Store, ships: str, seen: str) -> Plan:
    prepare(ships, tmp_path / "data", store.prepared)
    write_weights(tmp_path / "a.pth")
    evaluate = EVALUATE.replace('["synthetic"]', f'["{ships}"]')
    text = grid_text(f'{{weights = "a.pth", heads = 3, seen = ["{seen}"]}}', "", evaluate)
    return make_plan(grid_of(tmp_path, text), store, tmp_path / "data")


@pytest.mark.parametrize(
    "declared", ["folder:ships?test=0.5", "folder:ships", "PATH?test=0.5", "PATH", "PATH/"]
)
def test_a_labelled_folder_of_the_grid_is_a_declared_name(tmp_path, store, ships, declared):
    seen = declared.replace("PATH", ships.partition("?")[0])
    plan = plan_of_ships(tmp_path, store, ships, seen)
    tested = sum(plan.data["folder:ships?test=0.5"].counts["test"].values())
    assert f"a has seen {tested} test chips of folder:ships?test=0.5." in flags(notes(plan))
    assert list(seen_lines(plan.grid)) == [
        f"seen (as declared): a: {seen} (all chips of folder:ships?test=0.5)"
    ]
    assert list(seen_warnings(plan.grid)) == []


@pytest.mark.parametrize(
    ("free", "meant"),
    [
        ("ships", "folder:ships?test=0.5"), ("MSTAR_SOC", "mstar_soc"), ("mstar_sock", "mstar_soc"),
        ("mstar", "mstar_soc"), ("Sar_ACD:train", "sar_acd:train"), ("imagenet-1k", None),
        ("lvd-142m", None), ("MillionAID", None),
    ],
)  # fmt: skip
def test_free_text_that_looks_like_a_name_is_warned_of(tmp_path, ships, free, meant):
    evaluate = EVALUATE.replace('["synthetic"]', f'["{ships}"]')
    text = grid_text(f'{{weights = "a.pth", seen = ["{free}"]}}', "", evaluate)
    found = list(seen_warnings(grid_of(tmp_path, text)))
    assert [f"If it means {meant!r}, write that" in one for one in found] == [True] * bool(meant)


def test_nothing_that_was_seen_is_not_an_absent_declaration(tmp_path, store):
    for declared, wanted in (
        (", seen = []", "a has seen nothing, as declared."), ("", "a has seen: not declared."),
    ):  # fmt: skip
        found = [one.text for one in notes(plan_of(tmp_path, store, f"labels = false{declared}"))]
        assert wanted.replace(".", ", without labels.") in found


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
    (warning,) = given_warnings(plan, store.root)
    assert warning.startswith("a: its file looks untrained")
