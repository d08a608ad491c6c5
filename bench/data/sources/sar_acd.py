"""SAR-ACD: civil aircraft, without an official split.

Most images are augmented copies of others. `protocols/splits/sar_acd.json` holds two groups of each
image: `groups` by whole images, and `copies`, which shifted and cropped copies join as well. The
second is a list and not a computation, because an audit takes a minute, and its last digits depend
on the machine. A group may hold two classes: 20 of the 22 pairs of identical files have two labels.
"""

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from ..committed_splits import committed
from ..files import ImageFile, plain
from ..source import CROP_PX, HELD_OUT, Card, Entry, Listing, Members, Source

LEFT_OUT = "A320321"  # by the SAR-JEPA paper (arXiv 2311.15153)
RANDOM_TRAIN_SHARE = 0.1  # of each class, as `datasets/SAR_ACD.py` of waterdisappear/SAR-JEPA draws
BY_COPIES = "sar_acd/by_copies"
SPLITS = {  # name -> title, description, test chips that are near copies of training chips
    "sar_acd": (
        "by group",
        "Five types of civil aircraft, C band, 1 m; half the near-duplicate groups are train. "
        "Groups are by whole images, so shifted and cropped copies are divided.",
        580,
    ),
    BY_COPIES: (
        "by copies",
        "As sar_acd, and almost all shifted or cropped copies of an image are on one side.",
        10,
    ),
    "sar_acd/paper_random": (
        "random 10/90",
        "The paper's five classes, a random tenth of each class is train: one fixed draw. Most "
        "chips have augmented copies, so train and test share aircraft.",
        1360,
    ),
    "sar_acd/six_classes": (
        "six classes, by group",
        "As sar_acd with A320/A321, which the paper leaves out.",
        850,
    ),
}


@cache
def groups(kind: str = "groups") -> dict[str, int]:
    """Return the near-duplicate group of every chip; `kind` is `groups` or `copies`."""
    return {
        f"{class_name}/{number:03d}": group
        for class_name, of_class in committed("sar_acd")[kind].items()
        for number, group in enumerate(of_class, start=1)
    }


@cache
def members(name: str) -> Members:
    """Return class and side of each chip of a variant."""
    classes = {i: i.split("/")[0] for i in groups()}
    if name != "sar_acd/six_classes":
        classes = {i: class_name for i, class_name in classes.items() if class_name != LEFT_OUT}
    if name == "sar_acd/paper_random":
        tested = _random_test(classes)
    elif name == BY_COPIES:
        tested = _group_test(classes, groups("copies"), _largest_first)
    else:
        tested = _group_test(classes, groups(), _hash_of_number)
    return {i: (class_name, i in tested) for i, class_name in classes.items()}


def resolve(file: PurePosixPath) -> tuple[str, str]:
    """Return the chip id of a file and the class of its folder; each is empty if unknown."""
    class_name = _folders().get(plain(file.parent.name), "")
    chip_id = f"{class_name}/{file.stem}"
    return (chip_id if chip_id in groups() else ""), class_name


@cache
def _folders() -> dict[str, str]:
    classes = {chip_id.split("/")[0] for chip_id in groups()}
    other = {"A320A321": LEFT_OUT, "B737": "Boeing737", "B787": "Boeing787"}
    return {plain(class_name): class_name for class_name in classes} | other


def _hash_of_number(group: int, chips: list[str]) -> bytes:
    return sha256(f"sar_acd group {group}".encode()).digest()


def _largest_first(group: int, chips: list[str]) -> tuple[int, bytes]:
    """Order groups by falling size, so that small ones even out the sides, and by a hash."""
    return -len(chips), sha256(f"{BY_COPIES} {min(chips)}".encode()).digest()


def _group_test(
    classes: dict[str, str], group_of: dict[str, int], order: Callable[[int, list[str]], Any]
) -> set[str]:
    """Return the test chips: each group, in some order, goes to the smaller side of its classes.

    A group is never divided. The numbers of train and test chips of a class differ by at most the
    size of a group.
    """
    by_group: dict[int, list[str]] = {}
    for chip_id in classes:
        by_group.setdefault(group_of[chip_id], []).append(chip_id)
    lead = dict.fromkeys(classes.values(), 0)  # train minus test chips of each class
    tested: set[str] = set()
    for group in sorted(by_group, key=lambda number: order(number, by_group[number])):
        chips = by_group[group]
        to_test = sum(lead[classes[i]] for i in chips) > 0
        for chip_id in chips:
            lead[classes[chip_id]] += -1 if to_test else 1
        if to_test:
            tested.update(chips)
    return tested


def _random_test(classes: dict[str, str]) -> set[str]:
    """Return all chips but the first tenth of each class, in the order of a hash."""
    tested: set[str] = set()
    for class_name in set(classes.values()):
        chips = [i for i, of in classes.items() if of == class_name]
        chips.sort(key=lambda i: sha256(i.encode()).digest())
        tested.update(chips[round(RANDOM_TRAIN_SHARE * len(chips)) :])
    return tested


class SarAcd(Source):
    """SAR-ACD by copies, by groups of whole images, and at random as in the SAR-JEPA paper."""

    where = "https://github.com/AICyberTeam/SAR-ACD"
    licence = "none stated; 'open to the community', ownership with AIR-CAS"
    citation = (
        "X. Sun et al., SCAN: Scattering characteristics analysis network for few-shot aircraft "
        "classification in high-resolution SAR images, IEEE TGRS 60, 2022"
    )
    cites = ("sun2022scan",)
    layouts = ("[images/]<class>/NNN.<format>",)
    folders = ("sar_acd",)
    markers = ("A220", "ARJ21", "Boeing787")
    extra_controls = ("chip_size",)

    def cards(self) -> tuple[Card, ...]:
        """Return the four splits."""
        return tuple(
            Card(
                name, "dataset", f"SAR-ACD, {title}", what, self, crop_px=CROP_PX,
                near_train=near, instead="" if name == BY_COPIES else BY_COPIES,
            )
            for name, (title, what, near) in SPLITS.items()
        )  # fmt: skip

    def members(self, card: Card) -> Members:
        """Return class and side of every chip."""
        return members(card.name)

    def groups(self, card: Card) -> dict[str, int]:
        """Return the near-duplicate group of every chip id."""
        return groups("copies" if card.name.removesuffix(HELD_OUT) == BY_COPIES else "groups")

    def place(self, card: Card, files: list[ImageFile], listing: Listing) -> None:
        """Read the chip id from folder and file name; chips of a left-out class are skipped."""
        split = members(card.name)
        for file in files:
            chip_id, class_name = resolve(file.relative)
            if chip_id in split:
                listing.entries.append(Entry(chip_id, *split[chip_id], file))
            elif not class_name:
                listing.refused.append(f"{file.relative}: its folder is not a class of SAR-ACD")
            elif not chip_id:
                listing.refused.append(f"{file.relative}: SAR-ACD has no such chip of {class_name}")
