"""Write a prepared set whole or not at all, next to those of killed and of faster processes."""

import errno
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ..store.atomic import ABANDONED_S, is_full, no_space, sync
from .checked_pixels import PIXELS, note_checked
from .facts import Facts
from .listing import DatasetMismatchError
from .packed import (
    INDEX,
    SUMMARY,
    DamagedPreparedError,
    Progress,
    Summary,
    open_packed,
    packed_folder,
)
from .packing import DataDigest, PackedChip
from .source import Card, count
from .splits import split_digest

FLUSH_EVERY = 4096  # chips


def write_packed(
    card: Card,
    pack: Callable[[Path], Iterable[PackedChip]],
    total: int,
    prepared_dir: Path,
    progress: Progress | None,
) -> Path:
    """Write a prepared set and return its folder, named by its digests.

    Args:
        card: The set to pack.
        pack: Writes the pixels of its chips into a new file, and yields the chips without them, in
            the order of their ids.
        total: Their number.
        prepared_dir: Where packed sets are kept.
        progress: Called with (done, total) after every hundred chips.

    Raises:
        NoSpaceError: The disk is full; the new set is removed.
        DatasetMismatchError: The set is empty, or its chips differ in type or size.
    """
    with _temporary(prepared_dir, card) as new:
        rows: list[PackedChip] = []
        digest: DataDigest | None = None
        for chip in _flushed(pack(new / PIXELS), new / PIXELS):
            if digest is None:
                digest = DataDigest(card, chip.pixels.dtype)
            else:
                check_like(card, rows[0], chip)
            digest.update(chip)
            rows.append(chip)
            if progress is not None and (len(rows) % 100 == 0 or len(rows) == total):
                progress(len(rows), total)
        if digest is None:
            raise DatasetMismatchError(f"{card.name} holds no image")
        if problem := card.source.problem(card, rows):
            raise DatasetMismatchError(f"{card.name}: {problem}")
        note_checked(new)
        _write_index(new / INDEX, card, rows)
        described = _summarise(card, rows, digest.hexdigest())
        (new / SUMMARY).write_text(json.dumps(asdict(described), indent=1), "utf-8")
        sync(new / SUMMARY)
        folder = packed_folder(
            prepared_dir, card.name, described.data_digest, described.split_digest
        )
        _put_in_place(new, folder, card)
    return folder


def _flushed(chips: Iterable[PackedChip], path: Path) -> Iterator[PackedChip]:
    """Yield chips whose pixels are written to a file, and flush it meanwhile and at the end."""
    with ThreadPoolExecutor(1) as flusher:
        flushing: Future[None] | None = None
        for number, chip in enumerate(chips, start=1):
            yield chip
            if number % FLUSH_EVERY == 0 and (flushing is None or flushing.done()):
                if flushing is not None:
                    flushing.result()
                flushing = flusher.submit(sync, path)
        if flushing is not None:
            flushing.result()
    sync(path)


def check_like(card: Card, first: PackedChip, chip: PackedChip) -> None:
    """Compare type and size of a chip with those of the first.

    Raises:
        DatasetMismatchError: They differ.
    """
    if chip.pixels.dtype != first.pixels.dtype:
        raise DatasetMismatchError(
            f"{card.name}: {first.chip_id} is {first.pixels.dtype} and {chip.chip_id} is "
            f"{chip.pixels.dtype}; all chips of a set have one type: put them into two folders"
        )
    if card.kind == "dataset" and chip.pixels.shape != first.pixels.shape:
        raise DatasetMismatchError(
            f"{card.name}: {first.chip_id} has {first.pixels.shape} pixels and {chip.chip_id} has "
            f"{chip.pixels.shape}; all whole chips of a data set have one size: fetch them again"
        )


def _summarise(card: Card, rows: list[PackedChip], data_digest: str) -> Summary:
    counts = count(Counter((chip.class_name, chip.is_test) for chip in rows))
    is_pool = card.kind == "pool"
    split = "" if is_pool else split_digest((c.chip_id, c.class_name, c.is_test) for c in rows)
    return Summary(
        name=card.name,
        kind=card.kind,
        count=len(rows),
        counts={"train": {}, "test": {}} if is_pool else counts,
        data_digest=data_digest,
        split_digest=split,
        rendering="",
        transform=card.transform,
        crop_px=card.crop_px,
        dtype=rows[0].pixels.dtype.name,
        classes=() if is_pool else _classes(rows),
    )


def _classes(rows: list[PackedChip]) -> tuple[str, ...]:
    return tuple(sorted({chip.class_name for chip in rows}))


def _write_index(path: Path, card: Card, rows: list[PackedChip]) -> None:
    label = {name: index for index, name in enumerate(_classes(rows))}
    sizes = np.array([chip.pixels.shape for chip in rows], np.int64)
    areas = sizes.prod(axis=1)
    is_pool = card.kind == "pool"
    facts: dict[str, Any] = {**Facts.of(chip.facts for chip in rows).columns()}
    with path.open("wb") as target:
        np.savez(
            target,
            ids=np.array([chip.chip_id for chip in rows]),
            labels=np.array([-1 if is_pool else label[c.class_name] for c in rows], np.int64),
            is_test=np.array([chip.is_test for chip in rows], bool),
            offset=np.cumsum(areas) - areas,
            size=sizes,
            source_size=np.array([chip.source_size for chip in rows], np.int64),
            content=np.array([chip.content for chip in rows], np.uint64),
            group=_groups(rows),
            **facts,
        )
    sync(path)


def _groups(rows: list[PackedChip]) -> Int[np.ndarray, " N"]:
    """Return the number of the group of each chip; empty if no chip has a group."""
    if not any(chip.group for chip in rows):
        return np.empty(0, np.int64)
    names = [(chip.group, "" if chip.group else chip.chip_id) for chip in rows]
    number = {name: index for index, name in enumerate(sorted(set(names)))}
    return np.array([number[name] for name in names], np.int64)


@contextmanager
def _temporary(prepared_dir: Path, card: Card) -> Iterator[Path]:
    """Yield a new temporary folder, removed at the end; remove those of killed processes too."""
    prefix = f".{card.name.replace('/', '-')}-"
    new: Path | None = None
    try:
        prepared_dir.mkdir(parents=True, exist_ok=True)
        for left in prepared_dir.glob(f"{prefix}*"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(left, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=prefix, dir=prepared_dir))
        yield new
    except OSError as error:
        if is_full(error):
            raise no_space(prepared_dir / card.name) from error
        raise
    finally:
        if new is not None:
            shutil.rmtree(new, ignore_errors=True)


def _put_in_place(new: Path, folder: Path, card: Card) -> None:
    """Rename a complete set to its final name; of an intact copy, replace the index only."""
    with suppress(DamagedPreparedError):
        open_packed(card, folder)
        (new / INDEX).replace(folder / INDEX)  # facts are in no digest
        return
    new.chmod(0o755)
    old = new.with_name(f"{new.name}-old")
    with suppress(FileNotFoundError):
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise  # else another process was faster and packed the same content
    shutil.rmtree(old, ignore_errors=True)
