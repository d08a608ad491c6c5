"""Rows of a study that are compared differ in the thing that the study varies, and in no other."""

from pathlib import Path

from sarbench.bench.data.names import card_of
from sarbench.bench.grid.schema import read_grid

STUDY = Path(__file__).parents[2] / "docs" / "study"
FOLDER_CHIPS = {"folder:opensarship_slc_png": 843, "folder:tsx_slc_png": 1613}
OTHER_VEHICLES = "?exclude_serials=test"


def test_rows_of_the_study_of_vehicles_differ_in_the_vehicles_of_their_pools_alone():
    grid = read_grid(STUDY / "vehicles.toml")
    seen, other = grid.methods[::2], grid.methods[1::2]
    assert [one.name for one in seen] == ["mae", "sar_jepa"]
    for row, changed in zip(seen, other, strict=True):
        assert row.pool is None  # that of [pretrain]
        assert changed.label == f"{row.label}, other vehicles"
        assert changed.model_copy(update={"label": row.label, "pool": None}) == row
        assert [one.removesuffix(OTHER_VEHICLES) for one in changed.pool] == grid.pretrain.pool
    assert f"mstar_rest{OTHER_VEHICLES}" in other[0].pool


def test_both_pools_of_the_study_of_vehicles_have_as_many_chips():
    grid = read_grid(STUDY / "vehicles.toml")
    for pool in (grid.pretrain.pool, grid.methods[1].pool):
        chips = [FOLDER_CHIPS.get(name) or card_of(f"pool:{name}").total for name in pool]
        assert sum(chips) >= grid.pretrain.pool_cap
