"""`metadata.csv` in the folder of a set: azimuth, depression and serial number of chips by id."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from .csv_file import file_in, read_lines, refuse
from .facts import LARGEST_DEG, ChipFacts, angle
from .listing import DatasetMismatchError
from .packing import PackedChip

FILE = "metadata.csv"
COLUMNS = {name.removesuffix("_deg"): name for name in LARGEST_DEG}  # and the fact


def facts_file(source: Path | None) -> tuple[Path, ...]:
    """Return the file below the folder of a set; empty if there is none.

    Raises:
        DatasetMismatchError: Something else has its name.
    """
    return () if source is None else file_in(source, FILE)


def read_facts(path: Path) -> Mapping[str, ChipFacts]:
    """Return the facts by chip id; an empty value is not known, further columns are not read.

    A file that has not changed since the last call is not read again.

    Raises:
        DatasetMismatchError: It is not CSV in UTF-8, has no column `id` or none of the others, or
            has a value that is not an angle, or an id twice.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DatasetMismatchError(
            f"{path} cannot be read ({error.strerror}); its folder must not change meanwhile: "
            "prepare the set again"
        ) from error
    return _read(path, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=1)  # a set is checked, packed and reported one after the other
def _read(path: Path, stamp: tuple[int, ...]) -> Mapping[str, ChipFacts]:
    found: dict[str, ChipFacts] = {}
    problems: list[str] = []
    for number, values in read_lines(path, "id,azimuth,depression,serial", _wrong_columns):
        try:
            facts = _facts(values)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if values["id"] in found:
            problems.append(f"line {number}: {values['id']} is named twice")
        found[values["id"]] = facts
    refuse(path, problems)
    return found


def _wrong_columns(columns: list[str]) -> str:
    if "id" in columns and {*COLUMNS, "serial"} & {*columns}:
        return ""
    return (
        f"has the columns {', '.join(columns) or 'of no line'}; it must have id and one or more of "
        "azimuth, depression and serial: correct its first line"
    )


def _facts(values: dict[str, str]) -> ChipFacts:
    angles: dict[str, float] = {}
    for column, name in COLUMNS.items():
        if text := values.get(column, ""):
            found = angle(name, text)
            if found is None:
                most = LARGEST_DEG[name]
                raise ValueError(
                    f"{column} is {text[:20]!r}; it must be a number from 0 to {most:g}"
                )
            angles[name] = found
    serial = values.get("serial", "")
    if not serial.isprintable():
        raise ValueError("serial has characters that cannot be printed")
    return ChipFacts(**angles, serial=serial)


def unmatched(path: Path, ids: Collection[str]) -> str:
    """Return a sentence on the ids of a file that are not chips of a set; empty if all are.

    Args:
        path: The file.
        ids: Ids of the chips of the set.

    Raises:
        DatasetMismatchError: The file cannot be used, or none of its ids is a chip.
    """
    known = read_facts(path)
    there = set(ids)
    others = [chip_id for chip_id in known if chip_id not in there]
    if not others:
        return ""
    text = (
        f"{len(known) - len(others)} of {len(known)} ids of {path.name} are chips of this set; "
        f"not a chip: {', '.join(others[:2])}; ids of this set look like {min(ids, default='')}"
    )
    if len(others) < len(known):
        return text
    raise DatasetMismatchError(
        f"{path}: {text}: correct the column id, or take the file out of the folder"
    )


def with_facts(chips: Iterator[PackedChip], path: Path | None = None) -> Iterator[PackedChip]:
    """Yield chips with the facts of a file, which come before those of folders and headers."""
    known = {} if path is None else read_facts(path)
    for chip in chips:
        own = known.get(chip.chip_id)
        yield chip if own is None else replace(chip, facts=own.over(chip.facts))
