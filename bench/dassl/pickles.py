"""Dassl's `split_fewshot` pickles, read without running anything that they name.

A pickle may call any function of the interpreter. Only the operations that a list of `Datum` needs
are accepted, and the only class that may be named is Dassl's `Datum`, in whose place plain data are
made.
"""

import io
import pickle
import pickletools
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..data.chips import Chips
from ..data.files import ImageFile, plain
from ..data.names import card_of
from ..data.source import Listing
from ..store.atomic import TooLargeError, read_file
from .splits import CHIPS, NAME, SupportSet, support_from, to_shots

LARGEST = 64 << 20  # bytes; a split of 100,000 chips takes 10 MB
DATUM = {("dassl.data.datasets.base_dataset", "Datum"), ("dassl.data.datasets", "Datum")}
OPERATIONS = {
    "PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET",
    "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "SETITEM", "SETITEMS", "APPEND", "APPENDS",
    "BININT", "BININT1", "BININT2", "SHORT_BINUNICODE", "BINUNICODE", "GLOBAL", "STACK_GLOBAL",
    "NEWOBJ", "BUILD",
}  # fmt: skip
ACCEPTED = "accepted are dictionaries and lists of Dassl's Datum, texts and whole numbers"


class UnsafePickleError(ValueError):
    """A file that is not a pickle of Dassl's `Datum` alone."""


class _Datum:
    """Plain data in the place of Dassl's `Datum`."""


class _Reader(pickle.Unpickler):
    """An unpickler that knows one class."""

    def find_class(self, module: str, name: str) -> type:
        """Return the stand-in for `Datum`, and refuse every other name."""
        if (module, name) not in DATUM:
            raise UnsafePickleError(f"it names {module}.{name}; {ACCEPTED}")
        return _Datum


@dataclass(frozen=True)
class Converted:
    """A pickle in our ids.

    Attributes:
        support: The training chips that it names.
        unknown: Paths of its training list that name no chip.
        tested: Paths of its training list that are test chips of our split.
        other_class: Paths whose class has another name in our split.
        repeated: Further paths of training chips that are listed before.
    """

    support: SupportSet
    unknown: list[str]
    tested: list[str]
    other_class: list[str]
    repeated: list[str]


def read_pickle(path: Path) -> list[tuple[str, str]]:
    """Return path and class name of each training chip of a `split_fewshot` pickle.

    Raises:
        UnsafePickleError: It holds anything else, or cannot be read.
    """
    try:
        return _training_chips(_load(read_file(path, LARGEST)))
    except (OSError, TooLargeError) as error:
        raise UnsafePickleError(f"{path} cannot be read: {error}; check the path") from None
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{path} is refused: {error}. Write the split as JSON where you trust the file"
        ) from None


def convert(path: Path, chips: Chips) -> Converted:
    """Return a `split_fewshot` pickle as a support set of our chips.

    Raises:
        UnsafePickleError: It cannot be read, its name does not give shots and seed, or it names
            none of our training chips.
    """
    match = NAME.fullmatch(path.stem)
    shots = to_shots(match[1]) if match else None
    if match is None or shots is None:
        raise UnsafePickleError(
            f"the name of {path} does not give shots and seed; rename it to shot_K-seed_S.pkl"
        )
    named = read_pickle(path)
    found = _find_chips([impath for impath, _ in named], chips)
    index = {str(chip_id): i for i, chip_id in enumerate(chips.ids)}
    chosen, tested, other_class, unknown, repeated = [], [], [], [], []
    seen = set[int]()
    for impath, class_name in named:
        chip = index.get(found.get(impath, ""))
        if chip in seen:
            repeated.append(impath)
            continue
        if chip is None:
            unknown.append(impath)
            continue
        seen.add(chip)
        if chips.is_test[chip]:
            tested.append(impath)
        else:
            chosen.append(chip)
        if plain(class_name) != plain(chips.classes[chips.labels[chip]]):
            other_class.append(impath)
    if not chosen:
        first = unknown or tested
        raise UnsafePickleError(
            f"{path} names none of the training chips of {chips.name} (its first path is "
            f"{first[0] if first else 'missing'}); name the data set that it was made from"
        )
    support = support_from(chips, chosen, shots, int(match[2]), unknown + tested)
    return Converted(support, unknown, tested, other_class, repeated)


def _load(content: bytes) -> Any:
    try:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name not in OPERATIONS:
                raise UnsafePickleError(f"it holds the operation {operation.name}; {ACCEPTED}")
            if "BINPUT" in operation.name and int(argument or 0) > len(content):
                raise UnsafePickleError("it asks for more memory than its size explains")
        return _Reader(io.BytesIO(content)).load()
    except UnsafePickleError:
        raise
    except Exception as error:  # a damaged pickle raises anything
        raise UnsafePickleError(f"it is not a whole pickle ({error})") from None


def _training_chips(content: Any) -> list[tuple[str, str]]:
    if not isinstance(content, dict) or not isinstance(content.get("train"), list):
        raise UnsafePickleError("it is not a dictionary with a list `train`")
    found = []
    for datum in content["train"]:
        values = vars(datum) if isinstance(datum, _Datum) else {}
        pair = values.get("_impath"), values.get("_classname")
        if not (isinstance(pair[0], str) and isinstance(pair[1], str)):
            raise UnsafePickleError("an entry of `train` is not a Datum with path and class")
        found.append(pair)
    return found


def _find_chips(paths: list[str], chips: Chips) -> dict[str, str]:
    """Return the chip id of each path that names one: our own export, or a file of the data set."""
    files = {path: PurePosixPath(path.replace("\\", "/")) for path in paths}
    ids, found = set(map(str, chips.ids)), {}
    for path, file in files.items():
        below = "/".join(file.parts[file.parts.index(CHIPS) + 1 :]) if CHIPS in file.parts else ""
        if (own := below.removesuffix(file.suffix)) in ids:
            found[path] = own
    source = card_of(chips.name).source
    if source.version is not None:  # a set without files, which would be simulated
        return found
    rest = {Path(path): path for path in paths if path not in found}
    listing = Listing(None)
    images = [ImageFile(files[path], at, (0, 0)) for at, path in rest.items()]
    source.place(card_of(chips.name), images, listing)
    return found | {rest[entry.file.path]: entry.chip_id for entry in listing.entries}


def in_words(support: SupportSet, classes: int) -> str:
    """Return the number of chips, in all and of each class."""
    counts = np.bincount([item.label for item in support.train])
    counts = counts[counts > 0]
    low, high = int(counts.min()), int(counts.max())
    each = f"{low}" if low == high else f"{low} to {high}"
    return f"{len(support.train)}, {each} in each of {len(counts)} of {classes} classes"
