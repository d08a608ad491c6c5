"""Class, side and group of each image in a labelled folder, from a CSV file or folder names."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path

from ..csv_file import read_lines, refuse
from ..files import ImageFile
from ..listing import SIDES

SPLIT_FILE = "split.csv"
REQUIRED = ("file", "class")


@dataclass(frozen=True)
class Row:
    """An image of a labelled folder.

    Attributes:
        file: The image.
        class_name: Its class.
        side: `train`, `test`, or empty where a rule decides.
        group: Name of its near-duplicate group; empty if it is its own.
        chip_id: Its id; empty to make one of class and file name.
        name: Path below the folder of the class, or below the folder of the set.
    """

    file: ImageFile
    class_name: str
    side: str = ""
    group: str = ""
    chip_id: str = ""
    name: str = ""


def rows_of_csv(path: Path, files: Sequence[ImageFile]) -> list[Row]:
    """Return the rows of a split file with the columns `file`, `class` and, in any order, others.

    `side` is `train` or `test`; `group` and `id` are optional; further columns are not read. Paths
    are relative to the folder of the split file. Images that it does not name are not used.

    Raises:
        DatasetMismatchError: It cannot be read, lacks a column, or names a file that is missing, a
            file twice, or an unknown side.
    """
    known = {file.relative.as_posix(): file for file in files}
    rows: list[Row] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, values in read_lines(path, "file,class,side[,group,...]", _wrong_columns):
        name = Path(values["file"]).as_posix()
        side = values.get("side", "")
        first = seen.setdefault(name, number)
        if first != number:
            problems.append(f"line {number}: {name} is also in line {first}")
        elif name not in known:
            problems.append(f"line {number}: {name} is not an image below {path.parent}")
        elif side not in ("", *SIDES):
            problems.append(f"line {number}: side is {side!r}; allowed: train, test")
        elif not values["class"]:
            problems.append(f"line {number}: {name} has no class")
        else:
            rows.append(
                Row(
                    known[name], values["class"], side, values.get("group", ""),
                    values.get("id", ""), known[name].relative.name,
                )
            )  # fmt: skip
    refuse(path, problems)
    return rows


def _wrong_columns(columns: list[str]) -> str:
    missing = [one for one in REQUIRED if one not in columns]
    if not missing:
        return ""
    return (
        f"has no column {' and '.join(missing)}, but {', '.join(columns) or 'no line'}; its first "
        "line must be file,class,side and may name more columns: group, id"
    )


def rows_of_folders(files: Iterable[ImageFile]) -> tuple[list[Row], list[str]]:
    """Return the rows of `train|test/<class>/*` or `<class>/*`, and images outside both.

    In `<class>/<group>/*` each folder below the class is a group of near duplicates.
    """
    rows, outside = [], []
    for file in files:
        parts = file.relative.parts
        side = parts[0].lower() if parts[0].lower() in SIDES else ""
        below = parts[1:] if side else parts
        if len(below) < 2:
            outside.append(str(file.relative))
            continue
        group = "" if side or len(below) < 3 else "/".join(below[:-1])
        rows.append(Row(file, below[0], side, group, name="/".join(below[1:])))
    return rows, outside


def draw_sides(
    rows: Sequence[Row], test_share: float, by_group: bool, seed: int
) -> dict[ImageFile, str]:
    """Draw the side of each image by a hash of `seed` and its group, or of its class and name.

    Without groups, the first images of each class in the order of the hash are test chips, as many
    as `test_share` rounds to, at least one and not all. With groups, which are never divided, each
    group in the order of the hash is a test group if its classes have too few test chips so far.
    """

    def units() -> Iterator[tuple[bytes, list[Row]]]:
        ordered = sorted(rows, key=_unit if by_group else _own)
        for unit, members in groupby(ordered, key=_unit if by_group else _own):
            yield sha256(f"{seed} {unit}".encode()).digest(), list(members)

    found: dict[ImageFile, str] = {}
    seen = dict.fromkeys((row.class_name for row in rows), 0)
    tested = dict(seen)
    size = {name: sum(row.class_name == name for row in rows) for name in seen}
    quota = {name: min(max(1, round(test_share * n)), n - 1) for name, n in size.items()}
    for _, members in sorted(units(), key=lambda unit: unit[0]):
        for row in members:
            seen[row.class_name] += 1
        if by_group:
            classes = [row.class_name for row in members]
            to_test = sum(test_share * seen[c] - tested[c] for c in classes) > 0
        else:
            to_test = tested[members[0].class_name] < quota[members[0].class_name]
        for row in members:
            found[row.file] = "test" if to_test else "train"
            tested[row.class_name] += to_test
    return found


def _own(row: Row) -> str:
    return f"image {row.class_name}/{row.name}"


def _unit(row: Row) -> str:
    return f"group {row.group}" if row.group else _own(row)
