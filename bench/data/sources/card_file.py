"""Card files: TOML files that make a labelled folder a data set with a name of its own."""

import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...toml_file import Section, read_toml
from ..files import DatasetNotFoundError
from ..listing import SIDES
from ..source import Card, Counts
from .labelled_folder import LARGEST_CROP_PX, LabelledFolder, Options

SUFFIX = ".card.toml"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class CardError(ValueError):
    """A card file that cannot be used."""


class CardFile(Section):
    """The content of a card file.

    Attributes:
        title: Name in captions.
        folder: The folder of the chips, absolute or relative to that of the card.
        about: Description in a sentence.
        where: Address to get the chips from.
        licence: Licence, as stated there.
        citation: Publication to cite.
        crop: As in `Options`, with a number of pixels.
        transform: As in `Card`.
        test: As in `Options`; None where the files say the side.
        by: Images or whole groups of near duplicates are drawn.
        seed: As in `Options`.
        counts: Required number of chips of each side and class; empty allows any.
    """

    title: str = Field(min_length=1)
    folder: str = ""
    about: str = "A folder of labelled chips."
    where: str = "not stated"
    licence: str = "not stated"
    citation: str = ""
    crop: int | Literal["none"] | None = None
    transform: Literal["none", "chip_max"] = "none"
    test: float | None = Field(default=None, gt=0, lt=1)
    by: Literal["image", "group"] = "image"
    seed: int = Field(default=0, ge=0)
    counts: dict[str, dict[str, int]] = Field(default_factory=dict)

    def options(self) -> Options:
        """Return the options of the folder."""
        crop = "" if self.crop is None else str(self.crop)
        return Options(self.transform, crop, self.test or 0.0, self.by == "group", self.seed)


class CardFolder(LabelledFolder):
    """A labelled folder that a card file describes."""

    def __init__(self, path: str, content: CardFile) -> None:
        """Keep path and content."""
        super().__init__(path, content.options())
        self.where, self.licence, self.citation = content.where, content.licence, content.citation
        self.content = content

    def find(self, card: Card, data_dir: Path) -> Path:
        """Return the folder; it need not exist.

        Raises:
            DatasetNotFoundError: The card is from a store, which does not know the folder.
        """
        if not self.content.folder:
            raise DatasetNotFoundError(
                f"the store does not know the folder of {card.name}; name the data folder with "
                f"{card.name}{SUFFIX} by --data or SARBENCH_DATA"
            )
        return Path(self.path)

    def counts(self, card: Card) -> Counts:
        """Return the numbers of chips that the card states."""
        return {side: self.content.counts.get(side, {}) for side in SIDES}

    def card_text(self) -> str:
        """Return the card without the folder, for a store."""
        return to_toml(self.content.model_copy(update={"folder": ""}))


def check_name(name: str) -> None:
    """Refuse a name that a data set of a card file cannot have.

    Raises:
        CardError: It has other characters than letters, digits, `_`, `.` and `-`.
    """
    if NAME.fullmatch(name) is None:
        raise CardError(
            f"{name!r} cannot name a data set; a name has letters, digits, `_`, `.` and `-`, first "
            "a letter or a digit: choose another name"
        )


def card_from(path: Path) -> Card:
    """Read a card file, named `NAME.card.toml`.

    Raises:
        CardError: Its name or its content cannot be used; the message lists every problem.
    """
    name = path.name.removesuffix(SUFFIX)
    check_name(name)
    content = read_toml(path, CardFile, CardError)
    if unknown := set(content.counts) - set(SIDES):
        raise CardError(f"{path}: counts has {', '.join(sorted(unknown))}; allowed: train, test")
    if isinstance(content.crop, int) and not 8 <= content.crop <= LARGEST_CROP_PX:
        raise CardError(f"{path}: crop is {content.crop}; it must be 8 to {LARGEST_CROP_PX} px")
    folder = (path.parent / Path(content.folder).expanduser()).resolve()
    return described(name, folder, content)


def described(name: str, folder: Path, content: CardFile) -> Card:
    """Return the card of a folder with the content of a card file."""
    crop = content.crop if isinstance(content.crop, int) else None
    return Card(
        name, "dataset", content.title, content.about, CardFolder(str(folder), content),
        crop_px=crop, transform=content.transform, crop_from_sizes=content.crop is None,
    )  # fmt: skip


def has_folder(card: Card) -> bool:
    """Return whether a card knows the folder of its chips; a copy in a store does not."""
    return isinstance(card.source, CardFolder) and card.source.content.folder != ""


def to_toml(content: CardFile) -> str:
    """Return the text of a card file; fields with their default are left out."""
    fields = content.model_dump(exclude_defaults=True)
    counts = fields.pop("counts", {})
    lines = [f"{key} = {_quoted(value)}" for key, value in fields.items()]
    for side, of in counts.items():
        lines += ["", f"[counts.{side}]"]
        lines += [f"{_quoted(name)} = {number}" for name, number in of.items()]
    return "\n".join(lines) + "\n"


def _quoted(value: Any) -> str:
    """Return a value as TOML, which is that of JSON but for a letter that JSON does not escape."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
