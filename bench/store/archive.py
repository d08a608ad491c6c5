"""Archives: one zip file with the records of a grid, without weights.

`pretrain.jsonl` and `evaluate.jsonl` hold one record in each line. Without the scores of single
chips, `classes/` holds an array (chips, runs) for each split, whose columns are its runs in the
order of `evaluate.jsonl`. Other members have the names that they have in a store. `manifest.json`
holds the SHA-256 of every other member, so a file that was cut or edited is refused. The same
members give the same bytes, with the same version of zlib.
"""

import json
import re
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from ..identity import KINDS, Kind
from ..suggest import shortened
from .atomic import TooLargeError, write_atomic
from .records import HISTORY, DamagedRecordError, Store
from .run_predictions import (
    NAMES,
    PREDICTIONS_FILE,
    REDO,
    DamagedPredictionsError,
    read_array,
)
from .step_times import FOLDER as STEP_TIMES

SUFFIX = ".zip"
FORMAT = 1  # raised when an older sarbench could no longer read an archive, or would misread it
MANIFEST, GRID, PLAN = "manifest.json", "grid.toml", "plan.json"
KEY = re.compile("[0-9a-f]{64}")
MEMBER = re.compile(
    rf"{MANIFEST}|{GRID}|{PLAN}|(pretrain|evaluate)\.jsonl|sets/[A-Za-z0-9_][A-Za-z0-9_.-]*\.(json|card\.toml)"
    rf"|(pretrain|evaluate)/{KEY.pattern}/({HISTORY}|{PREDICTIONS_FILE})"
    rf"|classes/{KEY.pattern}\.npy|{STEP_TIMES}/[0-9a-f]{{16}}\.json"
)
LARGEST_MEMBER = 2**28  # bytes
LARGEST_TOTAL = 2**31  # bytes of all members
NAMED = 3  # members that a message names
AGAIN = "get a whole copy of it, or make it again with `sarbench archive`"


class ArchiveError(ValueError):
    """A file that is not a whole, unchanged archive."""


@dataclass(frozen=True)
class ArchivedStore(Store):
    """The store in an archive, for reading.

    Records and predictions of runs are in memory, because writing 20,000 files takes minutes on
    some file systems; the other members are in a temporary folder.
    """

    path: Path
    members: dict[Path, bytes] = field(default_factory=dict)
    classes: dict[str, np.ndarray] = field(default_factory=dict)  # predicted, without scores

    @property
    def shown(self) -> Path:
        """The archive."""
        return self.path

    @property
    def has_results(self) -> bool:
        """True: an archive without a result is not written."""
        return True

    def keys(self, kind: Kind) -> set[str]:
        """Return the keys of all records."""
        return super().keys(kind) | {p.parts[-2] for p in self.members if p.parts[-3] == kind}

    def content(self, path: Path, largest: int | None = None) -> bytes:
        """Return the content of a member; arguments and errors as of `read_file`."""
        found = self.members.get(path)
        if found is None:
            return super().content(path, largest)
        if largest is not None and len(found) > largest:
            raise TooLargeError(f"{path} is larger than {largest >> 20} MB")
        return found

    def read_predictions(
        self, path: Path, digest: str, names: tuple[str, ...] = NAMES
    ) -> dict[str, np.ndarray]:
        """Return the predictions of a run; of an archive without scores, its classes."""
        if (classes := self.classes.get(path.parent.name)) is not None:
            return {"classes": classes}
        try:
            return super().read_predictions(path, digest, names)
        except DamagedPredictionsError as error:
            raise DamagedPredictionsError(self.in_words(error)) from error

    def read(self, kind: Kind, key: str, identity: dict[str, Any] | None = None) -> Any:
        """Return a record; arguments and errors as of `Store.read`."""
        try:
            return super().read(kind, key, identity)
        except DamagedRecordError as error:
            raise DamagedRecordError(self.in_words(error)) from error

    def has_predictions(self, key: str) -> bool:
        """Return whether the predictions of a run are in the archive."""
        path = self.file("evaluate", key, PREDICTIONS_FILE)
        return key in self.classes or path in self.members or path.is_file()

    def in_words(self, error: Exception) -> str:
        """Return an error with the archive in place of its temporary folder, and advice for it."""
        text = str(error).replace(f"{self.root}/", f"{self.path}: ").replace(REDO, AGAIN)
        return text if AGAIN in text else f"{text}; {AGAIN}"


class Format(BaseModel):
    """The part of a manifest that every version reads."""

    format: int = Field(ge=1)
    sarbench: str


class Manifest(Format):
    """The description of an archive.

    Attributes:
        format: Of the archive.
        sarbench: Version that wrote it.
        files: Name of each other member -> its SHA-256.
    """

    files: dict[str, str]


def write_archive(path: Path, members: Mapping[str, bytes | Path]) -> None:
    """Write or replace an archive as a whole.

    Args:
        path: The archive.
        members: Name of each member -> its content, or the file to read it from.

    Raises:
        ArchiveError: A member is too large.
    """

    def write(temporary: Path) -> None:
        digests = {}
        with zipfile.ZipFile(temporary, "w") as target:
            for name in sorted(members):
                given = members[name]
                content = given.read_bytes() if isinstance(given, Path) else given
                if len(content) > LARGEST_MEMBER:
                    raise ArchiveError(f"{name} is larger than {LARGEST_MEMBER >> 20} MB")
                digests[name] = sha256(content).hexdigest()
                _add(target, name, content)
            manifest = Manifest(format=FORMAT, sarbench=version("sarbench"), files=digests)
            _add(target, MANIFEST, manifest.model_dump_json(indent=1).encode())

    write_atomic(path, write)


