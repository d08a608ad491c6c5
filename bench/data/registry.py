"""Every data set and pool by name: what it is, where it comes from, what it must hold."""

from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from ..suggest import unknown
from .sources import mstar, sar_acd

Reader = Literal["mstar", "sar_acd", "fusar_ship", "pool", "synthetic"]
Transform = Literal["none", "chip_max"]
_TRANSFORMS: dict[str, Transform] = {"none": "none", "chip_max": "chip_max"}
CROP_PX = 128


class UnknownDatasetError(LookupError):
    """No data set or pool has this name."""


@dataclass(frozen=True)
class Card:
    """What is known of a data set variant or pool before its pixels are seen.

    Attributes:
        name: Name in grids.
        kind: `dataset` (labelled, split) or `pool` (for pretraining only).
        title: Name in captions.
        what: What it is, in a sentence.
        where: Where to get it.
        licence: Under which terms, as stated there.
        citation: What to cite.
        layouts: The folder layouts that are read.
        reader: Which of them the code reads.
        folders: Names that the folder or archive may have below the data folder.
        markers: Sub-folders by which the data folder itself is recognised as the source.
        crop_px: Side of the central square that is kept (zero-padded); None keeps whole chips.
        transform: `none`, or `chip_max`: float amplitude over the maximum of its chip.
        total: Number of chips; None where any number will do.
        extra_controls: Controls that its tables need besides the usual ones.
        path: The folder of a `folder:` pool; never part of an identity.
    """

    name: str
    kind: Literal["dataset", "pool"]
    title: str
    what: str
    where: str
    licence: str
    citation: str
    layouts: tuple[str, ...]
    reader: Reader
    folders: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    crop_px: int | None = None
    transform: Transform = "none"
    total: int | None = None
    extra_controls: tuple[str, ...] = ()
    path: str = ""

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """`{"train": {class: n}, "test": {class: n}}` as it must be; empty where any will do."""
        if self.kind == "pool" or self.reader == "synthetic":
            return {}
        if self.reader == "fusar_ship":
            return {
                part: {name: both[index] for name, both in _FUSAR_COUNTS.items()}
                for index, part in enumerate(("train", "test"))
            }
        members = mstar.members if self.reader == "mstar" else sar_acd.members
        return count(members(self.name))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        return tuple(sorted(self.counts.get("train", {})))


def dataset_names() -> tuple[str, ...]:
    """Return the names of all data set variants, the bare name being the default variant."""
    return tuple(_datasets())


def pool_names() -> tuple[str, ...]:
    """Return the names of all pools; `folder:PATH` is one too."""
    return tuple(_POOLS)


def card(name: str, *, pool: bool = False) -> Card:
    """Return what is known of a data set or pool.

    Args:
        name: A name of `dataset_names()` or `pool_names()`, or `folder:PATH`, which may end in
            `?transform=chip_max`.
        pool: Whether the pool is meant where both have the name (`synthetic`).

    Raises:
        UnknownDatasetError: No such name; the message has the nearest one.
    """
    if name.startswith("folder:"):
        return _folder_card(name)
    if name in _POOLS and (pool or name not in _datasets()):
        return _POOLS[name]
    if name in _datasets() and not pool:
        return _datasets()[name]
    splits = [f"{dataset}:train" for dataset in dataset_names()]
    known = (*pool_names(), *splits) if pool else (*dataset_names(), *pool_names())
    what = "pool" if pool else "data set or pool"
    raise UnknownDatasetError(unknown(what, name, [*known, "folder:PATH"]))


def _folder_card(name: str) -> Card:
    path, _, option = name.removeprefix("folder:").partition("?")
    key, _, value = option.partition("=")
    chosen = _TRANSFORMS.get(value if option else "none")
    if not path or (option and key != "transform") or chosen is None:
        raise UnknownDatasetError(
            f"{name!r} is no folder pool; write folder:PATH or folder:PATH?transform=chip_max "
            f"(transforms: {', '.join(_TRANSFORMS)})"
        )
    return Card(
        name="folder",
        kind="pool",
        title="Folder of images",
        what="Any folder or archive of images.",
        where=path,
        licence="not known",
        citation="",
        layouts=("any image at any depth",),
        reader="pool",
        transform=chosen,
        path=str(Path(path).expanduser()),
    )


