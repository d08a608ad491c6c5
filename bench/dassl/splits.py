"""The split of a data set and its support sets as files, in the layout that Dassl users know.

`split.json` holds the whole split, `split_fewshot/shot_K-seed_S.json` the support set of the runs
with K shots and seed S. Both list chips as `[impath, label, classname]`, and `val` is empty.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, ValidationError

from ...protocols._support_sets import Shots, are_shots, support_digest, support_set
from ..data.chips import Chips
from ..data.images import content_digest
from ..store.atomic import TooLargeError, read_file, write_atomic, writing

SPLIT, CHIPS, SUPPORT_SETS = "split.json", "chips", "split_fewshot"
SUFFIXES = {"uint8": ".png", "uint16": ".png", "float32": ".tiff"}  # formats without loss
LARGEST = 256 << 20  # bytes of a file of a split
NAME = re.compile(r"shot_(\d+|all)-seed_(-?\d+)")

Model = TypeVar("Model", bound="_Stored")


class SplitFileError(ValueError):
    """A file of a split that is missing, damaged, or in the way of another one."""


class Item(NamedTuple):
    """A chip in a split; in a file a list of three values."""

    impath: str  # below the folder of the split
    label: int
    classname: str


class _Stored(BaseModel, frozen=True, extra="forbid"):
    """The part that both kinds of files share."""

    dataset: str
    split_digest: str
    train: list[Item]
    val: list[Item] = []


class Split(_Stored, frozen=True):
    """The whole split of a data set; `chips_digest` finds images or labels edited later."""

    data_digest: str
    chips_digest: str
    classes: list[str]
    test: list[Item]


class SupportSet(_Stored, frozen=True):
    """The labelled training chips of a run, in the order in which a run has them.

    `unknown` are paths of a converted file that name no training chip.
    """

    shots: Shots
    seed: int
    support_digest: str
    unknown: list[str] = []

    @property
    def name(self) -> str:
        """The name of its file without the suffix, as Dassl's users write it."""
        return support_name(self.shots, self.seed)


def support_name(shots: Shots, seed: int) -> str:
    """Return the name of the file of a support set, without its suffix."""
    return f"shot_{shots}-seed_{seed}"


def support_path(folder: Path, shots: Shots, seed: int) -> Path:
    """Return the file of a support set in the folder of a split."""
    return folder / SUPPORT_SETS / f"{support_name(shots, seed)}.json"


def to_shots(text: str) -> Shots | None:
    """Return shots from text, None for another text."""
    shots = int(text) if text.isdecimal() else text
    return shots if are_shots(shots) else None


def impath(chips: Chips, index: int) -> str:
    """Return the path of a chip below the folder of a split."""
    return f"{CHIPS}/{chips.ids[index]}{SUFFIXES[chips.pixels.dtype.name]}"


def items(chips: Chips, indices: Sequence[int] | np.ndarray) -> list[Item]:
    """Return chips as they are in a file."""
    labels = chips.labels
    return [Item(impath(chips, int(i)), int(labels[i]), chips.classes[labels[i]]) for i in indices]


def split_of(chips: Chips) -> Split:
    """Return the whole split of a data set."""
    train, test = (items(chips, np.flatnonzero(chips.is_test == one)) for one in (False, True))
    index = {impath(chips, i): i for i in range(len(chips))}
    return Split(
        dataset=chips.name,
        split_digest=chips.split_digest,
        data_digest=chips.data_digest,
        classes=list(chips.classes),
        chips_digest=chips_digest(
            train, test, lambda one: content_digest(chips.chip(index[one.impath]))
        ),
        train=train,
        test=test,
    )


def chips_digest(train: list[Item], test: list[Item], content: Callable[[Item], int]) -> str:
    """Return the SHA-256 over path, label, class and pixels of each chip."""
    digest = sha256()
    for part in (train, test):
        digest.update(f"{len(part)}\n".encode())
        for one in part:
            digest.update(f"{json.dumps(one)} {content(one):016x}\n".encode())
    return digest.hexdigest()