def _add(target: zipfile.ZipFile, name: str, content: bytes) -> None:
    about = zipfile.ZipInfo(name)  # of 1980-01-01, so that the bytes do not depend on the time
    about.create_system, about.external_attr = 3, 0o644 << 16
    target.writestr(about, content, zipfile.ZIP_DEFLATED, 9)


@contextmanager
def unpacked(path: Path, *, whole: bool = False) -> Iterator[ArchivedStore]:
    """Yield the verified store of an archive.

    Args:
        path: The archive.
        whole: Write every member into the temporary folder.

    Raises:
        ArchiveError: The file is not a whole, unchanged archive.
    """
    if not path.is_file():
        raise ArchiveError(f"no archive {path}; `sarbench archive GRID --out {path}` makes one")
    with tempfile.TemporaryDirectory(prefix="sarbench-") as folder:
        try:
            with zipfile.ZipFile(path) as source:
                store = ArchivedStore(Path(folder), path)
                _unpack(source, store, whole)
        except zipfile.BadZipFile as error:
            raise ArchiveError(f"{path} is cut off or not a zip file; {AGAIN}") from error
        yield store


def _unpack(source: zipfile.ZipFile, store: ArchivedStore, whole: bool) -> None:
    path, changed, contents = store.path, list[str](), dict[str, bytes]()
    names = _names(source, path)
    manifest = _manifest(source, path)
    if missing := manifest.files.keys() - names:
        raise ArchiveError(f"{path} lacks {_listed(missing)}; {AGAIN}")
    if added := names - manifest.files.keys():
        raise ArchiveError(
            f"{path} holds {_listed(added)}, which its manifest does not list; it was edited: "
            f"{AGAIN}"
        )
    for name, digest in manifest.files.items():
        content = _content(source, name)
        if content is None or sha256(content).hexdigest() != digest:
            changed.append(name)
        else:
            contents[name] = content
    if changed:
        raise ArchiveError(
            f"{path} was edited or is damaged; not as in its manifest: {_listed(changed)}; {AGAIN}"
        )
    try:
        _fill(store, contents, whole)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveError(f"{path}: its records cannot be read ({error}); {AGAIN}") from error


def _fill(store: ArchivedStore, contents: dict[str, bytes], whole: bool) -> None:
    """Put verified members into a store."""
    splits: dict[str, list[str]] = {}
    for kind in KINDS:
        for line in contents.pop(f"{kind}.jsonl", b"").splitlines():
            record = json.loads(line)
            key = record["key"]
            if not KEY.fullmatch(key):
                raise ValueError(f"{key!r} is not a key")
            contents[f"{kind}/{key}/record.json"] = line
            splits.setdefault(record["identity"].get("split_digest", ""), []).append(key)
    for name, content in contents.items():
        if name.startswith("classes/"):
            columns = read_array(content, name, dimensions=2)
            keys = splits.get(Path(name).stem, [])
            if columns.shape[1:] != (len(keys),):
                raise ValueError(f"{name} has shape {columns.shape}, but {len(keys)} runs")
            store.classes.update(zip(keys, columns.T, strict=True))
        elif not whole and (name.startswith("evaluate/") or name.endswith("/record.json")):
            store.members[store.root / name] = content
        else:
            target = store.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _names(source: zipfile.ZipFile, path: Path) -> set[str]:
    """Return the names of all members but the manifest, none of which is outside an archive."""
    listed = source.infolist()
    names = [one.filename for one in listed]
    if MANIFEST not in names:
        raise ArchiveError(
            f"{path} is a zip file, but not an archive of sarbench: it has no {MANIFEST}; "
            "`sarbench archive` makes archives"
        )
    if foreign := [name for name in names if not MEMBER.fullmatch(name)]:
        raise ArchiveError(f"{path} holds {_listed(foreign)}, which no archive has; {AGAIN}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ArchiveError(f"{path} holds {_listed(twice)} more than once; {AGAIN}")
    known = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    if packed := [one.filename for one in listed if one.compress_type not in known]:
        raise ArchiveError(
            f"{path}: {_listed(packed)} is compressed by a method that no archive has; members are "
            f"stored or deflated: {AGAIN}"
        )
    if large := [one.filename for one in listed if one.file_size > LARGEST_MEMBER]:
        raise ArchiveError(
            f"{path}: {_listed(large)} would be larger than {LARGEST_MEMBER >> 20} MB; {AGAIN}"
        )
    if sum(one.file_size for one in listed) > LARGEST_TOTAL:
        raise ArchiveError(f"{path} would unpack to more than {LARGEST_TOTAL >> 30} GB; {AGAIN}")
    return set(names) - {MANIFEST}


def _manifest(source: zipfile.ZipFile, path: Path) -> Manifest:
    content = _content(source, MANIFEST) or b""
    try:
        written = Format.model_validate_json(content)
        if written.format > FORMAT:
            raise ArchiveError(
                f"{path} has format {written.format}, of sarbench {written.sarbench}; this is "
                f"sarbench {version('sarbench')}, which reads formats up to {FORMAT}: update it"
            )
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ArchiveError(f"{path}: {MANIFEST} is damaged ({problem['msg']}); {AGAIN}") from None


def _content(source: zipfile.ZipFile, name: str) -> bytes | None:
    """Return the content of a member, or None if it cannot be read."""
    try:
        return source.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError):
        return None


def _listed(names: set[str] | list[str]) -> str:
    return shortened(sorted(names), NAMED, ", ")
