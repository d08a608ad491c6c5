"""A data set: its cards, its files, its chips."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .facts import ChipFacts
from .files import DatasetNotFoundError, ImageFile, find_source
from .phoenix import is_phoenix, read_phoenix
from .rendering import OptionError, Rendering

if TYPE_CHECKING:
    from .packing import PackedChip

CROP_PX = 128
HELD_OUT = ":held_out"  # ends the name of a data set's held-out training chips (`held_out.py`)
Transform = Literal["none", "chip_max"]
Members = dict[str, tuple[str, bool]]  # chip id -> class, True for a test chip
Counts = dict[str, dict[str, int]]  # "train" or "test" -> class -> number of chips


@dataclass(frozen=True)
class Card:
    """A data set or pool by its name in grids.

    Attributes:
        name: Name in grids.
        kind: `dataset` (labelled, split) or `pool` (for pretraining only).
        title: Name in captions.
        what: Description in a sentence.
        source: The data set that this is a variant of.
        crop_px: Side of the central square that is kept (zero-padded); None keeps whole chips.
        transform: `none`, or `chip_max`: float amplitude over the maximum of its chip.
        rendering: Formula for raw amplitude; None keeps values in [0, 1] as they are stored.
        total: Number of images in a pool; None allows any number.
        sides: Required numbers of train and test chips, where those of each class are not known;
            None allows any number.
        whole_px: Side of the chips if they are whole and all have the same; else None.
        crop_from_sizes: True if `crop_px` follows from the images: None if all have one size, else
            `CROP_PX`.
        near_train: Number of test chips that are copies or near copies of a training chip, as
            `sarbench data audit` counts them; None if it was not declared. Captions state it.
        instead: The variant with the fewest such test chips; empty if that is this one.
    """

    name: str
    kind: Literal["dataset", "pool"]
    title: str
    what: str
    source: "Source"
    crop_px: int | None = None
    transform: Transform = "none"
    rendering: Rendering | None = None
    total: int | None = None
    sides: tuple[int, int] | None = None
    whole_px: int | None = None
    crop_from_sizes: bool = False
    near_train: int | None = None
    instead: str = ""

    @property
    def side_px(self) -> int | None:
        """The side of the chips in pixels; None where chips differ."""
        return self.crop_px or self.whole_px

    @property
    def counts(self) -> Counts:
        """The required number of chips of each class and side; empty for a pool or a part."""
        whole = self.kind == "dataset" and not self.name.endswith(HELD_OUT)
        return self.source.counts(self) if whole else {}

    @property
    def is_of_user(self) -> bool:
        """True for a set that files and cards of a user define, not a list or simulator here."""
        return self.source.version is None and self.source.members(self) is None

    def copies_text(self) -> str:
        """Return a sentence on test chips that are near copies of training chips; empty if none."""
        if not self.near_train:
            return ""
        text = (
            f"{self.near_train:,} of {sum(self.counts['test'].values()):,} test chips of "
            f"{self.name} are near copies of training chips"
        )
        if not self.instead:
            return f"{text}."
        (other,) = (one for one in self.source.cards() if one.name == self.instead)
        return f"{text}; {other.name} has {other.near_train or 'none'}."


@dataclass(frozen=True)
class Entry:
    """A chip and its file; `group` names its near duplicates, and is empty if there are none."""

    chip_id: str
    class_name: str
    is_test: bool
    file: ImageFile
    group: str = ""


@dataclass
class Listing:
    """The chips found in the files of a data set or pool.

    Attributes:
        source: The folder or archive; None for a simulated set.
        entries: The chips in the order of their ids.
        missing: Ids of chips that were not found, where ids are known.
        refused: Files that look like chips but cannot be assigned to one, with the reason.
        unexpected: Images that do not belong to the data set.
        hint: Reason why no chip was found, where the files show it.
    """

    source: Path | None
    entries: list[Entry] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    hint: str = ""

    def counts(self) -> Counts:
        """Return the number of chips found of each class and side."""
        return count(Counter((entry.class_name, entry.is_test) for entry in self.entries))


def count(chips: "Counter[tuple[str, bool]]") -> Counts:
    """Return counts of (class, is test) as `{"train": {class: n}, "test": {class: n}}`."""
    return {
        side: {name: n for (name, tested), n in sorted(chips.items()) if tested == is_test}
        for side, is_test in (("train", False), ("test", True))
    }


class Source(ABC):
    """A data set with all its variants and pools; one subclass in each file of `sources/`.

    Attributes:
        where: Address to get it from.
        licence: Licence, as stated there.
        citation: Publication to cite.
        cites: Its keys in `bench/reporting/papers.bib`.
        layouts: Folder layouts that are read.
        folders: Names of its folder or archive below the data folder; the first that exists is
            read.
        markers: Names of sub-folders; a data folder that has one is the data set itself.
        extra_controls: Controls that its tables need in addition to the usual ones.
        name_options: Options that a name may have behind `?`, joined by `&`.
        has_renderings: True if the same chips exist with different pixels, so that captions name
            the rendering.
        version: Version of the pixels of a set without files.
    """

    where: str
    licence: str
    citation: str = ""
    cites: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    extra_controls: tuple[str, ...] = ()
    name_options: tuple[str, ...] = ()
    has_renderings = False
    version: int | None = None

    @abstractmethod
    def cards(self) -> tuple[Card, ...]:
        """Return its variants and pools."""

    @abstractmethod
    def place(self, card: Card, files: list[ImageFile], listing: Listing) -> None:
        """Sort each file into `listing.entries`, `listing.refused` or `listing.unexpected`."""

    def find(self, card: Card, data_dir: Path) -> Path | None:
        """Return the folder or archive of the files; None if no files are needed.

        Raises:
            DatasetNotFoundError: There is none below `data_dir`.
        """
        found = find_source(data_dir, self.folders, self.markers)
        if found is None:
            raise DatasetNotFoundError(
                f"{data_dir} holds no folder or archive named {' or '.join(self.folders)} (case "
                f"and separators do not matter), and is not {card.name} itself. Expected layout: "
                f"{'; or '.join(self.layouts)}. Get {card.name} from {self.where}; or name another "
                "data folder with --data or SARBENCH_DATA"
            )
        return found

    def with_options(self, card: Card, options: dict[str, str]) -> Card:
        """Return the card of a name with options, `NAME?key=value&...`.

        Raises:
            OptionError: The data set or pool has no such option.
        """
        raise OptionError(f"{card.name} has no options; leave out {', '.join(options)}")

    def phoenix(self, card: Card) -> bool | None:
        """Return whether Phoenix files are read instead of images; None: if there are no images.

        Their magnitude needs a rendering, so without one images alone are read.
        """
        return None if card.rendering is not None else False

    def read(self, card: Card, entry: Entry) -> tuple[np.ndarray, ChipFacts]:
        """Return the amplitude (H, W) of a chip in its stored type, and what is known of it.

        Raises:
            UnreadableImageError: Its file cannot be used.
        """
        if is_phoenix(entry.file.relative.name):
            chip = read_phoenix(entry.file.read_bytes(), str(entry.file.relative))
            return chip.magnitude, chip.facts
        return entry.file.read(), self.facts(entry.chip_id)

    def facts(self, chip_id: str) -> ChipFacts:
        """Return what is known of a chip without its file."""
        return ChipFacts()

    def other_files(self, source: Path) -> tuple[Path, ...]:
        """Return the files that `place` reads in addition to images."""
        return ()

    def members(self, card: Card) -> Members | None:
        """Return class and side of every chip; None if ids are not known before files are read."""
        return None

    def counts(self, card: Card) -> Counts:
        """Return the required number of chips of each class and side of a data set."""
        return count(Counter((self.members(card) or {}).values()))

    def advice(self, card: Card) -> str:
        """Return the file names that are read, for a folder without any; empty if not known."""
        return ""

    def problem(self, card: Card, chips: Sequence["PackedChip"]) -> str:
        """Return the reason why all chips together cannot be used; empty if they can."""
        return ""

    def card_text(self) -> str:
        """Return the card file of a user's set, for a store; empty for other sets."""
        return ""

    def groups(self, card: Card) -> dict[str, int]:
        """Return the near-duplicate group of every chip id that is known without files."""
        return {}

    def vehicle(self, chip_id: str) -> tuple[str, str] | None:
        """Return class and serial number of the vehicle on a chip; None if not known."""
        return None
