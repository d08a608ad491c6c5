"""Makes a small MSTAR: two chips of each collection, as Phoenix files in the owner's folders."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from phoenix_files import phoenix_file

from sarbench.bench.data.sources import mstar

TYPES = {
    "2S1": "2s1_gun", "BMP2": "bmp2_tank", "BRDM2": "brdm2_truck", "BTR60": "btr60_transport",
    "BTR70": "btr70_transport", "D7": "d7_bulldozer", "T62": "t62_tank", "T72": "t72_tank",
    "ZIL131": "zil131_truck", "ZSU234": "zsu23-4_gun", "SLICY": "slicy",
}  # fmt: skip
FOLDERS = {"BTR60": "BTR_60", "BRDM2": "BRDM_2", "ZSU234": "ZSU_23_4"}


def few_chips(monkeypatch: pytest.MonkeyPatch) -> mstar.Table:
    """Reduce MSTAR to two chips per collection."""
    whole = mstar.table()
    collections = {
        name: replace(c, numbers=frozenset(sorted(c.numbers)[:2]))
        for name, c in whole.collections.items()
    }
    by_id = {i: c for c in collections.values() for i in c.chip_ids()}
    splits = {
        name: {i: is_test for i, is_test in split.items() if i in by_id}
        for name, split in whole.splits.items()
    }
    small = replace(whole, collections=collections, by_id=by_id, splits=splits)
    monkeypatch.setattr(mstar, "table", lambda: small)
    return small


def raw_magnitude(chip_id: str) -> np.ndarray:
    """Return made-up magnitudes of a chip, a function of its id; the largest is 8."""
    rng = np.random.default_rng(int(chip_id[2:7]) + 10**5 * int(chip_id[8:]))
    chip = rng.rayleigh(0.05, (130, 129)).astype(np.float32)
    chip[60, 64] = 8
    return chip


def azimuth_deg(chip_id: str) -> float:
    """Return a made-up azimuth of a chip."""
    return float(int(chip_id[2:7]) % 360)


def phoenix_path(table: mstar.Table, chip_id: str) -> PurePosixPath:
    """Return the path of a chip on the owner's discs, below the folder of all."""
    found, is_test = table.by_id[chip_id], table.by_id[chip_id].depression_deg == 15
    angle, folder = f"{found.depression_deg}_DEG", FOLDERS.get(found.class_name, found.class_name)
    if found.serial.startswith("SN_"):
        side = "TEST" if is_test else "TRAIN"
        return PurePosixPath("TARGETS", side, angle, folder, found.serial, chip_id)
    serial = (found.serial,) if found.serial else ()
    return PurePosixPath(angle, "COL2", found.scene, folder, *serial, chip_id)


def write_raw(root: Path, table: mstar.Table, name: str) -> None:
    """Write the chips of a split as Phoenix files in the owner's folders."""
    for chip_id in table.splits[name]:
        path = root / phoenix_path(table, chip_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        class_name = table.by_id[chip_id].class_name
        path.write_bytes(
            phoenix_file(
                raw_magnitude(chip_id), TargetType=TYPES[class_name], TargetAz=azimuth_deg(chip_id)
            )
        )
