"""MSTAR's own Phoenix files: the folder that holds them, their header against the release."""

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..facts import ChipFacts
from ..files import DatasetNotFoundError, find_source, plain
from ..phoenix import PhoenixChip, read_phoenix
from ..rendering import FORMULAS, OptionError, rendering_from
from ..source import Card, Entry, Source
from ..unreadable_image import UnreadableImageError

FOLDERS = ("mstar_raw",)
MARKERS = ("TARGETS", "15_DEG", "17_DEG", "MSTAR_PUBLIC_TARGETS_CHIPS_T72_BMP2_BTR70_SLICY")
MARKERS += ("MSTAR_PUBLIC_T_72_VARIANTS_CD1", "MSTAR_PUBLIC_T_72_VARIANTS_CD2")
LAYOUTS = (
    "mstar_raw/[<disc>/]TARGETS/TRAIN|TEST/<depression>_DEG/<class>/<serial>/HBnnnnn.sss",
    "mstar_raw/[<disc>/]<depression>_DEG/COL*/SCENE*/<class>/HBnnnnn.sss",
)
USUAL = "rendering=raw/log"  # option of a name that messages propose
MOST_DEPRESSION_DEG = 2.0  # between the depression of a header and that of the release
UNTYPED = "SLICY"  # a test object; its headers are not known to name it


def bare_serial(text: str) -> str:
    """Return a serial number without `SN_`, in capitals: SN_C21 and c21 are one."""
    return plain(text).removeprefix("SN")


class RawFiles(Source):
    """A data set that exists as images and, for a rendering, as Phoenix files."""

    name_options = (f"rendering={'|'.join(FORMULAS)}", "full_scale=AMPLITUDE")

    def with_options(self, card: Card, options: dict[str, str]) -> Card:
        """Return the card of a rendering of Phoenix files.

        Raises:
            OptionError: An option is unknown, or its value is.
        """
        if more := options.keys() - {"rendering", "full_scale"}:
            raise OptionError(
                f"{sorted(more)[0]!r} is not an option; allowed: {', '.join(self.name_options)}"
            )
        rendering = rendering_from(options)
        if rendering is None:
            return card
        name, title = f"{card.name}?{rendering.query}", f"{card.title}, {rendering.label}"
        return replace(card, name=name, title=title, rendering=rendering)

    def find(self, card: Card, data_dir: Path) -> Path | None:
        """Return the folder or archive; that of Phoenix files for a rendering of them."""
        if card.rendering is not None:
            return self._find_raw(data_dir)
        try:
            return super().find(card, data_dir)
        except DatasetNotFoundError as error:
            if find_source(data_dir, FOLDERS, MARKERS) is None:
                raise
            raise DatasetNotFoundError(
                f"{data_dir} holds no image of {card.name}, but Phoenix files of MSTAR; to read "
                f"them write {card.name}?{USUAL}"
            ) from error

    def _find_raw(self, data_dir: Path) -> Path:
        folders = (*FOLDERS, *self.folders)
        found = find_source(data_dir, folders, (*MARKERS, *self.markers))
        if found is None:
            raise DatasetNotFoundError(
                f"{data_dir} holds no folder or archive named {' or '.join(folders)}. Expected "
                f"layout of MSTAR's Phoenix files: {'; or '.join(LAYOUTS)}. Get them from "
                "https://www.sdms.afrl.af.mil; or name another data folder with --data or "
                "SARBENCH_DATA"
            )
        return found

    def phoenix(self, card: Card) -> bool:
        """Return whether a rendering of Phoenix files is read."""
        return card.rendering is not None

    def read(self, card: Card, entry: Entry) -> tuple[np.ndarray, ChipFacts]:
        """Return the amplitude of a chip and its facts; of a Phoenix file, its magnitude.

        Raises:
            UnreadableImageError: The file cannot be used, or its header names another class,
                another vehicle or another depression.
        """
        if card.rendering is None:
            return super().read(card, entry)
        chip = read_phoenix(entry.file.read_bytes(), str(entry.file.relative))
        self._check_type(entry, chip.target_type)
        known = self.facts(entry.chip_id)
        self._check_facts(entry, chip, known)
        depression_deg = known.depression_deg or chip.depression_deg
        return chip.magnitude, ChipFacts(
            chip.azimuth_deg, depression_deg, known.serial or chip.serial
        )

    def _check_type(self, entry: Entry, target_type: str) -> None:
        """Compare the class in a header with that of the chip."""
        named = {one for one in self.class_names() if plain(target_type).startswith(plain(one))}
        unknown = not named and entry.class_name == UNTYPED
        if target_type and entry.class_name not in named and not unknown:
            raise UnreadableImageError(
                f"{entry.file.relative}: its header says TargetType {target_type[:40]!r}, but "
                f"{entry.chip_id} is a {entry.class_name} by its name and folder; the two must "
                "agree: get the file again, or take it out of the folder"
            )

    def _check_facts(self, entry: Entry, chip: PhoenixChip, known: ChipFacts) -> None:
        """Compare serial number and depression in a header with those of the chip."""
        said = ""
        serial, own = bare_serial(chip.serial), bare_serial(known.serial)
        others = {bare_serial(one) for one in self.serials()} - {own, ""}
        if own and serial in others:  # another spelling of a serial number is not a contradiction
            said = f"TargetSerNum {chip.serial[:40]!r}, but {entry.chip_id} is {known.serial}"
        elif known.depression_deg is not None and chip.depression_deg is not None:
            apart = abs(chip.depression_deg - known.depression_deg)
            if apart > MOST_DEPRESSION_DEG:
                said = (
                    f"depression {chip.depression_deg:g}, but {entry.chip_id} is at "
                    f"{known.depression_deg:g} degrees"
                )
        if said:
            raise UnreadableImageError(
                f"{entry.file.relative}: its header says {said} by its name and folder; the two "
                "must agree: get the file again, or take it out of the folder"
            )

    @abstractmethod
    def serials(self) -> set[str]:
        """Return the serial numbers of all vehicles; empty is one that is not known."""

    @abstractmethod
    def class_names(self) -> set[str]:
        """Return all classes that a header may name."""

    def advice(self, card: Card) -> str:
        """Return the names of the files that are read."""
        if card.rendering is None:
            return (
                "images named HBnnnnn[.sss].<format> are read; to read Phoenix files (HBnnnnn.sss) "
                f"write {card.name}?{USUAL}"
            )
        return (
            "Phoenix files named HBnnnnn.sss are read; to read images leave "
            f"?{card.rendering.query} out of the name"
        )
