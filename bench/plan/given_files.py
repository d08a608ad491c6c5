"""The encoders of the files that a grid names, without reading a file twice.

Reading a file imports torch and takes seconds. The store remembers the encoder of each file and
settings, with size, times and inode of the file: if one of them changes, the file is read again. So
a file that was replaced is another encoder, with another key and no results yet.

A missing file is an error, unless the store holds the record that was imported from this path.
Results are then those of the weights that the path held last, and tables say so. The name alone
does not count, because many files of different encoders are called `checkpoint.pth`.
"""

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...results.record import digest_json
from ..given_file import Stated
from ..given_identity import weights_of
from ..grid.encoder_entries import EncoderEntry, FoundWeights, GivenRow
from ..grid.expand import PlannedPretraining
from ..grid.schema import Grid, GridError, init_of, label_of
from ..identity import GIVEN, Pretraining
from ..method_facts.method_info import MethodInfo, cache_folder, code_digest, read_cached
from ..store.atomic import write_atomic
from ..store.records import DamagedRecordError, Store

FILE = "weights-1.json"  # in the store; without it, files are read again
SETTLED_S = 2.0  # a younger file may change again within the resolution of its times

Stamp = list[int]  # size, times and inode of a file


@dataclass(frozen=True)
class Remembered:
    """The encoder of a file with certain stated values.

    Attributes:
        path: The file.
        stated: The stated values, as plain JSON values.
        stamp: Of the file; None: read it again.
        code: Digest of the code that read it.
        identity: Identity of the encoder.
        architecture: In words.
        notes: As in `GivenRow`.
        untrained: As in `GivenRow`.
        position_table: As in `GivenRow`.
        missing: Of an archive: whether the file was missing when it was made; else None.
        label: Of an archive: the label of the entry.
        from_store: The path relative to the folder of the store, for a project that was moved.
    """

    path: str
    stated: dict[str, Any]
    stamp: Stamp | None
    code: str
    identity: dict[str, Any]
    architecture: str
    notes: list[str]
    untrained: bool
    position_table: bool = False
    missing: bool | None = None
    label: str | None = None
    from_store: str | None = None

    @property
    def key(self) -> str:
        """The key of file and stated values."""
        return _key(self.path, self.stated)


def find_given(grid: Grid, methods: dict[str, MethodInfo], store: Store) -> list[FoundWeights]:
    """Return the encoder of each entry of `Grid.weights`.

    Raises:
        GridError: A file cannot be used as stated; one line for each entry.
    """
    if not grid.weights():
        return []
    file = cache_folder(store.root) / FILE
    known = read_cached(file, Remembered)
    found, problems, fresh = [], list[str](), dict[str, Remembered]()
    for place, entry in grid.weights():
        try:
            one, missing = _find(entry, known, store)
            _check_channels(entry, one)
        except Exception as error:  # the other entries are checked too
            problems.append(f"{place}: {entry.name}: {_reason(error)}")
            continue
        fresh[one.key] = one
        identity = Pretraining(**one.identity)
        if missing:
            identity = replace(identity, method_version=methods[GIVEN].version)
        row = GivenRow(
            Path(entry.weights).name, one.architecture, tuple(one.notes), tuple(entry.seen or ()),
            entry.labels, missing and one.missing is not False, one.untrained, one.position_table,
            entry.seen is not None,
        )  # fmt: skip
        found.append(FoundWeights(place, entry, identity, row))
    if problems:
        raise GridError("\n".join(problems))
    if any(known.get(key) != one for key, one in fresh.items()):
        with suppress(OSError):  # a read-only store
            _add(file, fresh)
    return found


def remember(
    grid: Grid,
    methods: dict[str, MethodInfo],
    starts: Iterable[PlannedPretraining],
    source: Path,
    root: Path,
) -> None:
    """Remember the encoders of an archive, so that its rows are found without their files.

    Args:
        grid: The grid of the archive.
        methods: Facts of its methods.
        starts: Its pretrainings.
        source: The archive.
        root: The folder of the store that remembers them.
    """
    every = [one for one in grid.entries if one.name in methods]
    entries = {
        label_of(grid.pretrain, one, methods, every): init_of(grid.pretrain, one, methods[one.name])
        for one in every
    }
    entries |= {one.name: one for one in grid.encoders}
    found = {}
    for start in starts:
        row, entry, identity = start.given, entries.get(start.label), start.identity
        if row is None or entry is None or identity is None:
            continue
        one = Remembered(
            path=str(source / digest_json(entry.name) / row.file),  # names no file
            stated=entry.stated().to_json(),
            stamp=None,
            code="",
            identity=weights_of(identity).to_json(),
            architecture=row.architecture,
            notes=list(row.notes),
            untrained=row.untrained,
            position_table=row.position_table,
            missing=row.missing,
            label=entry.name,
        )
        found[one.key] = one
    if found:
        _add(root / FILE, found)


