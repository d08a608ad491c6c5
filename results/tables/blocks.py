"""Blocks of columns of a sheet, for tables that are not wider than a terminal or a page."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from .sheets import Sheet, merged_heads

LINE = 120  # letters in a line of a text table that goes to a file or a pipe
Fits = Callable[[Sheet], bool]
Columns = list[int]  # places of columns of a sheet, from 0


def blocks(sheet: Sheet, fits: Fits) -> list[Sheet]:
    """Return a sheet as blocks of its columns; itself if it fits.

    Columns are separated where the first line of their header changes, and only where such a group
    does not fit at the next line, and so on. Header lines that are the same for all columns of a
    block are its title. Lines without a text in a block are left out of it. A single column that
    does not fit is a block.
    """
    columns = list(range(len(sheet.columns)))
    if fits(sheet):
        return [sheet]
    return [_block(sheet, some) for some in _separated(sheet, columns, fits, 0)]


def _separated(sheet: Sheet, columns: Columns, fits: Fits, level: int) -> list[Columns]:
    """Return columns as groups that fit, separated at a line of their header or at later ones."""
    if len(columns) == 1 or fits(_block(sheet, columns)):
        return [columns]
    lines = _lines(sheet)
    if level == len(lines):
        return _even(sheet, columns, fits)
    groups = [list(some) for _, some in groupby(columns, lines[level].__getitem__)]
    if all(len(group) == 1 for group in groups):
        return _even(sheet, columns, fits)
    found: list[Columns] = []
    whole = False  # the last of `found` is one group or several
    for group in groups:
        parts = _separated(sheet, group, fits, level + 1)
        if whole and len(parts) == 1 and fits(_block(sheet, [*found[-1], *group])):
            found[-1] += group
        else:
            found += parts
            whole = len(parts) == 1
    return found


def _even(sheet: Sheet, columns: Columns, fits: Fits) -> list[Columns]:
    """Return columns as the fewest groups of about equal size that fit."""
    for count in range(2, len(columns)):
        ends = [-(-len(columns) * n // count) for n in range(count + 1)]
        found = [columns[a:b] for a, b in pairwise(ends)]
        if all(len(some) == 1 or fits(_block(sheet, some)) for some in found):
            return found
    return [[column] for column in columns]


def _lines(sheet: Sheet) -> list[list[str]]:
    """Return the header lines with a text for each column."""
    return [[text for text, span in head for _ in range(span)] for head in sheet.heads]


def _block(sheet: Sheet, columns: Sequence[int]) -> Sheet:
    """Return a sheet of some columns; its title is what the lines of their headers share."""
    lines = [[line[column] for column in columns] for line in _lines(sheet)]
    known = [n for n, text in enumerate(lines[0]) if text]  # not the mean rank
    shared = [line for line in lines if len({line[n] for n in known}) == 1]
    kept = [line for line in lines if line not in shared] or [shared.pop()]
    return replace(
        sheet,
        title=", ".join(text for line in shared if (text := line[known[0]])),
        heads=merged_heads(list(zip(*kept, strict=True))),
        sections=[
            [
                [line[0], *(line[1 + column] for column in columns)]
                for line in section
                if any(line[1 + column].text for column in columns)
            ]
            for section in sheet.sections
        ],
    )
