"""CSV files next to chips that people write: `split.csv` and `metadata.csv`."""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..suggest import shortened
from .listing import DatasetMismatchError

LARGEST = 2**26  # bytes


def file_in(folder: Path, name: str) -> tuple[Path, ...]:
    """Return the file of this name in a folder; empty if there is none.

    Raises:
        DatasetMismatchError: Something else has the name: a folder, a pipe, a link to nothing.
    """
    path = folder / name
    if path.is_file():
        return (path,)
    if path.exists() or path.is_symlink():
        raise DatasetMismatchError(
            f"{path} is not a file; {name} must be a CSV file: put one there, or remove it"
        )
    return ()


def read_lines(
    path: Path, form: str, wrong_columns: Callable[[list[str]], str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield number and values of each line after the header, without spaces at their ends.

    Args:
        path: The file.
        form: Its first line, for messages.
        wrong_columns: Returns what is wrong with the columns; empty if nothing is.

    Raises:
        DatasetMismatchError: The file is too large, is not CSV in UTF-8, or has wrong columns.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DatasetMismatchError(f"{path} is larger than {LARGEST >> 20} MiB; divide the set")
        with path.open(encoding="utf-8-sig", newline="") as source:
            reader = csv.DictReader(source, restval="")
            columns = [str(one).strip() for one in reader.fieldnames or []]
            reader.fieldnames = columns
            if problem := wrong_columns(columns):
                raise DatasetMismatchError(f"{path} {problem}")
            for line in reader:
                yield reader.line_num, {key: str(line[key]).strip() for key in columns}
    except (OSError, UnicodeError, csv.Error) as error:
        raise DatasetMismatchError(
            f"{path} cannot be read as CSV in UTF-8 ({error}); write {form}"
        ) from error


def refuse(path: Path, problems: Sequence[str]) -> None:
    """Refuse a file with problems in its lines.

    Raises:
        DatasetMismatchError: There are some.
    """
    if problems:
        raise DatasetMismatchError(
            f"{path} cannot be used: {shortened(problems)}; correct these lines"
        )