_MSTAR = Card(
    name="mstar_soc",
    kind="dataset",
    title="MSTAR SOC",
    what="Ten military vehicles, X band, 0.3 m; train at 17, test at 15 degrees depression. One "
    "serial number per class.",
    where="https://www.sdms.afrl.af.mil (raw); 8-bit JPEG renderings: "
    "https://github.com/waterdisappear/Data-Bias-in-MSTAR and "
    "https://github.com/waterdisappear/SAR-ATR-HDANet",
    licence="US public release; the JPEG renderings CC BY-NC 4.0",
    citation="E. R. Keydel, S. W. Lee, J. T. Moore, MSTAR extended operating conditions: a "
    "tutorial, Proc. SPIE 2757, 1996",
    layouts=(
        "the CD layout: MSTAR_PUBLIC_*/<depression>_DEG/COL*/SCENE*/<class>/HBnnnnn.sss.<format>",
        "TRAIN|TEST*/<class>[/<serial>][/<depression>]/HBnnnnn[.sss].<format>",
    ),
    reader="mstar",
    folders=("mstar", "MSTAR_SOC", "MSTAR_EOC", "MSTAR_JPEG_E", "MSTAR-10", "MSTAR_PUBLIC", "SOC"),
    markers=(
        *("MSTAR_PUBLIC_MIXED_TARGETS_CD1", "MSTAR_PUBLIC_MIXED_TARGETS_CD2", "JPEG", "JPEG-e"),
        *("SOC", "EOC-Depression", "EOC-Scene", "EOC-Configuration-Version", "TRAIN", "TEST"),
    ),
    crop_px=CROP_PX,
)
_MSTAR_VARIANTS = {
    "mstar_soc": ("MSTAR SOC", _MSTAR.what),
    "mstar_soc/all_serials": (
        "MSTAR SOC, all serials",
        "As mstar_soc with three serial numbers each of BMP2 and T72.",
    ),
    "mstar_eoc_depression": (
        "MSTAR EOC depression",
        "Four classes; train at 17, test at 30 degrees depression.",
    ),
    "mstar_eoc_configuration": (
        "MSTAR EOC configuration",
        "Trained on four classes at 17 degrees, tested on T72 in other configurations.",
    ),
    "mstar_eoc_version": (
        "MSTAR EOC version",
        "Trained on four classes at 17 degrees, tested on other versions of BMP2 and T72.",
    ),
    "mstar_eoc_scene": (
        "MSTAR EOC scene",
        "Three classes; train in one scene, test in others, at 30 and 45 degrees together.",
    ),
}
_SAR_ACD = Card(
    name="sar_acd",
    kind="dataset",
    title="SAR-ACD, by group",
    what="Five types of civil aircraft, C band, 1 m; half the near-duplicate groups are train.",
    where="https://github.com/AICyberTeam/SAR-ACD",
    licence="none stated; 'open to the community', ownership with AIR-CAS",
    citation="X. Sun et al., SCAN: Scattering characteristics analysis network for few-shot "
    "aircraft classification in high-resolution SAR images, IEEE TGRS 60, 2022",
    layouts=("[images/]<class>/NNN.<format>",),
    reader="sar_acd",
    folders=("sar_acd",),
    markers=("A220", "ARJ21", "Boeing787"),
    crop_px=CROP_PX,
    extra_controls=("chip_size",),
)
_SAR_ACD_VARIANTS = {
    "sar_acd": (_SAR_ACD.title, _SAR_ACD.what),
    "sar_acd/paper_random": (
        "SAR-ACD, random 10/90",
        "The paper's five classes, a random tenth of each class is train: one fixed draw. Most "
        "chips have augmented copies, so train and test share aircraft.",
    ),
    "sar_acd/six_classes": (
        "SAR-ACD, six classes, by group",
        "As sar_acd with A320/A321, which the paper leaves out.",
    ),
}
_FUSAR_COUNTS = {  # paper_facts 4.5: class -> (train, test)
    "Bridges": (1023, 438),
    "Cargo": (366, 156),
    "CoastalLands_island": (707, 303),
    "Fishing": (248, 106),
    "LandPatches": (1137, 487),
    "OtherShip": (312, 133),
    "SeaClutterWaves": (1378, 590),
    "SeaPatches": (1250, 535),
    "StrongFalseAlarms": (299, 128),
    "Tanker": (150, 64),
}
_FUSAR = Card(
    name="fusar_ship",
    kind="dataset",
    title="FUSAR-Ship",
    what="Ten classes of ships, sea and land, C band, Gaofen-3; whole chips of 512 x 512 pixels.",
    where="https://radars.ac.cn/web/data/getData?dataType=FUSAR (the ten-class file list is not "
    "published)",
    licence="stated at the source",
    citation="X. Hou et al., FUSAR-Ship: building a high-resolution SAR-AIS matchup dataset of "
    "Gaofen-3, Sci. China Inf. Sci. 63, 2020",
    layouts=("Train|Val/<class>/<name>.<format>", "train|test/<class>/<name>.<format>"),
    reader="fusar_ship",
    folders=("fusar_ship", "New_FUSAR", "FUSAR-Ship1.0", "FUSAR"),
    markers=("Train", "Val"),
)
_SYNTHETIC = Card(
    name="synthetic",
    kind="dataset",
    title="Synthetic",
    what="Ten made-up vehicles from a small physical simulator.",
    where="embedded",
    licence="MIT, as this project",
    citation="",
    layouts=(),
    reader="synthetic",
)


