"""Pools are audited once before work, and captions say the result."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import made_images
from small_grids import METHODS, grid_of
from small_plans import make_plan

from sarbench.bench.data.find_set import find_set, prepare_set
from sarbench.bench.data.sharing import FOLDER
from sarbench.bench.plan.overlaps import own_copies, sharing_of
from sarbench.bench.plan.plan import Plan
from sarbench.bench.plan.pool_copies import audit_pools, unaudited
from sarbench.bench.reporting.notes import dataset_notes, pool_notes
from sarbench.bench.store.records import Store
from sarbench.results.notes import flags

GRID = """
name = "test"
methods = ["mae"]
[pretrain]
encoder = "vit_nano"
pool = ["{pool}"]
[evaluate]
datasets = ["{dataset}"]
protocols.knn = ["all"]
"""


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def planned(folder: Path, pool: str, dataset: str) -> Plan:
    """Return the part of a plan that says what its pool shares, with one run."""
    grid = grid_of(folder, GRID.format(pool=pool, dataset=dataset))
    store = Store(folder / "runs")
    found = {
        name: find_set(name, folder / "data", store.root) for name in (f"pool:{pool}", dataset)
    }
    data = {name: one.summary for name, one in found.items() if one}
    made = make_plan(1, trained=1, untrained=0)
    (start,), (run,) = made.pretrain, made.runs
    start.planned = replace(start.planned, pool=(pool,))
    run.planned = replace(run.planned, pretraining=start.planned, dataset=dataset)
    shared, own = sharing_of(grid, data, [(pool,)], store), own_copies(grid, data, store)
    return replace(made, grid=grid, data=data, methods=METHODS, sharing=shared, own=own)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a pool that holds a flipped test chip, both prepared."""
    images = made_images(10, 48)
    for number, image in enumerate(images[:8]):
        side, name = ("train", "test")[number >= 4], "ab"[number % 2]
        save(tmp_path / f"data/set/{side}/{name}/{number}.png", image)
    for number, image in enumerate([images[8], images[9], images[5][::-1].copy()]):
        save(tmp_path / f"data/pool/x{number}.png", image)
    store = Store(tmp_path / "runs")
    for name in ("pool:folder:pool", "folder:set"):
        prepare_set(name, tmp_path / "data", store)
    return tmp_path


def test_the_caption_states_the_copies_in_the_pool_once_they_were_sought(folder: Path):
    store = Store(folder / "runs")
    plan = planned(folder, "folder:pool", "folder:set")
    assert not any("near duplicates" in flag for flag in flags(pool_notes(plan)))
    audited: list[str] = []
    audit_pools(plan, store, audited.append)
    assert audited == ["folder:pool (3 chips)", "folder:set:train (4 chips)"]
    plan = planned(folder, "folder:pool", "folder:set")
    flag = "Copies and near duplicates of test chips in the pool: 1 of folder:set."
    assert flag in flags(pool_notes(plan))
    audit_pools(plan, store, audited.append)
    assert len(audited) == 2


def test_the_caption_states_the_copies_between_the_sides_of_a_set_of_the_user(folder: Path):
    image = np.array(Image.open(folder / "data/set/train/a/0.png"))
    save(folder / "data/set/test/a/copy.png", image[:, ::-1])
    store = Store(folder / "runs")
    prepare_set("folder:set", folder / "data", store)
    audit_pools(planned(folder, "folder:pool", "folder:set"), store, lambda _: None)
    said = flags(dataset_notes(planned(folder, "folder:pool", "folder:set")))
    wanted = (
        "1 of 5 test chips of folder:set have a copy or near duplicate among its training chips."
    )
    assert wanted in said


def test_counts_of_an_older_store_say_nothing_and_are_completed(folder: Path):
    planned(folder, "folder:pool", "folder:set")
    for path in (folder / "runs" / FOLDER).glob("*.json"):
        path.write_text('{"drawn": [3], "test": 0, "train": 0, "vehicles": 0, "vehicle_chips": 0}')
    plan = planned(folder, "folder:pool", "folder:set")
    assert unaudited(plan.sharing) == {("folder:pool",): ["folder:set"]}
    assert unaudited(plan.own) == {("folder:set:train",): ["folder:set"]}
    assert not any("near duplicates" in note.text for note in pool_notes(plan))


def test_simulated_sets_are_not_audited(folder: Path):
    plan = planned(folder, "folder:pool", "folder:set")
    (counted,) = plan.sharing["folder:pool",].values()
    simulated = {("synthetic",): {"folder:set": counted}, ("folder:pool",): {"synthetic": counted}}
    assert unaudited(simulated) == {}
