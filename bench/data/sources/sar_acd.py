"""The splits of SAR-ACD, which has no official one.

Most of its images are augmented copies of others. `protocols/splits/sar_acd.json` holds the group
of near-duplicates that each belongs to; a group may hold two classes, since 20 of the 22 pairs of
identical files carry two labels.
"""

import json
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePosixPath

from .... import protocols
from ..files import plain

LEFT_OUT = "A320321"  # by the paper
RANDOM_TRAIN_SHARE = 0.1  # paper_facts 4.6


@cache
def groups() -> dict[str, int]:
    """Return the near-duplicate group of every chip."""
    stored = json.loads((files(protocols) / "splits" / "sar_acd.json").read_text("utf-8"))
    return {
        f"{class_name}/{number:03d}": group
        for class_name, of_class in stored["groups"].items()
        for number, group in enumerate(of_class, start=1)
    }


@cache
def members(name: str) -> dict[str, tuple[str, bool]]:
    """Return class and whether test of each chip of a variant."""
    classes = {i: i.split("/")[0] for i in groups()}
    if name != "sar_acd/six_classes":
        classes = {i: class_name for i, class_name in classes.items() if class_name != LEFT_OUT}
    tested = _random_test(classes) if name == "sar_acd/paper_random" else _group_test(classes)
    return {i: (class_name, i in tested) for i, class_name in classes.items()}


def resolve(file: PurePosixPath) -> tuple[str, str]:
    """Return the chip id of a file and the class that its folder names, as well as they are known.

    The id is empty where there is no such chip.
    """
    class_name = _folders().get(plain(file.parent.name), "")
    chip_id = f"{class_name}/{file.stem}"
    return (chip_id if chip_id in groups() else ""), class_name


@cache
def _folders() -> dict[str, str]:
    classes = {chip_id.split("/")[0] for chip_id in groups()}
    other = {"A320A321": LEFT_OUT, "B737": "Boeing737", "B787": "Boeing787"}
    return {plain(class_name): class_name for class_name in classes} | other


def _group_test(classes: dict[str, str]) -> set[str]:
    """Return the test chips: groups in the order of a hash, each to the side its classes lack.

    A group is never divided; train and test of each class stay within a group's size of each
    other.
    """
    by_group: dict[int, list[str]] = {}
    for chip_id in classes:
        by_group.setdefault(groups()[chip_id], []).append(chip_id)
    lead = dict.fromkeys(classes.values(), 0)  # train less test, of each class
    tested: set[str] = set()
    for group in sorted(by_group, key=lambda g: sha256(f"sar_acd group {g}".encode()).digest()):
        chips = by_group[group]
        to_test = sum(lead[classes[i]] for i in chips) > 0
        for chip_id in chips:
            lead[classes[chip_id]] += -1 if to_test else 1
        if to_test:
            tested.update(chips)
    return tested


def _random_test(classes: dict[str, str]) -> set[str]:
    """Return all but the first tenth of each class in the order of a hash."""
    tested: set[str] = set()
    for class_name in set(classes.values()):
        chips = [i for i, of in classes.items() if of == class_name]
        chips.sort(key=lambda i: sha256(i.encode()).digest())
        tested.update(chips[round(RANDOM_TRAIN_SHARE * len(chips)) :])
    return tested