@cache
def _datasets() -> dict[str, Card]:
    cards = [
        replace(_MSTAR, name=name, title=title, what=what)
        for name, (title, what) in _MSTAR_VARIANTS.items()
    ]
    cards += [
        replace(_SAR_ACD, name=name, title=title, what=what)
        for name, (title, what) in _SAR_ACD_VARIANTS.items()
    ]
    crop = replace(
        _FUSAR,
        name="fusar_ship/crop_128",
        title="FUSAR-Ship, central 128 px",
        what="As fusar_ship, cut to the central 128 x 128 pixels as the paper's code does.",
        crop_px=CROP_PX,
    )
    return {card.name: card for card in (*cards, _FUSAR, crop, _SYNTHETIC)}


def count(split: dict[str, tuple[str, bool]]) -> dict[str, dict[str, int]]:
    """Return the chips per class of train and test."""
    counts: dict[str, dict[str, int]] = {"train": {}, "test": {}}
    for class_name, is_test in sorted(split.values()):
        part = counts["test" if is_test else "train"]
        part[class_name] = part.get(class_name, 0) + 1
    return counts


def _pool(name: str, title: str, total: int, what: str, where: str, *folders: str) -> Card:
    return Card(
        name=name,
        kind="pool",
        title=title,
        what=what,
        where=where,
        licence="stated at the source",
        citation="",
        layouts=("any image at any depth",),
        reader="pool",
        folders=(name, *folders),
        total=total,
    )


_POOLS = {
    pool.name: pool
    for pool in (
        _pool(
            "msar",
            "MSAR-1.0",
            28_499,
            "Ships, aircraft, bridges and oil tanks, C band, 1 m, 256 px.",
            "https://radars.ac.cn/web/data/getData?dataType=MSAR",
            "MSAR-1.0",
        ),
        _pool(
            "sar_ship",
            "SAR-Ship-Dataset",
            39_729,
            "Ships, Gaofen-3 and Sentinel-1, 3 to 25 m, 256 px.",
            "https://github.com/CAESAR-Radi/SAR-Ship-Dataset",
            "SAR-Ship-Dataset",
            "ship_dataset_v0",
        ),
        _pool(
            "sarsim",
            "SARSim",
            21_168,
            "Simulated vehicles, X band, 0.3 m.",
            "the authors of SARSim (A. Kusk, A. Abulaitijiang, J. Dall, EUSAR 2016)",
            "SARSIM_database",
        ),
        _pool(
            "sample",
            "SAMPLE",
            5_380,
            "Measured and simulated MSTAR vehicles; the measured half shows MSTAR's vehicles.",
            "https://github.com/benjaminlewis-afrl/SAMPLE_dataset_public",
            "SAMPLE_dataset_public",
        ),
        replace(
            _MSTAR,
            name="mstar_rest",
            kind="pool",
            title="MSTAR without the SOC test sets",
            what="All MSTAR chips that are in no test set of mstar_soc, either variant. It shares "
            "chips with the test sets of mstar_eoc_*.",
            layouts=_MSTAR.layouts[:1],
            crop_px=None,
            total=13_892,
        ),
        replace(_SYNTHETIC, kind="pool", title="Synthetic pool"),
    )
}
