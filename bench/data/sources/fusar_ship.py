"""FUSAR-Ship: ten classes of ships, sea and land."""

from ..files import ImageFile, plain
from ..source import CROP_PX, Card, Counts, Entry, Listing, Source

# Class -> (train, test), from the table of SAR-VSA in the README of waterdisappear/SARATR-X. The
# SAR-JEPA paper (arXiv 2311.15153) has the same ten classes but does not publish its list of files.
COUNTS = {
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


class FusarShip(Source):
    """FUSAR-Ship; its chips have no published ids, so only the number of each class is checked."""

    where = (
        "https://radars.ac.cn/web/data/getData?dataType=FUSAR (the ten-class file list is not "
        "published)"
    )
    licence = "stated at the source"
    citation = (
        "X. Hou et al., FUSAR-Ship: building a high-resolution SAR-AIS matchup dataset of "
        "Gaofen-3, Sci. China Inf. Sci. 63, 2020"
    )
    cites = ("hou2020fusar",)
    layouts = ("Train|Val/<class>/<name>.<format>", "train|test/<class>/<name>.<format>")
    folders = ("fusar_ship", "New_FUSAR", "FUSAR-Ship1.0", "FUSAR")
    markers = ("Train", "Val")

    def cards(self) -> tuple[Card, ...]:
        """Return the whole chips and their central squares."""
        whole = (
            "Ten classes of ships, sea and land, C band, Gaofen-3; whole chips of 512 x 512 pixels."
        )
        crop = (
            "As fusar_ship, cut to the central 128 x 128 pixels as the code of the SAR-JEPA paper "
            "does."
        )
        return (
            Card("fusar_ship", "dataset", "FUSAR-Ship", whole, self, whole_px=512),
            Card(
                "fusar_ship/crop_128", "dataset", "FUSAR-Ship, central 128 px", crop, self, CROP_PX
            ),
        )

    def counts(self, card: Card) -> Counts:
        """Return the published number of chips of each class and side."""
        return {
            "train": {name: train for name, (train, _) in COUNTS.items()},
            "test": {name: test for name, (_, test) in COUNTS.items()},
        }

    def place(self, card: Card, files: list[ImageFile], listing: Listing) -> None:
        """Read class and side from the names of the folders."""
        classes = {plain(name): name for name in COUNTS}
        for file in files:
            folders = [plain(folder) for folder in file.relative.parts[:-1]]
            class_name = classes.get(folders[-1] if folders else "")
            is_test = next((f != "TRAIN" for f in folders if f in ("TRAIN", "VAL", "TEST")), None)
            if class_name is None or is_test is None:
                listing.refused.append(
                    f"{file.relative}: is not below Train|Val/<class>; the classes are "
                    f"{', '.join(COUNTS)}"
                )
                continue
            chip_id = f"{'test' if is_test else 'train'}/{class_name}/{file.relative.stem}"
            listing.entries.append(Entry(chip_id, class_name, is_test, file))
