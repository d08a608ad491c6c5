"""Write files whole or not at all, and read them."""

import errno
import hashlib
import io
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..suggest import RequestError

ABANDONED_S = 24 * 3600  # since a temporary file was last changed


class NoSpaceError(OSError):
    """A full disk or an exhausted quota."""

    exit_status = 1


def sync(path: Path) -> None:
    """Flush a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to `target`, removed at the end; also those of killed processes.

    Raises:
        NoSpaceError: The disk is full.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        yield temporary
    except OSError as error:
        if is_full(error) and not isinstance(error, NoSpaceError):
            raise no_space(target) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(target: Path) -> None:
    """Remove old temporary files of a target, which killed processes left."""
    ours = re.compile(rf"\.{re.escape(target.name)}\.\d+\.\d+")
    with suppress(OSError), os.scandir(target.parent) as entries:
        for left in entries:
            if ours.fullmatch(left.name) and time.time() - left.stat().st_mtime > ABANDONED_S:
                with suppress(OSError):  # another process was first
                    Path(left).unlink()


def is_full(error: OSError) -> bool:
    """Return whether an error means a full disk or an exhausted quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def no_space(target: Path) -> NoSpaceError:
    """Return the error for a file that could not be written."""
    return NoSpaceError(
        errno.ENOSPC,
        f"no space left to write {target}; the incomplete file was removed and finished work is "
        "kept: free some space, then run the same command again to resume",
    )


def write_atomic(
    target: Path, content: str | bytes | memoryview | Callable[[Path], object]
) -> None:
    """Write or replace a file as a whole.

    Args:
        target: The file.
        content: Its content, or a function that writes it to the path that it is called with.

    Raises:
        NoSpaceError: The disk is full.
    """
    with writing(target) as temporary:
        if isinstance(content, str):
            temporary.write_text(content)
        elif isinstance(content, bytes | memoryview):
            temporary.write_bytes(content)
        else:
            content(temporary)
        sync(temporary)
        temporary.replace(target)


class TooLargeError(ValueError):
    """A file that is larger than its kind can be."""


def read_file(path: Path, largest: int | None = None) -> bytes:
    """Return the content of a regular file, without waiting on a FIFO or a device.

    Args:
        path: The file.
        largest: Largest size in bytes.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
        TooLargeError: It is larger than `largest`.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if largest is not None and os.fstat(file.fileno()).st_size > largest:
            raise TooLargeError(f"{path} is larger than {largest >> 20} MB")
        return file.read()


def write_once(target: Path, content: bytes) -> bool:
    """Write a file unless it exists; return whether it was written."""
    with writing(target) as temporary:
        temporary.write_bytes(content)
        sync(temporary)
        return link_once(temporary, target)


def copy_once(source: Path, target: Path) -> bool:
    """Copy a file unless the target exists; return whether it was copied."""
    with writing(target) as temporary:
        shutil.copyfile(source, temporary)
        sync(temporary)
        return link_once(temporary, target)


def link_once(temporary: Path, target: Path) -> bool:
    """Link a complete file to its final name; return False if the name is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    return True


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write new files, all or none; the last entry of `contents` is written last.

    Raises:
        RequestError: One of them exists.
        NoSpaceError: The disk is full.
    """
    with ExitStack() as stack:
        temporary = {}
        for target, content in contents.items():
            temporary[target] = stack.enter_context(writing(target))
            temporary[target].write_bytes(content)
            sync(temporary[target])
        written: list[Path] = []
        try:
            for target, made in temporary.items():
                if not link_once(made, target):
                    raise RequestError(f"{target} exists; files are not replaced")
                written.append(target)
        except BaseException:
            for target in written:
                target.unlink(missing_ok=True)
            raise


def npz(**arrays: np.ndarray) -> bytes:
    """Return arrays as the content of a compressed .npz file, to be written at once."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **cast(dict[str, Any], arrays))
    return buffer.getvalue()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