def _reason(error: Exception) -> str:
    """Return the message of an error; that of a KeyError has quotes around it."""
    return str(error.args[0]) if error.args else type(error).__name__


def _find(
    entry: EncoderEntry, known: dict[str, Remembered], store: Store
) -> tuple[Remembered, bool]:
    """Return the encoder of an entry, and True if its file is missing."""
    path, stated = Path(entry.weights), entry.stated()
    stamp = _stamp(path)
    if stamp is None:
        return _of_missing(entry, known, store), True
    one = known.get(_key(entry.weights, stated.to_json()))
    if one and one.stamp == stamp and one.code == reading_digest():
        return one, False
    settled = time.time() - max(stamp[1:3]) / 1e9 > SETTLED_S
    read = _read_weights(path, stated, stamp if settled else None)
    return replace(read, from_store=_from_store(path, store)), False


def _read_weights(path: Path, stated: Stated, stamp: Stamp | None) -> Remembered:
    from ...methods._given import position_tables  # imports torch
    from ..weights.find_encoder import find_encoder
    from ..weights.untrained import looks_untrained

    given = find_encoder(path, stated)
    network = given.network()
    return Remembered(
        path=str(path),
        stated=stated.to_json(),
        stamp=stamp,
        code=reading_digest(),
        identity=given.identity().to_json(),
        architecture=given.architecture,
        notes=list(given.notes),
        untrained=looks_untrained(network),
        position_table=bool(position_tables(network)),
    )


def _of_missing(entry: EncoderEntry, known: dict[str, Remembered], store: Store) -> Remembered:
    """Return the encoder that a missing file held last.

    It is found by the path, absolute or relative to the store, and its record must be in the store;
    that of an archive is found by the name of the file and the label of the entry.

    Raises:
        GridError: The store has no record of it.
    """
    path, stated = Path(entry.weights), entry.stated().to_json()
    there = known.get(_key(entry.weights, stated))
    alike = [there] if there else [
        one for one in known.values()
        if one.stated == stated and (
            one.from_store == _from_store(path, store) if one.missing is None
            else (Path(one.path).name, one.label) == (path.name, entry.name)
        )
    ]  # fmt: skip
    done = {one.identity["config"]["digest"]: one for one in alike if _is_stored(one, store)}
    if len(done) == 1:
        return next(iter(done.values()))
    known_here = f"has {len(done)} encoders from it" if done else "has no encoder from it"
    raise GridError(
        f"the file {entry.weights} is missing, and the store {store.root} {known_here}; put it "
        "there, or give its path, absolute or relative to the folder of the grid"
    )


def _from_store(path: Path, store: Store) -> str:
    return os.path.relpath(path, store.root.absolute())


def _is_stored(one: Remembered, store: Store) -> bool:
    if one.missing is not None:  # of an archive, which holds what is made of it
        return True
    with suppress(DamagedRecordError):
        return store.read("pretrain", Pretraining(**one.identity).key) is not None
    return False


def _check_channels(entry: EncoderEntry, one: Remembered) -> None:
    channels = one.identity["config"]["channels"]
    if entry.channels not in (None, channels):
        raise GridError(
            f"channels is {entry.channels}, but the file has {channels} input channels; correct "
            "it, or leave it out"
        )


def _stamp(path: Path) -> Stamp | None:
    """Return size, times and inode of a file; None if it does not exist."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise GridError(f"{path} cannot be read: {error.strerror}") from error
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _key(path: str, stated: dict[str, Any]) -> str:
    return digest_json([path, stated])[:16]


@cache
def reading_digest() -> str:
    """Return a digest of the code that reads files of weights."""
    digest = sha256(code_digest().encode())
    for path in sorted((Path(__file__).parent.parent / "weights").rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _add(file: Path, found: dict[str, Remembered]) -> None:
    known = read_cached(file, Remembered) | found
    write_atomic(file, json.dumps({key: vars(one) for key, one in known.items()}))
