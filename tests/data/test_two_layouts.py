"""The same real chips in two folder layouts give the same digests and predictions."""

from pathlib import Path

import pytest

from sarbench.bench.data.files import open_source
from sarbench.bench.data.listing import list_chips
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.registry import card
from sarbench.bench.data.sources import mstar
from sarbench.bench.execution.job import Event, execute
from sarbench.bench.grid.schema import read_grid
from sarbench.bench.identity import Resources
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.store.records import Store

SPELLED = {
    "BTR60": "BTR_60", "BTR70": "btr-70", "BRDM2": "BRDM-2", "ZSU234": "zsu_23_4",
    "ZIL131": "ZIL-131", "2S1": "2s1",
}  # fmt: skip
GRID = """
name = "layouts"
methods = []
controls = ["raw_pixels"]
[evaluate]
datasets = ["{name}"]
seeds = 2
[evaluate.protocols]
knn = [10, "all"]
"""


def link_flat(name: str, data_dir: Path, root: Path) -> None:
    """Link a data set as TRAIN|TEST/<class>[/<serial>]/HBnnnnn.<format>, without the digits."""
    found = card(name)
    source = found.source.find(found, data_dir)
    with open_source(source) as files:
        entries = list_chips(found, source, files).entries
    for entry in entries:
        folder = root / ("TEST" if entry.is_test else "TRAIN")
        folder /= SPELLED.get(entry.class_name, entry.class_name)
        if name == "mstar_soc/all_serials":
            folder /= mstar.table().by_id[entry.chip_id].serial
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{entry.chip_id.split('.')[0]}.JPG").symlink_to(entry.file.path)


def results(name: str, data_dir: Path, folder: Path) -> dict[str, tuple]:
    """Return support set, predictions and score of each run, by key."""
    store, grid = Store(folder / "runs"), folder / "grid.toml"
    folder.mkdir()
    grid.write_text(GRID.format(name=name))
    prepare(name, data_dir, store.prepared)
    events: list[Event] = []
    for job in make_plan(read_grid(grid), store, data_dir).jobs():
        execute(job, store, Resources(), events.append)
    assert "failed" not in {event.kind for event in events}
    records = {key: store.read("evaluate", key) for key in store.keys("evaluate")}
    return {
        key: (r.identity["data_digest"], r.identity["split_digest"], r.support_digest,
              r.predictions_digest, r.accuracy)
        for key, r in records.items()
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mstar_soc", "mstar_soc/all_serials"])
def test_another_folder_layout_moves_no_digest_key_support_set_or_prediction(
    name, real_data, tmp_path
):
    link_flat(name, real_data, tmp_path / "data" / "MSTAR-10")
    one = results(name, real_data, tmp_path / "cd")
    other = results(name, tmp_path / "data", tmp_path / "flat")
    assert len(one) == 2 + 1  # ten shots at two seeds, all labels
    assert other == one
    assert max(score for *_, score in one.values()) > 0.9
