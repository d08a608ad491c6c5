"""MSTAR's own Phoenix files: the folder that holds them, their header against the release."""

from pathlib import Path

import numpy as np

from ..files import DatasetNotFoundError, find_source, plain
from ..images import UnreadableImageError
from ..phoenix import read_phoenix
from ..source import ChipFacts, Entry

FOLDERS = ("mstar_raw",)
MARKERS = ("TARGETS", "15_DEG", "17_DEG", "MSTAR_PUBLIC_TARGETS_CHIPS_T72_BMP2_BTR70_SLICY")
MARKERS += ("MSTAR_PUBLIC_T_72_VARIANTS_CD1", "MSTAR_PUBLIC_T_72_VARIANTS_CD2")
LAYOUTS = (
    "mstar_raw/[<disc>/]TARGETS/TRAIN|TEST/<depression>_DEG/<class>/<serial>/HBnnnnn.sss",
    "mstar_raw/[<disc>/]<depression>_DEG/COL*/SCENE*/<class>/HBnnnnn.sss",
)
UNTYPED = "SLICY"  # a test object; its headers are not known to name it


def find_raw(data_dir: Path, folders: tuple[str, ...], markers: tuple[str, ...]) -> Path:
    """Return the folder or archive of Phoenix files: `mstar_raw`, else that of other MSTAR files.

    Raises:
        DatasetNotFoundError: There is none below `data_dir`.
    """
    found = find_source(data_dir, (*FOLDERS, *folders), (*MARKERS, *markers))
    if found is None:
        raise DatasetNotFoundError(
            f"{data_dir} holds no folder or archive named {' or '.join((*FOLDERS, *folders))}. "
            f"Expected layout of MSTAR's Phoenix files: {'; or '.join(LAYOUTS)}. Get them from "
            "https://www.sdms.afrl.af.mil; or name another data folder with --data or SARBENCH_DATA"
        )
    return found


def read_raw(entry: Entry, classes: set[str], known: ChipFacts) -> tuple[np.ndarray, ChipFacts]:
    """Return the magnitude of a chip, and what its header and the release say about it.

    Args:
        entry: The chip.
        classes: The class names of the release.
        known: Depression and serial number of the chip in the release.

    Raises:
        UnreadableImageError: The file cannot be used, or its header names another class.
    """
    chip = read_phoenix(entry.file.read_bytes(), str(entry.file.relative))
    named = {name for name in classes if plain(chip.target_type).startswith(plain(name))}
    unknown = not named and entry.class_name == UNTYPED
    if chip.target_type and entry.class_name not in named and not unknown:
        raise UnreadableImageError(
            f"{entry.file.relative}: its header says TargetType {chip.target_type[:40]!r}, but "
            f"{entry.chip_id} is a {entry.class_name} by its name and folder; the two must agree: "
            "get the file again, or take it out of the folder"
        )
    return chip.magnitude, ChipFacts(
        chip.azimuth_deg, known.depression_deg or chip.depression_deg, known.serial or chip.serial
    )
