"""Pools of unlabelled images: published ones, and any folder."""

from os.path import commonpath
from pathlib import Path

from ..files import ImageFile
from ..source import Card, Entry, Listing, Source
from .labelled_folder import FolderNameError, options_of

PUBLISHED = {"sar_ship": "wang2019sar", "sarsim": "kusk2016synthetic", "sample": "lewis2019sample"}


class ImageFolder(Source):
    """A published pool: every image below its folder."""

    licence = "stated at the source"
    layouts = ("any image at any depth",)

    def __init__(
        self, name: str, title: str, total: int, what: str, where: str, *folders: str
    ) -> None:
        """Keep the fields of its one card."""
        self.name, self.title, self.total, self.what = name, title, total, what
        self.where, self.folders = where, (name, *folders)
        self.cites = (PUBLISHED[name],) if name in PUBLISHED else ()

    def cards(self) -> tuple[Card, ...]:
        """Return its card."""
        return (Card(self.name, "pool", self.title, self.what, self, total=self.total),)

    def place(self, card: Card, files: list[ImageFile], listing: Listing) -> None:
        """Use the path of each image below the deepest common folder as its chip id."""
        if not files:
            return
        paths = [str(file.relative) for file in files]
        common = commonpath({f"/{path.rpartition('/')[0]}" for path in paths}).strip("/")
        start = len(common) + 1 if common else 0
        for path, file in zip(paths, files, strict=True):
            listing.entries.append(Entry(path[start:], "", False, file))


class Folder(ImageFolder):
    """A folder or archive of images that a user names."""

    licence = "not known"

    def __init__(self, path: str) -> None:
        """Keep the path, absolute or relative to the data folder."""
        self.where = path

    def find(self, card: Card, data_dir: Path) -> Path:
        """Return the path; it need not exist."""
        return (data_dir / Path(self.where).expanduser()).resolve()


def folder_card(name: str) -> Card:
    """Return the card of the pool `folder:PATH` or `folder:PATH?transform=NAME`.

    Raises:
        FolderNameError: The name is malformed, or has an option of data sets.
    """
    path, options = options_of(name)
    if options != options.of_pixels:
        raise FolderNameError(
            f"{name!r}: a pool is whole images without labels, so its only options are "
            "transform=none|chip_max or rendering=NAME[&full_scale=VALUE]; leave the others out"
        )
    title, what = "Folder of images", "Any folder or archive of images."
    return Card(
        "folder", "pool", title, what, Folder(path), transform=options.transform,
        rendering=options.rendering,
    )  # fmt: skip


POOLS = (
    ImageFolder(
        "msar", "MSAR-1.0", 28_499, "Ships, aircraft, bridges and oil tanks, C band, 1 m, 256 px.",
        "https://radars.ac.cn/web/data/getData?dataType=MSAR", "MSAR-1.0",
    ),
    ImageFolder(
        "sar_ship", "SAR-Ship-Dataset", 39_729,
        "Ships, Gaofen-3 and Sentinel-1, 3 to 25 m, 256 px.",
        "https://github.com/CAESAR-Radi/SAR-Ship-Dataset", "SAR-Ship-Dataset", "ship_dataset_v0",
    ),
    ImageFolder(
        "sarsim", "SARSim", 21_168, "Simulated vehicles, X band, 0.3 m.",
        "the authors of SARSim (A. Kusk, A. Abulaitijiang, J. Dall, EUSAR 2016)", "SARSIM_database",
    ),
    ImageFolder(
        "sample", "SAMPLE", 5_380,
        "Measured and simulated MSTAR vehicles; the measured half shows MSTAR's vehicles.",
        "https://github.com/benjaminlewis-afrl/SAMPLE_dataset_public", "SAMPLE_dataset_public",
    ),
)  # fmt: skip
