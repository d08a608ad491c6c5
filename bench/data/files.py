"""Find images under a folder, in an archive, or in archives under a folder."""

import lzma
import re
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from os import fsencode, walk
from pathlib import Path, PurePosixPath
from stat import S_IFDIR, S_IFIFO, S_IFMT, S_IFSOCK, S_ISREG

import numpy as np

from .images import decode_image, is_image
from .phoenix import is_phoenix
from .unreadable_image import UnreadableImageError

KINDS = {S_IFIFO: "named pipe", S_IFSOCK: "socket", S_IFDIR: "folder"}
Wanted = Callable[[str], bool]  # of the name of a file
ARCHIVE_ERRORS = (
    OSError, EOFError, RuntimeError, ValueError, OverflowError, struct.error, lzma.LZMAError,
    zlib.error, zipfile.BadZipFile, tarfile.TarError, IndexError,
)  # fmt: skip  # what zipfile and tarfile raise
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class DatasetNotFoundError(FileNotFoundError):
    """A data set or pool that the data folder does not hold."""

    failure_class = "data"


@dataclass(frozen=True)
class ImageFile:
    """An image in a folder or archive.

    Attributes:
        relative: Path below the source; an archive counts as a folder.
        path: The file to read, or the zip file that holds it.
        stamp: Size and time, to notice a change.
        archive: The open zip file that holds the image (safe to read from several threads).
        member: Name of the image in the zip file.
    """

    relative: PurePosixPath
    path: Path
    stamp: tuple[int, int]
    archive: zipfile.ZipFile | None = None
    member: str = ""

    def read_bytes(self) -> bytes:
        """Return the encoded image."""
        try:
            if not self.member:
                return self.path.read_bytes()
            return (self.archive or _reopened(self.path)).read(self.member)
        except ARCHIVE_ERRORS as error:
            raise UnreadableImageError(f"{self.relative} in {self.path}: {error}") from error

    def __reduce__(self) -> tuple[Callable[..., "ImageFile"], tuple]:
        """Return what makes the file in another process, which opens an archive itself."""
        return _sent, (str(self.relative), str(self.path), self.stamp, self.member)

    def read(self) -> np.ndarray:
        """Return the image (H, W) in its stored type."""
        return decode_image(self.read_bytes(), str(self.relative))


