"""`metadata.csv` in the folder of a set: azimuth, depression and serial number of chips by id."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .facts import ChipFacts
from .listing import DatasetMismatchError, name_some
from .packing import PackedChip

FILE = "metadata.csv"
COLUMNS = {"azimuth": 360.0, "depression": 90.0}  # and the largest angle
LARGEST = 2**26  # bytes


def facts_file(source: Path | None) -> tuple[Path, ...]:
    """Return the file below the folder of a set; empty if there is none."""
    path = source / FILE if source is not None else None
    return (path,) if path is not None and path.is_file() else ()


def read_facts(path: Path) -> dict[str, ChipFacts]:
    """Return the facts by chip id; an empty value is not known, further columns are not read.

    Raises:
        DatasetMismatchError: It is not CSV in UTF-8, has no column `id` or none of the others, or
            has a value that is not an angle, or an id twice.
    """
    found: dict[str, ChipFacts] = {}
    problems: list[str] = []
    try:
        if path.stat().st_size > LARGEST:
            raise DatasetMismatchError(f"{path} is larger than {LARGEST >> 20} MiB; divide the set")
        with path.open(encoding="utf-8-sig", newline="") as source:
            reader = csv.DictReader(source, restval="")
            columns = [str(one).strip() for one in reader.fieldnames or []]
            reader.fieldnames = columns
            if "id" not in columns or not {*COLUMNS, "serial"} & {*columns}:
                raise DatasetMismatchError(
                    f"{path} has the columns {', '.join(columns) or 'of no line'}; it must have id "
                    "and one or more of azimuth, depression and serial: correct its first line"
                )
            for line in reader:
                values = {key: str(line[key]).strip() for key in columns}
                try:
                    facts = _facts(values)
                except ValueError as error:
                    problems.append(f"line {reader.line_num}: {error}")
                    continue
                if values["id"] in found:
                    problems.append(f"line {reader.line_num}: {values['id']} is named twice")
                found[values["id"]] = facts
    except (OSError, UnicodeError, csv.Error) as error:
        raise DatasetMismatchError(
            f"{path} cannot be read as CSV in UTF-8 ({error}); write id,azimuth,depression,serial"
        ) from error
    if problems:
        raise DatasetMismatchError(
            f"{path} cannot be used: {name_some(problems, 'problem')}; correct these lines"
        )
    return found


def _facts(values: dict[str, str]) -> ChipFacts:
    angles: dict[str, float] = {}
    for name, most in COLUMNS.items():
        if text := values.get(name, ""):
            try:
                angle = float(text)
            except ValueError:
                angle = -1.0
            if not 0 <= angle <= most:
                raise ValueError(f"{name} is {text[:20]!r}; it must be a number from 0 to {most:g}")
            angles[f"{name}_deg"] = angle % 360
    serial = values.get("serial", "")
    if not serial.isprintable():
        raise ValueError("serial has characters that cannot be printed")
    return ChipFacts(**angles, serial=serial)


def with_facts(chips: Iterator[PackedChip], path: Path | None = None) -> Iterator[PackedChip]:
    """Yield chips with the facts of a file, which come before those of folders and headers."""
    known = {} if path is None else read_facts(path)
    for chip in chips:
        own = known.get(chip.chip_id)
        yield chip if own is None else replace(chip, facts=own.over(chip.facts))