def draw_support(chips: Chips, shots: Shots, seed: int) -> SupportSet:
    """Return the support set that a run with these shots and this seed has.

    Raises:
        SupportSetError: A class has too few chips.
    """
    train = np.flatnonzero(~chips.is_test)
    chosen = train[
        support_set(
            chips.split_digest, seed, chips.ids[train], chips.labels[train], shots, chips.classes
        )
    ]
    return support_from(chips, chosen, shots, seed)


def support_from(
    chips: Chips, chosen: Sequence[int] | np.ndarray, shots: Shots, seed: int, unknown: Any = ()
) -> SupportSet:
    """Return training chips as a support set."""
    return SupportSet(
        dataset=chips.name,
        split_digest=chips.split_digest,
        shots=shots,
        seed=seed,
        support_digest=support_digest(chips.ids[i] for i in chosen),
        train=items(chips, chosen),
        unknown=list(unknown),
    )


def split_files(
    split: Split, supports: Iterable[SupportSet], form: Literal["dassl", "csv"]
) -> dict[str, str]:
    """Return the content of each file of a split by its path below the folder."""
    if form == "csv":
        files = {SPLIT.replace("json", "csv"): _table(train=split.train, test=split.test)}
        return files | {f"{SUPPORT_SETS}/{s.name}.csv": _table(train=s.train) for s in supports}
    files = {
        SPLIT: _json(split),
        "dataset.yaml": f"DATASET:\n  NAME: {json.dumps(split.dataset)}\n",
    }
    return files | {f"{SUPPORT_SETS}/{one.name}.json": _json(one) for one in supports}


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write the files of a split.

    Raises:
        SplitFileError: One of them exists with another content; nothing is written.
    """
    for name, content in files.items():
        path = folder / name
        if path.exists() and (not path.is_file() or path.read_bytes() != content.encode()):
            raise SplitFileError(
                f"{path} exists and holds something else; a folder holds one version of one data "
                "set: delete it, or name another folder with --out"
            )
    for name, content in files.items():
        write_atomic(folder / name, content)


def write_chips(folder: Path, chips: Chips) -> Iterator[int]:
    """Write every chip as an image without loss; yield how many are written after each.

    8 and 16 bit become PNG, float32 becomes TIFF.

    Raises:
        NoSpaceError: The disk is full.
    """
    for index in range(len(chips)):
        path = folder / impath(chips, index)
        with writing(path) as temporary:
            image = Image.fromarray(np.ascontiguousarray(chips.chip(index)))
            image.save(temporary, format=path.suffix[1:])
            temporary.replace(path)
        yield index + 1


def read_split(folder: Path, dataset: str) -> Split:
    """Read the whole split of a data set, whose name is for the message.

    Raises:
        SplitFileError: There is none, or it cannot be read.
    """
    return _read(folder / SPLIT, Split, f"{dataset} --shots 10 --seeds 5")


def read_support(folder: Path, dataset: str, shots: Shots, seed: int) -> SupportSet:
    """Read one support set in the folder of a split.

    Raises:
        SplitFileError: It is missing, or it cannot be read.
    """
    path = support_path(folder, shots, seed)
    return _read(path, SupportSet, f"{dataset} --shots {shots} --seeds {max(seed, 0) + 1}")


def _read(path: Path, kind: type[Model], options: str) -> Model:
    try:
        return kind.model_validate_json(read_file(path, LARGEST))
    except FileNotFoundError:
        raise SplitFileError(
            f"{path} does not exist; write it with `sarbench export splits {options} "
            f"--out {path.parent.parent if kind is SupportSet else path.parent}`"
        ) from None
    except (OSError, TooLargeError) as error:
        raise SplitFileError(f"{path} cannot be read: {error}; write it again") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise SplitFileError(
            f"{path}: {where}: {problem['msg']}; write it again with `sarbench export splits`"
        ) from None


def _json(stored: _Stored) -> str:
    """Return JSON with one chip on each line."""
    fields = []
    for name, value in stored.model_dump().items():
        text = json.dumps(value)
        if name in ("train", "test"):
            text = "[\n" + ",\n".join(f"  {json.dumps(item)}" for item in value) + "\n ]"
        fields.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _table(**parts: list[Item]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["part", *Item._fields])
    table.writerows([part, *item] for part, listed in parts.items() for item in listed)
    return text.getvalue()