@lru_cache(maxsize=16)
def _reopened(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def plain(text: str) -> str:
    """Return letters and digits in capitals, so that BTR_60, btr-60 and BTR60 are one name."""
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def _sent(relative: str, path: str, stamp: tuple[int, int], member: str) -> ImageFile:
    """Return a file of another process; a path is sent as text, since its parts take far longer."""
    return ImageFile(PurePosixPath(relative), Path(path), stamp, member=member)


def archive_stem(name: str) -> str | None:
    """Return the name of an archive without its suffix; None for another file."""
    lower = name.lower()
    return next((name[: -len(end)] for end in ARCHIVES if lower.endswith(end)), None)


def find_source(data_dir: Path, folders: tuple[str, ...], markers: tuple[str, ...]) -> Path | None:
    """Return the folder or archive of a data set, or None if there is none.

    Args:
        data_dir: The data folder; it may itself be the data set.
        folders: Names that the data set may have; the first that exists is returned. Case,
            separators and the suffix of an archive do not matter.
        markers: Names of sub-folders; a data folder that has one is the data set itself.

    Raises:
        DatasetNotFoundError: `data_dir` is not a folder.
    """
    if not data_dir.is_dir():
        problem = "is a file" if data_dir.exists() else "does not exist"
        raise DatasetNotFoundError(
            f"the data folder {data_dir} {problem}; name a folder with --data or SARBENCH_DATA"
        )
    children = sorted(data_dir.iterdir(), key=lambda child: (not child.is_dir(), child.name))
    for name in folders:
        for child in children:
            stem = child.name if child.is_dir() else archive_stem(child.name)
            if stem is not None and plain(stem) == plain(name):
                return child.resolve()
    inside = {plain(child.name) for child in children if child.is_dir()}
    own_name = plain(data_dir.resolve().name) in map(plain, folders)
    return data_dir.resolve() if own_name or inside & set(map(plain, markers)) else None


@contextmanager
def open_source(source: Path | None, *, raw: bool | None = False) -> Iterator[list[ImageFile]]:
    """Yield the images of a folder or archive in the order of their names; of None, none.

    With `raw`, Phoenix files are yielded instead of images; with None, only without images.
    Hidden files and other formats are skipped. Archives inside a folder count as folders. Zip
    members are read in place. A tar is unpacked into a temporary folder, under new names, until the
    context ends.

    Raises:
        DatasetNotFoundError: `source` is not a folder or an archive.
        UnreadableImageError: An archive cannot be read.
    """
    with ExitStack() as stack:
        found = [] if source is None else _list(source, is_phoenix if raw else is_image, stack)
        if source is not None and raw is None and not found:
            found = _list(source, is_phoenix, stack)
        for file in found:
            _check_name(file)
        yield sorted(found, key=lambda file: str(file.relative))


def _list(source: Path, wanted: Wanted, stack: ExitStack) -> list[ImageFile]:
    """Return the wanted files of a folder or archive."""
    if not source.is_dir():
        if archive_stem(source.name) is not None:
            return _open_archive(source, PurePosixPath(), stack, wanted)
        raise DatasetNotFoundError(
            f"{source} is not a folder or an archive ({', '.join(ARCHIVES)}); check the path"
        )
    found: list[ImageFile] = []
    for folder, names in files_below(source):
        relative = PurePosixPath(folder.relative_to(source).as_posix())
        for name in names:
            stem = archive_stem(name)
            if stem is not None:
                found += _open_archive(folder / name, relative / stem, stack, wanted)
            elif wanted(name):
                path = folder / name
                found.append(ImageFile(relative / name, path, _stamp(path)))
    return found


def _check_name(file: ImageFile) -> None:
    """Refuse a name that cannot be part of a chip id."""
    try:
        str(file.relative).encode()
    except UnicodeEncodeError as error:
        raise UnreadableImageError(
            f"the file name {fsencode(str(file.relative))!r} is not UTF-8, so it cannot be an id; "
            "rename the file"
        ) from error


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise UnreadableImageError(f"{path}: {error.strerror}; is it a broken link?") from error
    if not S_ISREG(status.st_mode):
        raise UnreadableImageError(
            f"{path}: is a {KINDS.get(S_IFMT(status.st_mode), 'special file')} with the name of an "
            "image or archive; only files are read: remove it, or rename it"
        )
    return status.st_size, status.st_mtime_ns


def files_below(source: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder with the names of its visible files; each linked folder once."""
    seen: set[Path] = set()
    for path, folders, names in walk(source, followlinks=True):
        folder = Path(path)
        real = folder.resolve()
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        yield folder, sorted(name for name in names if not name.startswith("."))


def _open_archive(
    path: Path, below: PurePosixPath, stack: ExitStack, wanted: Wanted
) -> list[ImageFile]:
    _stamp(path)
    try:
        if path.name.lower().endswith(".zip"):
            return _list_zip(path, below, stack, wanted)
        return _unpack_tar(path, below, stack, wanted)
    except UnreadableImageError:
        raise
    except ARCHIVE_ERRORS as error:
        raise UnreadableImageError(f"{path}: not a readable archive ({error})") from error


def _list_zip(
    path: Path, below: PurePosixPath, stack: ExitStack, wanted: Wanted
) -> list[ImageFile]:
    archive = stack.enter_context(zipfile.ZipFile(path))
    found: list[ImageFile] = []
    for info in archive.infolist():
        name = None if info.is_dir() else _member_name(info.filename, path, wanted)
        if name is not None:
            stamp = (info.file_size, info.CRC)
            found.append(ImageFile(below / name, path, stamp, archive, info.filename))
    return found


def _unpack_tar(
    path: Path, below: PurePosixPath, stack: ExitStack, wanted: Wanted
) -> list[ImageFile]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sarbench-")))
    found: list[ImageFile] = []
    with tarfile.open(path) as archive:
        for number, info in enumerate(archive):
            name = _member_name(info.name, path, wanted) if info.isfile() else None
            stream = archive.extractfile(info) if name is not None else None
            if name is None or stream is None:
                continue
            copy = folder / f"{number}{name.suffix}"
            with copy.open("wb") as target:
                shutil.copyfileobj(stream, target)
            found.append(ImageFile(below / name, copy, (info.size, int(info.mtime))))
        _check_end(archive)
    return found


def _check_end(archive: tarfile.TarFile) -> None:
    """Raise ReadError unless only zeros follow the last member: tarfile ends quietly at damage."""
    stream = archive.fileobj
    if stream is None:
        return
    stream.seek(archive.offset)
    block = stream.read(tarfile.BLOCKSIZE)
    rest = iter(partial(stream.read, 2**16), b"")
    if len(block) < tarfile.BLOCKSIZE or any(block) or any(map(any, rest)):
        raise tarfile.ReadError("it is cut or damaged; make or fetch it again")


def _member_name(name: str, archive: Path, wanted: Wanted) -> PurePosixPath | None:
    """Return the path of a member in its archive; None if it is hidden or of another format.

    Raises:
        UnreadableImageError: The path leads out of the archive.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise UnreadableImageError(f"{archive}: the path of its member {name!r} leads out of it")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return None if hidden or not wanted(path.name) else path
