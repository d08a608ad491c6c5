"""Refuse pickles whose tuples would crash or delay the reader, before anything is unpickled.

A key of a dict is hashed as it is read, with all tuples in it: a tuple nested millions of times
overflows the stack of the process, and one that repeats its parts takes for ever.
"""

import pickletools
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

DEEPEST_TUPLE = 16  # tuples in tuples; those of a tensor need 3
LARGEST_TUPLE = 500_000  # values in a tuple and its tuples, counted again where one is shared
LONGEST = 256 << 20  # bytes of a pickle, without its tensors
LEGACY_PICKLES = 5  # at the start of a file from before torch 1.6: magic number to storage keys

Size = tuple[int, int]  # depth and values of a tuple; (0, 1) for any other value
PLAIN: Size = (0, 1)


class AbsurdPickleError(ValueError):
    """A pickle that no training writes."""


def scan_zip(path: Path) -> bool:
    """Check the pickles of a zip archive; return whether all its members are stored as they are.

    Raises:
        AbsurdPickleError: A pickle is too long, or its tuples are too deep or too large.
        BadZipFile: The archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith("data.pkl"):
                if member.file_size > LONGEST:
                    raise AbsurdPickleError(f"its pickle has {member.file_size:,} bytes")
                with archive.open(member) as file:
                    _check(file)
        return all(one.compress_type == zipfile.ZIP_STORED for one in archive.infolist())


def scan_legacy(path: Path) -> None:
    """Check the pickles at the start of a file that is not a zip archive.

    Raises:
        AbsurdPickleError: The tuples of one are too deep or too large.
    """
    with path.open("rb") as file:
        for _ in range(LEGACY_PICKLES):
            _check(file)


def _check(file: IO[bytes]) -> None:
    absurd = False
    with suppress(ValueError, IndexError):  # a damaged pickle, of which torch says more
        absurd = any(d > DEEPEST_TUPLE or n > LARGEST_TUPLE for d, n in _tuples(file))
    if absurd:
        raise AbsurdPickleError(
            f"it has a tuple of more than {DEEPEST_TUPLE} tuples in one another, or of more than "
            f"{LARGEST_TUPLE:,} values"
        )


def _tuples(file: IO[bytes]) -> Iterator[Size]:
    """Yield the size of each tuple of a pickle, in the order in which they are made."""
    stack: list[Size | None] = []  # None = a mark
    memo: dict[object, Size] = {}
    for operation, argument, _ in pickletools.genops(file):
        name, before = operation.name, operation.stack_before
        if name == "MEMOIZE":
            argument = len(memo)
        if "PUT" in name or name == "MEMOIZE":
            memo[argument] = stack[-1] or PLAIN
        elif "GET" in name:
            stack.append(memo.get(argument, PLAIN))
        elif name == "MARK":
            stack.append(None)
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            taken: list[Size] = []
            if pickletools.stackslice in before:
                while (one := stack.pop()) is not None:
                    taken.append(one)
                before = before[: before.index(pickletools.markobject)]
            taken += [stack.pop() or PLAIN for _ in before]
            made = PLAIN
            if "TUPLE" in name:
                made = 1 + max((one[0] for one in taken), default=0), 1 + sum(v for _, v in taken)
                yield made
            stack += [made] * len(operation.stack_after)
